"""What reports and pictures know of a model: what is inside it, what it reads, its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skdistill._sklearn_compat import BaseSearchCV
from skdistill.distilled import FittedDistillation
from skdistill.inputs.columns import without_query_column
from skdistill.inputs.offsets import log_unless_logs
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.queries import Queries
from skdistill.serving.compiled import CompiledScorer
from skdistill.students.estimator import StudentEstimator
from skdistill.students.pipelines import through_head
from skdistill.teachers.asking import unchecked_scores
from skdistill.teachers.boosters import is_lightgbm_booster, is_xgboost_booster

TEACHER, BEGINNING, TREES, COMPILED, STUDENT, OTHER = KINDS = (
    *("teacher", "first trees of the teacher", "small trees", "compiled trees"),
    *("student", "other model"),
)


def unwrapped(model: Any) -> Any:
    """Return the model inside searches and frozen estimators."""
    while True:
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif isinstance(model, BaseSearchCV):
            model = model.best_estimator_
        else:
            return model


def check_models(models: Any) -> None:
    """Refuse what is no dictionary of models that score, by name.

    Raises
    ------
    ValueError
        If there is no model.
    TypeError
        If ``models`` is no mapping, or a model cannot score.
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            f"models must be a dict of fitted models by name, got a {type(models).__name__}."
        )
    if not models:
        raise ValueError("models is empty: pass fitted models by name.")
    for name, model in models.items():
        if not (hasattr(model, "predict") or callable(model)):
            raise TypeError(
                f"models[{name!r}] must be a fitted model with predict, or a function of the "
                f"table, got {model!r}."
            )


def kind_of(model: Any) -> str:
    """Tell by its type what a model is."""
    last = last_step(unwrapped(model))
    if isinstance(last, StudentEstimator | FittedDistillation | CompiledScorer):
        return STUDENT
    booster = getattr(last, "booster_", last)
    return TREES if is_lightgbm_booster(booster) or is_xgboost_booster(booster) else OTHER


def teacher_of(model: Any, teacher: Any) -> Any:
    """Return a teacher, by default the one that a DistilledRanker has kept; None without one.

    That of a ranker in a Pipeline is asked by a function, which transforms rows first.
    """
    if teacher is not None:
        return teacher
    whole = unwrapped(model)
    ranker = last_step(whole)
    kept = getattr(ranker, "teacher_", None)
    if kept is None or not isinstance(whole, Pipeline):
        return kept
    return lambda X: unchecked_scores(kept, ranker.teacher_table(through_head(whole, X)))


def require_teacher(model: Any, teacher: Any) -> Any:
    """Return a teacher as :func:`teacher_of` does.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = teacher_of(model, teacher)
    if found is None:
        raise ValueError(
            f"There is no teacher to compare {type(unwrapped(model)).__name__} with. Pass teacher=."
        )
    return found


def teacher_columns(model: Any, X: Any) -> Any:
    """Return the columns of a student's table that its teacher may see."""
    ranker = unwrapped(model)
    if isinstance(ranker, FittedDistillation):
        return ranker.teacher_table(X)
    if isinstance(last_step(ranker), FittedDistillation):
        return X  # the steps before the ranker come first
    return without_query_column(X, getattr(last_step(ranker), "query_column", None))


def student_columns(model: Any, X: Any) -> Any:
    """Return the columns of a student's table that the student reads."""
    ranker = unwrapped(model)
    if isinstance(ranker, FittedDistillation):
        return ranker.student_table(X)
    return without_query_column(X, getattr(last_step(ranker), "query_column", None))


def scores_of(model: Any, X: Any, queries: Queries | None = None) -> NDArray[Any]:
    """Score a table with a model: a student, a teacher, a compiled scorer or a function."""
    return unchecked_scores(unwrapped(model), X, queries)


def in_unit_of_offset(
    scores: Mapping[str, NDArray[Any]], kinds: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    """Turn probabilities into the logarithms that an offset is added to.

    Students learn such logarithms, whatever the range of their scores.
    """
    return {
        name: of if kinds.get(name) == STUDENT else log_unless_logs(np.asarray(of, np.float64))
        for name, of in scores.items()
    }


def student_of(model: Any) -> Any:
    """Return the student, or the Pipeline that ends in it, of whatever holds one."""
    ranker = unwrapped(model)
    return ranker.export_student() if isinstance(ranker, FittedDistillation) else ranker


def dense_rows(scorer: CompiledScorer, X: Any) -> NDArray[Any]:
    """Return an array or CSR matrix in the form that a compiled scorer takes fastest."""
    dense = X.toarray() if hasattr(X, "toarray") else X
    return np.ascontiguousarray(dense, np.float64 if scorer.needs_float64 else np.float32)

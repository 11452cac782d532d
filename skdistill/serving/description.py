"""Describe a fitted model for files, ONNX metadata and the terminal."""

from __future__ import annotations

import inspect
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skdistill import __version__
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.spec import read_stages
from skdistill.inputs.pipelines import last_step
from skdistill.ranker import DistilledRanker

LIBRARIES = ("scikit-learn", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Versions of skdistill, Python and the libraries that a model file depends on."""
    main = {"skdistill": __version__, "python": platform.python_version()}
    return main | {name: version(name) for name in LIBRARIES}


def describe(model: Any) -> dict[str, Any]:
    """Describe a fitted model and its training.

    Parameters
    ----------
    model : student, DistilledRanker, retriever, RankingCascade, or Pipeline that ends in any
        A fitted model.

    Returns
    -------
    dict
        ``model``, ``student``, ``settings`` (those that are not defaults, as text), ``teacher``,
        ``n_features``, ``feature_names``, ``n_parameters``, ``n_iter``, ``final_loss`` and
        ``validation_score``. Values that do not apply are None. Of a cascade: ``model``,
        ``stages``, ``n_items``, ``teacher``, ``n_features`` and ``feature_names``.
    """
    if isinstance(model, FittedCascade):
        return _describe_cascade(model)
    last = model[-1] if isinstance(model, Pipeline) else model
    student, teacher = last, getattr(last, "teacher_", None)
    if isinstance(last, DistilledRanker):
        student = last.student_
        student = student[-1] if isinstance(student, Pipeline) else student
    losses = getattr(student, "loss_curve_", None)
    validation = getattr(student, "validation_scores_", None)
    params = getattr(student, "params_", None)
    return {
        "model": type(model).__name__,
        "student": type(student).__name__,
        "settings": _settings_of(student),
        "teacher": None if teacher is None else type(teacher).__name__,
        **_columns_of(model),
        "n_parameters": None if params is None else int(sum(np.size(p) for p in params.values())),
        "n_iter": getattr(student, "n_iter_", None),
        "final_loss": float(losses[-1]) if losses else None,
        "validation_score": float(max(validation)) if validation else None,
    }


def _describe_cascade(cascade: FittedCascade) -> dict[str, Any]:
    """Describe a fitted cascade: what each stage returns, and what scores it."""
    first, *later = read_stages(cascade.stages)
    teacher = cascade.teacher_
    models: dict[str, list[Any]] = {first.name: list(first.model.values())}
    models |= {stage.name: [stage.model] for stage in cascade.funnel_.stages}
    sizes = {spec.name: spec.cut.size for spec in (first, *later)}
    return {
        "model": type(cascade).__name__,
        "stages": {
            name: f"{sizes[name]} by {' and '.join(map(_name_of_model, of_stage))}"
            for name, of_stage in models.items()
        },
        "n_items": cascade.n_items,
        "teacher": None if teacher is None else type(teacher).__name__,
        **_columns_of(cascade),
    }


def _name_of_model(model: Any) -> str:
    """Name what scores, behind a Pipeline, a DistilledRanker or a FrozenEstimator."""
    for attribute in ("estimator", "student_"):
        model = getattr(model, attribute, model)
    return type(last_step(model)).__name__


def _settings_of(student: Any) -> dict[str, str]:
    """Parameters that are not defaults, as Python writes them; functions are left out."""
    defaults = inspect.signature(type(student)).parameters
    return {
        name: repr(value)
        for name, value in student.get_params(deep=False).items()
        if not callable(value) and repr(value) != repr(defaults[name].default)
    }


def _columns_of(model: Any) -> dict[str, Any]:
    """Number and names of the columns of ``fit``."""
    names = getattr(model, "feature_names_in_", None)
    return {
        "n_features": getattr(model, "n_features_in_", None),
        "feature_names": None if names is None else [str(name) for name in names],
    }

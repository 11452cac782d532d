"""Checks of a report that need models: overfitting, rivals, noise, and the edge of a grid."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._sklearn_compat import BaseSearchCV
from skdistill.inspection.models import scores_of, teacher_columns, unwrapped
from skdistill.inspection.points import ParetoPoint, beaten_by_trees
from skdistill.inspection.report.evidence import Evidence
from skdistill.inspection.report.findings import (
    LOOK,
    NEEDS_TEACHER,
    NEEDS_TRAIN,
    OK,
    SKIPPED,
    Check,
)
from skdistill.metrics import bootstrap_ratio, ndcg_score, per_query
from skdistill.teachers.routing import is_prefit
from skdistill.text_tables import interval

# A student falls short of its teacher if it surely loses more than this fraction of its NDCG.
MOST_LOST = 0.01
# A smaller tree is a rival if it takes at most so many times the student's time.
MOST_TIME = 2.0
# A teacher overfits if its NDCG falls by more than this fraction, and by more than noise.
MOST_FALL = 0.03
TRAINING_QUERIES = 1000
# Parameters cannot be tried beyond these ends.
ENDS = {"alpha": (0.0, 1.0)}
# Why a search favours a large alpha.
OF_FITTED_TEACHER = (
    "is the largest of the values that were tried, with a teacher that was fitted before the "
    "search. If it was fitted on these rows, its scores know the labels of the held-out folds, "
    "which favours a large alpha: compare the values on rows that the teacher has not seen, or let "
    "the search fit the teacher."
)


def keeps_up_with_teacher(evidence: Evidence, points: list[ParetoPoint]) -> Check:
    """Compare the student with its teacher."""
    name = "student beside its teacher"
    if evidence.teacher_values is None:
        return Check(name, SKIPPED, NEEDS_TEACHER)
    ratio = _student(points).ratio
    found = f"{interval(ratio)} of the teacher's NDCG@{evidence.k}"
    if ratio.high >= 1 - MOST_LOST:
        return Check(name, OK, found)
    return Check(
        *(name, LOOK),
        f"{found}. If the teacher was fitted on these rows, it has memorised them: compare on "
        "newer ones. Otherwise try one thing at a time: a later week as X_val, so that training "
        "stops before the student overfits; weight_decay=3 of an MLP; alpha=0.25 or alpha=1; a "
        "wider student, or n_knots=4; naming integers that are ids in categorical_features of the "
        "student. Then make the report again.",
    )


def _student(points: list[ParetoPoint]) -> ParetoPoint:
    """The student among the models of a report."""
    return next(point for point in points if point.name == "student")


def teacher_overfits(evidence: Evidence, points: list[ParetoPoint]) -> Check:
    """Compare the teacher on its training rows with the teacher, and the student, on new ones."""
    name = "teacher on its training rows"
    if evidence.teacher is None:
        return Check(name, SKIPPED, evidence.lacks_teacher)
    if evidence.train is None:
        return Check(name, SKIPPED, NEEDS_TRAIN)
    chosen = np.random.default_rng(evidence.seed).permutation(evidence.train.queries.n_queries)
    train = evidence.train.take_queries(np.sort(chosen[:TRAINING_QUERIES]))
    scores = scores_of(evidence.teacher, teacher_columns(evidence.model, train.X), train.queries)
    k = evidence.k
    fitted = _defined(per_query(ndcg_score, train.labels, scores, train.queries.segment, k=k))
    assert evidence.teacher_values is not None  # there is a teacher
    new = _defined(evidence.teacher_values)
    noise = 2 * np.sqrt(fitted.var() / len(fitted) + new.var() / len(new))
    fall = fitted.mean() - new.mean()
    found = f"NDCG@{k} {fitted.mean():.3f} on its training rows, {new.mean():.3f} on these"
    if fall <= max(noise, MOST_FALL * new.mean()):
        return Check(name, OK, found)
    if getattr(unwrapped(evidence.model), "teacher_cv", None) is not None:
        return Check(name, OK, f"{found}; the student learnt from out-of-fold scores (teacher_cv)")
    ratio = _student(points).ratio
    if ratio.ratio >= 1:
        return Check(name, OK, f"{found}; but the student ranks these no worse than the teacher")
    return Check(
        *(name, LOOK),
        f"{found}: it remembers the labels of its training rows, and a student that learns from "
        "its scores of these rows may learn what it remembers. Let the student learn from rows "
        "that the teacher has not seen, which need no labels. Or compare, on such rows, "
        "alpha=0.25, alpha=1, and out-of-fold scores of a model that is fitted anew: "
        "DistilledRanker(LGBMRanker(**settings), teacher_cv=5). LightGBM cannot read dates: if X "
        "has some, name the other columns as teacher_columns=.",
    )


def beats_smaller_trees(evidence: Evidence, points: list[ParetoPoint]) -> Check:
    """Compare the student with smaller trees that take at most twice its time."""
    name = "smaller trees"
    rivals = [point for point in points if point.kind not in ("teacher", "student")]
    if not rivals:
        return Check(name, SKIPPED, _no_trees(evidence))
    beaten = beaten_by_trees(points, evidence.seed, MOST_TIME)
    if "student" not in beaten:
        if hasattr(evidence.teacher, "predict"):
            return Check(name, OK, "none that takes up to twice the student's time is better")
        return Check(
            *(name, SKIPPED),
            "none that takes up to twice the student's time is better. But these trees read the "
            "columns of the table, and the teacher may compute others. If it does, compare with "
            "fit_small_trees on the columns that it computes",
        )
    tree = beaten["student"]
    student = _student(points)
    return Check(
        *(name, LOOK),
        f"{tree.name!r} has NDCG@{evidence.k} {tree.quality:.4f}, the student "
        f"{student.quality:.4f}. Per row, the trees take "
        f"{tree.cost.seconds / student.cost.seconds:.2f} times as long as the student. Serve "
        "these trees, or take a student that is better: a wider one, another loss, or more rows "
        "without labels that the teacher scores.",
    )


def _no_trees(evidence: Evidence) -> str:
    """Say what smaller trees would need."""
    if evidence.teacher is None:
        return f"there are none to compare with; the check {evidence.lacks_teacher}"
    reason = "the teacher has fewer than ten trees, or is not a bare model of LightGBM or XGBoost"
    if evidence.train is not None:
        return reason
    return f"{reason}; to fit small trees, the check {NEEDS_TRAIN}"


def gains_by_teacher(evidence: Evidence, on_labels: NDArray[np.float64] | None) -> Check:
    """Compare the student with the same one on labels alone."""
    name = "gain by the teacher"
    if evidence.train is None:
        return Check(name, SKIPPED, NEEDS_TRAIN)
    if on_labels is None:
        return Check(
            name, SKIPPED, "the model has no alpha, so it cannot be fitted without the teacher"
        )
    ratio = bootstrap_ratio(evidence.values, on_labels, random_state=evidence.seed)
    found = (
        f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] of the NDCG@{evidence.k} of the "
        "same student on labels alone"
    )
    if ratio.low > 1:
        return Check(name, OK, found)
    way_out = "Compare more queries, or try other values of alpha and loss."
    if ratio.high < 1:
        return Check(
            *(name, LOOK),
            f"{found}: the teacher does harm. Lower alpha, and check the teacher's columns and "
            "scores.",
        )
    return Check(name, LOOK, f"{found}: the gain is within noise. {way_out}")


def inside_its_grid(evidence: Evidence) -> Check:
    """Check whether a search has chosen the first or the last of the values that it tried."""
    name = "edge of the grid"
    if not isinstance(evidence.model, BaseSearchCV):
        return Check(name, SKIPPED, "the model is no search, such as GridSearchCV")
    found = []
    for parameter, best in evidence.model.best_params_.items():
        tried = evidence.model.cv_results_[f"param_{parameter}"]
        numbers = sorted({float(value) for value in tried if _is_number(value)})
        setting = parameter.rpartition("__")[2]
        if not _is_number(best) or len(numbers) < 2:
            continue
        if setting == "alpha" and float(best) == numbers[-1] and _has_fitted_teacher(evidence):
            found.append(f"{parameter}={best} {OF_FITTED_TEACHER}")
        if float(best) in ENDS.get(setting, ()):
            continue
        if float(best) in (numbers[0], numbers[-1]):
            side = "smallest" if float(best) == numbers[0] else "largest"
            found.append(
                f"{parameter}={best} is the {side} of the values that were tried. Try values "
                "beyond it."
            )
    if found:
        return Check(name, LOOK, " ".join(found))
    return Check(name, OK, f"{evidence.model.best_params_}: none is at the edge")


def _has_fitted_teacher(evidence: Evidence) -> bool:
    """Whether the teacher of a ranker that a search has chosen was fitted before the search."""
    teacher = getattr(unwrapped(evidence.model), "teacher", None)
    return teacher is not None and is_prefit(teacher)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[~np.isnan(values)]

"""distillation_report: read -> measure -> check."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skdistill.inputs.columns import column_names, take_columns
from skdistill.inputs.pipelines import last_step, with_last_step
from skdistill.inspection.models import (
    BEGINNING,
    STUDENT,
    TEACHER,
    TREES,
    in_unit_of_offset,
    scores_of,
    student_of,
    teacher_columns,
    unwrapped,
)
from skdistill.inspection.points import ParetoPoint, measured_points
from skdistill.inspection.report.checks import (
    beats_smaller_trees,
    gains_by_teacher,
    inside_its_grid,
    keeps_up_with_teacher,
    teacher_overfits,
)
from skdistill.inspection.report.column_checks import (
    agrees_on_most_queries,
    has_few_ties,
    has_no_leak,
    ignores_no_column,
    inside_training_range,
)
from skdistill.inspection.report.document import DistillationReport
from skdistill.inspection.report.evidence import Evidence, gather
from skdistill.inspection.report.findings import Fidelity
from skdistill.inspection.report.slicing import slice_reports, worst_queries
from skdistill.inspection.row_costs import RowCost, costs_on_tables
from skdistill.inspection.small_trees import beginnings, fit_small_trees, is_template, without_times
from skdistill.metrics import kendall_tau, rank_biased_overlap, teacher_recall
from skdistill.public_names import set_module
from skdistill.step_progress import StepProgress
from skdistill.students.pipelines import through_head
from skdistill.teachers.columns import fitted_names, teacher_positions

ON_LABELS = "on labels alone"
# Of a teacher of which only the scores are known.
UNKNOWN = RowCost(float("nan"), float("nan"), float("nan"))


@set_module("skdistill.inspection")
def distillation_report(
    model: Any,
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None = None,
    teacher: Any = None,
    teacher_scores: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    X_train: Any = None,
    y_train: ArrayLike | None = None,
    qid_train: ArrayLike | None = None,
    slices: Sequence[Any] | Mapping[str, ArrayLike] | None = None,
    k: int = 10,
    random_state: Any = 0,
    verbose: bool = False,
) -> DistillationReport:
    """Report what a student is worth beside its teacher and smaller trees, and what looks wrong.

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline or search
        Fitted.
    X : table of shape (n_rows, n_features)
        Rows that neither the student nor its teacher was fitted on.
    y : array-like of shape (n_rows,)
        Relevance, 0 or more. Rows with NaN are left out.
    qid : array-like of shape (n_rows,), optional
        Query of each row; by default, that of the model's ``query_column``.
    teacher : model, optional
        The fitted teacher; by default, the ``teacher_`` of a :class:`DistilledRanker`. Its first
        trees are compared with the student if it is a model of LightGBM or XGBoost.
    teacher_scores : array-like of shape (n_rows,), optional
        Scores of a teacher that is not at hand.
    offset : array-like of shape (n_rows,), optional
        Such as a log bid; see :func:`skdistill.metrics.ndcg_score`.
    X_train, y_train, qid_train : array-like, optional
        The table that the student was fitted on. With it, the report also fits the student on
        labels alone, and small LightGBM models on the columns that the teacher knows by their
        names, or on all columns but times, and makes the checks that need training rows.
    slices : sequence of columns, or dict of str to array-like of shape (n_rows,), optional
        Columns of X, or values of rows by name, by which quality is broken down. Slices by the
        number of rows per query are always made.
    k : int, default=10
        Number of top places that count.
    random_state : int, RandomState or None, default=0
        Seeds the bootstrap, samples of queries, and models that are fitted.
    verbose : bool, default=False
        Print to the standard error what was done, and how long it took. Most of the time goes into
        fitting rivals, if there are training rows.

    Returns
    -------
    DistillationReport

    Raises
    ------
    ValueError
        If all rows are one query, or the arguments do not match.
    TypeError
        If the model or the teacher cannot score.
    NotFittedError
        If the model is not fitted.

    Notes
    -----
    The interval of a ratio is that of a paired bootstrap over queries. What a row costs is measured
    as :func:`row_costs` does.

    Examples
    --------
    >>> from lightgbm import LGBMRanker
    >>> from skdistill import DistilledRanker
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import distillation_report
    >>> from skdistill.students import MLPRanker
    >>> data = make_ranking(n_queries=120, random_state=0)
    >>> train, test = data.qid < 80, data.qid >= 80
    >>> teacher = LGBMRanker(n_estimators=30, verbose=-1)
    >>> ranker = DistilledRanker(teacher, MLPRanker((16,)), random_state=0)
    >>> ranker = ranker.fit(data.X[train], data.y[train], qid=data.qid[train])
    >>> report = distillation_report(ranker, data.X[test], data.y[test], qid=data.qid[test])
    >>> [point.name for point in report.points]
    ['teacher', 'student', 'first 7 trees', 'first 15 trees']
    """
    progress = StepProgress("distillation_report", verbose, sys.stderr)
    evidence = gather(
        model,
        X,
        y,
        qid=qid,
        teacher=teacher,
        teacher_scores=teacher_scores,
        offset=offset,
        train=_training_table(X_train, y_train, qid_train),
        slices=slices,
        k=k,
        seed=check_random_state(random_state).randint(2**31 - 1),
    )
    progress.ended("rows are scored")
    points, sizes = _measure(evidence, progress)
    on_labels = next((point.values for point in points if point.name == ON_LABELS), None)
    checks = [
        keeps_up_with_teacher(evidence, points),
        teacher_overfits(evidence, points),
        beats_smaller_trees(evidence, points),
        gains_by_teacher(evidence, on_labels),
        inside_its_grid(evidence),
        inside_training_range(evidence),
        has_no_leak(evidence),
        ignores_no_column(evidence),
        has_few_ties(evidence),
        agrees_on_most_queries(evidence),
    ]
    progress.ended("checks are made")
    return DistillationReport(
        points=points,
        sizes=sizes,
        fidelity=_fidelity(evidence),
        slices=slice_reports(evidence),
        queries=worst_queries(evidence),
        checks=checks,
        k=k,
        n_rows=evidence.data.n_rows,
        n_queries=evidence.queries.n_queries,
    )


def _training_table(X: Any, y: Any, qid: Any) -> tuple[Any, Any, Any] | None:
    """Return the training table, or None without one; refuse a part of one."""
    if X is None and y is None and qid is None:
        return None
    if X is None or y is None:
        raise ValueError("Pass X_train and y_train together, and qid_train unless X_train has it.")
    return X, y, qid


def _measure(
    evidence: Evidence, progress: StepProgress
) -> tuple[list[ParetoPoint], dict[str, int]]:
    """Measure the quality, the cost and the size of the student and of what it stands beside."""
    table = evidence.data.X
    for_teacher = teacher_columns(evidence.model, table)
    models: dict[str, tuple[Any, Any]] = {}
    kinds = {TEACHER: TEACHER, "student": STUDENT, ON_LABELS: STUDENT}
    if evidence.teacher is not None:
        models[TEACHER] = evidence.teacher, for_teacher
    models["student"] = evidence.model, table
    if evidence.train is not None and evidence.on_labels is not None:
        models[ON_LABELS] = evidence.on_labels, table
        progress.ended("the student on labels alone is fitted")
    # The steps before trees read what they read for the teacher.
    has_steps = isinstance(unwrapped(evidence.teacher), Pipeline)
    for_trees = for_teacher if has_steps else without_times(for_teacher)
    for kind, trees in _smaller_trees(evidence).items():
        models |= {name: (model, for_trees) for name, model in trees.items()}
        kinds |= dict.fromkeys(trees, kind)
    progress.ended("smaller trees are ready")
    scores = {name: scores_of(model, X, evidence.queries) for name, (model, X) in models.items()}
    if evidence.data.offset is not None:
        scores = in_unit_of_offset(scores, kinds)
    costs = costs_on_tables(models)
    progress.ended("models are timed")
    taught = evidence.data.teacher_scores
    if taught is not None:
        # First, and in the unit of the offset if there is one.
        scores = {TEACHER: taught} | {name: of for name, of in scores.items() if name != TEACHER}
        costs.setdefault(TEACHER, UNKNOWN)
    points = measured_points(
        evidence.labels,
        scores,
        costs,
        kinds,
        evidence.queries.segment,
        k=evidence.k,
        random_state=evidence.seed,
        offset=evidence.data.offset,
    )
    sizes = {name: _size(model) for name, (model, _) in models.items()}
    return points, {name: size for name, size in sizes.items() if size is not None}


def _smaller_trees(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Cut the teacher to its first trees, and fit small ones if there are training rows."""
    trees: dict[str, dict[str, Any]] = {}
    if evidence.teacher is not None:
        trees[BEGINNING] = beginnings(evidence.teacher)
    if evidence.train is not None:
        train, teacher = evidence.train, unwrapped(evidence.teacher)
        assert train.labels is not None  # rows without one were left out
        learner = unwrapped(last_step(teacher))
        table = through_head(teacher, teacher_columns(evidence.model, train.X))
        fitted = fit_small_trees(
            _columns_of_trees(learner, table),
            train.labels,
            qid=train.queries.segment,
            template=learner if is_template(learner) else None,
            k=evidence.k,
            random_state=evidence.seed,
        )
        trees[TREES] = {name: with_last_step(teacher, model) for name, model in fitted.items()}
    return trees


def _columns_of_trees(learner: Any, table: Any) -> Any:
    """Return the columns that trees are fitted on: those that the teacher knows by their names.

    They were chosen for trees, while students may read ids and times besides.
    """
    if fitted_names(learner) is None or column_names(table) is None:
        return without_times(table)
    return take_columns(table, teacher_positions(learner, table))


def _fidelity(evidence: Evidence) -> Fidelity | None:
    """Compare the orders of student and teacher."""
    if evidence.taught is None:
        return None
    both = evidence.taught, evidence.ordered, evidence.queries.segment
    return Fidelity(
        kendall_tau(*both),
        rank_biased_overlap(*both),
        teacher_recall(*both, k=evidence.k, m=evidence.k),
    )


def _size(model: Any) -> int | None:
    """Bytes of what a service would store; None for what cannot be pickled, such as a lambda."""
    stored = student_of(model)
    stored = with_last_step(stored, student_of(last_step(stored)))
    try:
        return len(pickle.dumps(stored))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None

"""suggest_student: calibrate -> teach -> search, for the best student within a budget."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skdistill.inputs.checks import check_finite, check_k, check_labels
from skdistill.inputs.columns import (
    as_table,
    optional_positions,
    query_ids,
    select_columns,
    without_query_column,
)
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection.relevant_queries import require_relevant_queries
from skdistill.inspection.request_times import request_times
from skdistill.inspection.sampling import some_queries
from skdistill.inspection.suggestion_table import ShapeReport, StudentSuggestion
from skdistill.metrics import RatioInterval, bootstrap_ratio, ndcg_score, per_query
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.students.estimator import StudentEstimator
from skdistill.teachers import fit_and_score
from skdistill.teachers.fitting import check_fits_teacher

# Rows on which all shapes that are fast enough are compared, before the best are on all rows.
SMALL_ROWS = 20_000
N_FINALISTS = 3
# Parameters by which the shapes differ.
SHAPE = {"hidden_layer_sizes", "n_factors", "n_knots"}
# One query in so many is held out.
HELD_OUT = 4


def default_students(X: Any) -> dict[str, Any]:
    """Make the shapes that are tried by default on a table, by name."""
    widths = ((8,), (16,), (32,), (64,), (32, 16), (64, 32), (128, 64), (256, 128))
    shapes = {
        "linear": LinearRanker(),
        "FM 8": FactorizationMachineRanker(8),
        "FM 16": FactorizationMachineRanker(16),
        **{f"MLP {'-'.join(map(str, width))}": MLPRanker(width) for width in widths},
    }
    if sparse.issparse(X):
        return shapes
    with_knots = {"linear, 8 knots": LinearRanker(n_knots=8)}
    for width in ((16,), (32, 16), (64, 32)):
        name = f"MLP {'-'.join(map(str, width))}, 4 knots"
        with_knots[name] = MLPRanker(width, n_knots=4)
    return shapes | with_knots


@set_module("skdistill.inspection")
def suggest_student(
    teacher: Any,
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None = None,
    latency_us: float,
    request_rows: int = 100,
    teacher_scores: ArrayLike | None = None,
    students: Mapping[str, Any] | None = None,
    ranker: DistilledRanker | None = None,
    k: int = 10,
    random_state: Any = 0,
) -> StudentSuggestion:
    """Find the student that ranks best within a latency budget.

    First, each shape is trained for an epoch on some rows, compiled, and timed on requests: a few
    seconds on the machine that is to serve. Then those within the budget are distilled, and
    compared on a quarter of the queries. If there are more than 20,000 rows, all of them are
    compared on some of the queries, and the best three on all.

    Parameters
    ----------
    teacher : estimator, FrozenEstimator, Booster or callable, or None
        As for :class:`DistilledRanker`. One that has to be fitted is fitted on the queries that are
        not held out. None with ``teacher_scores``. One that is used as it is should not have been
        fitted on these rows: it remembers them, so that students look worse beside it than they
        are.
    X : table of shape (n_rows, n_features)
        Training rows. Requests are timed as arrays, with codes for categories; what reading a data
        frame takes besides is reported.
    y : array-like of shape (n_rows,)
        Relevance, 0 or more; NaN for rows without a label.
    qid : array-like of shape (n_rows,)
        Query of each row, unless the ranker has a ``query_column``.
    latency_us : float
        Budget of a request, in microseconds on one thread.
    request_rows : int, default=100
        Number of rows of a request.
    teacher_scores : array-like of shape (n_rows,), optional
        Scores of a teacher, preferably out-of-fold; they replace the teacher.
    students : dict of str to student, optional
        Shapes to try, by name. By default linear students, factorization machines and MLPs of up to
        256 and 128 units, and if X is dense, a few of them with knots.
    ranker : DistilledRanker, optional
        Its parameters, such as ``alpha``, ``loss``, ``teacher_cv`` and ``student_columns``, are
        used; its teacher is not. The shapes that are tried by default take over those parameters
        of its student, such as ``categorical_features``, that are not part of the shape. Of a
        Pipeline, give ``students`` yourself.
    k : int, default=10
        Number of top places that count.
    random_state : int, RandomState or None, default=0
        Seeds the choice of queries and the trainings.

    Returns
    -------
    StudentSuggestion

    Raises
    ------
    ValueError
        If no shape is fast enough, there are fewer than four queries, fewer than two of those that
        are held out have a relevant row, or the arguments do not match.
    TypeError
        If a student is not one of :mod:`skdistill.students`, the ranker is no
        :class:`DistilledRanker`, or the teacher cannot score.

    Examples
    --------
    >>> from lightgbm import LGBMRanker
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import suggest_student
    >>> from skdistill.students import LinearRanker, MLPRanker
    >>> data = make_ranking(n_queries=80, random_state=0)
    >>> suggestion = suggest_student(
    ...     LGBMRanker(n_estimators=20, verbose=-1), data.X, data.y, qid=data.qid,
    ...     latency_us=10_000, students={"linear": LinearRanker(), "MLP 8": MLPRanker((8,))},
    ... )
    >>> suggestion.best in ("linear", "MLP 8")
    True
    """
    check_k(k)
    check_k(request_rows, "request_rows")
    if not isinstance(latency_us, Real) or not latency_us > 0:
        raise ValueError(f"latency_us must be a number above 0, got {latency_us!r}.")
    seed = check_random_state(random_state).randint(2**31 - 1)
    template = _template(ranker, seed)
    shapes = _with_settings_of(template, X) if students is None else _checked_students(students)
    if teacher_scores is None:
        if teacher is None:
            raise ValueError("suggest_student needs a teacher, or teacher_scores.")
        check_fits_teacher(teacher, weighted=False)
    X, ids = _features_and_queries(template, X, qid)
    train, held_out = _split(X, y, ids, teacher_scores, seed)
    for_students = optional_positions(X, template.student_columns, "student_columns")
    seen = replace(train, X=select_columns(train.X, for_students))
    microseconds, reading = request_times(shapes, seen, request_rows, seed)
    affordable = [name for name in shapes if microseconds[name] <= latency_us]
    if not affordable:
        fastest = min(shapes, key=lambda name: microseconds[name])
        raise ValueError(
            f"No student answers {request_rows} rows within latency_us={latency_us:g} "
            f"microseconds. The fastest, {fastest!r}, takes {microseconds[fastest]:.1f}. Score "
            "fewer rows, read fewer columns, or allow more time."
        )
    train, held_out = _teach(template, teacher, train, held_out, seed)
    taught = clone(template).set_params(
        teacher=None, teacher_cv=None, query_column=None, random_state=seed
    )
    values = _search({name: shapes[name] for name in affordable}, taught, train, held_out, k)
    assert held_out.teacher_scores is not None  # has just been taught
    teachers = _ndcg(held_out, held_out.teacher_scores, k)
    best = max(values, key=lambda name: float(np.nanmean(values[name])))
    return StudentSuggestion(
        best=best,
        ranker=template.set_params(student=shapes[best], teacher=None),
        shapes=[
            _shape_report(name, microseconds[name], name in affordable, values, teachers, seed)
            for name in sorted(shapes, key=lambda name: microseconds[name])
        ],
        teacher_ndcg=float(np.nanmean(teachers)),
        latency_us=float(latency_us),
        request_rows=request_rows,
        reading_us=reading,
        k=k,
    )


def _with_settings_of(template: DistilledRanker, X: Any) -> dict[str, Any]:
    """Give the default shapes the settings of a ranker's student that are not part of its shape."""
    shapes, student = default_students(X), template.student
    if student is None:
        return shapes
    if isinstance(student, Pipeline):
        raise ValueError(
            "The ranker's student is a Pipeline, which the default shapes would leave out. Pass "
            "students= with Pipelines of your own, such as {'MLP 8': make_pipeline(..., "
            "MLPRanker((8,)))}."
        )
    defaults = inspect.signature(type(student)).parameters
    changed = {
        name: value
        for name, value in student.get_params().items()
        if name not in SHAPE and repr(value) != repr(defaults[name].default)
    }
    for shape in shapes.values():
        known = shape.get_params()
        shape.set_params(**{name: value for name, value in changed.items() if name in known})
    return shapes


def _checked_students(students: Any) -> dict[str, Any]:
    """Return students by name; refuse what is no student, and none at all."""
    if not isinstance(students, Mapping) or not students:
        raise TypeError(
            "students must be a dict of students by name, such as {'MLP 8': MLPRanker((8,))}, got "
            f"{students!r}."
        )
    for name, student in students.items():
        last = last_step(student)
        if not isinstance(last, StudentEstimator):
            raise TypeError(
                f"students[{name!r}] must be one of skdistill.students, alone or as the last step "
                f"of a Pipeline, got {type(last).__name__}."
            )
    return dict(students)


def _template(ranker: Any, seed: int) -> DistilledRanker:
    """Return an unfitted ranker whose parameters are used, with a random state."""
    if ranker is None:
        return DistilledRanker(random_state=seed)
    if not isinstance(ranker, DistilledRanker):
        raise TypeError(f"ranker must be a DistilledRanker, got {type(ranker).__name__}.")
    if ranker.augment:
        raise ValueError(
            f"augment={ranker.augment} asks the teacher for synthetic rows in each training. "
            "Search without it, by ranker.set_params(augment=0), and augment the training of the "
            "student that is suggested."
        )
    return clone(ranker).set_params(
        random_state=seed if ranker.random_state is None else ranker.random_state
    )


def _features_and_queries(
    template: DistilledRanker, X: Any, qid: ArrayLike | None
) -> tuple[Any, NDArray[Any] | None]:
    """Separate the features from the query ids, which may stand in a column of the table."""
    X = as_table(X)
    if template.query_column is None:
        return X, check_qid(qid, X.shape[0])
    if qid is not None:
        raise ValueError(
            f"The queries are given twice: by qid= and by query_column={template.query_column!r} "
            "of the ranker. Leave one of them out."
        )
    ids = check_qid(query_ids(X, template.query_column), X.shape[0])
    return without_query_column(X, template.query_column), ids


def _split(
    X: Any, y: ArrayLike, ids: NDArray[Any] | None, teacher_scores: ArrayLike | None, seed: int
) -> tuple[RankingData, RankingData]:
    """Check the table, sort it, and hold out a quarter of the queries."""
    n_rows = X.shape[0]
    scores = (
        None if teacher_scores is None else check_finite("teacher_scores", teacher_scores, n_rows)
    )
    data = RankingData.sort(ids, X, check_labels(y, n_rows), scores)
    n_queries = data.queries.n_queries
    if n_queries < HELD_OUT:
        raise ValueError(
            f"suggest_student compares students on a quarter of the queries, but there are only "
            f"{n_queries}. Pass qid=, and more queries."
        )
    shuffled = np.random.default_rng(seed).permutation(n_queries)
    n_held_out = n_queries // HELD_OUT
    train = data.take_queries(np.sort(shuffled[n_held_out:]))
    held_out = data.take_queries(np.sort(shuffled[:n_held_out]))
    require_relevant_queries(held_out, "suggest_student, on a quarter of the queries,")
    return train, held_out


def _teach(
    template: DistilledRanker, teacher: Any, train: RankingData, held_out: RankingData, seed: int
) -> tuple[RankingData, RankingData]:
    """Score both parts with the teacher, unless the scores are known."""
    if train.teacher_scores is not None:
        return train, held_out
    for_teacher = optional_positions(train.X, template.teacher_columns, "teacher_columns")
    taught = fit_and_score(
        teacher,
        select_columns(train.X, for_teacher),
        train.labels,
        train.queries,
        cv=template.teacher_cv,
        random_state=seed,
        validation=replace(held_out, X=select_columns(held_out.X, for_teacher), labels=None),
    )
    return (
        replace(train, teacher_scores=taught.scores),
        replace(held_out, teacher_scores=taught.validation_scores),
    )


def _search(
    students: Mapping[str, Any],
    template: DistilledRanker,
    train: RankingData,
    held_out: RankingData,
    k: int,
) -> dict[str, NDArray[np.float64]]:
    """Distil the students, and return the NDCG of held-out queries for those that went through."""
    if train.n_rows > SMALL_ROWS and len(students) > N_FINALISTS:
        some = some_queries(train, SMALL_ROWS, template.random_state)
        first = {name: _distil(of, template, some, held_out, k) for name, of in students.items()}
        ranked = sorted(first, key=lambda name: -float(np.nanmean(first[name])))
        students = {name: students[name] for name in ranked[:N_FINALISTS]}
    return {name: _distil(of, template, train, held_out, k) for name, of in students.items()}


def _distil(
    student: Any, template: DistilledRanker, train: RankingData, held_out: RankingData, k: int
) -> NDArray[np.float64]:
    """Distil a student, and measure it on held-out queries."""
    ranker = clone(template).set_params(student=student)
    ranker.fit(
        train.X, train.labels, qid=train.queries.segment, teacher_scores=train.teacher_scores
    )
    return _ndcg(held_out, ranker.predict(held_out.X), k)


def _ndcg(data: RankingData, scores: NDArray[Any], k: int) -> NDArray[np.float64]:
    """NDCG of each query, of its rows with a label."""
    assert data.labels is not None  # required by suggest_student
    kept = data.is_labelled
    qid = data.queries.segment
    return per_query(ndcg_score, data.labels[kept], scores[kept], qid[kept], k=k)


def _shape_report(
    name: str,
    microseconds: float,
    fits: bool,
    values: Mapping[str, NDArray[np.float64]],
    teachers: NDArray[np.float64],
    seed: int,
) -> ShapeReport:
    nothing = float("nan")
    if name not in values:
        ratio = RatioInterval(nothing, nothing, nothing)
        return ShapeReport(name, microseconds, fits, nothing, ratio)
    ratio = bootstrap_ratio(values[name], teachers, random_state=seed)
    return ShapeReport(name, microseconds, fits, float(np.nanmean(values[name])), ratio)

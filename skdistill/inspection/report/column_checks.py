"""Checks of a report that look at columns and rows: ranges, ties, leaks, neglect, disagreement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.distilled import FittedDistillation
from skdistill.inputs.column_reading import ordered_cells
from skdistill.inputs.columns import column_names, optional_positions, take_columns
from skdistill.inputs.ids import id_codes, missing_ids
from skdistill.inputs.queries import Queries
from skdistill.inspection.models import scores_of, teacher_columns, unwrapped
from skdistill.inspection.report.evidence import Evidence
from skdistill.inspection.report.findings import (
    LOOK,
    NEEDS_TEACHER,
    NEEDS_TRAIN,
    OK,
    SKIPPED,
    Check,
)
from skdistill.inspection.sampling import some_queries
from skdistill.inspection.shuffling import ColumnShuffler
from skdistill.metrics import kendall_tau, ndcg_score

# Fraction of the rows that may lie beyond the training range, or have a new category.
MOST_BEYOND, MOST_NEW = 0.01, 0.05
# Fraction of the queries that may have ties among the student's first places.
MOST_TIED = 0.05
# Part of the teacher's gain over a random order that one column may have.
MOST_GAIN = 0.9
# Fall of Kendall's tau by shuffling a column that matters to the teacher, and the part of it below
# which the student ignores the column.
MATTERS, IGNORED = 0.02, 0.1
# Fraction of the queries that may be ranked the other way round.
MOST_REVERSED = 0.02
SAMPLED_QUERIES, SAMPLED_ROWS = 200, 5000
LEAK_ROWS = 100_000
N_NAMED = 3


def inside_training_range(evidence: Evidence) -> Check:
    """Look for rows with numbers or categories that no training row has."""
    name = "rows outside the training range"
    if evidence.train is None:
        return Check(name, SKIPPED, NEEDS_TRAIN)
    X, train = evidence.data.X, evidence.train.X
    if sparse.issparse(X):
        return Check(name, SKIPPED, "the columns of a sparse matrix are not compared")
    found = []
    for position in evidence.feature_positions:
        new, seen = ordered_cells(X, position), ordered_cells(train, position)
        is_number = new.dtype.kind in "iufbM" and seen.dtype.kind in "iufbM"
        beyond = _beyond(new, seen) if is_number else _is_new(new, seen)
        limit = MOST_BEYOND if is_number else MOST_NEW
        if beyond > limit:
            what = "beyond the training range" if is_number else "with a new value"
            found.append((beyond, f"{_name(X, position)}: {beyond:.1%} of the rows {what}"))
    if not found:
        return Check(name, OK, "no column has many")
    shown = "; ".join(text for _, text in sorted(found, reverse=True)[:N_NAMED])
    return Check(
        *(name, LOOK),
        f"{shown}. Neither teacher nor student has learnt there: fit both on newer rows, or "
        "replace the column by one whose meaning does not drift.",
    )


def _beyond(new: NDArray[Any], seen: NDArray[Any]) -> float:
    """Fraction of numbers below the smallest or above the largest that was seen."""
    present = seen[~missing_ids(seen)]
    if not len(present):
        return 0.0
    return float(((new < present.min()) | (new > present.max())).mean())


def _is_new(new: NDArray[Any], seen: NDArray[Any]) -> float:
    """Fraction of values that were not seen; missing ones do not count."""
    codes_of_new, codes_of_seen = id_codes(new, seen)
    return float((~np.isin(codes_of_new, codes_of_seen) & ~missing_ids(new)).mean())


def has_few_ties(evidence: Evidence) -> Check:
    """Look for equal scores among the student's first places."""
    name = "ties"
    student = _tied_fraction(evidence.ordered, evidence.queries, evidence.k)
    found = f"{student:.1%} of the queries have equal scores among the student's first places"
    if evidence.taught is not None:
        teacher = _tied_fraction(evidence.taught, evidence.queries, evidence.k)
        found += f", {teacher:.1%} among the teacher's"
    if student <= MOST_TIED:
        return Check(name, OK, found)
    return Check(
        *(name, LOOK),
        f"{found}. Their order is an accident. Rows may be equal in all columns that the student "
        "reads, or listed twice.",
    )


def _tied_fraction(scores: NDArray[np.float64], queries: Queries, k: int) -> float:
    """Fraction of the queries in which one of the first k rows has the score of the next."""
    ordered = scores[queries.sort_descending(scores)]
    is_tied = np.zeros(queries.n_rows, dtype=bool)
    is_tied[:-1] = ordered[:-1] == ordered[1:]
    is_tied[queries.offsets[1:] - 1] = False  # the next row is another query's
    return float((queries.sum((is_tied & (queries.position < k)).astype(float)) > 0).mean())


def has_no_leak(evidence: Evidence) -> Check:
    """Look for a column that alone ranks as well as the teacher."""
    name = "a column that is too good"
    if evidence.teacher_values is None:
        return Check(name, SKIPPED, NEEDS_TEACHER)
    data = some_queries(evidence.data, LEAK_ROWS, evidence.seed)
    table = teacher_columns(evidence.model, data.X)
    if sparse.issparse(table):
        return Check(name, SKIPPED, "the columns of a sparse matrix are not tried one by one")

    def quality(scores: NDArray[Any]) -> float:
        assert data.labels is not None  # required by a report
        return ndcg_score(
            data.labels, scores, data.queries.segment, k=evidence.k, offset=data.offset
        )

    assert data.teacher_scores is not None  # there are values
    chance, teacher = quality(np.zeros(data.n_rows)), quality(data.teacher_scores)
    if teacher <= chance:
        return Check(name, SKIPPED, "the teacher is not better than a random order")
    gain, column = 0.0, ""
    for position in range(table.shape[1]):
        values = ordered_cells(table, position)
        if values.dtype.kind not in "iufb" or missing_ids(values).all():
            continue
        numbers = values.astype(np.float64)
        # Missing values come last, whichever end is the better one.
        alone = max(
            quality(np.nan_to_num(signed, nan=np.nanmin(signed) - 1))
            for signed in (numbers, -numbers)
        )
        if (alone - chance) / (teacher - chance) > gain:
            gain = (alone - chance) / (teacher - chance)
            column = _name(table, position)
    found = f"{column} alone has {gain:.0%} of the teacher's gain over a random order"
    if gain < MOST_GAIN:
        return Check(name, OK, found)
    private = " It is privileged: the student does not see it." * _is_privileged(evidence, column)
    return Check(
        *(name, LOOK),
        f"{found}.{private} It may hold what happened after the ranking, such as a click. If it "
        "does not, sorting by it is cheaper than any model.",
    )


def _is_privileged(evidence: Evidence, column: str) -> bool:
    """Whether the teacher sees a column that the student does not."""
    ranker = unwrapped(evidence.model)
    if not isinstance(ranker, FittedDistillation):
        return False
    X = evidence.data.X
    features = take_columns(X, evidence.feature_positions)
    positions = ranker.student_positions_
    seen = range(features.shape[1]) if positions is None else positions
    teachers = optional_positions(features, ranker.teacher_columns, "teacher_columns")
    if column_names(X) is None and teachers is not None:
        # Columns of an array are named by their place among those that the teacher sees.
        return teachers[int(column.rpartition(" ")[2])] not in seen
    return column not in {_name(features, position) for position in seen}


def ignores_no_column(evidence: Evidence) -> Check:
    """Look for columns that matter to the teacher and not to the student."""
    name = "columns that the student ignores"
    if evidence.teacher is None:
        return Check(name, SKIPPED, evidence.lacks_teacher)
    rng = np.random.default_rng(evidence.seed)
    chosen = rng.permutation(evidence.queries.n_queries)[:SAMPLED_QUERIES]
    n_rows = np.cumsum(evidence.queries.sizes[chosen])
    chosen = chosen[: max(int(np.searchsorted(n_rows, SAMPLED_ROWS)), 2)]
    data = evidence.data.take_queries(np.sort(chosen))
    models = {"teacher": evidence.teacher, "student": evidence.model}
    ignored, n_tried = [], 0
    for position in evidence.feature_positions:
        shuffler = ColumnShuffler.of(data.X, position, data.queries, np.arange(data.n_rows))
        table = shuffler.shuffled(rng)
        fall = {}
        for who, model in models.items():
            before = _scores(evidence, who, model, data.X, data.queries)
            after = _scores(evidence, who, model, table, data.queries)
            fall[who] = _fall_of_tau(before, after, data.queries)
        n_tried += 1
        if fall["teacher"] >= MATTERS and fall["student"] < IGNORED * fall["teacher"]:
            ignored.append((fall["teacher"], _name(data.X, position)))
    if not ignored:
        return Check(name, OK, f"none of {n_tried}, by shuffling one at a time")
    shown = ", ".join(
        f"{column} (shuffling it lowers Kendall's tau of the teacher by {size:.3f})"
        for size, column in sorted(ignored, reverse=True)[:N_NAMED]
    )
    return Check(
        *(name, LOOK),
        f"{shown}. Does student_columns leave them out on purpose? If the student reads them, "
        "compare one that may use them better: name ids in categorical_features, or take a wider "
        "MLP, or knots for a linear student. If it ranks no better, the teacher may have learnt "
        "noise there.",
    )


def _scores(evidence: Evidence, who: str, model: Any, X: Any, queries: Queries) -> NDArray[Any]:
    """Score a table of the user's columns with the teacher or the student."""
    table = teacher_columns(evidence.model, X) if who == "teacher" else X
    return scores_of(model, table, queries)


def _fall_of_tau(before: NDArray[Any], after: NDArray[Any], queries: Queries) -> float:
    """How far scores are from the order that they had."""
    if (before == after).all():
        return 0.0
    return 1 - kendall_tau(before, after, queries.segment)


def agrees_on_most_queries(evidence: Evidence) -> Check:
    """Look for queries that the student ranks the other way round."""
    name = "queries on which they disagree"
    if evidence.tau is None:
        return Check(name, SKIPPED, NEEDS_TEACHER)
    n_queries = int(evidence.is_comparable.sum())
    if not n_queries:
        return Check(name, SKIPPED, "no query has three rows whose scores differ")
    tau = np.where(evidence.is_comparable, evidence.tau, np.inf)
    n_reversed = int((tau < 0).sum())
    worst = int(np.argmin(tau))
    found = (
        f"{n_reversed:,} of {n_queries:,} queries of three rows or more have a Kendall's tau below "
        f"0; the lowest, {tau[worst]:.2f}, is that of query {evidence.ids[worst]}"
    )
    if n_reversed <= MOST_REVERSED * n_queries:
        return Check(name, OK, found)
    return Check(
        *(name, LOOK),
        f"{found}. Look at the slices for what they have in common.",
    )


def _name(X: Any, position: int) -> str:
    """Name a column by its name or its position."""
    names = column_names(X)
    return f"column {position}" if names is None else str(names[position])

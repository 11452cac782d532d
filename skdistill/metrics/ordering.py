"""The steps that ranking metrics share: checking, ordering with a rule for ties, averaging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_k, check_weights, refuse_masked, single_column
from skdistill.inputs.columns import take_values
from skdistill.inputs.offsets import check_offset
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.metrics.averaging import QueryValues

# Rows that are measured at once. Their arrays stay in cache, where a pass takes a fifth of the time
# that it takes through fresh memory.
BLOCK_ROWS = 1 << 16

TIES = ("pessimistic", "optimistic", "order", "reverse")


@dataclass(frozen=True)
class Ranking:
    """Labels and scores of rows sorted by query, and a weight per query.

    With an offset per row, the scores contain it already.
    """

    queries: Queries
    y_true: NDArray[np.float64]
    y_score: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None = None

    @classmethod
    def check(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Ranking:
        """Check the arrays, add the offset to the scores, and sort the rows by query.

        Raises
        ------
        ValueError
            If the arrays are empty, not finite or of different lengths, or a weight is negative.
        """
        labels, scores = _column("y_true", y_true), _column("y_score", y_score)
        if len(labels) != len(scores):
            raise ValueError(
                "y_true and y_score must have one value per row each, got "
                f"{len(labels)} and {len(scores)} values."
            )
        if not len(labels):
            raise ValueError("A metric needs at least one row, got 0.")
        ids = check_qid(qid, len(labels))
        _check_finite("y_true", labels, ids)
        _check_finite("y_score", scores, ids)
        added = check_offset(offset, len(labels))
        if added is not None:
            scores = scores + added
        weight = None
        if sample_weight is not None:
            weight = check_weights(sample_weight, len(labels))
            # Only their ratios matter, and products with the smallest floats would be rounded.
            weight = weight / (weight.max() or 1.0)
        queries, order = sort_by_query(ids, len(labels))
        if order is not None:
            labels, scores = labels[order], scores[order]
            weight, added = take_values(weight, order), take_values(added, order)
        weight = None if weight is None else queries.mean(weight)
        return cls(queries, labels, scores, weight, added)

    def order(self, ties: str) -> NDArray[np.int64]:
        """Sort the rows of each query by descending score, with this rule for ties."""
        check_choice("ties", ties, TIES)
        order = self.queries.sort_descending(self.y_score)
        blocks = self.queries.ties(self.y_score[order])
        if ties == "order" or not blocks.has_lists:
            return order
        first = {
            "pessimistic": -self.y_true,
            "optimistic": self.y_true,
            "reverse": np.arange(len(order)),
        }[ties]
        return order[blocks.sort_descending(first[order])]

    def blocks(self) -> Iterator[Ranking]:
        """Yield the queries in order, in blocks of about ``BLOCK_ROWS`` rows without weights."""
        offsets = self.queries.offsets
        n_blocks = -(-self.queries.n_rows // BLOCK_ROWS)
        bounds = np.searchsorted(offsets, np.linspace(0, self.queries.n_rows, n_blocks + 1))
        for first, last in pairwise(np.unique(bounds)):
            rows = slice(offsets[first], offsets[last])
            yield Ranking(
                Queries(offsets[first : last + 1] - offsets[first]),
                self.y_true[rows],
                self.y_score[rows],
                None,
                None if self.offset is None else self.offset[rows],
            )

    def by_query(self, measure: Measure, empty: str, what: str) -> QueryValues:
        """Measure the queries; ``empty`` says how those that have no value count.

        ``what`` completes the warning "No query has ..." if no query counts.
        """
        check_choice("empty", empty, ("skip", "zero", "one"))
        measured = [measure(block) for block in self.blocks()]
        values, defined = (np.concatenate(parts) for parts in zip(*measured, strict=True))
        found = QueryValues(values, defined, what, self.weight)
        return found if empty == "skip" else found.filled(float(empty == "one"))


# Returns the value of each query of a ranking, and whether it has one.
Measure = Callable[[Ranking], tuple[NDArray[Any], NDArray[np.bool_]]]


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise a ValueError if a parameter has none of the allowed values."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}.")


def check_optional_k(k: Any) -> None:
    """Raise a ValueError unless k is None, for all places, or an integer of at least 1."""
    if k is not None:
        check_k(k)


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return the values as float64; raise a ValueError unless they are a single column."""
    refuse_masked(name, values, f"{name}.filled(...), or leave out their rows")
    array = single_column(np.asarray(values, dtype=np.float64))
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}.")
    return array


def _check_finite(name: str, values: NDArray[np.float64], ids: NDArray[Any] | None) -> None:
    """Raise a ValueError that names the row and its query unless all values are finite."""
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        query = "" if ids is None else f" (query {ids[row]})"
        raise ValueError(f"{name} must be finite: row {row} holds {values[row]}{query}.")

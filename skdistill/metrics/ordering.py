"""What every metric begins and ends with: checked arrays, an order with a rule for ties, a mean."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from skdistill.inputs.queries import Queries, check_qid, sort_by_query

TIES = ("pessimistic", "optimistic", "order", "reverse")


@dataclass(frozen=True)
class Ranking:
    """Labels and scores, sorted by query, and a weight a query."""

    queries: Queries
    y_true: NDArray[np.float64]
    y_score: NDArray[np.float64]
    weight: NDArray[np.float64] | None

    @classmethod
    def check(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
    ) -> Ranking:
        """Check and sort.

        Raises
        ------
        ValueError
            For arrays that are empty, of different lengths, or not finite.
        """
        labels, scores = _column("y_true", y_true), _column("y_score", y_score)
        if len(labels) != len(scores):
            raise ValueError(
                "y_true and y_score must have one value a row each: got "
                f"{len(labels)} and {len(scores)}."
            )
        if not len(labels):
            raise ValueError("A metric needs at least one row, got 0.")
        queries, order = sort_by_query(check_qid(qid, len(labels)), len(labels))
        weight = None
        if sample_weight is not None:
            weight = _column("sample_weight", sample_weight)
            if len(weight) != len(labels):
                raise ValueError(
                    f"sample_weight must have one value a row: expected {len(labels)}, "
                    f"got {len(weight)}."
                )
        if order is not None:
            labels, scores = labels[order], scores[order]
            weight = None if weight is None else weight[order]
        return cls(queries, labels, scores, None if weight is None else queries.mean(weight))

    def order(self, ties: str) -> NDArray[np.int64]:
        """Rows, query by query, best score first, tied ones by the rule."""
        check_choice("ties", ties, TIES)
        descending = -self.y_score
        segment = self.queries.segment
        if ties == "order":
            return self.queries.sort_descending(self.y_score)
        second = {
            "pessimistic": self.y_true,
            "optimistic": -self.y_true,
            "reverse": -np.arange(len(segment)),
        }[ties]
        return np.lexsort((second, descending, segment))

    def mean(
        self, values: NDArray[Any], defined: NDArray[np.bool_], empty: str, what: str
    ) -> float:
        """Mean over queries; those without a value are left out or count 0 or 1."""
        check_choice("empty", empty, ("skip", "zero", "one"))
        weight = np.ones(len(values)) if self.weight is None else self.weight
        if empty == "skip":
            weight = weight * defined
        else:
            values = np.where(defined, values, float(empty == "one"))
        if not weight.sum() > 0:
            warnings.warn(
                f"No query has {what}: the metric is not defined and set to 0.",
                UndefinedMetricWarning,
                stacklevel=3,
            )
            return 0.0
        return float(np.average(np.where(weight > 0, values, 0.0), weights=weight))


@dataclass(frozen=True)
class TieGroups:
    """Runs of equal value within a query, in an order of rows in which they stand together."""

    queries: Queries

    @classmethod
    def of(cls, queries: Queries, *ordered: NDArray[Any]) -> TieGroups:
        """From values in the order; a run ends where any of them, or the query, changes."""
        first = np.zeros(queries.n_rows, dtype=bool)
        first[queries.starts] = True
        changed = np.zeros(queries.n_rows - 1, dtype=bool)
        for values in ordered:
            changed |= values[1:] != values[:-1]
        first[1:] |= changed
        return cls(Queries(np.append(np.flatnonzero(first), queries.n_rows)))

    def tied_pairs(self, queries: Queries) -> NDArray[Any]:
        """Number of tied pairs of each query."""
        sizes = self.queries.sizes.astype(np.float64)
        return np.bincount(
            queries.segment[self.queries.starts],
            weights=sizes * (sizes - 1) / 2,
            minlength=queries.n_queries,
        )


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}.")


def check_k(k: int | None, name: str = "k") -> None:
    if k is not None and (not isinstance(k, int | np.integer) or k < 1):
        raise ValueError(f"{name} must be an integer of at least 1 or None, got {k!r}.")


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}.")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite: row {row} holds {array[row]}.")
    return array

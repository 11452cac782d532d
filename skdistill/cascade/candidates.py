"""The items of each query in the order of the last stage that scored them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.cuts import Cut


@dataclass(frozen=True)
class Candidates:
    """Lists of items, best first.

    Parameters
    ----------
    item : ndarray of shape (n_queries, width), int64
        Positions in the catalogue; -1 pads short lists, at the end only.
    score : ndarray of shape (n_queries, width), float64
        Scores of the last stage, by which the list is sorted; -inf for padding.
    columns : dict of str to ndarray of shape (n_queries, width), float64
        Scores of all stages so far, by the name of their column.
    source : ndarray of shape (n_queries, width), int64, or None
        Number of the retriever that found the item first; None if there is one retriever.
    """

    item: NDArray[np.int64]
    score: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    source: NDArray[np.int64] | None = None

    @property
    def n_queries(self) -> int:
        return self.item.shape[0]

    @property
    def width(self) -> int:
        return self.item.shape[1]

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the query and the item of each place that is not padding, query by query."""
        query, place = np.nonzero(self.item >= 0)
        return query, self.item[query, place]

    def matrix(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Put one value per pair into its place; padding gets -inf."""
        matrix = np.full(self.item.shape, -np.inf)
        matrix[self.item >= 0] = values
        return matrix

    def flat_columns(self) -> dict[str, NDArray[np.float64]]:
        """Return the scores of all stages so far, one per pair."""
        is_item = self.item >= 0
        return {name: values[is_item] for name, values in self.columns.items()}

    def take(self, places: Any) -> Candidates:
        """Select places, in this order: a slice, or an array of shape (n_queries, n_places)."""
        rows = slice(None) if isinstance(places, slice) else np.arange(self.n_queries)[:, None]
        return Candidates(
            self.item[rows, places],
            self.score[rows, places],
            {name: values[rows, places] for name, values in self.columns.items()},
            None if self.source is None else self.source[rows, places],
        )

    def with_column(self, column: str, values: NDArray[Any]) -> Candidates:
        """Add the scores of a further stage, one per pair."""
        return replace(self, columns={**self.columns, column: self.matrix(values)})

    def sorted_by(self, values: NDArray[Any]) -> Candidates:
        """Sort by new scores, one per pair; ties keep their order."""
        score = self.matrix(values)
        return replace(self, score=score).take(np.argsort(-score, axis=1, kind="stable"))

    def limited(self, cut: Cut) -> Candidates:
        """Drop the items that a cut's limits on scores do not let pass, which are the last ones."""
        passes = cut.passes(self.score)
        if passes is None:
            return self
        return replace(
            self,
            item=np.where(passes, self.item, -1),
            score=np.where(passes, self.score, -np.inf),
        )

    def head(self, cut: Cut) -> Candidates:
        """Select what a cut passes on, without places that are padding in all queries."""
        longest = int((self.item >= 0).sum(axis=1).max(initial=0))
        return self.take(slice(0, min(cut.size, longest)))


def compact(item: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of each row with padding moved to the end.

    Parameters
    ----------
    item : ndarray of shape (n_queries, width), int64
        -1 is padding.

    Returns
    -------
    ndarray of shape (n_queries, width), int64
        For ``np.take_along_axis``.
    """
    return np.argsort(item < 0, axis=1, kind="stable")

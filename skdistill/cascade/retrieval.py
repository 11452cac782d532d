"""The first stage: one or several retrievers, whose lists are united."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.cascade.candidates import Candidates, compact
from skdistill.index import ExactIndex
from skdistill.inputs.pipelines import thawed

# Positions in the catalogue and scores, both of shape (n_queries, k).
Ranked = tuple[NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True)
class Retrieval:
    """Fitted retrievers and the rates at which their lists are merged.

    Parameters
    ----------
    retrievers : dict of str to retriever
        Each has ``retrieve(queries, k, exclude=, mask=)``, which returns positions in the
        catalogue and scores, best first. Those with ``score_pairs(queries, query, item)`` can also
        score pairs that they did not retrieve.
    quotas : tuple of int
        Of the first ``sum(quotas)`` places, how many each retriever fills.
    offset : ndarray of shape (n_items,), float64, or None
        What the cascade adds to the scores of each item, such as a log bid. Retrievers whose index
        takes an offset were indexed with it, and their order is by score plus offset. The columns
        of scores do not contain it.
    """

    retrievers: Mapping[str, Any]
    quotas: tuple[int, ...]
    offset: NDArray[np.float64] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of scores, one per retriever."""
        return tuple(score_column(name) for name in self.retrievers)

    @cached_property
    def adding_offset(self) -> tuple[str, ...]:
        """Names of the retrievers whose index adds the offset."""
        if self.offset is None:
            return ()
        return tuple(name for name, one in self.retrievers.items() if "offset" in _options_of(one))

    def retrieve(self, queries: Any, size: int, exclude: Any, mask: Any) -> Candidates:
        """Find candidates.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query table.
        size : int
            Number of items per query.
        exclude, mask : sparse matrix, array or None
            Items that may not, or that alone may, be returned.

        Returns
        -------
        Candidates
        """
        lists = {name: self._ask(name, queries, size, exclude, mask) for name in self.retrievers}
        if len(lists) == 1:
            ((name, (item, score)),) = lists.items()
            return Candidates(item, score, {self.columns[0]: self._plain(name, score, item)})
        item, source = merge_lists([found for found, _ in lists.values()], self.quotas, size)
        # Scores of several retrievers cannot be compared: the places are the order.
        place = np.where(item >= 0, -np.arange(item.shape[1], dtype=np.float64), -np.inf)
        found = Candidates(item, place, {}, source)
        scores = self.score_pairs(queries, *found.pairs(), lists)
        return replace(found, columns={name: found.matrix(of) for name, of in scores.items()})

    def indexing(
        self, items: Any, offset: NDArray[np.float64] | None = None, **options: Any
    ) -> Retrieval:
        """Let the retrievers search other items, in copies of those that can index."""
        retrievers = {
            name: indexed(retriever, items, offset, **options)
            for name, retriever in self.retrievers.items()
        }
        return Retrieval(retrievers, self.quotas, offset)

    def set_offset(self, positions: NDArray[np.int64], offset: NDArray[np.float64]) -> None:
        """Change the offset of some items in place, here and in the indexes of the retrievers.

        Raises
        ------
        TypeError
            If an index cannot change offsets. Then no other is changed.
        """
        assert self.offset is not None
        indexes: list[Any] = []
        for name in self.adding_offset:
            indexes.append(self._index_of(name, "set_offset"))
        # Those that refuse come first.
        for index in sorted(indexes, key=lambda index: isinstance(index, ExactIndex)):
            index.set_offset(positions, offset)
        self.offset[positions] = offset

    def with_offset(self, offset: NDArray[np.float64]) -> Retrieval:
        """Return the retrievers with other offsets, for one request; embeddings are shared.

        Raises
        ------
        TypeError
            If an index cannot search with other offsets.
        """
        retrievers = dict(self.retrievers)
        for name in self.adding_offset:
            index = self._index_of(name, "with_offset")
            retrievers[name] = _shallow_copy(thawed(retrievers[name]))
            retrievers[name].index_ = index.with_offset(offset)
        return replace(self, retrievers=retrievers, offset=offset)

    def _index_of(self, name: str, method: str) -> Any:
        """Return the index of a retriever, which has to have a method.

        Raises
        ------
        TypeError
            If it has not.
        """
        index = getattr(self.retrievers[name], "index_", None)
        if not hasattr(index, method):
            raise TypeError(
                f"The retriever {name!r} has no index_ with a method {method}. Index the items "
                "again with the new offset=."
            )
        return index

    def _plain(
        self, name: str, scores: NDArray[np.float64], item: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Subtract the offset from the scores of a retriever whose index adds it."""
        if self.offset is None or name not in self.adding_offset:
            return scores
        return scores - self.offset[item]

    def score_pairs(
        self,
        queries: Any,
        query: NDArray[np.int64],
        item: NDArray[np.int64],
        lists: Mapping[str, Ranked] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Score pairs by every retriever.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query table.
        query, item : ndarray of shape (n_pairs,), int64
            Row of the query table and position in the catalogue.
        lists : dict of str to (items, scores), optional
            What the retrievers have returned for the queries. They are asked if it is not given.

        Returns
        -------
        dict of str to ndarray of shape (n_pairs,), float64
            By name of the column. If a retriever only returns lists, NaN for pairs in none of them.
        """
        scores = {}
        for name, retriever in self.retrievers.items():
            if hasattr(retriever, "score_pairs"):
                values = np.asarray(retriever.score_pairs(queries, query, item), dtype=np.float64)
            else:
                asked = self._ask(name, queries, sum(self.quotas)) if lists is None else lists[name]
                values = _scores_in(*asked, query, item)
            scores[score_column(name)] = self._plain(name, values, item)
        return scores

    def _ask(
        self, name: str, queries: Any, size: int, exclude: Any = None, mask: Any = None
    ) -> Ranked:
        """Retrieve lists, and check that they are positions and scores."""
        answer = self.retrievers[name].retrieve(queries, size, exclude=exclude, mask=mask)
        item, score = (np.asarray(part) for part in answer)
        if item.dtype.kind not in "iu" or item.ndim != 2 or item.shape != score.shape:
            raise ValueError(
                f"The retriever {name!r} must return positions in the catalogue and scores, two "
                f"arrays of the same shape (n_queries, k), got {item.dtype} of shape {item.shape} "
                f"and {score.dtype} of shape {score.shape}."
            )
        item = item.astype(np.int64, copy=False)
        return item, np.where(item >= 0, score.astype(np.float64), -np.inf)


def indexed(
    retriever: Any, items: Any, offset: NDArray[np.float64] | None = None, **options: Any
) -> Any:
    """Return a shallow copy that searches other items; itself if it cannot index them.

    The offset is for indexes that take one: the counts of popularity have another unit.
    """
    inner = thawed(retriever)
    if not hasattr(inner, "index"):
        return retriever  # fit: it knows the catalogue already
    copied = _shallow_copy(inner)
    parameters = _options_of(inner)
    # Only retrievers of embeddings have engines to choose from.
    taken = options if "engine" in parameters else {}
    if offset is not None and "offset" in parameters:
        taken = {**taken, "offset": offset}
    return copied.index(items, **taken)


def _shallow_copy(retriever: Any) -> Any:
    copied = object.__new__(type(retriever))
    copied.__dict__.update(vars(retriever))
    return copied


def _options_of(retriever: Any) -> Collection[str]:
    """Names of the parameters of the method ``index``; none if there is no such method."""
    return signature(retriever.index).parameters if hasattr(retriever, "index") else ()


def score_column(name: str) -> str:
    """Name of the column that holds the scores of a stage or retriever."""
    return f"{name}_score"


def _scores_in(
    found: NDArray[np.int64],
    score: NDArray[np.float64],
    query: NDArray[np.int64],
    item: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Look pairs up in lists; NaN for pairs that are in none."""
    n_items = int(max(found.max(initial=0), item.max(initial=0))) + 1
    row, place = np.nonzero(found >= 0)
    shape = len(found), n_items
    at = sparse.csr_array((np.arange(1, len(row) + 1), (row, found[row, place])), shape=shape)
    number = np.asarray(at[query, item]).ravel()
    return np.append(np.nan, score[row, place])[number]


def merge_lists(
    lists: list[NDArray[np.int64]], quotas: tuple[int, ...], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merge lists at the rates of their quotas, and drop what comes a second time.

    Item j of list r has the place ``(j + 1) / quotas[r]``, and the items of all lists are taken in
    the order of their places. The first m items of a merge are therefore the merge of size m.

    Parameters
    ----------
    lists : list of ndarray of shape (n_queries, width), int64
        Positions in the catalogue, best first; -1 pads short lists.
    quotas : tuple of int
        Rate of each list.
    size : int
        Number of items per query.

    Returns
    -------
    item : ndarray of shape (n_queries, at most size), int64
        -1 pads short lists.
    source : ndarray of the same shape, int64
        Number of the list that an item came from first; -1 for padding.
    """
    place = np.concatenate(
        [
            np.arange(1, found.shape[1] + 1) / quota
            for found, quota in zip(lists, quotas, strict=True)
        ]
    )
    origin = np.repeat(np.arange(len(lists)), [found.shape[1] for found in lists])
    order = np.argsort(place, kind="stable")  # ties by the order of the lists
    item, source = np.concatenate(lists, axis=1)[:, order], origin[order]
    by_item = np.argsort(item, axis=1, kind="stable")
    ordered = np.take_along_axis(item, by_item, axis=1)
    comes_again = np.zeros(item.shape, dtype=bool)
    repeated = np.zeros(item.shape, dtype=bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    np.put_along_axis(comes_again, by_item, repeated, axis=1)
    item = np.where(comes_again, -1, item)
    kept = compact(item)[:, :size]
    item = np.take_along_axis(item, kept, axis=1)
    return item, np.where(item >= 0, source[kept], -1)

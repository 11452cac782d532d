"""The face of ``ExactIndex`` for an index of another library.

Libraries only handle positions. Ids, exclusion and masks are handled here, so that an index with a
recall of 1 returns the same items as ``ExactIndex``.

A search looks at no fewer candidates than the items it is asked for, however the library is set. A
query for which the library finds too few items is searched exactly, so that a place without an item
means that no item is left.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skdistill.extras import import_extra
from skdistill.index.exact import ExactIndex
from skdistill.index.item_ids import named_ids
from skdistill.index.search_arguments import check_search
from skdistill.threads import SharedSetting

# Fraction of the items from which on comparing with all of them is as fast as a graph.
MOST_NEIGHBOURS = 0.25


class ApproximateIndex:
    """Base of the adapters; a subclass builds a library's index and searches it.

    A subclass sets ``candidates`` when it builds the index: the number of items per query that a
    search can be asked for without widening it.
    """

    module = ""
    extra = "ann"
    candidates: int

    def __init__(
        self,
        embeddings: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        **options: Any,
    ) -> None:
        self._make(ExactIndex(embeddings, ids, offset=offset), options)

    def _make(self, exact: ExactIndex, options: dict[str, Any]) -> None:
        # Checks and keeps the embeddings and ids, and searches where the library finds too little.
        self._exact = exact
        self.options = options
        self._library = import_extra(self.module, self.extra, type(self).__name__)
        self._index = self._build(self._exact.embeddings, **options)
        self._breadth = SharedSetting(self.candidates)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self._exact.n_items

    @property
    def ids(self) -> NDArray[Any] | None:
        """Ids of the items; None if they are positions."""
        return self._exact.ids

    def score_pairs(
        self,
        queries: NDArray[np.float32],
        query: NDArray[np.int64],
        item: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Score pairs of a query and an item, as :meth:`ExactIndex.score_pairs`.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, embedding_dim), float32
            Embeddings of the queries.
        query, item : ndarray of shape (n_pairs,), int64
            Row of ``queries`` and position in the index for each pair.

        Returns
        -------
        ndarray of shape (n_pairs,), float32
        """
        return self._exact.score_pairs(queries, query, item)

    def __getstate__(self) -> dict[str, Any]:
        # The libraries' objects cannot be pickled; they are built again from the embeddings.
        return {"exact": self._exact, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._make(state["exact"], state["options"])

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        exclude: Any = None,
        mask: Any = None,
        n_jobs: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Search for the best items of each query, best first.

        If items are excluded, the library is searched for more neighbours until k are left. Queries
        for which it does not find them are searched exactly, and so are allow-lists.

        Parameters
        ----------
        queries : array-like of shape (n_queries, embedding_dim)
            Embeddings of the queries. There may be none.
        k : int
            Number of items to return per query.
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Non-zero entries mark items that are not returned, such as those that a query has seen
            already. Columns are positions in the index.
        mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
            Items that may be returned; all by default. A sparse matrix is an allow-list per query,
            its non-zero entries.
        n_jobs : int, optional
            Number of threads of an exact search, as in joblib. The library chooses its own.

        Returns
        -------
        ids : ndarray of shape (n_queries, min(k, n_items))
            If fewer than k items are left: -1, or None if ids are not numbers.
        scores : ndarray of shape (n_queries, min(k, n_items)), float32
            Dot products plus offsets; -inf if fewer than k items are left.

        Raises
        ------
        ValueError
            If a shape does not match the index, or k is less than 1.
        """
        table, k, exclude, allowed = check_search(self._exact, queries, k, exclude, mask)
        found = np.full((len(table), k), -1, dtype=np.int64)
        scores = np.full((len(table), k), -np.inf, dtype=np.float32)
        open_queries = np.arange(len(table))
        # As many neighbours as hold k allowed ones on average.
        n_allowed = self.n_items if allowed is None else int(allowed.sum())
        wanted = -(-k * self.n_items // max(n_allowed, 1))
        if sparse.issparse(allowed):
            wanted = self.n_items
        while len(open_queries) and wanted <= MOST_NEIGHBOURS * self.n_items:
            position, score = self._search_widely(table[open_queries], wanted)
            usable = position >= 0
            if allowed is not None:
                usable &= allowed[position]
            if exclude is not None:
                query = np.repeat(open_queries, wanted)
                seen = np.asarray(exclude[query, np.maximum(position.ravel(), 0)])
                usable &= ~(seen != 0).reshape(position.shape)
            place = np.cumsum(usable, axis=1) - 1
            row, column = np.nonzero(usable & (place < k))
            cell = open_queries[row], place[row, column]
            found[cell], scores[cell] = position[row, column], score[row, column]
            open_queries, wanted = open_queries[usable.sum(axis=1) < k], wanted * 2
        if len(open_queries):
            found[open_queries], scores[open_queries] = ExactIndex(self._exact.embeddings).search(
                table[open_queries],
                k,
                exclude=None if exclude is None else exclude[open_queries],
                mask=allowed[open_queries] if sparse.issparse(allowed) else allowed,
                n_jobs=n_jobs,
            )
        return named_ids(self.ids, found), scores

    def set_offset(self, ids: ArrayLike, offset: ArrayLike) -> None:
        """Refuse to change offsets: the library arranged the items by those that they have.

        Parameters
        ----------
        ids, offset : array-like
            As for :meth:`ExactIndex.set_offset`.

        Raises
        ------
        TypeError
            Always.
        """
        self._refuse_offsets()

    def with_offset(self, offset: ArrayLike) -> NoReturn:
        """Refuse other offsets: the library arranged the items by those that they have.

        Parameters
        ----------
        offset : array-like
            As for :meth:`ExactIndex.with_offset`.

        Raises
        ------
        TypeError
            Always.
        """
        self._refuse_offsets()

    def _refuse_offsets(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} arranged the items by their offsets, which cannot be changed. "
            "Index the items again with the new offset=, or use the engine 'exact'."
        )

    def _search_widely(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search with at least k candidates."""
        # The number of candidates is a setting of the library's index, which threads share.
        with self._breadth.at(max(k, self.candidates), self._set_candidates):
            return self._nearest(queries, k)

    def _build(self, embeddings: NDArray[np.float32], *args: Any, **options: Any) -> Any:
        """Build the library's index."""
        raise TypeError("ApproximateIndex is abstract: use FaissIndex or another subclass.")

    def _set_candidates(self, n: int) -> None:
        """Widen searches to n items per query, or narrow them again to ``candidates``."""
        raise TypeError("ApproximateIndex is abstract: use FaissIndex or another subclass.")

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return positions (-1 pads short lists) and dot products of k neighbours, best first."""
        raise TypeError("ApproximateIndex is abstract: use FaissIndex or another subclass.")

"""Adapters that give indexes of other libraries the interface of ``ExactIndex``.

The libraries come with the extras ``ann`` and ``hnswlib`` and are imported when an index is made.
They only handle positions. Ids, exclusion and masks are handled here, so that an index with a
recall of 1 returns the same items as ``ExactIndex``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.extras import import_extra
from skdistill.index.exact import ExactIndex, check_search, named_ids


class ApproximateIndex:
    """Base of the adapters; a subclass builds a library's index and searches it."""

    module = ""
    extra = "ann"

    def __init__(self, embeddings: ArrayLike, ids: ArrayLike | None = None, **options: Any) -> None:
        # Checks and keeps the embeddings and ids; its search is not used.
        self._exact = ExactIndex(embeddings, ids)
        self.options = options
        self._library = import_extra(self.module, self.extra, type(self).__name__)
        self._index = self._build(self._exact.embeddings, **options)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self._exact.n_items

    @property
    def ids(self) -> NDArray[Any] | None:
        """Ids of the items; None if they are positions."""
        return self._exact.ids

    def __getstate__(self) -> dict[str, Any]:
        # The libraries' objects cannot be pickled; they are built again from the embeddings.
        return {"exact": self._exact, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        exact = state["exact"]
        self.__init__(exact.embeddings, exact.ids, **state["options"])  # type: ignore[misc]

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        exclude: Any = None,
        mask: ArrayLike | None = None,
        n_jobs: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Search for the best items of each query, best first.

        If items are excluded, the library is searched for more neighbours until k are left.

        Parameters
        ----------
        queries : array-like of shape (n_queries, embedding_dim)
            Embeddings of the queries. There may be none.
        k : int
            Number of items to return per query.
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Non-zero entries mark items that are not returned, such as those that a query has seen
            already. Columns are positions in the index.
        mask : array-like of shape (n_items,), bool, optional
            Whether each item may be returned; all by default.
        n_jobs : int, optional
            Ignored: the library chooses its number of threads.

        Returns
        -------
        ids : ndarray of shape (n_queries, k)
            If fewer than k items are found: -1, or None if ids are not numbers.
        scores : ndarray of shape (n_queries, k), float32
            Dot products; -inf if fewer than k items are found.

        Raises
        ------
        ValueError
            If a shape does not match the index, or k is less than 1.
        """
        table, exclude, allowed = check_search(self._exact, queries, k, exclude, mask)
        found = np.full((len(table), k), -1, dtype=np.int64)
        scores = np.full((len(table), k), -np.inf, dtype=np.float32)
        open_queries = np.arange(len(table))
        wanted = k
        while len(open_queries):
            wanted = min(wanted, self.n_items)
            position, score = self._nearest(table[open_queries], wanted)
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
            short = (usable.sum(axis=1) < k) & (wanted < self.n_items)
            open_queries, wanted = open_queries[short], wanted * 2
        return named_ids(self.ids, found), scores

    def _build(self, embeddings: NDArray[np.float32], *args: Any, **options: Any) -> Any:
        """Build the library's index."""
        raise TypeError("ApproximateIndex is abstract: use FaissIndex or another subclass.")

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return positions (-1 pads short lists) and dot products of k neighbours, best first."""
        raise TypeError("ApproximateIndex is abstract: use FaissIndex or another subclass.")


class FaissIndex(ApproximateIndex):
    """Index of FAISS, as specified by a string of its index factory.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. The position of the item by default.
    **options
        Settings of the library, as listed under Other Parameters.

    Other Parameters
    ----------------
    factory : str, default="HNSW32"
        Kind of index, such as "Flat", "IVF1024,Flat" or "HNSW32,SQ8".
    parameters : str, optional
        Search-time settings, such as "nprobe=32" or "efSearch=128".

    Raises
    ------
    ImportError
        If FAISS is not installed.
    """

    module = "faiss"

    def _build(
        self,
        embeddings: NDArray[np.float32],
        factory: str = "HNSW32",
        parameters: str | None = None,
    ) -> Any:
        faiss = self._library
        index = faiss.index_factory(embeddings.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.train(embeddings)
        index.add(embeddings)
        if parameters is not None:
            faiss.ParameterSpace().set_index_parameters(index, parameters)
        return index

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        score, position = self._index.search(queries, k)
        return position, score


class UsearchIndex(ApproximateIndex):
    """Graph index of USearch.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. The position of the item by default.
    **options
        Settings of the library, as listed under Other Parameters.

    Other Parameters
    ----------------
    connectivity : int, default=16
        Number of neighbours of each item in the graph.
    expansion_add : int, default=128
        Number of candidates while the graph is built.
    expansion_search : int, default=64
        Number of candidates during a search; larger values are slower and more accurate.
    dtype : {"f32", "f16", "i8"}, default="f32"
        Type in which embeddings are stored.
    exact : bool, default=False
        Whether to compare with every item. The graph may miss items of large inner product at any
        ``expansion_search``.

    Raises
    ------
    ImportError
        If USearch is not installed.
    """

    module = "usearch.index"

    def _build(
        self,
        embeddings: NDArray[np.float32],
        connectivity: int = 16,
        expansion_add: int = 128,
        expansion_search: int = 64,
        dtype: str = "f32",
        exact: bool = False,
    ) -> Any:
        index = self._library.Index(
            ndim=embeddings.shape[1],
            metric="ip",
            dtype=dtype,
            connectivity=connectivity,
            expansion_add=expansion_add,
            expansion_search=expansion_search,
        )
        index.add(np.arange(len(embeddings)), embeddings)
        self._is_exact = exact
        return index

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        matches = self._index.search(queries, k, exact=self._is_exact)
        # The matches of a single query have no query axis.
        keys = np.asarray(matches.keys).reshape(len(queries), -1)
        distances = np.asarray(matches.distances).reshape(len(queries), -1)
        position = np.full((len(queries), k), -1, dtype=np.int64)
        score = np.full((len(queries), k), -np.inf, dtype=np.float32)
        position[:, : keys.shape[1]] = keys.astype(np.int64)
        score[:, : keys.shape[1]] = 1 - distances
        counts = getattr(matches, "counts", None)
        if counts is not None:
            position[np.arange(k) >= np.asarray(counts)[:, None]] = -1
        return position, score


class HnswlibIndex(ApproximateIndex):
    """Graph index of hnswlib.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. The position of the item by default.
    **options
        Settings of the library, as listed under Other Parameters.

    Other Parameters
    ----------------
    M : int, default=16
        Number of neighbours of each item in the graph.
    ef_construction : int, default=200
        Number of candidates while the graph is built.
    ef : int, default=100
        Number of candidates during a search, at least the number of items to return.

    Raises
    ------
    ImportError
        If hnswlib is not installed.
    """

    module = "hnswlib"
    extra = "hnswlib"  # Not in "ann", because it has no wheels and must be compiled.

    def _build(
        self,
        embeddings: NDArray[np.float32],
        M: int = 16,
        ef_construction: int = 200,
        ef: int = 100,
    ) -> Any:
        index = self._library.Index(space="ip", dim=embeddings.shape[1])
        index.init_index(len(embeddings), ef_construction=ef_construction, M=M)
        index.add_items(embeddings, np.arange(len(embeddings)))
        self._ef = ef
        return index

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self._index.set_ef(max(self._ef, k))
        position, distance = self._index.knn_query(queries, k)
        return position.astype(np.int64), 1 - distance


ENGINES: dict[str, Any] = {
    "exact": ExactIndex,
    "faiss": FaissIndex,
    "usearch": UsearchIndex,
    "hnswlib": HnswlibIndex,
}


def make_index(
    engine: str, embeddings: ArrayLike, ids: ArrayLike | None = None, **options: Any
) -> Any:
    """Make an index by the name of its engine.

    Parameters
    ----------
    engine : {"exact", "faiss", "usearch", "hnswlib"}
        Library that searches; "exact" is :class:`ExactIndex`.
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. The position of the item by default.
    **options
        Settings of the engine, such as ``factory`` of :class:`FaissIndex`.

    Returns
    -------
    ExactIndex, FaissIndex, UsearchIndex or HnswlibIndex

    Raises
    ------
    ValueError
        If there is no such engine.
    ImportError
        If the engine's library is not installed.

    Examples
    --------
    >>> from skdistill.index import make_index
    >>> make_index("exact", [[1.0, 0.0], [0.0, 1.0]]).search([[0.1, 0.9]], k=1)[0].tolist()
    [[1]]
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {sorted(ENGINES)}, got {engine!r}.")
    return ENGINES[engine](embeddings, ids, **options)

"""Adapters that give indexes of other libraries the interface of ``ExactIndex``.

The libraries come with the extras ``ann`` and ``hnswlib`` and are imported when an index is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.index.adapter import ApproximateIndex
from skdistill.index.exact import ExactIndex
from skdistill.threads import restart_after_fork

# Clusters of an inverted file that are searched hold this many times the items asked for.
CLUSTER_ROOM = 4
# Settings of FAISS that bound the number of candidates, and their defaults.
FAISS_BREADTH = {"efSearch": 16, "nprobe": 1, "quantizer_efSearch": 16}


class FaissIndex(ApproximateIndex):
    """Index of FAISS, as specified by a string of its index factory.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. The position of the item by default.
    offset : array-like of shape (n_items,), optional
        Added to the dot products with each item, as in :class:`ExactIndex`. It cannot be changed.
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

    Notes
    -----
    If the settings are lower, a search for k items looks at k candidates of a graph (``efSearch``),
    and at clusters that hold 4 k items on average (``nprobe``).

    Recall of the top 10, 100 and 1,000 of 50,000 Gaussian embeddings of 32 dimensions, without any
    structure that an index could use (``python -m benchmarks index_recall``): 0.74, 0.93 and 0.99
    by default; 0.74, 0.64 and 0.50 with "IVF256,Flat" and "nprobe=32".

    A forked process searches with one thread, because OpenMP's other threads are not in it.
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
        restart_after_fork(self)
        self._space = faiss.ParameterSpace()
        self._space.initialize(index)
        if parameters is not None:
            self._space.set_index_parameters(index, parameters)
        given = dict(part.strip().split("=") for part in (parameters or "").split(",") if part)
        ranges = self._space.parameter_ranges
        names = {ranges.at(number).name for number in range(ranges.size())}
        self._narrow = {
            name: int(float(given.get(name, default)))
            for name, default in FAISS_BREADTH.items()
            if name in names
        }
        self.candidates = self._narrow.get("efSearch", len(embeddings))
        if "nprobe" in names:
            self._n_clusters = faiss.extract_index_ivf(index).nlist
            n_probed = self._narrow["nprobe"] * len(embeddings) // self._n_clusters
            self.candidates = min(self.candidates, n_probed // CLUSTER_ROOM)
        return index

    def after_fork(self) -> None:
        """Search with the calling thread alone: OpenMP's others are not in the child."""
        self._library.omp_set_num_threads(1)

    def _set_candidates(self, n: int) -> None:
        for name, narrow in self._narrow.items():
            breadth = n
            if name != "efSearch":  # a number of clusters
                breadth = -(-n * CLUSTER_ROOM * self._n_clusters // self.n_items)
                breadth = min(breadth, self._n_clusters)
            self._space.set_index_parameter(self._index, name, max(narrow, breadth))

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
    offset : array-like of shape (n_items,), optional
        Added to the dot products with each item, as in :class:`ExactIndex`. It cannot be changed.
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

    Notes
    -----
    A search for k items looks at no fewer than k candidates, if ``expansion_search`` is lower.

    Recall of the top 10, 100 and 1,000 of 50,000 Gaussian embeddings of 32 dimensions, without any
    structure that an index could use (``python -m benchmarks index_recall``): 0.91, 0.82 and 0.96.
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
        self.candidates = len(embeddings) if exact else expansion_search
        return index

    def _set_candidates(self, n: int) -> None:
        self._index.expansion_search = n

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
    offset : array-like of shape (n_items,), optional
        Added to the dot products with each item, as in :class:`ExactIndex`. It cannot be changed.
    **options
        Settings of the library, as listed under Other Parameters.

    Other Parameters
    ----------------
    M : int, default=16
        Number of neighbours of each item in the graph.
    ef_construction : int, default=200
        Number of candidates while the graph is built.
    ef : int, default=100
        Number of candidates during a search.

    Raises
    ------
    ImportError
        If hnswlib is not installed.

    Notes
    -----
    A search for k items looks at no fewer than k candidates, if ``ef`` is lower.

    Recall of the top 10, 100 and 1,000 of 50,000 Gaussian embeddings of 32 dimensions, without any
    structure that an index could use (``python -m benchmarks index_recall``): 0.96, 0.83 and 0.97.
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
        index.set_ef(ef)
        self.candidates = ef
        return index

    def _set_candidates(self, n: int) -> None:
        self._index.set_ef(n)

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        position, distance = self._index.knn_query(queries, k)
        return position.astype(np.int64), 1 - distance


ENGINES: dict[str, Any] = {
    "exact": ExactIndex,
    "faiss": FaissIndex,
    "usearch": UsearchIndex,
    "hnswlib": HnswlibIndex,
}


def make_index(
    engine: str,
    embeddings: ArrayLike,
    ids: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    **options: Any,
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
    offset : array-like of shape (n_items,), optional
        Added to the dot products with each item, such as a log bid.
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
    if offset is not None:
        options["offset"] = offset
    return ENGINES[engine](embeddings, ids, **options)

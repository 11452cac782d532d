"""Other libraries' indexes behind the face of ``ExactIndex``: one small adapter each.

They come with the extras ``ann`` and ``hnswlib`` and are imported when one is made. An index keeps
positions; ids, exclusion and masks are ours, so that with settings of recall 1 the same comes out
as exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.extras import import_extra
from skdistill.index.exact import ExactIndex, check_search, named_ids


class ApproximateIndex:
    """Base of the adapters: a subclass builds a library's index and asks it for neighbours."""

    module = ""
    extra = "ann"

    def __init__(self, embeddings: ArrayLike, ids: ArrayLike | None = None, **options: Any) -> None:
        # Checks and keeps both; its search is not used.
        self._exact = ExactIndex(embeddings, ids)
        self.options = options
        self._library = import_extra(self.module, self.extra, type(self).__name__)
        self._index = self._build(self._exact.embeddings, **options)

    @property
    def n_items(self) -> int:
        return self._exact.n_items

    @property
    def ids(self) -> NDArray[Any] | None:
        return self._exact.ids

    def __getstate__(self) -> dict[str, Any]:
        # The libraries' objects can't be pickled: built anew from the embeddings.
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
        """As :meth:`ExactIndex.search`; more neighbours are asked for until k are allowed."""
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
        raise TypeError("ApproximateIndex builds nothing: use FaissIndex or another adapter.")

    def _nearest(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions (-1: none) and dot products of k neighbours, best first."""
        raise TypeError("ApproximateIndex finds nothing: use FaissIndex or another adapter.")


class FaissIndex(ApproximateIndex):
    """FAISS, by the text of its index factory.

    Parameters
    ----------
    embeddings, ids
        As in :class:`ExactIndex`.
    factory : str, default="HNSW32"
        Such as "Flat", "IVF1024,Flat", "HNSW32,SQ8".
    parameters : str, optional
        Search-time settings, such as "nprobe=32" or "efSearch=128".
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
    """USearch's graph of inner products.

    Parameters
    ----------
    embeddings, ids
        As in :class:`ExactIndex`.
    connectivity, expansion_add, expansion_search : int, default=16, 128, 64
    dtype : str, default="f32"
        How it stores them: "f32", "f16" or "i8".
    exact : bool, default=False
        Look at every item; else its graph may miss neighbours by inner product at any expansion.
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
        # A single query comes back without its axis.
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
    """hnswlib's graph of inner products.

    Parameters
    ----------
    embeddings, ids
        As in :class:`ExactIndex`.
    M, ef_construction, ef : int, default=16, 200, 100
        ``ef`` is raised to the number of neighbours asked for.
    """

    module = "hnswlib"
    extra = "hnswlib"  # on its own: there are no wheels, it is compiled

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
    """An index by the name of its engine.

    Raises
    ------
    ValueError
        For another name.
    ImportError
        When the engine's library is not installed.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {sorted(ENGINES)}, got {engine!r}.")
    return ENGINES[engine](embeddings, ids, **options)

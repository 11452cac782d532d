"""Exact search for the largest dot products over a catalogue, in plain NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array

from skdistill.index.block_search import (
    QUERY_BLOCK,
    SearchedItems,
    copying_pays,
    search_in_blocks,
)
from skdistill.index.bounded_search import bounds_pay, search_by_bounds
from skdistill.index.hidden_pairs import ForbiddenItems, Hidden, MarkedPairs, UnmarkedPairs
from skdistill.index.item_ids import check_distinct, codes_of, named_ids, positions_of
from skdistill.index.score_bounds import ScoreBounds
from skdistill.index.search_arguments import check_search
from skdistill.inputs.checks import refuse_masked
from skdistill.inputs.ids import as_ids, concatenate_ids
from skdistill.inputs.offsets import check_offset


class ExactIndex:
    """Exact search for the items with the largest dot product with a query.

    Parameters
    ----------
    embeddings : array-like of shape (n_items, embedding_dim)
        Embeddings of the items. They are not copied if they are float32 and C-contiguous, as in a
        memory map.
    ids : array-like of shape (n_items,), optional
        Distinct ids of the items, of any type. They are kept as they are: ids of several types are
        an array of dtype object. The position of the item by default.
    offset : array-like of shape (n_items,), optional
        Added to the dot products with each item, such as a log bid. It is one more dimension of the
        embeddings, which are then copied; :meth:`set_offset` changes it.

    Attributes
    ----------
    bounds : ScoreBounds or None
        Up to 16 numbers per item that bound its scores from above, so that a search for one query
        scores few items. They are made of a large catalogue whose embeddings lie near a space of
        few dimensions, as those of towers with item columns do.

    Raises
    ------
    ValueError
        If embeddings or offsets are not finite, or ids are missing, not distinct or not one per
        item.

    Examples
    --------
    >>> from skdistill.index import ExactIndex
    >>> index = ExactIndex([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]], ids=["a", "b", "c"])
    >>> ids, scores = index.search([[1.0, 0.1]], k=2)
    >>> ids.tolist()
    [['a', 'c']]
    """

    # Pickles of earlier versions have no such attributes.
    has_offset: bool = False
    # What is added to the offsets in the embeddings.
    shift: NDArray[np.float32] | None = None
    # None if all items are scored in full.
    bounds: ScoreBounds | None = None

    def __init__(
        self,
        embeddings: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> None:
        refuse_masked("embeddings", embeddings, "embeddings.filled(...)")
        self.embeddings = check_array(
            embeddings, dtype=np.float32, order="C", input_name="embeddings"
        )
        added = check_offset(offset, self.n_items)
        if added is not None:
            self.has_offset = True
            self.embeddings = np.column_stack([self.embeddings, added.astype(np.float32)])
        self.ids = None if ids is None else as_ids(ids)
        if self.ids is not None and self.ids.shape != (self.n_items,):
            raise ValueError(
                f"ids must hold one id per item: expected shape ({self.n_items},), got "
                f"{self.ids.shape}."
            )
        if self.ids is not None:
            check_distinct(self.ids)
        self.bounds = ScoreBounds.of(self.embeddings, self.has_offset)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.embeddings.shape[0])

    @property
    def embedding_dim(self) -> int:
        """Number of dimensions of a query."""
        return int(self.embeddings.shape[1]) - self.has_offset

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

        Ties are broken by position in the index.

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
            its non-zero entries; items that no query of a block may get are not scored.
        n_jobs : int, optional
            Number of threads, as in joblib. Each searches blocks of queries with one BLAS thread.

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
        table, k, exclude, allowed = check_search(self, queries, k, exclude, mask)
        # The products of several queries take so little time that bounds save none.
        is_bounded = len(table) == 1 and self.bounds is not None and bounds_pay(self.bounds, k)
        bounds = self.bounds if is_bounded else None
        positions: NDArray[np.int64] | None = None
        if allowed is not None and not sparse.issparse(allowed):
            share = 1.0 if bounds is None else bounds.relative_cost
            n_queries = min(len(table), QUERY_BLOCK)
            if copying_pays(int(allowed.sum()), int(share * self.n_items), n_queries):
                positions, allowed = np.flatnonzero(allowed), None

        def fill(rows: slice, found: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
            seen = None if exclude is None else exclude[rows]
            lists = allowed[rows] if sparse.issparse(allowed) else allowed
            block = table[rows], found, scores
            searched = self._searched(seen, lists, positions)
            of_all = bounds if searched.positions is None else None
            if of_all is None or not search_by_bounds(*block, searched, of_all):
                searched.search(*block)

        found, scores = search_in_blocks(table, k, fill, n_jobs)
        return named_ids(self.ids, found), scores

    def _searched(
        self, exclude: Any, allowed: Any, positions: NDArray[np.int64] | None
    ) -> SearchedItems:
        """Return what a block of queries searches; exclude and allowed are of ``check_search``."""
        hidden: list[Hidden] = []
        if sparse.issparse(allowed):
            # Items that no query may get are not scored.
            positions = np.unique(allowed.indices)
            hidden.append(UnmarkedPairs(allowed, positions))
        elif allowed is not None:
            hidden.append(ForbiddenItems(allowed))
        if exclude is not None:
            hidden.append(MarkedPairs(exclude, positions))
        return SearchedItems(self.embeddings, hidden, positions, self.shift)

    def set_offset(self, ids: ArrayLike, offset: ArrayLike) -> None:
        """Change the offset of some items in place, which takes effect in the next search.

        Parameters
        ----------
        ids : array-like of shape (n_changed,)
            Distinct ids of the items; their positions if the index has no ids.
        offset : array-like of shape (n_changed,)
            The new offset of each of them.

        Raises
        ------
        KeyError
            If an item is not in the index.
        ValueError
            If the index was made without an offset, an offset is not finite, or an item is named
            twice.
        """
        if not self.has_offset:
            raise ValueError(
                "The index has no offset to change. Pass offset= when it is made, such as zeros."
            )
        self._check_changes()
        given = as_ids(ids)
        values = check_offset(offset, len(given))
        positions = positions_of(given, self.ids, self.n_items)
        self.embeddings[positions, -1] = values
        if self.bounds is not None:
            self.bounds.set_offset(positions, self.embeddings[positions])

    def with_offset(self, offset: ArrayLike) -> ExactIndex:
        """Return an index with other offsets, such as the bids of one request.

        It shares the embeddings with this one, so that it is made in less time than a search takes.
        It is to be searched: items and offsets are changed in this index.

        Parameters
        ----------
        offset : array-like of shape (n_items,)
            The offset of each item.

        Returns
        -------
        ExactIndex

        Raises
        ------
        ValueError
            If this index was made without an offset, or offsets are not finite or not one per item.
        """
        if not self.has_offset:
            raise ValueError("The index has no offset. Pass offset= when it is made, as zeros.")
        other = copy.copy(self)
        added = check_offset(offset, self.n_items)
        assert added is not None
        other.shift = (added - self.embeddings[:, -1]).astype(np.float32)
        return other

    def score_pairs(
        self,
        queries: NDArray[np.float32],
        query: NDArray[np.int64],
        item: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Score pairs of a query and an item.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, embedding_dim), float32
            Embeddings of the queries.
        query, item : ndarray of shape (n_pairs,), int64
            Row of ``queries`` and position in the index for each pair.

        Returns
        -------
        ndarray of shape (n_pairs,), float32
            Dot products plus offsets.
        """
        vectors = self.embeddings[item]
        scores = np.einsum("ij,ij->i", queries[query], vectors[:, : self.embedding_dim])
        if self.has_offset:
            scores += vectors[:, -1]
        return scores if self.shift is None else scores + self.shift[item]

    def add(
        self,
        embeddings: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> ExactIndex:
        """Return a new index with further items at the end; this index is not changed.

        Parameters
        ----------
        embeddings : array-like of shape (n_new, embedding_dim)
            Embeddings of the new items.
        ids : array-like of shape (n_new,), optional
            Ids of the new items. Required if and only if this index has ids.
        offset : array-like of shape (n_new,), optional
            Offsets of the new items. Required if and only if this index has offsets.

        Returns
        -------
        ExactIndex

        Raises
        ------
        ValueError
            If the embeddings have another dimension, ids are not distinct, or only one side has
            ids or offsets.
        """
        if (ids is None) != (self.ids is None):
            raise ValueError(
                "Pass ids if and only if the index has ids; this one has "
                f"{'none' if self.ids is None else 'ids'}."
            )
        if (offset is not None) != self.has_offset:
            raise ValueError(
                "Pass offset if and only if the index has offsets; this one has "
                f"{'some' if self.has_offset else 'none'}."
            )
        new = ExactIndex(embeddings, ids, offset=offset)
        if new.embedding_dim != self.embedding_dim:
            raise ValueError(
                f"The new items have {new.embedding_dim} dimensions, but the index has "
                f"{self.embedding_dim}."
            )
        all_ids = None
        if self.ids is not None and new.ids is not None:
            all_ids = concatenate_ids(self.ids, new.ids)
        return self._of(np.concatenate([self.embeddings, new.embeddings]), all_ids)

    def remove(self, ids: ArrayLike) -> ExactIndex:
        """Return a new index without some items; this index is not changed.

        Parameters
        ----------
        ids : array-like of shape (n_removed,)
            Ids of the items to remove. Without ids these are positions, and the positions of later
            items change.

        Returns
        -------
        ExactIndex

        Raises
        ------
        KeyError
            If an item is not in the index.
        ValueError
            If no item would be left.
        """
        gone = as_ids(ids)
        kept = ~np.isin(*codes_of(gone, self.ids, self.n_items))
        if not kept.any():
            raise ValueError("An index needs at least one item, but all of them would be removed.")
        return self._of(self.embeddings[kept], None if self.ids is None else self.ids[kept])

    def _check_changes(self) -> None:
        """Raise a TypeError if this index shares the items of another one."""
        if self.shift is not None:
            raise TypeError(
                "An index that with_offset returned shares the items of another one. Change that."
            )

    def _of(self, embeddings: NDArray[np.float32], ids: NDArray[Any] | None) -> ExactIndex:
        """Make an index of other rows, which contain the offset if this index has one."""
        self._check_changes()
        other = copy.copy(self)
        other.embeddings, other.ids = embeddings, ids
        if ids is not None:
            check_distinct(ids)
        other.bounds = ScoreBounds.of(embeddings, self.has_offset)
        return other

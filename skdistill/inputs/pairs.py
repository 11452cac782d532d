"""Inputs of a two-tower model: rows of a query table, rows of an item table, and their pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.rows import Rows, distinct

Array = NDArray[Any]


@dataclass(frozen=True)
class PairList:
    """A list of pairs.

    Parameters
    ----------
    query, item : ndarray of shape (n_pairs,), integer, or None
        Rows of the query table and of the item table. The pairs of one query are contiguous. With
        None, pair k has row k.
    """

    query: NDArray[np.integer] | None
    item: NDArray[np.integer] | None

    def size(self, left: Array, right: Array) -> int:
        """Return the number of pairs."""
        return len(left if self.query is None else self.query)

    def dot(self, left: Array, right: Array) -> Array:
        """Return the dot product of each pair's embeddings, shape (n_pairs,)."""
        left = left if self.query is None else left[self.query]
        right = right if self.item is None else right[self.item]
        return np.einsum("ij,ij->i", left, right)

    def gradient(self, grad: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Return the gradients with respect to ``left`` and ``right``, given that of ``dot``."""
        if self.query is None and self.item is None:
            slope = grad[:, None]
            return slope * right, slope * left
        pair = np.arange(len(grad))
        place = pair if self.query is None else self.query, pair if self.item is None else self.item
        shape = (len(left), len(right))
        by_pair = sparse.coo_array((grad, place), shape=shape).tocsr()
        return by_pair @ right, by_pair.T @ left


@dataclass(frozen=True)
class PairGrid:
    """All pairs of some queries and some items, query by query.

    Parameters
    ----------
    query, item : ndarray of integer, or None
        Distinct rows of the query table and of the item table. None selects all rows.
    """

    query: NDArray[np.integer] | None = None
    item: NDArray[np.integer] | None = None

    def size(self, left: Array, right: Array) -> int:
        """Return the number of pairs."""
        n_queries = len(left if self.query is None else self.query)
        return n_queries * len(right if self.item is None else self.item)

    def dot(self, left: Array, right: Array) -> Array:
        """Return the dot products, shape (n_queries * n_items,)."""
        left = left if self.query is None else left[self.query]
        right = right if self.item is None else right[self.item]
        return (left @ right.T).ravel()

    def gradient(self, grad: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Return the gradients with respect to ``left`` and ``right``, given that of ``dot``."""
        chosen_left = left if self.query is None else left[self.query]
        chosen_right = right if self.item is None else right[self.item]
        grad = grad.reshape(len(chosen_left), len(chosen_right))
        grad_left, grad_right = grad @ chosen_right, grad.T @ chosen_left
        if self.query is not None:
            grad_left = _into(self.query, grad_left, left)
        if self.item is not None:
            grad_right = _into(self.item, grad_right, right)
        return grad_left, grad_right


@dataclass(frozen=True)
class Pairs:
    """Two tables, and blocks of pairs of their rows.

    Parameters
    ----------
    query_rows, item_rows : Rows
        The query table and the item table.
    blocks : tuple of PairList or PairGrid
        The pairs to score, block after block.
    """

    query_rows: Rows
    item_rows: Rows
    blocks: tuple[PairList | PairGrid, ...]

    def take(self, rows: NDArray[np.int64]) -> Pairs:
        """Select pairs of a single ``PairList``, along with the table rows that they need."""
        (pairs,) = self.blocks
        assert isinstance(pairs, PairList)
        query = rows if pairs.query is None else pairs.query[rows]
        item = rows if pairs.item is None else pairs.item[rows]
        begins = np.empty(len(query), dtype=bool)
        begins[:1] = True
        np.not_equal(query[1:], query[:-1], out=begins[1:])
        query_place = None if begins.all() else np.cumsum(begins) - 1
        queries = query[begins]
        items, item_place = distinct(item, self.item_rows.n_rows)
        if len(items) == len(item):
            # With items in the order of the pairs, dot need not gather nor gradient sum.
            return Pairs(
                self.query_rows.take(queries),
                self.item_rows.take(item),
                (PairList(query_place, None),),
            )
        return Pairs(
            self.query_rows.take(queries),
            self.item_rows.take(items),
            (PairList(query_place, item_place),),
        )

    def dot(self, left: Array, right: Array) -> Array:
        """Return the dot products of all blocks, one after the other."""
        if len(self.blocks) == 1:
            return self.blocks[0].dot(left, right)
        return np.concatenate([block.dot(left, right) for block in self.blocks])

    def gradient(self, grad: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Return the gradients with respect to ``left`` and ``right``, given that of ``dot``."""
        if len(self.blocks) == 1:
            return self.blocks[0].gradient(grad, left, right)
        grad_left, grad_right = np.zeros_like(left), np.zeros_like(right)
        start = 0
        for block in self.blocks:
            stop = start + block.size(left, right)
            more_left, more_right = block.gradient(grad[start:stop], left, right)
            grad_left += more_left
            grad_right += more_right
            start = stop
        return grad_left, grad_right


def _into(rows: NDArray[np.integer], values: Array, like: Array) -> Array:
    """Return zeros of the shape of ``like``, with the values in some rows."""
    full = np.zeros_like(like)
    full[rows] = values
    return full

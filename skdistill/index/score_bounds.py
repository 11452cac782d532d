"""Upper bounds of dot products from a few dimensions, so that a search computes few in full.

Embeddings of towers mostly lie near a space of few dimensions. By Cauchy and Schwarz, what a dot
product gains outside that space is at most the product of the two lengths outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Numbers per item that a bound is computed from; at most half of the embedding.
WIDTHS = (4, 8, 16)
# Multiplications that a search has to save, or else it takes as long as in full.
LEAST_SAVED = 1_500_000
# Items that the bounds are tried on, those among them that stand for queries, and the share of the
# items that is looked for.
TRIED_ITEMS, TRIED_QUERIES, TRIED_SHARE = 8192, 32, 0.01
# To score a pair takes as long as so many numbers per item and query. Bounds that leave a larger
# share of the items than LARGEST_SHARE save nothing.
PAIR_COST, LARGEST_SHARE = 500, 1 / 32
# Rows that are worked on at once.
ROWS = 8192


@dataclass(frozen=True)
class ScoreBounds:
    r"""Upper bounds of the dot products of queries and items.

    With an orthogonal basis whose first columns are :math:`V`, and :math:`W` for the others,

    .. math:: \langle q, x \rangle \le \langle V^T q, V^T x \rangle
        + \lVert W^T q \rVert \lVert W^T x \rVert .

    :math:`V` holds the principal directions of the items. The right side is a dot product of
    :math:`(V^T q, \lVert W^T q \rVert)` and :math:`(V^T x, \lVert W^T x \rVert)`. An offset, which
    is one more dimension of the embeddings, stays as it is.

    Parameters
    ----------
    basis : ndarray of shape (embedding_dim, embedding_dim), float32
        Orthogonal, principal directions first.
    heads : ndarray of shape (n_items, width), float32
        What the bound of an item is computed from, in Fortran order: the product with one query is
        several times as fast as in C order.
    has_offset : bool
        Whether the last number of an item, and the last dimension of its embedding, is an offset.
    longest : ndarray of shape (1,), float32
        Length of the longest embedding, offset included, or more.

    References
    ----------
    Li, Chan, Yiu and Mamoulis, "FEXIPRO: Fast and Exact Inner Product Retrieval in Recommender
    Systems", SIGMOD 2017.
    """

    basis: NDArray[np.float32]
    heads: NDArray[np.float32]
    has_offset: bool
    longest: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], has_offset: bool) -> ScoreBounds | None:
        """Make bounds of the width that suits the items; none if no width does.

        Parameters
        ----------
        embeddings : ndarray of shape (n_items, embedding_dim + has_offset), float32
        has_offset : bool

        Returns
        -------
        ScoreBounds or None
        """
        n_items, n_columns = embeddings.shape
        dim = n_columns - has_offset
        narrow = [width for width in WIDTHS if 2 * width <= dim]
        widths = [width for width in narrow if n_items * (dim - width) >= LEAST_SAVED]
        if not widths:
            return None
        sample = np.ascontiguousarray(embeddings[:: -(-n_items // TRIED_ITEMS)])
        rows = sample[:, :dim].astype(np.float64)
        # The directions come in ascending order.
        basis = np.linalg.eigh(rows.T @ rows)[1][:, ::-1].astype(np.float32, order="C")
        tried = [cls._with_width(sample, basis, has_offset, width) for width in widths]
        shares = [bounds.share_above(sample, sample) for bounds in tried]
        costs = [width + PAIR_COST * share for width, share in zip(widths, shares, strict=True)]
        best = int(np.argmin(costs))
        if shares[best] > LARGEST_SHARE:
            return None
        return cls._with_width(embeddings, basis, has_offset, widths[best])

    @classmethod
    def _with_width(
        cls,
        embeddings: NDArray[np.float32],
        basis: NDArray[np.float32],
        has_offset: bool,
        width: int,
    ) -> ScoreBounds:
        heads = np.empty((len(embeddings), width), dtype=np.float32, order="F")
        longest = np.zeros(1, dtype=np.float32)
        for start in range(0, len(embeddings), ROWS):
            rows = embeddings[start : start + ROWS]
            heads[start : start + ROWS] = _head(rows, basis, has_offset, width)
            np.maximum(longest, _lengths(rows).max(), out=longest)
        return cls(basis, heads, has_offset, longest)

    @property
    def n_saved(self) -> int:
        """Multiplications that the bounds of all items take less than their scores."""
        n_items, width = self.heads.shape
        return n_items * (len(self.basis) - width)

    @property
    def relative_cost(self) -> float:
        """Numbers per item of a bound, relative to those of a score."""
        return self.heads.shape[1] / (len(self.basis) + self.has_offset)

    def share_above(self, items: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
        """Share of the items whose bound reaches what the best hundredth of them score.

        Parameters
        ----------
        items : ndarray of shape (n_items, embedding_dim + has_offset), float32
            The items of these bounds.
        queries : ndarray of shape (n_queries, embedding_dim + has_offset), float32
            Embeddings of which some stand for queries.

        Returns
        -------
        float
            The mean over the queries.
        """
        asked = queries[:: max(len(queries) // TRIED_QUERIES, 1)].copy()
        if self.has_offset:
            asked[:, -1] = 1
        bars = np.quantile(asked @ items.T, 1 - TRIED_SHARE, axis=1)
        return float(np.mean(self.heads @ self.of_queries(asked).T >= bars))

    def of_queries(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute what the heads of the items are multiplied by.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, embedding_dim + has_offset), float32

        Returns
        -------
        ndarray of shape (n_queries, width), float32
        """
        return _head(queries, self.basis, self.has_offset, self.heads.shape[1])

    def slack(
        self, queries: NDArray[np.float32], shift: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Compute how far a score may exceed its bound, because both are rounded.

        A number of n products errs by at most n roundings of the product of the two lengths, and a
        vector of n such numbers by at most the root of n times as much.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, embedding_dim + has_offset), float32
        shift : ndarray of shape (n_items,), float32, optional
            What is added to scores and bounds.

        Returns
        -------
        ndarray of shape (n_queries,), float32
        """
        sizes = queries.shape[1] ** 1.5 * self.longest * _lengths(queries)
        if shift is not None:
            sizes += max(shift.max(), -shift.min())
        return (4 * np.finfo(np.float32).eps * sizes).astype(np.float32)

    def set_offset(self, positions: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Change the offsets of some items in place.

        Parameters
        ----------
        positions : ndarray of shape (n_changed,), int64
        embeddings : ndarray of shape (n_changed, embedding_dim + 1), float32
            Their embeddings with the new offsets.
        """
        self.heads[positions, -1] = embeddings[:, -1]
        longest = _lengths(embeddings).max(initial=0.0)
        np.maximum(self.longest, longest, out=self.longest)


def _head(
    rows: NDArray[np.float32], basis: NDArray[np.float32], has_offset: bool, width: int
) -> NDArray[np.float32]:
    """Compute the numbers that a bound is computed from, of queries or of items."""
    dim = len(basis)
    n_kept = width - 1 - has_offset
    turned = rows[:, :dim] @ basis
    head = np.empty((len(rows), width), dtype=np.float32)
    head[:, :n_kept] = turned[:, :n_kept]
    head[:, n_kept] = _lengths(turned[:, n_kept:])
    if has_offset:
        head[:, -1] = rows[:, -1]
    return head


def _lengths(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    # Squares of float32 may overflow or vanish.
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))

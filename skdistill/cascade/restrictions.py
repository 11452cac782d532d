"""Which items of the catalogue a query may get."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.index.search_arguments import check_mask
from skdistill.inputs.checks import check_pair_matrix


def check_rows(name: str, pairs: Any, n_queries: int, n_items: int) -> Any:
    """Check the shape of a sparse matrix of pairs, or None; return it as CSR."""
    if pairs is None:
        return None
    check_pair_matrix(name, pairs, (n_queries, n_items))
    return sparse.csr_array(pairs)


def hidden_pairs(exclude: Any, mask: Any, n_queries: int, n_items: int) -> Any:
    """Mark the items that a query may not get.

    For counts over the whole catalogue, whose scores take more memory than these marks.

    Parameters
    ----------
    exclude : sparse matrix of shape (n_queries, n_items), optional
        Items with a non-zero entry are hidden.
    mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
        Items that may be returned; all others are hidden.
    n_queries, n_items : int
        Expected shape.

    Returns
    -------
    CSR matrix of shape (n_queries, n_items), or None
        Non-zero where an item is hidden. None if there is neither.

    Raises
    ------
    ValueError
        If either has another shape or type.
    """
    exclude = check_rows("exclude", exclude, n_queries, n_items)
    if mask is None:
        return exclude
    allowed = check_mask(mask, n_queries, n_items)
    if sparse.issparse(allowed):
        hidden = allowed.toarray() == 0
    else:
        hidden = np.broadcast_to(~allowed, (n_queries, n_items)).copy()
    if exclude is not None:
        hidden |= exclude.toarray() != 0
    return sparse.csr_array(hidden)

"""Ids of the items of an index: distinct, found again, and put in the place of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.ids import id_codes, missing_ids


def check_distinct(ids: NDArray[Any]) -> None:
    """Raise a ValueError if an id is missing or names several items."""
    missing = missing_ids(ids)
    if missing.any():
        item = int(np.flatnonzero(missing)[0])
        raise ValueError(
            f"ids must name every item: the id of item {item} is {ids[[item]].tolist()[0]!r}."
        )
    codes = id_codes(ids)[0]
    counts = np.bincount(codes)
    if len(counts) < len(ids):
        item = int(np.flatnonzero(counts[codes] > 1)[0])
        raise ValueError(f"ids must be distinct: {ids[[item]].tolist()[0]!r} names several items.")


def codes_of(
    given: NDArray[Any], ids: NDArray[Any] | None, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number all items of an index, and those with the given ids, by the same codes.

    Raises
    ------
    KeyError
        If the index has no item with such an id.
    """
    codes, given_codes = id_codes(np.arange(n_items) if ids is None else ids, given)
    missing = given[~np.isin(given_codes, codes)]
    if len(missing):
        raise KeyError(f"The index has no items {missing[:5].tolist()}.")
    return codes, given_codes


def positions_of(given: NDArray[Any], ids: NDArray[Any] | None, n_items: int) -> NDArray[np.int64]:
    """Find the positions of the items with the given ids.

    Raises
    ------
    KeyError
        If the index has no item with such an id.
    ValueError
        If an id is missing or given twice.
    """
    check_distinct(given)
    present, wanted = codes_of(given, ids, n_items)
    order = np.argsort(present)
    return order[np.searchsorted(present, wanted, sorter=order)]


def named_ids(ids: NDArray[Any] | None, found: NDArray[np.int64]) -> NDArray[Any]:
    """Turn positions into ids; position -1 becomes -1, or None if ids are not numbers."""
    if ids is None:
        return found
    missing = found < 0
    named = ids[found]
    if missing.any():
        if named.dtype.kind not in "if":
            named = named.astype(object)
        named[missing] = -1 if named.dtype.kind in "if" else None
    return named

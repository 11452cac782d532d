"""Lists of returned items: their ids or positions, their padding and repetitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_positions(
    retrieved: ArrayLike, n_items: int, n_queries: int | None = None
) -> NDArray[np.integer]:
    """Check the positions of the items that each query gets, and return them."""
    returned = np.asarray(retrieved)
    n_rows = len(returned) if n_queries is None and returned.ndim else n_queries
    if returned.ndim != 2 or returned.dtype.kind not in "iu" or len(returned) != n_rows:
        raise ValueError(
            "retrieved must hold positions of items: expected integers of shape "
            f"({n_rows}, n_returned), got {returned.dtype} of shape {returned.shape}."
        )
    if returned.size and returned.max() >= n_items:
        raise ValueError(
            f"retrieved names item {returned.max()}, but the catalogue has only {n_items} items."
        )
    if returned.size and returned.min() < -1:
        raise ValueError(
            f"retrieved must hold positions from 0 on, or -1 for padding: got {returned.min()}."
        )
    return returned


def is_padding(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each id stands for no item: -1, None or NaN."""
    padding = (ids == -1) | (ids != ids)
    if ids.dtype == object:
        padding |= np.array([value is None for value in ids.ravel()], bool).reshape(ids.shape)
    return padding


def kind_of_ids(ids: NDArray[Any]) -> str:
    """What the ids are: numbers, objects of any type, text, bytes, dates."""
    return "number" if ids.dtype.kind in "iufb" else ids.dtype.type.__name__.rstrip("_")


def first_places(ids: NDArray[Any], is_item: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each place holds an item that no earlier place of its row holds."""
    if ids.dtype == object:
        # Ids of several types cannot be sorted together, so each gets a number.
        codes: dict[Any, int] = {}
        flat = [codes.setdefault(value, len(codes)) for value in ids.ravel().tolist()]
        ids = np.array(flat, dtype=np.int64).reshape(ids.shape)
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    is_first = np.ones(ids.shape, dtype=bool)
    np.put_along_axis(is_first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return is_first & is_item

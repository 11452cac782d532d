"""Add to an encoder the categories, and the ranges of numbers, of a later table to train on.

A model that goes on learning needs weights for new categories. Each new code starts from the
weights that its category had so far, which are those of the code for unknown categories.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.category_codes import N_SPECIAL, OTHER, CategoryCodes
from skdistill.inputs.column_kinds import kind_of
from skdistill.inputs.column_reading import column_of
from skdistill.inputs.columns import column_names
from skdistill.inputs.ids import as_ids
from skdistill.inputs.number_ranges import joined, range_of_column
from skdistill.inputs.table_encoder import TableEncoder


def with_new_categories(encoder: TableEncoder, X: Any, min_frequency: Any) -> TableEncoder:
    """Extend an encoder by the categories of a further table; known ones keep their order.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted to an earlier table.
    X : data frame or array of shape (n_rows, n_columns)
        The columns of ``fit``, in the same order.
    min_frequency : int, float, "auto", "repeated" or None
        Least number, or fraction, of the rows of X of a category that gets a code, as in
        :meth:`TableEncoder.fit`.

    Returns
    -------
    TableEncoder

    Raises
    ------
    ColumnKindError, TypeError
        If a column holds something else than in ``fit``. The message names it.
    """
    names = column_names(X)
    extended: list[CategoryCodes] = []
    for position, kind in enumerate(encoder.kinds):
        if kind == "category":
            name = position if names is None else names[position]
            codes = encoder.categories[len(extended)]
            extended.append(_extend(codes, column_of(X, position, name), name, min_frequency))
    return replace(with_ranges_of(encoder, X), categories=tuple(extended))


def with_ranges_of(encoder: TableEncoder, X: Any) -> TableEncoder:
    """Widen the ranges of an encoder's numbers by those of a further table to train on.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted to an earlier table; one of a former version has no ranges, and gets none.
    X : data frame or array of shape (n_rows, n_columns)
        The columns of ``fit``. Those of a data frame are found by name.

    Returns
    -------
    TableEncoder

    Raises
    ------
    ColumnKindError
        If a column of numbers holds something else. The message names it.
    """
    if not encoder.ranges:
        return encoder
    names = encoder.names or range(len(encoder.kinds))
    read = enumerate(zip(names, encoder.kinds, strict=True))
    further = [range_of_column(column_of(X, at, name), kind, name) for at, (name, kind) in read]
    return replace(encoder, ranges=joined(encoder.ranges, further))


def former_codes(former: TableEncoder, extended: TableEncoder) -> NDArray[np.int64]:
    """Return the former code of each code, shape (n_codes,): that of unknown ones for new ones.

    Parameters
    ----------
    former : TableEncoder
        An encoder.
    extended : TableEncoder
        What :func:`with_new_categories` made of it.

    Returns
    -------
    ndarray of shape (n_codes,), int64
        Codes are numbered over all columns, as in ``MixedTable.codes``.
    """
    start = 0
    pieces = []
    for before, after in zip(former.categories, extended.categories, strict=True):
        codes = np.full(after.n_codes, OTHER, dtype=np.int64)
        codes[: before.n_codes] = np.arange(before.n_codes)
        pieces.append(start + codes)
        start += before.n_codes
    return np.concatenate([np.empty(0, dtype=np.int64), *pieces])


def _extend(codes: CategoryCodes, column: Any, name: Any, min_frequency: Any) -> CategoryCodes:
    """Append the frequent ones among the unknown categories of a column."""
    found = CategoryCodes.fit(column, name, min_frequency, max_categories=None).values
    new = found[codes.encode(found, name) == OTHER]
    if not len(new):
        return codes
    if codes.values.dtype.kind == new.dtype.kind:
        values = np.concatenate([codes.values, new])
    else:
        values = as_ids([*codes.values.tolist(), *new.tolist()])
    assert len(values) == codes.n_codes - N_SPECIAL + len(new)
    return CategoryCodes(values, kind_of(values))

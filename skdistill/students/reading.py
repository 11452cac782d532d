"""Read the tables that students take: arrays, CSR matrices and data frames, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.checks import check_magnitude, refuse_masked
from skdistill.inputs.column_statistics import columns_with_missing
from skdistill.inputs.columns import (
    MASKED_FEATURES,
    as_table,
    column_names,
    column_positions,
    query_position,
    refuse_lazy,
    without_query_column,
)
from skdistill.inputs.dates_in_text import warn_of_dates_in_text
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.new_categories import with_ranges_of
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.inputs.unknown_categories import columns_without_known, warn_of_unknown

# Infinity is refused with its row and column by check_magnitude.
AS_NUMBERS = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "order": "C",
    "ensure_all_finite": False,
}


def read_table(student: Any, X: Any, reset: bool) -> Any:
    """Check a table and return its features as numbers and codes of categories.

    Float32 stays float32, and all other numbers become float64, because the scaler centres columns
    before it casts them.

    Parameters
    ----------
    student : FittedStudent
        It remembers the columns and the encoder.
    X : array, CSR matrix or data frame of shape (n_rows, n_columns)
        The user's table.
    reset : bool
        Whether to remember the columns, as in ``fit``; otherwise they are compared with those
        remembered.

    Returns
    -------
    ndarray, CSR matrix or MixedTable of shape (n_rows, n_features)
        Numbers may be NaN if ``fit`` saw missing values.

    Raises
    ------
    TypeError, ValueError
        If the table does not fit the student. The message names the column.
    """
    refuse_masked("X", X, MASKED_FEATURES)
    refuse_lazy(X)
    encodes = _needs_encoder(student, X, reset)
    if encodes:
        X = as_table(X)
        student.check_columns(X, reset)
        table = _encode(student, X, reset)
    else:
        X = canonical_csr(X)
        if student.query_column is None:
            table = student.check_columns(X, reset, **AS_NUMBERS)
        else:
            student.check_columns(X, reset)
            X = without_query_column(X, student.query_column)
            table = check_array(X, **AS_NUMBERS, estimator=student)
        if reset:
            student.encoder_ = None
    _check_numbers(student, table, reset)
    return table


def read_training_table(student: Any, X: Any, reset: bool) -> Any:
    """Read a table to train on, as :func:`read_table`.

    A student that goes on learning, in ``partial_fit`` or from a warm start, keeps its encoder. The
    ranges of its numbers are then those of all rows that it is trained on.
    """
    encoder = None if reset and not student.warm_start else getattr(student, "encoder_", None)
    refuse_lazy(X)
    names = set(column_names(X) or ())
    if encoder is not None and encoder.names and names.issuperset(encoder.names):
        student.encoder_ = with_ranges_of(encoder, X)
    return read_table(student, X, reset)


def _needs_encoder(student: Any, X: Any, reset: bool) -> bool:
    """Whether the columns of a table may hold something else than numbers."""
    if sparse.issparse(X):
        encoder = None if reset else student.encoder_
        if encoder is not None and not encoder.reads_only_numbers:
            raise ValueError(
                "fit saw columns of categories or times, but X is a CSR matrix, which holds only "
                "numbers. Pass a table like the one of fit."
            )
        return False
    if column_names(X) is not None:
        return True
    if reset:
        names_columns = student.categorical_features not in (None, "from_dtype")
    else:
        names_columns = bool(student.encoder_ and student.encoder_.categories)
    return names_columns or np.asarray(X).dtype.kind not in "iufbc"


def _encode(student: Any, X: Any, reset: bool) -> Any:
    table = without_query_column(X, student.query_column)
    if reset and not _keeps_encoder(student, table):
        named = _categorical_positions(student, X)
        warn_of_dates_in_text(table, named or ())
        student.encoder_ = TableEncoder.fit(
            table, named, _min_frequency(student), student.max_categories
        )
    encoder = student.encoder_ or TableEncoder.of_numbers(table.shape[1])
    encoded = encoder.transform(table)
    if not reset:
        warn_of_unknown(columns_without_known(encoder, encoded), "student")
    return encoded


def _min_frequency(student: Any) -> Any:
    """Least frequency of a category; that of "auto" depends on whether the rows have queries."""
    is_listed = getattr(student, "fitted_with_qid_", True)
    return "listed" if student.min_frequency == "auto" and is_listed else student.min_frequency


def _keeps_encoder(student: Any, table: Any) -> bool:
    """Whether a warm start goes on with the codes to which its parameters belong."""
    encoder = student.encoder_
    if not student.warm_start or encoder is None:
        return False
    names = column_names(table)
    return len(encoder.kinds) == table.shape[1] and encoder.names == (names and tuple(names))


def _categorical_positions(student: Any, X: Any) -> set[int] | None:
    """Positions of the columns of categories among the features; None if their types decide."""
    specified = student.categorical_features
    if isinstance(specified, str):
        return None
    if specified is None:
        return set()
    positions = column_positions(X, specified, "categorical_features")
    if student.query_column is None:
        return set(positions)
    query = query_position(X, student.query_column)
    return {position - (position > query) for position in positions if position != query}


def _check_numbers(student: Any, table: Any, reset: bool) -> None:
    """Refuse numbers that float32 cannot hold, and missing ones that ``fit`` did not see."""
    numbers: Any = table.numbers if isinstance(table, MixedTable) else table
    names = names_of_numbers(student, numbers.shape[1])
    check_magnitude(numbers, student, names)
    begins = reset and not (student.warm_start and hasattr(student, "params_"))
    if sparse.issparse(numbers):
        if begins:
            student.allows_missing_ = False
        _check_csr(student, numbers)
        return
    missing = columns_with_missing(numbers)
    if begins:
        student.allows_missing_ = isinstance(table, MixedTable) or len(missing) > 0
    if len(missing) and not student.allows_missing_:
        shown = list(dict.fromkeys(str(names[column]) for column in missing.tolist()))[:10]
        raise ValueError(
            f"Input X contains NaN in the columns {shown}, but fit saw no missing value and learnt "
            "no weight for one. Fit on a table with missing values, or impute them, for example by "
            "SimpleImputer in a Pipeline."
        )


def _check_csr(student: Any, X: Any) -> None:
    """Refuse missing values in a CSR matrix, and any CSR matrix if ``fit`` saw missing values."""
    if np.isnan(X.data).any():
        column = int(X.indices[np.isnan(X.data)][0])
        raise ValueError(
            f"Input X contains NaN, in column {column} of a CSR matrix, where missing values "
            "are not supported. Leave such cells out, or pass a dense table."
        )
    if student.allows_missing_:
        raise ValueError(
            "X is a CSR matrix, but fit saw a dense table with missing values. Pass a dense table, "
            "such as X.toarray()."
        )


def names_of_numbers(student: Any, n_numbers: int) -> Sequence[Any]:
    """Name of the column of each number; its position if it has none."""
    encoder = student.encoder_
    if encoder is None:
        names = getattr(student, "feature_names_in_", np.empty(0)).tolist()
        return names if len(names) == n_numbers else range(n_numbers)
    return encoder.number_names

"""Checks of the arrays that a user passes along with a table: length, type and finiteness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import column_or_1d

from skdistill.inputs.canonical_csr import csr_rows
from skdistill.inputs.ids import missing_ids
from skdistill.inputs.row_errors import RowError
from skdistill.inputs.rows import chunks_of_rows

# Larger numbers would overflow in float32 when two of them are added.
LARGEST = 1e38


def check_labels(y: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """Check labels and return them as float64 of shape (n_rows,); NaN means no label.

    A masked label is no label either. A single column of labels is taken, with the warning of
    scikit-learn's estimators of one target.

    Raises
    ------
    ValueError
        If a label is infinite or not a number, or if there is not one label per row.
    """
    labels = unmask_labels(y)
    if labels.dtype.kind not in "iufb":
        try:
            labels = labels.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y must be numeric, got dtype {labels.dtype}: {error}. Map grades to numbers, "
                "larger for more relevant."
            ) from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    _check_one_value_per_row("y", labels, n_rows)
    labels = labels.astype(np.float64)
    if np.isinf(labels).any():
        row = int(np.flatnonzero(np.isinf(labels))[0])
        raise ValueError(
            f"y must be finite, or NaN for a row without a label: row {row} holds {labels[row]}."
        )
    return labels


def unmask_labels(y: ArrayLike) -> NDArray[Any]:
    """Return labels as an array, with NaN where they are masked or missing."""
    if isinstance(y, np.ma.MaskedArray):
        return np.ma.filled(y.astype(np.float64), np.nan)
    labels = np.asarray(y)
    if labels.dtype != object:
        return labels
    # Nullable columns of pandas hold ``pandas.NA``, which is no number for NumPy.
    missing = missing_ids(labels.ravel()).reshape(labels.shape)
    return np.where(missing, np.nan, labels)


def single_column(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column of shape (n_rows, 1) in the shape (n_rows,), and any other array as it is."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def refuse_masked(name: str, values: Any, way_out: str) -> None:
    """Raise a ValueError if values are masked; NumPy would read what is under the mask.

    ``way_out`` completes the message "Fill masked values by ...".
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        row = int(np.argwhere(np.ma.getmaskarray(values))[0][0])
        raise ValueError(
            f"{name} must not be masked, but a value of row {row} is. Fill masked values by "
            f"{way_out}."
        )


def check_finite(name: str, values: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """Check that there is one finite number per row and return them as float64.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or if there is not one value per row.
    """
    refuse_masked(name, values, f"{name}.filled(...)")
    array = np.asarray(values, dtype=np.float64)
    _check_one_value_per_row(name, array, n_rows)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite: row {row} holds {array[row]}.")
    return array


def check_supervision(labels: Any, teacher_scores: Any, n_rows: int) -> None:
    """Check that there is a label or a teacher's score.

    Raises
    ------
    ValueError
        If there are no teacher's scores, and all labels are NaN.
    """
    if teacher_scores is None and (labels is None or np.isnan(labels).all()):
        raise ValueError(
            f"y is NaN in all {n_rows} rows and there are no teacher_scores, so there is "
            "nothing to learn from. Pass labels or teacher_scores."
        )


def check_magnitude(X: Any, estimator: Any, names: Sequence[Any], table: str = "X") -> None:
    """Check that float32 can hold the numbers of a table.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features), float32 or float64
        Numbers; NaN is allowed.
    estimator : estimator
        Its class is named in the message.
    names : sequence of length n_features
        Names or positions of the columns.
    table : str, default="X"
        Name of the table in the message.

    Raises
    ------
    RowError
        If a number is too large.
    """
    for rows in chunks_of_rows(X):
        chunk = csr_rows(X, rows.start, rows.stop) if sparse.issparse(X) else X[rows]
        values = chunk.data if sparse.issparse(chunk) else chunk
        # They ignore NaN.
        if not (
            values.size
            and max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)) > LARGEST
        ):
            continue
        if sparse.issparse(chunk):
            chunk = chunk.tocoo()
            place = int(np.flatnonzero(np.abs(chunk.data) > LARGEST)[0])
            row, column, value = chunk.row[place], chunk.col[place], chunk.data[place]
        else:
            row, column = np.argwhere(np.abs(chunk) > LARGEST)[0]
            value = chunk[row, column]
        raise RowError(
            f"{table} contains infinity or a value too large for {type(estimator).__name__}, whose "
            "arithmetic is float32: ",
            int(rows.start + row),
            f" of column {names[column]!r} holds {value}, the limit is {LARGEST}. "
            + (
                "Replace infinity by NaN, or by a number."
                if np.isinf(value)
                else "Divide the column, or take its logarithm."
            ),
        )


def check_k(k: Any, name: str = "k") -> None:
    """Raise a ValueError unless a number of places is an integer of at least 1."""
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {k!r}.")


def check_weights(values: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    """Check that there is one row weight per row and return them as float64.

    Raises
    ------
    ValueError
        If a weight is negative, not finite or beyond float32, or if there is not one per row.
    """
    weight = check_finite("sample_weight", values, n_rows)
    if n_rows and weight.min() < 0:
        row = int(np.argmin(weight))
        raise ValueError(f"sample_weight must be 0 or more: row {row} holds {weight[row]}.")
    # LightGBM and the students compute with float32, and sums of larger weights could overflow.
    if n_rows and weight.max() > np.finfo(np.float32).max:
        row = int(np.argmax(weight))
        raise ValueError(
            f"sample_weight must fit into float32: row {row} holds {weight[row]:.6g}. Divide the "
            "weights by the largest one."
        )
    return weight


def check_sample_weight(values: ArrayLike | None, n_rows: int) -> NDArray[np.float64] | None:
    """Check row weights for fitting; a number applies to all rows.

    Raises
    ------
    ValueError
        If :func:`check_weights` refuses them, or all are zero.
    """
    if values is None:
        return None
    refuse_masked("sample_weight", values, "sample_weight.filled(...)")
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0:
        values = np.full(n_rows, values)
    weight = check_weights(values, n_rows)
    if not weight.any():
        raise ValueError("sample_weight is zero in every row: there is nothing to learn from.")
    return weight


def _check_one_value_per_row(name: str, values: NDArray[Any], n_rows: int) -> None:
    """Raise a ValueError if the shape is not (n_rows,)."""
    if values.shape != (n_rows,):
        raise ValueError(
            f"{name} must hold one value per row: expected shape ({n_rows},), got {values.shape}. "
            "The numbers of rows are inconsistent."
        )


def check_pair_matrix(name: str, pairs: Any, shape: tuple[int, int]) -> None:
    """Check a sparse matrix that marks pairs of queries and items.

    Raises
    ------
    ValueError
        If it is not sparse, or has another shape.
    """
    if not sparse.issparse(pairs) or pairs.shape != shape:
        raise ValueError(
            f"{name} must be a sparse matrix of shape {shape}, got "
            f"{getattr(pairs, 'shape', type(pairs))}; it has one row per query and one column per "
            "item."
        )

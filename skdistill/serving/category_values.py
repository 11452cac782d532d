"""What scikit-learn's encoders of categories make of each category."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from skdistill.inputs.category_codes import MISSING, N_SPECIAL, OTHER, CategoryCodes
from skdistill.inputs.column_kinds import kind_of
from skdistill.inputs.column_reading import values_of
from skdistill.inputs.ids import as_ids, missing_ids

# Cells of an encoder's output that are made at once.
CELLS = 1 << 22
# A category that no table has.
UNKNOWN = "\x00skdistill: a category that fit did not see"


@dataclass(frozen=True)
class AcceptedCodes:
    """Codes of categories that are all accepted, as with ``handle_unknown="error"``.

    Parameters
    ----------
    codes : CategoryCodes
        Codes, some of which are refused.
    refused : frozenset of int
        Codes that the encoder raises an error for.
    """

    codes: CategoryCodes
    refused: frozenset[int]

    @property
    def values(self) -> NDArray[Any]:
        """The known categories."""
        return self.codes.values

    @property
    def kind(self) -> str:
        """Kind of the categories."""
        return self.codes.kind

    @property
    def n_codes(self) -> int:
        """Number of codes."""
        return self.codes.n_codes

    def encode(self, column: Any, name: Any) -> NDArray[np.int32]:
        """Return the code of each row; see :meth:`CategoryCodes.encode`."""
        codes = self.codes.encode(column, name)
        for code in self.refused:
            rows = np.flatnonzero(codes == code)
            if len(rows):
                row = int(rows[0])
                raise self._refusal(values_of(column)[row], row, name)
        return codes

    def codes_of(self, values: Any, name: Any) -> list[int]:
        """Return the codes of Python values."""
        codes = self.codes.codes_of(values, name)
        for row, code in enumerate(codes):
            if code in self.refused:
                raise self._refusal(values[row], row, name)
        return codes

    def _refusal(self, value: Any, row: int, name: Any) -> ValueError:
        return ValueError(
            f"Row {row}, column {name!r}: the Pipeline's encoder did not see {value!r} in fit and "
            'has handle_unknown="error". Fit it with handle_unknown="ignore", or drop such rows.'
        )


def values_by_code(encoder: Any, names: list[Any], where: str) -> list[tuple[Any, Any]]:
    """Number the categories of an encoder, and ask it for the values of each.

    Parameters
    ----------
    encoder : OneHotEncoder, OrdinalEncoder or TargetEncoder
        A fitted encoder.
    names : list
        Name of each column in messages.
    where : str
        Name of the encoder in messages.

    Returns
    -------
    list of (CategoryCodes or AcceptedCodes, sparse matrix of shape (n_codes, n_outputs))
        For each column.
    """
    categories = [as_ids(values) for values in encoder.categories_]
    missing = [missing_ids(values) for values in categories]
    for name, is_missing in zip(names, missing, strict=True):
        if is_missing.sum() > 1:
            raise TypeError(
                f"{where} distinguishes None and NaN in column {name!r}, which a scorer takes for "
                "one missing value. Replace one by the other before fit."
            )
    refuses = getattr(encoder, "handle_unknown", "ignore") == "error"
    columns = [[*values, *(() if refuses else [_unknown(list(values))])] for values in categories]
    n_rows = max(map(len, columns))
    table = np.empty((n_rows, len(columns)), dtype=object)
    for place, cells in enumerate(columns):
        # Shorter columns repeat their first category.
        table[:, place] = [*cells, *[cells[0]] * (n_rows - len(cells))]
    outputs = _transformed(encoder, table)
    stops = np.cumsum(_widths(encoder, outputs.shape[1]))
    result = []
    for values, is_missing, stop, start in zip(
        categories, missing, stops, [0, *stops[:-1]], strict=True
    ):
        present = np.flatnonzero(~is_missing)
        codes = CategoryCodes(values[present], kind_of(values[present]))
        unknown = 0 if refuses else len(values)
        of_missing = int(np.argmax(is_missing)) if is_missing.any() else unknown
        rows = np.empty(codes.n_codes, dtype=np.int64)
        rows[MISSING], rows[OTHER], rows[N_SPECIAL:] = of_missing, unknown, present
        refused = frozenset({OTHER} if is_missing.any() else {OTHER, MISSING})
        known = AcceptedCodes(codes, refused) if refuses else codes
        result.append((known, outputs[rows][:, start:stop]))
    return result


def _unknown(values: list[Any]) -> Any:
    """Make a category that is not among those of a column, of the same type if they are numbers."""
    present = [value for value in values if value is not None and value == value]
    if present and all(isinstance(v, int | float | np.number) for v in present):
        return max(present) + 1 if len(present) else 0
    return UNKNOWN


def _transformed(encoder: Any, table: NDArray[Any]) -> Any:
    """Transform a table in blocks of rows, because the result may be wide and dense."""
    one = _as_sparse(encoder, table[:1])
    n_rows = max(1, CELLS // max(1, one.shape[1]))
    blocks = [
        _as_sparse(encoder, table[start : start + n_rows]) for start in range(0, len(table), n_rows)
    ]
    return sparse.csr_array(sparse.vstack(blocks))


def _as_sparse(encoder: Any, table: NDArray[Any]) -> Any:
    with warnings.catch_warnings():
        # The table has no column names, and its last row is unknown.
        warnings.simplefilter("ignore")
        outputs = encoder.transform(table)
    if not sparse.issparse(outputs):
        outputs = np.asarray(outputs)
    return sparse.csr_array(outputs, dtype=np.float64)


def _widths(encoder: Any, n_outputs: int) -> list[int]:
    """Number of output columns of each input column."""
    n_columns = len(encoder.categories_)
    if not isinstance(encoder, OneHotEncoder):
        return [n_outputs // n_columns] * n_columns
    widths = [len(values) for values in encoder.categories_]
    infrequent = getattr(encoder, "infrequent_categories_", [None] * n_columns)
    for place, rare in enumerate(infrequent):
        if rare is not None:
            widths[place] -= len(rare) - 1
    if encoder.drop_idx_ is not None:
        for place, dropped in enumerate(encoder.drop_idx_):
            widths[place] -= dropped is not None
    assert sum(widths) == n_outputs  # scikit-learn counts alike
    return widths

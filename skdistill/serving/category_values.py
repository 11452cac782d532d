"""What scikit-learn's encoders of categories make of each category."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from skdistill.inputs.category_codes import MISSING, OTHER, CategoryCodes
from skdistill.inputs.column_kinds import kind_of
from skdistill.inputs.column_reading import values_of
from skdistill.inputs.ids import as_ids, missing_ids
from skdistill.serving.front import Coded

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
        rows = np.flatnonzero(np.isin(codes, list(self.refused)))
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


@dataclass(frozen=True)
class CategoryValues:
    """What an encoder makes of the categories of a column.

    Parameters
    ----------
    categories : ndarray of shape (n_categories,)
        The categories, one of which may be a missing value.
    outputs : sparse matrix of shape (n_categories + 1, n_outputs), float64
        The outputs for each, and for an unknown category. If those are refused, the last row
        repeats the first.
    refuses_unknown : bool
        Whether unknown categories are refused.
    """

    categories: NDArray[Any]
    outputs: Any
    refuses_unknown: bool

    @cached_property
    def _missing(self) -> NDArray[np.int64]:
        return np.flatnonzero(missing_ids(self.categories))

    @cached_property
    def _present(self) -> NDArray[np.int64]:
        return np.flatnonzero(~missing_ids(self.categories))

    @property
    def has_missing(self) -> bool:
        """Whether a missing value is one of the categories."""
        return len(self._missing) > 0

    @property
    def known(self) -> CategoryCodes | AcceptedCodes:
        """Codes of the categories."""
        values = self.categories[self._present]
        codes = CategoryCodes(values, kind_of(values))
        if not self.refuses_unknown:
            return codes
        refused = {OTHER} if len(self._missing) else {OTHER, MISSING}
        return AcceptedCodes(codes, frozenset(refused))

    @property
    def by_code(self) -> Any:
        """Outputs for each code, as a sparse matrix."""
        unknown = len(self.categories)
        missing = int(self._missing[0]) if len(self._missing) else unknown
        return self.outputs[np.array([missing, unknown, *self._present.tolist()])]

    def rows_of(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rows of ``outputs`` for categories that a step before has computed."""
        values = self.categories.tolist()
        place = {values[row]: row for row in self._present.tolist()}
        missing = int(self._missing[0]) if len(self._missing) else len(values)
        return np.array(
            [missing if one != one else place.get(one, len(values)) for one in numbers.tolist()],
            dtype=np.int64,
        )


def recoded(column: Coded, values: CategoryValues) -> list[Coded]:
    """Encode a column that depends on the codes of another column of categories."""
    rows = values.rows_of(np.append(column.values, column.background))
    if values.refuses_unknown and (rows == len(values.categories)).any():
        raise TypeError(
            'An encoder with handle_unknown="error" may get what a step before makes of unknown '
            'categories, which cannot be folded into a scorer. Set handle_unknown="ignore".'
        )
    outputs = values.outputs[rows].toarray()
    return [
        replace(column, background=float(of_one[-1]), values=of_one[:-1]) for of_one in outputs.T
    ]


def values_by_category(encoder: Any, where: str) -> list[CategoryValues]:
    """Ask an encoder for its outputs for each category of each column.

    Parameters
    ----------
    encoder : OneHotEncoder, OrdinalEncoder or TargetEncoder
        A fitted encoder.
    where : str
        Name of the encoder in messages.

    Returns
    -------
    list of CategoryValues

    Raises
    ------
    TypeError
        If None and NaN are different categories of a column.
    """
    categories = [as_ids(values) for values in encoder.categories_]
    for place, values in enumerate(categories):
        if missing_ids(values).sum() > 1:
            raise TypeError(
                f"{where} distinguishes None and NaN in its column {place}, which a scorer takes "
                "for one missing value. Replace one by the other before fit."
            )
    refuses = getattr(encoder, "handle_unknown", "ignore") == "error"
    columns = [[*values, values[0] if refuses else _unknown(list(values))] for values in categories]
    table = np.empty((max(map(len, columns)), len(columns)), dtype=object)
    for place, cells in enumerate(columns):
        # Shorter columns repeat their first category.
        table[:, place] = [*cells, *[cells[0]] * (len(table) - len(cells))]
    outputs = _transformed(encoder, table)
    stops = np.cumsum(_widths(encoder, outputs.shape[1])).tolist()
    return [
        CategoryValues(values, outputs[: len(values) + 1, start:stop], refuses)
        for values, start, stop in zip(categories, [0, *stops], stops, strict=False)
    ]


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

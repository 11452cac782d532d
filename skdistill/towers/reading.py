"""Read the tables of queries and items for training: encode their columns, and scale numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer

from skdistill.inputs.checks import check_magnitude
from skdistill.inputs.encoding import ID_FREQUENCY, encode, fit_transformer
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.new_categories import former_codes, with_new_categories
from skdistill.inputs.rows import Rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.towers.pair_table import NAMES


@dataclass(frozen=True)
class TowerInput:
    """The table of a tower as training reads it.

    Parameters
    ----------
    transformer : TableEncoder or transformer
        Reads the columns.
    scaler : ColumnScaler
        Scales numbers.
    rows : Rows
        The table, encoded and scaled.
    former_inputs : ndarray of shape (n_features,), int64, or None
        Input of the earlier table from whose weights those of each input start, if categories were
        added.
    """

    transformer: Any
    scaler: ColumnScaler
    rows: Rows
    former_inputs: NDArray[np.int64] | None = None

    @classmethod
    def fit(cls, retriever: Any, table: Any, side: str) -> TowerInput:
        """Learn from a table how it and later ones are read.

        Beside categories, the numbers of a linear tower are scaled down, so that together they
        weigh as much as one category. All rows train the weight of a number, but few train that of
        a category: on MovieLens, numbers of standard deviation 1 hid what the ids could have learnt
        from labels. Towers with hidden layers were better without (docs/decisions/0013).

        Parameters
        ----------
        retriever : TowerEstimator
            Its parameters say how the table is read.
        table : table of shape (n_rows, n_columns)
            Distinct queries or items.
        side : {"query", "item"}
            Which of the two it is.

        Returns
        -------
        TowerInput

        Raises
        ------
        TypeError, ValueError
            If a column cannot be read. The message names it.
        """
        fitted = fit_transformer(getattr(retriever, f"{side}_transformer"), table)
        encoded = read_table(retriever, fitted, table, side)
        is_encoder = isinstance(fitted, TableEncoder)
        scaler = ColumnScaler.fit(
            encoded,
            squash=True,
            standardize=True,
            fills_missing=is_encoder,
            flaggable=fitted.first_numbers if is_encoder else None,
        )
        is_linear = not getattr(retriever, f"{side}_hidden")
        if is_linear and isinstance(encoded, MixedTable):
            n_numbers = max(len(scaler.scale), 1)
            scaler = replace(scaler, scale=scaler.scale / np.sqrt(np.float32(n_numbers)))
        return cls(fitted, scaler, Rows(scaler.transform(encoded)))

    @property
    def has_new_category(self) -> NDArray[np.bool_]:
        """Whether each input is a category that was added, shape (n_features,)."""
        assert self.former_inputs is not None  # an encoder was extended
        is_new = np.ones(self.rows.n_features, dtype=bool)
        is_new[np.unique(self.former_inputs, return_index=True)[1]] = False
        return is_new

    @classmethod
    def extend(cls, retriever: Any, table: Any, side: str) -> TowerInput:
        """Read a further table as that of ``fit``, with codes for its new categories.

        Parameters
        ----------
        retriever : TowerEstimator
            It has read the table of ``fit``.
        table : table of shape (n_rows, n_columns)
            Distinct queries or items, brought to the kinds of ``fit``.
        side : {"query", "item"}
            Which of the two it is.

        Returns
        -------
        TowerInput

        Raises
        ------
        TypeError, ValueError
            If a column cannot be read. The message names it.
        """
        transformer = getattr(retriever, f"{side}_transformer_")
        scaler = getattr(retriever, f"{side}_scaler_")
        if not isinstance(transformer, TableEncoder):
            _refuse_former_release(retriever, transformer, side)
            return cls(transformer, scaler, read_rows(retriever, table, side))
        extended = with_new_categories(transformer, table, ID_FREQUENCY)
        rows = Rows(scaler.transform(read_table(retriever, extended, table, side)))
        n_numbers = rows.n_features - extended.n_codes
        codes = n_numbers + former_codes(transformer, extended)
        return cls(extended, scaler, rows, np.concatenate([np.arange(n_numbers), codes]))


def _refuse_former_release(retriever: Any, transformer: Any, side: str) -> None:
    """Raise if "auto" made another transformer, as releases before 0.2 did: it cannot grow."""
    is_auto = isinstance(getattr(retriever, f"{side}_transformer"), str)
    if is_auto and not isinstance(transformer, SimpleImputer):
        raise ValueError(
            f"This {type(retriever).__name__} was fitted by release 0.1, whose encoders take no "
            "new categories. Fit it anew, with warm_start=False."
        )


def read_rows(retriever: Any, table: Any, side: str) -> Rows:
    """Encode and scale a further table of queries or items, as that of ``fit``.

    Parameters
    ----------
    retriever : TowerEstimator
        It has read the table of ``fit``.
    table : table of shape (n_rows, n_columns)
        Queries or items, brought to the kinds of ``fit``.
    side : {"query", "item"}
        Which of the two it is.

    Returns
    -------
    Rows
    """
    encoded = read_table(retriever, getattr(retriever, f"{side}_transformer_"), table, side)
    return Rows(getattr(retriever, f"{side}_scaler_").transform(encoded))


def read_table(retriever: Any, transformer: Any, table: Any, side: str) -> Any:
    """Encode a table of queries or items.

    Parameters
    ----------
    retriever : TowerEstimator
        Named in messages.
    transformer : TableEncoder or transformer
        What was fitted to the table of ``fit``.
    table : table of shape (n_rows, n_columns)
        Queries or items, with the columns of ``fit``.
    side : {"query", "item"}
        Which of the two it is.

    Returns
    -------
    ndarray, MixedTable or CSR matrix of shape (n_rows, n_features)

    Raises
    ------
    TypeError, ValueError
        If a column holds something else than in ``fit``, or numbers that float32 cannot hold.
    """
    encoded = encode(transformer, table, side)
    if isinstance(transformer, TableEncoder):
        numbers = encoded.numbers if isinstance(encoded, MixedTable) else encoded
        check_magnitude(numbers, retriever, transformer.number_names, NAMES[side])
    return encoded

"""Columns of pairs that a compiled scorer of two towers reads, as one table for both towers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.category_codes import CategoryCodes
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.serving.served import encoder_of_numbers
from skdistill.towers.fitted import FittedTowers


@dataclass(frozen=True)
class ColumnsOfPairs:
    """The columns that a scorer of pairs reads.

    Parameters
    ----------
    n_numbers : int
        Number of numbers of a row.
    places : dict of int to list of int
        Places, among the numbers, of each column of X.
    first_code : dict of int to int
        First code of each column of X that holds categories.
    n_codes : int
        Number of codes of all columns.
    encoder : TableEncoder or None
        Reads data frames; None if the towers were fitted on an array.
    """

    n_numbers: int
    places: dict[int, list[int]]
    first_code: dict[int, int]
    n_codes: int
    encoder: TableEncoder | None

    @classmethod
    def of(cls, model: FittedTowers) -> ColumnsOfPairs:
        """Find the columns that fitted towers read.

        If all of them hold numbers, a scorer reads all columns of ``fit`` as numbers. Otherwise, it
        reads those of queries and items by name.

        Raises
        ------
        TypeError
            If the towers were fitted on an array with categories.
        """
        kinds: dict[int, str] = {}
        known: dict[int, CategoryCodes] = {}
        periods: dict[int, tuple[int, ...]] = {}
        zoned: dict[int, bool | None] = {}
        for name in ("query", "item"):
            positions = getattr(model.pair_columns_, name)
            transformer = getattr(model, f"{name}_transformer_")
            kinds |= dict.fromkeys(positions, "float")
            if isinstance(transformer, TableEncoder):
                kinds |= dict(zip(positions, transformer.kinds, strict=True))
                known |= _categories(positions, transformer)
                periods |= dict(zip(positions, transformer.periods_of_columns, strict=True))
                zoned |= dict(zip(positions, transformer.zoned_columns, strict=True))
        names = getattr(model, "feature_names_in_", None)
        if set(kinds.values()) == {"float"}:
            n_columns = model.n_features_in_
            shown = None if names is None else tuple(map(str, names))
            places = {position: [position] for position in range(n_columns)}
            return cls(n_columns, places, {}, 0, encoder_of_numbers(shown))
        if names is None:
            raise TypeError(
                "The retriever was fitted on an array whose columns hold more than numbers, which "
                "a compiled scorer cannot tell apart. Fit it on a data frame."
            )
        read = sorted(kinds)
        encoder = TableEncoder(
            tuple(kinds[position] for position in read),
            tuple(str(names[position]) for position in read),
            tuple(known[position] for position in sorted(known)),
            tuple(periods.get(position, ()) for position in read),
            tuple(zoned.get(position) for position in read),
        )
        columns = encoder.columns_of_numbers
        starts = np.cumsum([0, *(known[position].n_codes for position in sorted(known))])
        return cls(
            len(columns),
            {read[one]: np.flatnonzero(columns == one).tolist() for one in set(columns.tolist())},
            dict(zip(sorted(known), starts.tolist(), strict=False)),
            encoder.n_codes,
            encoder,
        )

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns that are read."""
        return None if self.encoder is None else self.encoder.names

    def numbers_of(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """Places of the numbers of some columns of X."""
        places = [self.places.get(position, []) for position in positions]
        return np.array([place for some in places for place in some], dtype=np.int64)

    def with_all_codes(
        self, weights: NDArray[Any], positions: Sequence[int], transformer: Any
    ) -> NDArray[Any]:
        """Give the first layer of a tower a row for each code; those of the other tower's are 0.

        Parameters
        ----------
        weights : ndarray of shape (n_inputs, n_outputs)
            Weights for the tower's numbers, then for its codes.
        positions : list of int
            Columns of X that the tower reads.
        transformer : TableEncoder or transformer
            How it reads them.

        Returns
        -------
        ndarray of shape (n_numbers + n_codes, n_outputs)
        """
        own = _categories(positions, transformer) if isinstance(transformer, TableEncoder) else {}
        n_inputs = len(weights) - sum(codes.n_codes for codes in own.values())
        of_codes = np.zeros((self.n_codes, weights.shape[1]), dtype=weights.dtype)
        start = n_inputs
        for position, codes in own.items():
            first, stop = self.first_code[position], start + codes.n_codes
            of_codes[first : first + codes.n_codes] = weights[start:stop]
            start = stop
        return np.concatenate([weights[:n_inputs], of_codes])


def _categories(positions: Sequence[int], encoder: TableEncoder) -> dict[int, CategoryCodes]:
    """Codes of the columns of categories, by their positions in X."""
    kinds = zip(positions, encoder.kinds, strict=True)
    coded = [position for position, kind in kinds if kind == "category"]
    return dict(zip(coded, encoder.categories, strict=True))

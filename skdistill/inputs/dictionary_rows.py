"""Rows that are dictionaries, such as those of a request, read as numbers and codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.category_codes import CategoryCodes
from skdistill.inputs.column_reading import read_numbers
from skdistill.inputs.cycles import with_cycles
from skdistill.inputs.ids import as_ids
from skdistill.inputs.instants import seconds_of_dates
from skdistill.inputs.time_zones import warn_of_zone, zone_of_cells

Dictionaries = Sequence[Mapping[Any, Any]]
# NumPy would read text, too.
PLAIN_NUMBERS = {float, int, bool, type(None), *(np.dtype(code).type for code in "?bhilBHILfd")}


class DictionaryReader:
    """Reads the columns of a ``TableEncoder`` from dictionaries.

    Parameters
    ----------
    columns : tuple of (name, kind, periods, had_zone)
        The columns of the table, with what a ``TableEncoder`` knows of each.
    categories : tuple of CategoryCodes
        Codes of each column of categories, in the order of the columns.
    """

    def __init__(
        self,
        columns: tuple[tuple[Any, str, tuple[int, ...], bool | None], ...],
        categories: tuple[CategoryCodes, ...],
    ) -> None:
        names = [name for name, kind, _, _ in columns if kind == "category"]
        self._categories = list(zip(names, categories, strict=True))
        self._floats: list[Any] = []
        self._places_of_floats: list[int] = []
        self._times: list[tuple[Any, str, tuple[int, ...], bool | None, int]] = []
        self._n_numbers = 0
        for name, kind, periods, had_zone in columns:
            if kind == "float":
                self._floats.append(name)
                self._places_of_floats.append(self._n_numbers)
            elif kind != "category":
                self._times.append((name, kind, periods, had_zone, self._n_numbers))
            self._n_numbers += 0 if kind == "category" else 1 + 2 * len(periods)
        self._floats_of_row = itemgetter(*self._floats) if self._floats else None

    def read(self, rows: Dictionaries) -> tuple[NDArray[np.float64], list[list[int]]]:
        """Read rows.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column, None where they are missing. Further keys are ignored.

        Returns
        -------
        numbers : ndarray of shape (n_rows, n_numbers), float64
            NaN where they are missing.
        codes : list of list of int
            Codes of the rows within each column of categories.

        Raises
        ------
        ValueError
            If a row lacks a column.
        ColumnKindError, TypeError
            If a column holds something else than in ``fit``, or a row is no dictionary.
        """
        try:
            return self._numbers(rows), [
                known.codes_of([row[name] for row in rows], name)
                for name, known in self._categories
            ]
        except TypeError:
            for place, row in enumerate(rows):
                if not isinstance(row, Mapping):
                    raise TypeError(
                        f"Row {place} is a {type(row).__name__}, but a row is a dictionary of "
                        "values by column."
                    ) from None
            raise
        except KeyError as error:
            place = next(place for place, row in enumerate(rows) if error.args[0] not in row)
            raise ValueError(
                f"Row {place} lacks the column {error.args[0]!r}. Pass None (null in JSON) if "
                "its value is missing."
            ) from error

    def _numbers(self, rows: Dictionaries) -> NDArray[np.float64]:
        floats = self._read_floats(rows)
        if not self._times:
            return floats
        numbers = np.empty((len(rows), self._n_numbers))
        numbers[:, self._places_of_floats] = floats
        for name, kind, periods, had_zone, first in self._times:
            cells = [row[name] for row in rows]
            for place, column in enumerate(with_cycles(_times(cells, name, kind), periods), first):
                numbers[:, place] = column
            if had_zone is not None:
                warn_of_zone(name, had_zone, zone_of_cells(cells))
        return numbers

    def _read_floats(self, rows: Dictionaries) -> NDArray[np.float64]:
        """Read the columns of numbers: all at once if they hold nothing else."""
        shape = len(rows), len(self._floats)
        if self._floats_of_row is None:
            return np.empty(shape)
        cells = list(map(self._floats_of_row, rows))
        values = cells if len(self._floats) == 1 else chain.from_iterable(cells)
        if set(map(type, values)) <= PLAIN_NUMBERS:
            return np.array(cells, dtype=np.float64).reshape(shape)
        numbers = np.empty(shape)
        for place, name in enumerate(self._floats):
            column = _as_ids([row[name] for row in rows], name)
            numbers[:, place] = read_numbers(column, "float", name)
        return numbers


def _times(cells: list[Any], name: Any, kind: str) -> NDArray[np.float64]:
    """Read a column of times in seconds."""
    seconds = seconds_of_dates(cells) if kind == "date" else None
    return read_numbers(_as_ids(cells, name), kind, name) if seconds is None else seconds


def _as_ids(cells: list[Any], name: Any) -> NDArray[Any]:
    """Make an array of a column's values; refuse lists, of which a table could be made."""
    if any(isinstance(cell, list | tuple | np.ndarray) for cell in cells):
        raise TypeError(f"Column {name!r} holds a list, but the model takes a number in each row.")
    return as_ids(cells)

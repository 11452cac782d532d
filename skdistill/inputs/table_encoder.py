"""Read tables as people have them, with columns of numbers, categories and times.

An encoder learns from the training table which columns are numbers and which are categories, and
the codes of the categories. It turns any later table into numbers, NaN where they are missing, and
codes. A date becomes several numbers: the time, and its cyclic numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.category_codes import CategoryCodes
from skdistill.inputs.column_kinds import kind_of, kind_of_dtype
from skdistill.inputs.column_reading import (
    NUMBER_KINDS,
    UNITS,
    as_floats,
    column_of,
    is_dictionary,
    nested_type,
    read_numbers,
    type_of,
)
from skdistill.inputs.columns import column_names
from skdistill.inputs.cycles import visible_periods, with_cycles
from skdistill.inputs.dictionary_rows import DictionaryReader
from skdistill.inputs.ids import as_ids
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.number_ranges import (
    NumberRanges,
    Range,
    range_of_column,
    warn_of_other_ranges,
)
from skdistill.inputs.time_zones import warn_of_zone, zone_of_column

TIME_KINDS = set(UNITS)


@dataclass(frozen=True)
class TableEncoder:
    """Reads columns as numbers and as codes of categories.

    Parameters
    ----------
    kinds : tuple of str
        What each column holds: "float" for numbers, "date" or "timedelta" for times, which are read
        as seconds, and "category".
    names : tuple or None
        Names of the columns, if the table of ``fit`` had any.
    categories : tuple of CategoryCodes
        Codes of each column of categories, in the order of the columns.
    periods : tuple of tuple of int
        Periods, in seconds, of the cyclic numbers of each column, which only dates have. Empty if
        no column has any, as in files of former versions: there, a date is one number.
    zoned : tuple of (bool or None)
        Whether the dates of each column had a time zone; None if that is not known. Empty if no
        column had any, as in files of former versions.
    ranges : tuple of (tuple of float, or None)
        Smallest and largest number of each column; None if it holds something else. Empty in files
        of former versions.
    """

    kinds: tuple[str, ...]
    names: tuple[Any, ...] | None = None
    categories: tuple[CategoryCodes, ...] = ()
    periods: tuple[tuple[int, ...], ...] = ()
    zoned: tuple[bool | None, ...] = ()
    ranges: tuple[Range | None, ...] = ()

    @classmethod
    def fit(
        cls,
        X: Any,
        categorical: Collection[int] | None = None,
        min_frequency: Any = None,
        max_categories: int | None = None,
    ) -> TableEncoder:
        """Learn the columns of a table.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
            The training table.
        categorical : collection of int or None
            Positions of columns of categories, besides those of strings and other values that are
            neither numbers nor times, and those whose type is categorical. None takes these alone,
            and an empty collection refuses them.
        min_frequency : int, float, "auto", "listed", "repeated" or None
            Least number, or fraction, of the rows of a category with a code of its own. "auto" is
            10 rows, and "listed", for the rows of queries, is 5, or 1% of the rows if that is less.
            "repeated" is 2 rows, except in columns whose values are all different: these are ids,
            and all are known.
        max_categories : int or None
            Largest number of categories of a column with a code of their own.

        Returns
        -------
        TableEncoder

        Raises
        ------
        TypeError, ValueError
            If a column cannot be read. The message names it.
        """
        names, kinds, categories, periods = _names(X), [], [], []
        zoned: list[bool | None] = []
        ranges: list[Range | None] = []
        for position in range(X.shape[1]):
            name = position if names is None else names[position]
            column = column_of(X, position, name)
            _refuse_nested(column, name)
            kind = "category" if categorical and position in categorical else _kind(column, name)
            if kind == "category":
                if categorical is not None and not categorical:
                    raise ValueError(
                        f"Column {name!r} of X is not numeric, but there are no "
                        'categorical_features. Set categorical_features="from_dtype", or drop it.'
                    )
                categories.append(CategoryCodes.fit(column, name, min_frequency, max_categories))
            kinds.append(kind)
            is_date = kind == "date"
            ranges.append(range_of_column(column, kind, name))
            periods.append(visible_periods(read_numbers(column, kind, name)) if is_date else ())
            zone = zone_of_column(column) if is_date else None
            zoned.append(None if zone is None else zone != "none")
        return cls(
            tuple(kinds),
            names,
            tuple(categories),
            tuple(periods) if any(periods) else (),
            tuple(zoned) if "date" in kinds else (),
            tuple(ranges),
        )

    @classmethod
    def of_numbers(cls, n_columns: int) -> TableEncoder:
        """Make an encoder of a table that only has numbers, in the order of its columns.

        Parameters
        ----------
        n_columns : int
            Number of columns.

        Returns
        -------
        TableEncoder
        """
        return cls(("float",) * n_columns)

    @cached_property
    def n_codes(self) -> int:
        """Number of codes of all columns."""
        return sum(codes.n_codes for codes in self.categories)

    @property
    def column_kinds(self) -> list[str | None]:
        """Kind of values in each column, as :mod:`skdistill.inputs.column_kinds` names them."""
        categories = iter(self.categories)
        return [next(categories).kind if kind == "category" else kind for kind in self.kinds]

    @cached_property
    def periods_of_columns(self) -> tuple[tuple[int, ...], ...]:
        """Periods of the cyclic numbers of each column."""
        return self.periods or ((),) * len(self.kinds)

    @cached_property
    def zoned_columns(self) -> tuple[bool | None, ...]:
        """Whether the dates of each column had a time zone; None if that is not known."""
        return self.zoned or (None,) * len(self.kinds)

    @cached_property
    def columns_of_numbers(self) -> NDArray[np.int64]:
        """Position of the column of each number, shape (n_numbers,)."""
        read = zip(self.kinds, self.periods_of_columns, strict=True)
        widths = [0 if kind == "category" else 1 + 2 * len(periods) for kind, periods in read]
        return np.repeat(np.arange(len(widths)), widths)

    @cached_property
    def columns_of_codes(self) -> NDArray[np.int64]:
        """Column of each code among the columns of categories, shape (n_codes,)."""
        sizes = [codes.n_codes for codes in self.categories]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def first_numbers(self) -> NDArray[np.int64]:
        """Which of the numbers are the first of their column, shape (n_number_columns,).

        All numbers of a column are missing together.
        """
        return np.unique(self.columns_of_numbers, return_index=True)[1]

    @cached_property
    def _starts(self) -> NDArray[np.int32]:
        """First code of each column of categories among those of all columns."""
        sizes = [codes.n_codes for codes in self.categories]
        return np.cumsum([0, *sizes], dtype=np.int32)[:-1]

    def transform(self, X: Any) -> NDArray[Any] | MixedTable:
        """Read a table.

        Parameters
        ----------
        X : data frame or array of shape (n_rows, n_columns)
            The columns of ``fit``. Those of a data frame are found by name.

        Returns
        -------
        ndarray or MixedTable of shape (n_rows, n_numbers + n_codes), float32 or float64
            An array if no column holds categories. Float32 only if no digits are lost.

        Raises
        ------
        ColumnKindError, TypeError, ValueError
            If a column holds something else than in ``fit``. The message names it.
        """
        if self.reads_only_numbers and isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
            is_exact = np.result_type(np.float32, X.dtype) == np.float32
            return np.ascontiguousarray(X, dtype=np.float32 if is_exact else np.float64)
        names = self._names_in(X)
        numbers: list[NDArray[Any]] = []
        codes: list[NDArray[np.int32]] = []
        read = zip(self.kinds, self.periods_of_columns, self.zoned_columns, strict=True)
        for position, (kind, periods, had_zone) in enumerate(read):
            name = position if names is None else names[position]
            column = column_of(X, position, name)
            if kind == "category":
                codes.append(self.categories[len(codes)].encode(column, name))
            else:
                numbers += with_cycles(read_numbers(column, kind, name), periods)
                if had_zone is not None:
                    warn_of_zone(name, had_zone, zone_of_column(column))
        return self._join(_side_by_side(numbers, X.shape[0]), codes)

    def _names_in(self, X: Any) -> Sequence[Any] | None:
        """Names by which the columns of a table are found; None for positions."""
        present = column_names(X)
        if present is None or self.names is None:
            return present
        among = set(present)
        lacking = [name for name in self.names if name not in among]
        if lacking:
            raise ValueError(
                f"X lacks the columns {lacking}. Expected {list(self.names)}, got {present}."
            )
        return self.names

    def read_rows(self, rows: Sequence[Mapping[Any, Any]]) -> NDArray[Any] | MixedTable:
        """Read rows that are dictionaries.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column, None where they are missing. Further keys are ignored.

        Returns
        -------
        ndarray or MixedTable of shape (n_rows, n_numbers + n_codes), float64
            As of ``transform``.

        Raises
        ------
        ValueError
            If a row lacks a column, or the encoder has no names.
        ColumnKindError, TypeError
            If a column holds something else than in ``fit``.
        """
        is_no_list = isinstance(rows, Mapping | str | bytes) or not hasattr(rows, "__len__")
        if is_no_list or column_names(rows) is not None:
            raise TypeError(
                f"Expected a list of dictionaries, got a {type(rows).__name__}. Put one dictionary "
                "into a list, read JSON by json.loads, make a list of a generator, and pass a data "
                "frame to the scorer itself."
            )
        if self.names is None:
            raise ValueError(
                "The model was fitted on an array, whose columns have no names. Pass an array."
            )
        return self._join(*self._dictionary_reader.read(rows))

    @cached_property
    def _dictionary_reader(self) -> DictionaryReader:
        columns = zip(
            self._all_names, self.kinds, self.periods_of_columns, self.zoned_columns, strict=True
        )
        return DictionaryReader(tuple(columns), self.categories)

    @property
    def _all_names(self) -> Sequence[Any]:
        """Names of the columns; their positions if they have none."""
        return range(len(self.kinds)) if self.names is None else self.names

    @cached_property
    def number_names(self) -> list[Any]:
        """Name, or position, of the column of each number."""
        return [self._all_names[column] for column in self.columns_of_numbers.tolist()]

    @cached_property
    def category_names(self) -> list[Any]:
        """Name, or position, of each column of categories."""
        named = zip(self._all_names, self.kinds, strict=True)
        return [name for name, kind in named if kind == "category"]

    @cached_property
    def reads_only_numbers(self) -> bool:
        """Whether no column holds categories or times."""
        return all(kind == "float" for kind in self.kinds)

    @cached_property
    def _bounds(self) -> NumberRanges:
        """Ranges of the numbers that have one."""
        ranges = self.ranges or (None,) * len(self.kinds)
        return NumberRanges.of([ranges[column] for column in self.columns_of_numbers])

    def _join(self, numbers: NDArray[Any], codes: Sequence[Any]) -> NDArray[Any] | MixedTable:
        """Join the columns of numbers and the codes within each column of categories."""
        outside = [self.columns_of_numbers[place] for place in self._bounds.left_by(numbers)]
        warn_of_other_ranges({self._all_names[one]: self.ranges[one] for one in outside}, "model")
        if not self.categories:
            return numbers
        of_all = np.array(codes, dtype=np.int32).T + self._starts
        return MixedTable(numbers, np.ascontiguousarray(of_all), self.n_codes)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _names(X: Any) -> tuple[Any, ...] | None:
    """Return the names of a data frame's columns; refuse repeated ones."""
    names = column_names(X)
    if names is None:
        return None
    repeated = sorted(str(name) for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(
            f"X has several columns of the names {repeated}. Rename or drop all but one of each."
        )
    return tuple(names)


def _refuse_nested(column: Any, name: Any) -> None:
    """Raise a TypeError if each cell of a column holds several values."""
    found = nested_type(column)
    if found is not None:
        raise TypeError(
            f"Column {name!r} of X holds lists or records ({found}). Make a column of "
            "each of their values, or drop it."
        )


def _kind(column: Any, name: Any) -> str:
    """Decide what a column holds."""
    if is_dictionary(column) or kind_of_dtype(type_of(column)) == "text":
        return "category"
    if as_floats(column) is not None:
        return "float"
    found = set(kind_of(as_ids(column)).split(" and "))
    if found <= NUMBER_KINDS:
        return "float"
    if len(found) == 1:
        kind = found.pop()
        if kind.startswith("complex"):
            raise ValueError(
                f"Complex data not supported: column {name!r} of X. Split it into real and "
                "imaginary parts, or drop it."
            )
        return kind if kind in TIME_KINDS else "category"
    # In scikit-learn's words, which its checks of estimators look for.
    raise TypeError(
        f"Column {name!r} of X mixes values of the kinds {sorted(found)}, but the argument must be "
        "a string in each row, or a number. Convert the column to one type, or name it in "
        "categorical_features if it holds categories."
    )


def _side_by_side(columns: list[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    """Make a C-contiguous table of columns, float32 if that is exact."""
    dtype = np.result_type(np.float32, *columns)
    if dtype != np.float32:
        dtype = np.dtype(np.float64)
    table = np.empty((n_rows, len(columns)), dtype=dtype)
    for position, column in enumerate(columns):
        table[:, position] = column
    return table

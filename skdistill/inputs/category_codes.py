"""Number the categories of a column: each has a code, and rare ones share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_kinds import NUMBERS, ColumnKindError, kind_of, to_kind
from skdistill.inputs.column_reading import are_same_categories, dictionary_of, values_of
from skdistill.inputs.ids import as_ids, id_codes, missing_ids

# Codes, before those of the known categories.
MISSING, OTHER, N_SPECIAL = 0, 1, 2
# By default, a category needs so many rows, or in short tables this fraction of them, for a code of
# its own. A click tells less than the place in a list: docs/decisions/0028 compares other numbers.
FREQUENT, FREQUENT_FRACTION = {"auto": 10.0, "listed": 5.0}, 0.01
# So many categories of a column are looked up even if it has fewer rows.
FEW_CATEGORIES = 1024


@dataclass(frozen=True)
class CategoryCodes:
    """Codes of the categories of a column.

    Code 0 is a missing value. Code 1 is shared by the categories that are rare or were not seen in
    ``fit``. The known categories follow, in ascending order.

    Parameters
    ----------
    values : ndarray of shape (n_known,)
        The known categories.
    kind : str
        Kind of the categories, as in :func:`skdistill.inputs.column_kinds.kind_of`.
    """

    values: NDArray[Any]
    kind: str

    @classmethod
    def fit(
        cls, column: Any, name: Any, min_frequency: Any, max_categories: int | None
    ) -> CategoryCodes:
        """Choose the categories that get a code of their own.

        Parameters
        ----------
        column : ndarray, or a column of pandas, polars or Arrow
            Categories of the training rows.
        name : object
            Name of the column in messages.
        min_frequency : int, float, "auto", "listed", "repeated" or None
            Least number, or fraction, of the rows that a known category has; see
            :class:`TableEncoder`.
        max_categories : int or None
            Largest number of known categories; the most frequent are known.

        Returns
        -------
        CategoryCodes

        Raises
        ------
        TypeError
            If a cell cannot be a category, such as a list.
        """
        counts = _counts(column, name)
        least = _least_count(min_frequency, list(counts.values()))
        if kind_of(as_ids(list(counts))) == "date":
            # A day is the same category as a date, a time at midnight, and text.
            of_times: Counter[Any] = Counter()
            for time, count in zip(_as_times(list(counts), name), counts.values(), strict=True):
                of_times[time] += count
            counts = of_times
        values = as_ids(list(counts))
        order = np.argsort(id_codes(values)[0], kind="stable")
        values = values[order]
        frequency = np.fromiter(counts.values(), np.int64, len(counts))[order]
        is_known = frequency >= least
        if max_categories is not None and is_known.sum() > max_categories:
            candidates = np.flatnonzero(is_known)
            rank = np.argsort(-frequency[candidates], kind="stable")
            is_known[candidates[rank[max_categories:]]] = False
        return cls(values[is_known], kind_of(values))

    @property
    def n_codes(self) -> int:
        """Number of codes."""
        return N_SPECIAL + len(self.values)

    @cached_property
    def _code(self) -> dict[Any, int]:
        known = self.values if self.values.dtype.kind in "OmM" else self.values.tolist()
        codes = {value: code for code, value in enumerate(known, start=N_SPECIAL)}
        return codes | {None: MISSING, np.nan: MISSING}

    def encode(self, column: Any, name: Any) -> NDArray[np.int32]:
        """Return the code of each row.

        Parameters
        ----------
        column : ndarray, or a column of pandas, polars or Arrow
            Categories.
        name : object
            Name of the column in messages.

        Returns
        -------
        ndarray of shape (n_rows,), int32

        Raises
        ------
        ColumnKindError
            If a category has another type than those of ``fit``, and no exact counterpart.
        TypeError
            If a cell cannot be a category, such as a list.
        """
        dictionary = dictionary_of(column)
        if dictionary is not None:
            # If a category is of another kind, the rows below tell where.
            with suppress(ColumnKindError):
                return self._encode_dictionary(*dictionary, name)
        return np.array(self.codes_of(values_of(column), name), dtype=np.int32)

    def _encode_dictionary(
        self, categories: Any, places: NDArray[np.integer], name: Any
    ) -> NDArray[np.int32]:
        """Look up each category once. Place -1 is a missing value."""
        last, codes = self._last
        if are_same_categories(last, categories):
            return codes[places]
        if len(categories) <= max(FEW_CATEGORIES, len(places)):
            # The code of a missing value comes last, where place -1 finds it.
            codes = np.array([*self.codes_of(values_of(categories), name), MISSING], np.int32)
            self.__dict__["_last"] = categories, codes
            return codes[places]
        used, places = np.unique(places, return_inverse=True)
        n_missing = int(np.count_nonzero(used < 0))  # 0 or 1, and first
        values = [None] * n_missing + values_of(categories.take(used[n_missing:]))
        return np.array(self.codes_of(values, name), dtype=np.int32)[places]

    # Categories and codes of the last column. Columns of a pandas type share the former, and those
    # of the batches of a file are equal.
    _last: ClassVar[Any] = (None, np.empty(0, dtype=np.int32))

    def codes_of(self, values: Sequence[Any], name: Any) -> list[int]:
        """Return the codes of Python values.

        Parameters
        ----------
        values : sequence
            Categories; None or NaN where they are missing.
        name : object
            Name of the column in messages.

        Returns
        -------
        list of int

        Raises
        ------
        ColumnKindError
            If a category has another type than those of ``fit``, and no exact counterpart.
        TypeError
            If a value cannot be a category, such as a list.
        """
        if self.kind == "date":
            values = _as_times(values, name)
        get = self._code.get
        try:
            codes = [get(value, OTHER) for value in values]
        except TypeError as error:
            raise _no_category(name, error) from error
        return self._look_closer(values, codes, name) if OTHER in codes else codes

    def _look_closer(self, values: Sequence[Any], codes: list[int], name: Any) -> list[int]:
        """Find missing values, and known ones of another kind, among those that seem unknown."""
        unknown = [row for row, code in enumerate(codes) if code == OTHER]
        cells = as_ids([values[row] for row in unknown])
        present = []
        for row, is_missing in zip(unknown, missing_ids(cells), strict=True):
            if is_missing:
                codes[row] = MISSING
            else:
                present.append(row)
        kind = kind_of(cells)
        is_number = {kind, self.kind} <= set(NUMBERS)
        if kind == self.kind or "missing" in (kind, self.kind) or " and " in self.kind or is_number:
            return codes
        converted = to_kind(as_ids(values), kind, self.kind, "X", name, allows_words=True)
        source = converted if converted.dtype.kind in "OmM" else converted.tolist()
        for row in present:
            codes[row] = OTHER if source[row] is None else self._code.get(source[row], OTHER)
        return codes

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _least_count(min_frequency: Any, counts: list[int]) -> float:
    """Return the number of rows that a category needs for a code of its own."""
    n_rows = sum(counts)
    if min_frequency is None:
        return 1.0
    if min_frequency == "repeated":
        return 2.0 if n_rows > len(counts) else 1.0
    if min_frequency in FREQUENT:
        return min(FREQUENT[min_frequency], FREQUENT_FRACTION * n_rows)
    return min_frequency * n_rows if isinstance(min_frequency, float) else float(min_frequency)


def _as_times(values: Sequence[Any], name: Any) -> list[Any]:
    """Convert dates and times, with and without a zone, and text, to one type."""
    cells = as_ids(list(values))
    times = to_kind(cells, kind_of(cells), "date", "X", name, allows_words=False)
    return [None if time is None or time != time else np.datetime64(time, "us") for time in times]


def _counts(column: Any, name: Any) -> dict[Any, int]:
    """Count the rows of each category; missing values do not count."""
    dictionary = dictionary_of(column)
    if dictionary is not None:
        categories, places = dictionary
        number = np.bincount(places[places >= 0], minlength=len(categories)).tolist()
        pairs = zip(values_of(categories), number, strict=True)
        counts = {category: count for category, count in pairs if count}
    else:
        try:
            counts = Counter(values_of(column))
        except TypeError as error:
            raise _no_category(name, error) from error
    if not counts:
        return counts
    present = ~missing_ids(as_ids(list(counts)))
    return {one: counts[one] for one, is_present in zip(counts, present, strict=True) if is_present}


def _no_category(name: Any, error: TypeError) -> TypeError:
    # In scikit-learn's words, which its checks of estimators look for.
    return TypeError(
        f"Column {name!r} of X: the argument must be a string, a number or the like in each row "
        f"({error}). Convert the column, or drop it."
    )

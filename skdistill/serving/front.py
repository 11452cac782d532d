"""What the columns in front of a student hold, followed through the steps of a Pipeline.

A column is raw as long as no step has read it, then either a number or coded: a function of a
category's code, such as a one-hot column, of which only the values are stored. Steps on single
columns are applied to these values once and for all. Nothing is computed for rows here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.category_codes import MISSING
from skdistill.inputs.code_rows import CodeRows
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.serving.column_functions import Affine, ColumnFunction, Doubles, Fill
from skdistill.serving.distributions import Quantile


@dataclass(frozen=True, eq=False)
class Group:
    """A column of categories that is read as codes.

    Parameters
    ----------
    source : int
        Position of the column in the table.
    known : CategoryCodes or AcceptedCodes
        The codes of its categories.
    """

    source: int
    known: Any


@dataclass(frozen=True)
class Raw:
    """A column of the table that no step has read.

    Parameters
    ----------
    source : int
        Position of the column in the table.
    fill : tuple
        The value that takes the place of missing ones, if there is one.
    """

    source: int
    fill: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Input:
    """A number of a column of the table: the only one, or one of several of a date."""

    source: int
    place: int = 0


@dataclass(frozen=True)
class Sum:
    """An output of a linear map."""

    of: Linear
    place: int


@dataclass(frozen=True)
class Number:
    """A column of numbers: functions of an input, or of an output of a linear map."""

    root: Input | Sum
    functions: tuple[ColumnFunction, ...] = ()

    @property
    def depth(self) -> int:
        """Number of linear maps that come before it."""
        return self.root.of.depth if isinstance(self.root, Sum) else 0

    def then(self, function: ColumnFunction) -> Number:
        """Apply a function of one column."""
        before = self.functions
        if isinstance(function, Quantile):
            if before and isinstance(before[-1], Affine):
                merged = function.after(before[-1])
                if merged is not None:
                    function, before = merged, before[:-1]
            is_read = isinstance(self.root, Input) and all(isinstance(f, Fill) for f in before)
            function = replace(function, is_computed=not is_read)
        return Number(self.root, (*before, function))


@dataclass(frozen=True, eq=False)
class Coded:
    """A column that depends on the codes of a column of categories.

    Parameters
    ----------
    group : Group
        The column of categories.
    background : float
        Value of the codes that are not stored.
    codes : ndarray of shape (n_stored,), int64
        Stored codes, in the numbering of their group.
    values : ndarray of shape (n_stored,), float64
        Value of each.
    """

    group: Group
    background: float
    codes: NDArray[np.int64]
    values: Doubles


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear map of columns.

    Parameters
    ----------
    columns : list of Number or Coded
        Its inputs.
    weights : ndarray of shape (n_inputs, n_outputs), float64
    loses_digits : bool
        Whether large terms cancel each other out in an output.
    """

    columns: list[Number | Coded]
    weights: Any
    loses_digits: bool = False

    @property
    def depth(self) -> int:
        """Number of linear maps from the table to the outputs."""
        depths = [column.depth for column in self.columns if isinstance(column, Number)]
        return 1 + max(depths, default=0)

    @property
    def outputs(self) -> list[Number]:
        """Columns of the outputs."""
        return [Number(Sum(self, place)) for place in range(self.weights.shape[1])]


Column = Raw | Number | Coded


@dataclass
class Front:
    """The table in front of a student, and what the steps have read of it.

    Parameters
    ----------
    n_columns : int
        Number of columns of the table.
    names : tuple of str or None
        Their names.
    texts : frozenset of int
        Columns that do not hold numbers.
    kinds : dict of int to str
        Columns that are read as numbers, and their kind as a ``TableEncoder`` names it.
    groups : list of Group
        Columns that are read as codes.
    periods : dict of int to tuple of int
        Periods of the cyclic numbers of dates, as in a ``TableEncoder``.
    zoned : dict of int to (bool or None)
        Whether dates had a time zone in ``fit``, as in a ``TableEncoder``.
    """

    n_columns: int
    names: tuple[str, ...] | None
    texts: frozenset[int] = frozenset()
    kinds: dict[int, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    periods: dict[int, tuple[int, ...]] = field(default_factory=dict)
    zoned: dict[int, bool | None] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """All columns of the table."""
        return [Raw(source) for source in range(self.n_columns)]

    def numbers(self, columns: Sequence[Column], where: str) -> list[Number | Coded]:
        """Read raw columns as numbers."""
        return [self.number(column, "float", where) for column in columns]

    def number(self, column: Column, kind: str, where: str) -> Number | Coded:
        """Read a column as one number, or as times in seconds, unless a step has read it."""
        if not isinstance(column, Raw):
            return column
        if self.kinds.setdefault(column.source, kind) != kind:
            raise TypeError(
                f"{where} reads column {self.name(column.source)!r} as {kind}, and another step "
                f"as {self.kinds[column.source]}, which cannot be folded into a scorer."
            )
        number = Number(Input(column.source))
        if not column.fill:
            return number
        try:
            fill = np.array([float(column.fill[0])])
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{where} takes numbers, but missing values of column "
                f"{self.name(column.source)!r} are replaced by {column.fill[0]!r}."
            ) from error
        return number.then(Fill(fill))

    def cycles(self, column: Raw, periods: tuple[int, ...], had_zone: bool | None) -> list[Number]:
        """Read the cyclic numbers of a raw column of dates."""
        self.periods[column.source] = periods
        self.zoned[column.source] = had_zone
        return [Number(Input(column.source, 1 + place)) for place in range(2 * len(periods))]

    def name(self, source: int) -> Any:
        """Name of a column of the table; its position if it has none."""
        return source if self.names is None else self.names[source]

    def coded(self, column: Raw, known: Any, values: Any) -> list[Coded]:
        """Read a raw column as codes.

        Parameters
        ----------
        column : Raw
        known : CategoryCodes or AcceptedCodes
            The codes.
        values : sparse matrix of shape (n_codes, n_outputs), float64
            The values of the output columns for each code.

        Returns
        -------
        list of Coded
        """
        group = Group(column.source, known)
        self.groups.append(group)
        values = sparse.csc_array(values)
        if column.fill:
            (code,) = known.codes_of(list(column.fill), self.name(column.source))
            rows = np.arange(values.shape[0])
            rows[MISSING] = code
            values = sparse.csc_array(values.tocsr()[rows])
        # The last part, behind all columns, is empty.
        codes, stored = (
            np.split(array, values.indptr[1:])[:-1]
            for array in (values.indices.astype(np.int64), values.data)
        )
        return [Coded(group, 0.0, *entries) for entries in zip(codes, stored, strict=True)]

    def encoder(self) -> TableEncoder | None:
        """Make the encoder of the table; None if it is an array of numbers.

        It sorts ``groups`` by their columns. All columns of an array are read.
        """
        if self.names is None:
            if not self.groups and set(self.kinds.values()) <= {"float"}:
                return None
            both = {group.source for group in self.groups} & set(self.kinds)
            if both or len(self.groups) > len({group.source for group in self.groups}):
                raise TypeError(
                    f"The Pipeline reads columns {sorted(both)} of an array both as numbers and as "
                    "categories, or twice as categories, which cannot be folded into a scorer. Fit "
                    "it on a data frame."
                )
        self.groups.sort(key=lambda group: group.source)
        of_source: list[list[Group]] = [[] for _ in range(self.n_columns)]
        for group in self.groups:
            of_source[group.source].append(group)
        kinds: list[str] = []
        names: list[str] = []
        periods: list[tuple[int, ...]] = []
        zoned: list[bool | None] = []
        for source, groups in enumerate(of_source):
            here = [self.kinds[source]] if source in self.kinds else []
            if self.names is None and not groups:
                here = [self.kinds.get(source, "float")]
            periods += [self.periods.get(source, ())] * len(here)
            zoned += [self.zoned.get(source)] * len(here)
            here += ["category"] * len(groups)
            periods += [()] * len(groups)
            zoned += [None] * len(groups)
            kinds += here
            names += [self.name(source)] * len(here)
        known = tuple(group.known for group in self.groups)
        shown = None if self.names is None else tuple(names)
        return TableEncoder(tuple(kinds), shown, known, tuple(periods), tuple(zoned))

    def inputs(self) -> list[Input]:
        """Numbers of the table that are read, in the order of the encoder."""
        if self.names is not None:
            sources = sorted(self.kinds)
        else:
            coded = {group.source for group in self.groups}
            sources = [source for source in range(self.n_columns) if source not in coded]
        return [
            Input(source, place)
            for source in sources
            for place in range(1 + 2 * len(self.periods.get(source, ())))
        ]


def applied(function: ColumnFunction, columns: Sequence[Number | Coded]) -> list[Number | Coded]:
    """Apply a function of all columns: its values for codes are computed at once."""
    is_coded = np.array([isinstance(column, Coded) for column in columns], dtype=bool)
    changed: list[Any] = [
        None if isinstance(column, Coded) else column.then(function.take(np.array([place])))
        for place, column in enumerate(columns)
    ]
    places = np.flatnonzero(is_coded)
    if not len(places):
        return changed
    coded: list[Any] = [columns[place] for place in places.tolist()]
    sizes = [len(column.codes) for column in coded]
    values = np.concatenate([column.values for column in coded])
    background = np.array([column.background for column in coded])
    values = function.take(np.repeat(places, sizes)).exact(values[None])[0]
    background = function.take(places).exact(background[None])[0]
    parts = np.split(values, np.cumsum(sizes)[:-1])
    for place, column, first, rest in zip(places, coded, background, parts, strict=True):
        changed[place] = replace(column, background=float(first), values=rest)
    return changed


def expanded(columns: Sequence[Number | Coded]) -> list[Number]:
    """Replace coded columns by columns of numbers."""
    coded: list[Number | Coded] = [column for column in columns if isinstance(column, Coded)]
    dense = iter(Linear(coded, np.eye(len(coded))).outputs)
    return [next(dense) if isinstance(column, Coded) else column for column in columns]


@dataclass(frozen=True)
class CodeNumbering:
    """The codes of all groups, one group after the other.

    Parameters
    ----------
    groups : tuple of Group
    """

    groups: tuple[Group, ...]

    @property
    def sizes(self) -> list[int]:
        """Number of codes of each group."""
        return [group.known.n_codes for group in self.groups]

    def rows(self, columns: Sequence[Coded], places: Sequence[int], n_columns: int) -> CodeRows:
        """Collect the values of coded columns for each code.

        Parameters
        ----------
        columns : list of Coded
        places : list of int
            Position of each among all columns.
        n_columns : int
            Number of all columns.
        """
        starts = np.cumsum([0, *self.sizes])
        place_of_group = {id(group): place for place, group in enumerate(self.groups)}
        background, group = np.zeros(n_columns), np.zeros(n_columns, dtype=np.int64)
        of_columns = np.array([place_of_group[id(column.group)] for column in columns], np.int64)
        group[list(places)] = of_columns
        background[list(places)] = [column.background for column in columns]
        sizes = [len(column.codes) for column in columns]
        place = np.repeat(np.asarray(places, dtype=np.int64), sizes)
        code = np.concatenate([np.empty(0, np.int64), *(column.codes for column in columns)])
        code = code + np.repeat(starts[of_columns], sizes)
        value = np.concatenate([np.empty(0), *(column.values for column in columns)])
        deviation = sparse.csr_array(
            (value - background[place], (code, place)), shape=(int(starts[-1]), n_columns)
        )
        group_of_code = np.repeat(np.arange(len(self.groups)), self.sizes)
        refused = [
            start + code
            for start, one in zip(starts.tolist(), self.groups, strict=False)
            for code in sorted(getattr(one.known, "refused", ()))
        ]
        return CodeRows(
            deviation, background, group, group_of_code, np.array(refused, dtype=np.int64)
        )

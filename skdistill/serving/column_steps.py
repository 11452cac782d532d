"""Steps of a Pipeline on columns of numbers, as plain arrays: pick, transform, project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.mixed_table import MixedTable
from skdistill.serving.column_functions import ColumnFunction, Doubles, Fill, Floats
from skdistill.serving.onnx_graph import ONNX_DOUBLE, ONNX_FLOAT, Graph, with_codes, without_codes


class Step(Protocol):
    """A transformation of columns. A :class:`ColumnFunction` of all columns is one."""

    @property
    def fills_missing(self) -> bool:
        """Whether the step accepts NaN and fills it in."""

    @property
    def reads_codes(self) -> bool:
        """Whether ``apply`` takes a table with the codes of categories, if there are any."""

    @property
    def loses_digits(self) -> bool:
        """Whether the outputs in float32 are too coarse."""

    @property
    def far_origin(self) -> Doubles | None:
        """Where the step centres columns that lie far from 0; 0 for the others."""

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Follow columns through the step: what each output holds of them, -1 if nothing."""

    def after_centring(self, shift: Doubles) -> tuple[Step, Doubles]:
        """Make the step that does the same to columns from which ``shift`` was subtracted.

        Returns
        -------
        step : Step
        shift : ndarray of shape (n_outputs,)
            What is missing from the outputs of that step.
        """

    def n_outputs(self, n_inputs: int) -> int:
        """Number of output columns for a number of input columns."""

    def apply(self, X: Any, out: Floats) -> Floats:
        """Transform a block of rows into ``out``, and return it."""

    def exact(self, X: Any) -> Doubles:
        """Transform a block of rows in float64."""

    def add_to_graph(self, graph: Graph, X: str) -> str:
        """Add the same transformation as ONNX operators; return the name of their output."""


@dataclass(frozen=True)
class Pick:
    """Select columns.

    Parameters
    ----------
    columns : ndarray of shape (n_picked,), int64
        Positions of the columns.
    """

    columns: NDArray[np.int64]
    fills_missing: ClassVar[bool] = False
    reads_codes: ClassVar[bool] = False
    loses_digits: ClassVar[bool] = False
    far_origin: ClassVar[None] = None

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return columns[self.columns]

    def after_centring(self, shift: Doubles) -> tuple[Pick, Doubles]:
        return self, shift[self.columns]

    def n_outputs(self, n_inputs: int) -> int:
        return len(self.columns)

    def apply(self, X: Floats, out: Floats) -> Floats:
        return np.take(X, self.columns, axis=1, out=out, mode="clip")

    def exact(self, X: Doubles) -> Doubles:
        return X[:, self.columns]

    def add_to_graph(self, graph: Graph, X: str) -> str:
        columns = graph.constant(self.columns)
        if 2 * len(self.columns) <= self.columns.max(initial=0):
            return graph.add("Gather", X, columns, axis=1)
        # ONNX Runtime copies cell by cell along a row, but whole rows of the transposed table. With
        # both transpositions, that takes a fifth of the time unless few of many columns are read.
        picked = graph.add("Gather", graph.add("Transpose", X, perm=[1, 0]), columns, axis=0)
        return graph.add("Transpose", picked, perm=[1, 0])


@dataclass(frozen=True)
class Impute:
    """Fill in NaN, and append missing-value indicators of some columns.

    Parameters
    ----------
    fill : Fill
        Replaces NaN in all columns.
    indicated : ndarray of shape (n_indicated,), int64
        Positions of the columns with an indicator.
    """

    fill: Fill
    indicated: NDArray[np.int64]
    fills_missing: ClassVar[bool] = True
    reads_codes: ClassVar[bool] = False
    loses_digits: ClassVar[bool] = False
    far_origin: ClassVar[None] = None

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.append(columns, np.full(len(self.indicated), -1))

    def after_centring(self, shift: Doubles) -> tuple[Impute, Doubles]:
        missing = np.append(shift, np.zeros(len(self.indicated)))
        return Impute(self.fill.on_centred(shift), self.indicated), missing

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs + len(self.indicated)

    def apply(self, X: Any, out: Any) -> Any:
        missing = np.isnan(X)
        n_columns = X.shape[1]
        out[:, :n_columns] = X
        np.copyto(out[:, :n_columns], self.fill.fill, where=missing, casting="same_kind")
        out[:, n_columns:] = missing[:, self.indicated]
        return out

    def exact(self, X: Doubles) -> Doubles:
        return self.apply(X, np.empty((len(X), self.n_outputs(X.shape[1]))))

    def add_to_graph(self, graph: Graph, X: str) -> str:
        missing = graph.add("IsNaN", X)
        filled = graph.add("Where", missing, graph.constant(self.fill.fill), X)
        indicated = graph.add("Gather", missing, graph.constant(self.indicated), axis=1)
        return graph.add("Concat", filled, graph.rounded(indicated), axis=1)


@dataclass(frozen=True)
class OnColumns:
    """Apply a function to some columns; the others stay.

    Parameters
    ----------
    function : ColumnFunction
        A function of ``n_chosen`` columns.
    columns : ndarray of shape (n_chosen,), int64
        Positions of the columns, in ascending order.
    n_columns : int
        Number of all columns.
    """

    function: ColumnFunction
    columns: NDArray[np.int64]
    n_columns: int
    reads_codes: ClassVar[bool] = False

    @property
    def loses_digits(self) -> bool:
        return self.function.loses_digits

    @property
    def fills_missing(self) -> bool:
        return self.function.fills_missing

    @property
    def far_origin(self) -> Doubles | None:
        far = self.function.far_origin
        if far is None:
            return None
        origin = np.zeros(self.n_columns)
        origin[self.columns] = far
        return origin

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        followed = columns.copy()
        followed[self.columns] = self.function.sources(columns[self.columns])
        return followed

    def after_centring(self, shift: Doubles) -> tuple[OnColumns, Doubles]:
        function, rest = self.function.after_centring(shift[self.columns])
        missing = shift.copy()
        missing[self.columns] = rest
        return OnColumns(function, self.columns, self.n_columns), missing

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    @cached_property
    def _where(self) -> Any:
        """The columns as a slice, if they stand side by side."""
        start, stop = int(self.columns[0]), int(self.columns[-1]) + 1
        return slice(start, stop) if stop - start == len(self.columns) else self.columns

    def apply(self, X: Floats, out: Floats) -> Floats:
        out[...] = X
        chosen = out[:, self._where]
        self.function.apply(chosen, chosen)
        if not isinstance(self._where, slice):
            out[:, self._where] = chosen
        return out

    def exact(self, X: Doubles) -> Doubles:
        out = X.copy()
        out[:, self.columns] = self.function.exact(X[:, self.columns])
        return out

    def add_to_graph(self, graph: Graph, X: str) -> str:
        chosen = graph.add("Gather", X, graph.constant(self.columns), axis=1)
        both = graph.add("Concat", X, self.function.add_to_graph(graph, chosen), axis=1)
        place = np.arange(self.n_columns)
        place[self.columns] = self.n_columns + np.arange(len(self.columns))
        return graph.add("Gather", both, graph.constant(place), axis=1)


@dataclass(frozen=True)
class Projection:
    """Weighted sums of columns and of what the codes of categories select.

    Parameters
    ----------
    columns : ndarray of shape (n_chosen,), int64
        Positions of the columns that are multiplied.
    weights : ndarray of shape (n_chosen + n_codes, n_outputs), float64
        Weights of these columns, and of each code. Without codes, the sums depend on numbers alone.
    loses_digits : bool
        Whether large terms cancel each other out in a sum.
    """

    columns: NDArray[np.int64]
    weights: Doubles
    loses_digits: bool

    @property
    def _reads_codes(self) -> bool:
        return len(self.weights) > len(self.columns)

    @cached_property
    def _rounded(self) -> Floats:
        return np.ascontiguousarray(self.weights, dtype=np.float32)

    def of(self, X: Any) -> NDArray[Any]:
        """Compute the sums, in the precision of the numbers."""
        numbers = X.numbers if isinstance(X, MixedTable) else X
        chosen = numbers[:, self.columns]
        if self._reads_codes:
            chosen = X.with_numbers(chosen)
        return chosen @ (self._rounded if numbers.dtype == np.float32 else self.weights)

    def add_to_graph(self, graph: Graph, X: str) -> str:
        """Add the sums as ONNX operators; return their name."""
        chosen = graph.add("Gather", without_codes(X), graph.constant(self.columns), axis=1)
        if self._reads_codes:
            chosen = with_codes(chosen, X)
        return graph.dot(chosen, self.weights)


@dataclass(frozen=True)
class Project:
    """Keep some columns, and append weighted sums of columns and codes.

    Parameters
    ----------
    kept : ndarray of shape (n_kept,), int64
        Positions of the columns that come first.
    projections : tuple of Projection
        The sums that follow.
    """

    kept: NDArray[np.int64]
    projections: tuple[Projection, ...]
    fills_missing: ClassVar[bool] = False
    reads_codes: ClassVar[bool] = True
    far_origin: ClassVar[None] = None

    @property
    def loses_digits(self) -> bool:
        return any(one.loses_digits for one in self.projections)

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        n_sums = self.n_outputs(0) - len(self.kept)
        return np.append(columns[self.kept], np.full(n_sums, -1))

    def after_centring(self, shift: Doubles) -> tuple[Project, Doubles]:
        sums = [shift[one.columns] @ one.weights[: len(one.columns)] for one in self.projections]
        return self, np.concatenate([shift[self.kept], *sums])

    def n_outputs(self, n_inputs: int) -> int:
        return len(self.kept) + sum(one.weights.shape[1] for one in self.projections)

    def apply(self, X: Any, out: Any) -> Any:
        numbers = X.numbers if isinstance(X, MixedTable) else X
        start = len(self.kept)
        out[:, :start] = numbers[:, self.kept]
        for one in self.projections:
            stop = start + one.weights.shape[1]
            out[:, start:stop] = one.of(X)
            start = stop
        return out

    def exact(self, X: Any) -> Doubles:
        return self.apply(X, np.empty((len(X), self.n_outputs(0))))

    def add_to_graph(self, graph: Graph, X: str) -> str:
        sums = [one.add_to_graph(graph, X) for one in self.projections]
        if not len(self.kept):
            return sums[0] if len(sums) == 1 else graph.add("Concat", *sums, axis=1)
        kept = graph.add("Gather", without_codes(X), graph.constant(self.kept), axis=1)
        return graph.add("Concat", kept, *sums, axis=1)


@dataclass(frozen=True)
class InFloat64:
    """Steps whose results would be too coarse if they were computed in float32.

    Parameters
    ----------
    origin : ndarray of shape (n_columns,), float64
        Subtracted from the columns before the first step.
    steps : tuple of Step
    """

    origin: Doubles
    steps: tuple[Step, ...]
    reads_codes: ClassVar[bool] = True
    loses_digits: ClassVar[bool] = False
    far_origin: ClassVar[None] = None

    @property
    def fills_missing(self) -> bool:
        return any(step.fills_missing for step in self.steps)

    def sources(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.full(self.n_outputs(len(columns)), -1)

    def after_centring(self, shift: Doubles) -> tuple[InFloat64, Doubles]:
        centred = InFloat64(self.origin - shift, self.steps)
        return centred, np.zeros(self.n_outputs(len(shift)))

    def n_outputs(self, n_inputs: int) -> int:
        for step in self.steps:
            n_inputs = step.n_outputs(n_inputs)
        return n_inputs

    def apply(self, X: Any, out: Floats) -> Floats:
        out[...] = self.exact(X)
        return out

    def exact(self, X: Any) -> Doubles:
        is_mixed = isinstance(X, MixedTable)
        block = (X.numbers if is_mixed else X) - self.origin
        for step in self.steps:
            block = step.exact(X.with_numbers(block) if is_mixed and step.reads_codes else block)
        return block

    def add_to_graph(self, graph: Graph, X: str) -> str:
        codes = X
        graph.precision = np.float64
        block = graph.add("Cast", without_codes(X), to=ONNX_DOUBLE)
        block = graph.add("Sub", block, graph.constant(self.origin))
        for step in self.steps:
            block = step.add_to_graph(
                graph, with_codes(block, codes) if step.reads_codes else block
            )
        graph.precision = np.float32
        return graph.add("Cast", block, to=ONNX_FLOAT)

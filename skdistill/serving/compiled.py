"""compile_scorer: turn a fitted model into plain arrays that many threads can score with."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import column_names
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.rows import BLOCK_ROWS
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.public_names import set_module
from skdistill.serving.column_steps import Project
from skdistill.serving.decomposition import decompose
from skdistill.serving.served import Net, Served
from skdistill.threads import ThreadPool, single_blas_thread

Floats = NDArray[np.float32]

Rows = NDArray[np.float32] | NDArray[np.float64]

Codes = NDArray[np.int32]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
ENGINES = ("auto", "numpy", "onnxruntime")
# Bytes of activations per call of NumPy in a thread: as much as fits in a second-level cache.
# With less, threads spend most of their time waiting for the interpreter's lock.
THREAD_BYTES = 1 << 20
# Pieces of a large table per thread: enough that threads finish at about the same time.
PIECES = 4


class Engine(Protocol):
    """Scores a C-contiguous table without checking it.

    The table is float32. It may be float64 if a net has an origin.
    """

    name: str
    n_rows: int

    def few(self, X: Rows) -> Floats:
        """Score at most ``n_rows`` rows into a new array."""

    def score(self, X: Rows, out: Floats) -> None:
        """Score rows into ``out``. Safe to call from several threads at once."""


@set_module("skdistill.serving")
def compile_scorer(
    model: Any, engine: str = "auto", *, n_threads: int | None = 1
) -> CompiledScorer:
    """Compile a fitted model into an immutable scorer for a service or a batch job.

    The steps of a Pipeline, the student's scaler and its biases are folded into a few arrays. A
    scorer skips the checks of ``predict``: its input must be float32 or float64, C-contiguous, and
    finite unless the model imputes NaN. Float32 is faster; columns of large numbers with a small
    spread, such as times, need float64.

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline that ends in either, or TwoTowerRetriever
        A fitted model. Of a :class:`DistilledRanker`, the student is compiled, and rows have the
        student's columns. Of a retriever, both towers are compiled, and rows are pairs of numeric
        columns.
    engine : {"auto", "numpy", "onnxruntime"}, default="auto"
        "auto" takes ONNX Runtime if it is installed (extra ``onnx``), the model can be exported and
        it reads no categories, otherwise NumPy. The attribute ``engine`` of the scorer says which
        one it is.
    n_threads : int or None, default=1
        Number of threads over blocks of rows, each with one BLAS thread. None takes one thread per
        core.

    Returns
    -------
    CompiledScorer

    Raises
    ------
    TypeError
        If the model, or a step of the Pipeline, cannot be folded.
    ValueError
        If ``engine`` or ``n_threads`` is invalid.
    NotFittedError
        If the model is not fitted.
    ImportError
        If ``engine="onnxruntime"`` and ONNX Runtime is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import compile_scorer
    >>> from skdistill.students import MLPRanker
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> student = MLPRanker((8,), random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> scorer = compile_scorer(student)
    >>> bool(np.allclose(scorer(data.X), student.predict(data.X), atol=1e-5))
    True
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {list(ENGINES)}, got {engine!r}.")
    if n_threads is None:
        n_threads = os.cpu_count() or 1
    if n_threads < 1:
        raise ValueError(f"n_threads must be 1 or more, or None, got {n_threads}.")
    served = decompose(model)
    return CompiledScorer(served, _make_engine(served, engine, n_threads > 1), n_threads)


def _make_engine(served: Served, engine: str, in_threads: bool) -> Engine:
    if engine == "numpy":
        return NumpyEngine(served, in_threads)
    from skdistill.serving.onnx_engine import OnnxEngine

    if engine == "onnxruntime":
        return OnnxEngine(served, in_threads)
    # NumPy gathers the weights of categories twice as fast.
    reads_categories = any(net.n_codes for net in served.nets)
    if not reads_categories and find_spec("onnxruntime") and find_spec("onnx"):
        # NumPy serves models without an ONNX form.
        with suppress(TypeError):
            return OnnxEngine(served, in_threads)
    return NumpyEngine(served, in_threads)


@set_module("skdistill.serving")
class CompiledScorer:
    """An immutable scorer: call it with rows, from any number of threads.

    Scorers are made by :func:`compile_scorer`. They can be pickled, and sent to other processes. A
    forked process, such as a worker of a server that loads the model first, may use them as they
    are: threads and sessions are started anew.

    Parameters
    ----------
    served : Served
        The decomposed model.
    engine : Engine
        Computes the scores.
    n_threads : int
        Number of threads over blocks of rows.

    Attributes
    ----------
    n_features : int
        Number of columns of numbers of a row.
    n_codes : int
        Number of codes of categories; 0 if the model reads no categories.
    feature_names : tuple of str or None
        Names of all columns, if the model was fitted with names.
    allows_missing : bool
        Whether rows may contain NaN, which the model imputes.
    needs_float64 : bool
        Whether a column lies so far from 0 that float32 rows may lose its differences.
    engine : {"numpy", "onnxruntime"}
        Name of the engine.
    n_threads : int
        Number of threads over blocks of rows.
    """

    __slots__ = (
        *("_engine", "_pool", "_served", "feature_names"),
        *("n_codes", "n_features", "needs_float64", "n_threads"),
    )

    _engine: Engine
    _pool: ThreadPool | None
    _served: Served
    feature_names: tuple[str, ...] | None
    n_codes: int
    n_features: int
    n_threads: int
    needs_float64: bool

    def __init__(self, served: Served, engine: Engine, n_threads: int) -> None:
        assign = object.__setattr__
        assign(self, "_served", served)
        assign(self, "_engine", engine)
        assign(self, "n_features", served.nets[0].n_features)
        assign(self, "n_codes", served.nets[0].n_codes)
        assign(self, "needs_float64", any(net.origin is not None for net in served.nets))
        assign(self, "feature_names", served.feature_names)
        assign(self, "n_threads", n_threads)
        assign(self, "_pool", ThreadPool(n_threads) if n_threads > 1 else None)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"A compiled scorer is immutable: {name} cannot be set. Compile another one."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledScorer, (self._served, self._engine, self.n_threads)

    def __repr__(self) -> str:
        return (
            f"CompiledScorer(n_features={self.n_features}, engine={self.engine!r}, "
            f"n_threads={self.n_threads})"
        )

    @property
    def allows_missing(self) -> bool:
        """Whether rows may contain NaN."""
        return all(net.allows_missing for net in self._served.nets)

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self._engine.name

    def __call__(self, X: Any, codes: Codes | None = None) -> Floats:
        """Score rows; higher is better.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), float32 or float64, C-contiguous, or data frame
            Rows to score. The values of an array are not checked: a row with NaN gets an arbitrary
            score unless ``allows_missing``. The columns of a data frame are found by name.
        codes : ndarray of shape (n_rows, n_categorical), int32, optional
            Codes of the categories, as ``encode`` returns them. Required besides an array if the
            model reads categories.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row.

        Raises
        ------
        ValueError
            If X is not a C-contiguous array of floats with ``n_features`` columns, if a column is
            missing or holds something else than in ``fit``, or if codes are missing or invalid.
        """
        return self._scores(self._checked(X, codes))

    def _scores(self, X: Any) -> Floats:
        if 0 < len(X) <= self._engine.n_rows:
            return self._engine.few(X)
        out = np.empty(len(X), dtype=np.float32)
        self._score(X, out)
        return out

    def into(self, X: Any, out: Floats, codes: Codes | None = None) -> Floats:
        """Score rows into an existing array.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features), float32 or float64, or data frame
            Rows to score, as in a call.
        out : ndarray of shape (n_rows,), float32, C-contiguous
            Receives the scores.
        codes : ndarray of shape (n_rows, n_categorical), int32, optional
            Codes of the categories, as in a call.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            The array ``out``.

        Raises
        ------
        ValueError
            If an array has the wrong shape, dtype or memory layout, or a column is invalid.
        """
        X = self._checked(X, codes)
        if out.shape != (len(X),) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(
                f"out must be C-contiguous float32 of shape ({len(X)},), got {out.dtype} of shape "
                f"{out.shape}. Make it by np.empty(len(X), dtype=np.float32)."
            )
        self._score(X, out)
        return out

    def encode(self, frame: Any) -> tuple[Rows, Codes]:
        """Read a data frame as the two arrays that a call takes.

        Parameters
        ----------
        frame : data frame of shape (n_rows, n_columns)
            The columns of ``fit``, in any order; further ones are ignored.

        Returns
        -------
        numbers : ndarray of shape (n_rows, n_features), float32, or float64 if ``needs_float64``
            Numbers, and times in seconds since 1970; NaN where they are missing.
        codes : ndarray of shape (n_rows, n_categorical), int32
            Codes of the categories.

        Raises
        ------
        TypeError, ValueError
            If a column is missing or holds something else than in ``fit``.
        """
        table = self._rounded(self._encoder().transform(frame))
        if isinstance(table, MixedTable):
            return table.numbers, table.codes
        return table, np.empty((len(table), 0), dtype=np.int32)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """Score rows that are dictionaries, such as those of a request.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column, None where they are missing. Further keys are ignored.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row.

        Raises
        ------
        TypeError, ValueError
            If a row lacks a column, or a column holds something else than in ``fit``.
        """
        return self._scores(self._rounded(self._encoder().read_rows(rows)))

    def _encoder(self) -> TableEncoder:
        encoder = self._served.encoder
        if encoder is None:
            raise ValueError(
                "The model was fitted on an array, whose columns have no names. Pass an array, or "
                "fit the model on a data frame."
            )
        return encoder

    def _rounded(self, table: Any) -> Any:
        """Convert the numbers of a table to the precision that the model needs."""
        return table.astype(FLOAT64 if self.needs_float64 else FLOAT32, copy=False)

    def _checked(self, X: Any, codes: Codes | None = None) -> Any:
        """Check rows, and round float64 to float32 unless a net needs the digits."""
        is_table = (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.shape[1] == self.n_features
            and X.flags.c_contiguous
        )
        if is_table and codes is None and not self.n_codes:
            if X.dtype == FLOAT32:
                return X
            if X.dtype == FLOAT64:
                return X if self.needs_float64 else X.astype(np.float32)
        elif is_table and codes is not None and X.dtype in (FLOAT32, FLOAT64):
            X = X if self.needs_float64 else X.astype(np.float32, copy=False)
            return self._with_codes(X, codes)
        if column_names(X) is not None and codes is None:
            return self._rounded(self._encoder().transform(X))
        raise self._unfit(X, codes)

    def _with_codes(self, X: Rows, codes: Codes) -> Any:
        """Join numbers and codes, which must be in range: they are addresses in memory."""
        n_categorical = 0 if self._served.encoder is None else len(self._served.encoder.categories)
        if type(codes) is not np.ndarray or codes.shape != (len(X), n_categorical):
            raise self._unfit(X, codes)
        if not n_categorical:
            return X
        if codes.dtype.kind not in "iu" or (
            codes.size and not (codes.min() >= 0 and codes.max() < self.n_codes)
        ):
            raise ValueError(
                f"codes must be integers from 0 to {self.n_codes - 1}, as scorer.encode returns "
                "them."
            )
        return MixedTable(X, np.ascontiguousarray(codes, dtype=np.int32), self.n_codes)

    def _unfit(self, X: Any, codes: Any) -> ValueError:
        """Make the error about rows that cannot be scored."""
        if self.n_codes and codes is None and isinstance(X, np.ndarray):
            return ValueError(
                "The model reads categories, which an array of numbers does not hold. Pass a data "
                "frame, dictionaries to scorer.rows, or both arrays that scorer.encode returns."
            )
        shown = f"{X.dtype} of shape {X.shape}" if hasattr(X, "dtype") else type(X).__name__
        if codes is not None:
            shown += f" and codes of shape {np.shape(codes)}"
        return ValueError(
            f"A compiled scorer takes a C-contiguous float32 or float64 array of shape "
            f"(n_rows, {self.n_features}), got {shown}. Convert it by np.ascontiguousarray(X, "
            "dtype=np.float32)."
        )

    def _score(self, X: Rows, out: Floats) -> None:
        at_once = self._engine.n_rows
        n_blocks = -(-len(X) // at_once)
        if self._pool is None or n_blocks < 2:
            self._engine.score(X, out)
            return
        n_pieces = min(n_blocks, PIECES * self.n_threads)
        # Whole blocks, so that a row's score does not depend on the number of threads.
        ends = at_once * (np.arange(n_pieces + 1) * n_blocks // n_pieces)
        with single_blas_thread:
            pieces = [
                self._pool.submit(self._engine.score, X[start:stop], out[start:stop])
                for start, stop in pairwise(ends)
            ]
            for piece in pieces:
                piece.result()


class NumpyEngine:
    """Scores blocks of rows by plain NumPy, in buffers that each thread keeps."""

    name = "numpy"

    def __init__(self, served: Served, in_threads: bool = False) -> None:
        self.served = served
        self.in_threads = in_threads
        # If one net centres float64 columns, the others cast them by subtracting 0.
        centres = any(net.origin is not None for net in served.nets)
        self.nets = tuple(FoldedNet(net, in_threads, centres) for net in served.nets)
        self.n_rows = min(net.n_rows for net in self.nets)

    def __reduce__(self) -> tuple[Any, ...]:
        return NumpyEngine, (self.served, self.in_threads)

    def few(self, X: Rows) -> Floats:
        if len(X) <= BLOCK_ROWS:
            return self._scores(X).copy()
        out = np.empty(len(X), dtype=np.float32)
        self.score(X, out)
        return out

    def score(self, X: Rows, out: Floats) -> None:
        # As many blocks at once as fit the buffers, then single blocks; the last may be shorter.
        stop = len(X) // self.n_rows * self.n_rows
        for start, end in pairwise(
            (*range(0, stop, self.n_rows), *range(stop, len(X), BLOCK_ROWS), len(X))
        ):
            out[start:end] = self._scores(X[start:end])

    def _scores(self, block: Rows) -> Floats:
        """Score one or several blocks; the result may be a buffer of this thread."""
        return self.served.scores([net.outputs(block) for net in self.nets], block)


class FoldedNet:
    """A net folded for scoring, with buffers for each thread."""

    def __init__(self, net: Net, in_threads: bool, centres: bool) -> None:
        self.steps = net.steps
        self.model = net.model
        self.n_codes = net.n_codes
        self.model_reads_codes = net.n_codes > 0 and net.model_reads_codes
        self.origin = None
        if centres:
            origin = np.zeros(net.n_features) if net.origin is None else net.origin
            self.origin = {dtype: origin.astype(dtype) for dtype in (FLOAT32, FLOAT64)}
        self.scaler = net.scaler.for_scoring()
        self.folded = net.model.fold(net.params, self.scaler)
        for array in self.folded.values():
            array.flags.writeable = False
        widths = net.step_widths
        n_columns = self.scaler.n_outputs
        n_centred = net.n_features if centres else 0
        self.widths = (*widths, n_columns, *net.model.buffer_widths, n_centred)
        n_floats = sum(widths) + sum(net.model.buffer_widths)
        needs_buffer = self.scaler.applies_softsign or self.scaler.flagged is not None
        n_floats += n_columns if needs_buffer else 0
        n_bytes = 4 * BLOCK_ROWS * (n_floats + n_centred)
        self.n_rows = BLOCK_ROWS * max(1, THREAD_BYTES // n_bytes if in_threads else 1)
        self.local = threading.local()

    def outputs(self, block: Any) -> Floats:
        """Outputs of the model for a block; the thread's next call overwrites them."""
        n_steps = len(self.steps)
        buffers = self._buffers(len(block))
        mixed = block
        if self.n_codes:
            block = mixed.numbers
        if self.origin is not None:
            origin = self.origin[block.dtype]
            block = np.subtract(block, origin, out=buffers[-1], casting="same_kind")
        for step, buffer in zip(self.steps, buffers, strict=False):
            if self.n_codes and isinstance(step, Project):
                block = mixed.with_numbers(block)
            block = step.apply(block, buffer)
        block = self.scaler.softsign(block, buffers[n_steps])
        if self.model_reads_codes:
            block = mixed.with_numbers(block)
        return self.model.score(self.folded, block, buffers[n_steps + 1 :])

    def _buffers(self, n_rows: int) -> list[Floats]:
        local = self.local
        if getattr(local, "n_rows", None) != n_rows:
            if not hasattr(local, "full"):
                local.full = [np.empty((self.n_rows, width), np.float32) for width in self.widths]
            local.views = [buffer[:n_rows] for buffer in local.full]
            local.n_rows = n_rows
        return local.views

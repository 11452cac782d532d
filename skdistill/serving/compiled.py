"""compile_scorer: turn a fitted model into plain arrays that many threads can score with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.calibration import ProbabilityMap
from skdistill.inputs.mixed_table import MixedTable
from skdistill.public_names import set_module
from skdistill.serving.decomposition import decompose
from skdistill.serving.engines import Engine, make_engine
from skdistill.serving.probabilities import NO_PROBABILITIES, probability_map_of
from skdistill.serving.scorer_input import FLOAT32, Codes, Rows, ScorerInput
from skdistill.serving.served import Served
from skdistill.threads import ThreadPool, single_blas_thread

Floats = NDArray[np.float32]

# Pieces of a large table per thread: enough that threads finish at about the same time.
PIECES = 4


@set_module("skdistill.serving")
def compile_scorer(
    model: Any, engine: str = "auto", *, n_threads: int | None = 1
) -> CompiledScorer:
    """Compile a fitted model into an immutable scorer for a service or a batch job.

    The steps of a Pipeline, the student's scaler and its biases are folded into a few arrays; the
    page "Serving" lists the steps. A scorer skips the checks of ``predict``: its input must be
    float32 or float64, C-contiguous, and finite unless the model imputes NaN. Float32 is faster;
    columns of large numbers with a small spread, such as times, need float64.

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline that ends in either, or TwoTowerRetriever
        A fitted model. Of a :class:`DistilledRanker`, the student is compiled, and rows have the
        student's columns. Of a retriever, both towers are compiled, and rows are pairs.
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
    if n_threads is None:
        n_threads = os.cpu_count() or 1
    if n_threads < 1:
        raise ValueError(f"n_threads must be 1 or more, or None, got {n_threads}.")
    served = decompose(model)
    return CompiledScorer(
        served, make_engine(served, engine, n_threads > 1), n_threads, probability_map_of(model)
    )


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
    probability_map : callable, optional
        Turns scores into probabilities, if the model has any.

    Attributes
    ----------
    n_features : int
        Number of numbers of a row. A date becomes up to five: the time, then sine and cosine of
        the time of day and of the day of the week.
    n_codes : int
        Number of codes of categories; 0 if the model reads no categories.
    feature_names : tuple of str or None
        Names of the columns that are read, if the model was fitted with names.
    kinds : tuple of (str or None)
        Kind of values in each column, such as "float", "text", "integer" or "date".
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
        *("_engine", "_pool", "_probability_map", "_reader", "_served", "feature_names"),
        *("n_codes", "n_features", "needs_float64", "n_threads"),
    )

    _engine: Engine
    _pool: ThreadPool | None
    _probability_map: ProbabilityMap | None
    _reader: ScorerInput
    _served: Served
    feature_names: tuple[str, ...] | None
    n_codes: int
    n_features: int
    n_threads: int
    needs_float64: bool

    def __init__(
        self,
        served: Served,
        engine: Engine,
        n_threads: int,
        probability_map: ProbabilityMap | None = None,
    ) -> None:
        assign = object.__setattr__
        assign(self, "_served", served)
        assign(self, "_probability_map", probability_map)
        assign(self, "_engine", engine)
        reader = ScorerInput.of(served)
        assign(self, "_reader", reader)
        assign(self, "n_features", reader.n_features)
        assign(self, "n_codes", reader.n_codes)
        assign(self, "needs_float64", reader.needs_float64)
        assign(self, "feature_names", served.feature_names)
        assign(self, "n_threads", n_threads)
        assign(self, "_pool", ThreadPool(n_threads) if n_threads > 1 else None)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"A compiled scorer is immutable: {name} cannot be set. Compile another one."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self._served, self._engine, self.n_threads, self._probability_map
        return CompiledScorer, parts

    def __repr__(self) -> str:
        return (
            f"CompiledScorer(n_columns={len(self.kinds)}, engine={self.engine!r}, "
            f"n_threads={self.n_threads})"
        )

    @property
    def allows_missing(self) -> bool:
        """Whether rows may contain NaN."""
        return all(net.allows_missing for net in self._served.nets)

    @property
    def kinds(self) -> tuple[str | None, ...]:
        """Kind of values in each column."""
        encoder = self._served.encoder
        if encoder is None:
            return ("float",) * self.n_features
        if encoder.names is None or self.feature_names is None:
            return tuple(encoder.column_kinds)
        # A Pipeline may read a column as a number and as a category.
        kinds: dict[str, str | None] = {}
        for name, kind in zip(map(str, encoder.names), encoder.column_kinds, strict=True):
            kinds[name] = kind if kinds.get(name, "float") == "float" else kinds[name]
        return tuple(kinds[name] for name in self.feature_names)

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
            Numbers, and times in seconds since 1970 with their cyclic numbers; NaN where they are
            missing.
        codes : ndarray of shape (n_rows, n_categorical), int32
            Codes of the categories.

        Raises
        ------
        TypeError, ValueError
            If a column is missing or holds something else than in ``fit``.
        """
        table = self._reader.read_frame(frame)
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
        return self._scores(self._reader.read_rows(rows))

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Turn scores of this scorer into probabilities of the label 1.

        They are those of the model's ``predict_proba``: the sigmoid of log-odds, or what
        ``calibrate`` has fitted.

        Parameters
        ----------
        scores : ndarray of shape (n_rows,)
            What a call, ``rows`` or ``into`` has returned.

        Returns
        -------
        ndarray of shape (n_rows,), float64

        Raises
        ------
        TypeError
            If the model has no ``predict_proba``, or these are no scores.
        """
        if self._probability_map is None:
            raise TypeError(NO_PROBABILITIES)
        if getattr(scores, "dtype", None) != FLOAT32 or np.ndim(scores) != 1:
            raise TypeError(
                "probabilities takes scores, as the scorer returns them: float32 of shape "
                f"(n_rows,), got {type(scores).__name__}. Call "
                "scorer.probabilities(scorer(X)) or scorer.probabilities(scorer.rows(rows))."
            )
        return self._probability_map(scores)

    def _checked(self, X: Any, codes: Codes | None = None) -> Any:
        """Check rows, and round float64 to float32 unless a net needs the digits."""
        if (
            codes is None
            and type(X) is np.ndarray
            and X.dtype == FLOAT32
            and X.ndim == 2
            and X.shape[1] == self.n_features
            and X.flags.c_contiguous
            and not self.n_codes
        ):
            return X
        return self._reader.read(X, codes)

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

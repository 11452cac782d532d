"""Score record batches, and find the rows that a model cannot score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.inputs.encoder_kinds import kinds_of_input
from skdistill.models.scoring import Scratch
from skdistill.ranker import DistilledRanker
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.serving.transformers import is_nothing
from skdistill.tables.columns import arrow_type
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.text import is_text, parse
from skdistill.tables.types import is_number, plain_column
from skdistill.towers.fitted import FittedTowers

# Number of rows that are transposed, checked and scored while they are in cache.
CHUNK = 1024
NUMBER, NUMBER_OR_NOTHING = "a finite number", "a finite number or nothing"


@dataclass(frozen=True)
class Reject:
    """A row that cannot be scored.

    Parameters
    ----------
    file : str
        File of the row.
    row : int
        Number of the row in the file, from 0, without a header.
    column : str
        First column with an invalid value.
    value : str
        The invalid value.
    """

    file: str
    row: int
    column: str
    value: str


class TableScorer(Protocol):
    """Scores record batches.

    Attributes
    ----------
    features : list of str or None
        Columns in the order of the model; None if it was fitted without names.
    n_features : int
        Number of columns.
    allows_missing : bool
        Whether the model accepts missing values.
    kinds : list of (str or None)
        Kind of values that the model takes in each column; None if it is not known.
    expected : str
        What the model expects in a cell, for messages.
    engine : str
        Computes the scores. It is part of a run's plan, because engines differ in the last bits.
    """

    features: list[str] | None
    n_features: int
    allows_missing: bool
    kinds: list[str | None]
    expected: str
    engine: str

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        """Score the rows of a batch, and list the rows that cannot be scored.

        Parameters
        ----------
        record : pyarrow.RecordBatch
            The features, in order.
        file : str
            File of the batch, for messages.
        first_row : int
            Row of the file that the batch starts with.

        Returns
        -------
        scores : ndarray of shape (n_rows,), float32
            Scores, NaN for rejected rows.
        rejects : list of Reject
            Rows that cannot be scored.

        Raises
        ------
        TableError
            If the model rejects the batch as a whole.
        """


def table_scorer(model: Any) -> TableScorer:
    """Score by a compiled scorer if the model's steps can be folded, otherwise by ``predict``.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model.

    Returns
    -------
    TableScorer
    """
    try:
        scorer = compile_scorer(model)
    except TypeError:
        return PredictingScorer(model)
    if scorer.n_codes:
        return PredictingScorer(model)
    return CompiledTableScorer(scorer)


class CompiledTableScorer:
    """Scores columns of numbers by a compiled scorer."""

    def __init__(self, scorer: CompiledScorer) -> None:
        self.scorer = scorer
        names = scorer.feature_names
        self.features = None if names is None else list(names)
        self.n_features = scorer.n_features
        self.kinds: list[str | None] = ["float"] * scorer.n_features
        self.allows_missing = scorer.allows_missing
        self.expected = NUMBER_OR_NOTHING if self.allows_missing else NUMBER
        self.engine = scorer.engine
        self.dtype = np.float64 if scorer.needs_float64 else np.float32

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        matrix, text = _matrix(record, self.dtype)
        scores = np.full(len(matrix), np.nan, dtype=np.float32)
        rejects: list[Reject] = []
        for start in range(0, len(matrix), CHUNK):
            chunk = slice(start, start + CHUNK)
            X = np.ascontiguousarray(matrix[chunk])
            bad = unfit(X, self.allows_missing)
            if text is not None and text[chunk].any():
                bad = text[chunk] if bad is None else bad | text[chunk]
            if bad is None:
                self.scorer.into(X, scores[chunk])
                continue
            rejects += _rejects(record.slice(start, CHUNK), bad, file, first_row + start)
            good = ~bad.any(axis=1)
            scores[chunk][good] = self.scorer(X[good])
        return scores, rejects


class PredictingScorer:
    """Scores frames by the model's ``predict``, for steps that cannot be compiled.

    A model without column names was fitted on an array of numbers, and gets one.
    """

    engine = "predict"

    def __init__(self, model: Any) -> None:
        first = model
        if isinstance(model, Pipeline):
            first = next(part for _, part in model.steps if not is_nothing(part))
        self.model = model
        self.n_features = first.n_features_in_
        self.allows_missing = bool(get_tags(first).input_tags.allow_nan)
        names = getattr(first, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        self.kinds: list[str | None] = ["float"] * self.n_features
        if self.features is not None:
            self.kinds = input_kinds(model, self.features)
        self.expected = "what the model was fitted with"
        if all(kind == "float" for kind in self.kinds):
            self.expected = NUMBER_OR_NOTHING if self.allows_missing else NUMBER

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        read, is_unfit = self._read(record)
        X = _numbers(read)
        bad = unfit(X, self.allows_missing)
        if is_unfit.any():
            bad = is_unfit if bad is None else bad | is_unfit
        if bad is None:
            return self._predict(read, X, file, first_row), []
        good = ~bad.any(axis=1)
        scores = np.full(len(X), np.nan, dtype=np.float32)
        if good.any():
            kept = read.filter(pyarrow_extra().array(good))
            scores[good] = self._predict(kept, X[good], file, first_row)
        return scores, _rejects(record, bad, file, first_row)

    def _read(self, record: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Convert text to what the model takes; also mark the cells that are something else."""
        is_unfit = np.zeros((record.num_rows, record.num_columns), dtype=bool)
        columns = list(record.columns)
        for position, kind in enumerate(self.kinds):
            type_ = arrow_type(kind)
            if is_text(columns[position].type) and not is_text(type_):
                columns[position], is_unfit[:, position] = parse(columns[position], type_)
        names = record.schema.names
        return pyarrow_extra().RecordBatch.from_arrays(columns, names=names), is_unfit

    def _predict(
        self, record: Any, X: NDArray[np.float64], file: str, first_row: int
    ) -> NDArray[np.float32]:
        # Integers with missing values stay integers where the model takes them as categories.
        has_integers = "integer" in self.kinds
        table = record.to_pandas(integer_object_nulls=has_integers)
        try:
            given = X if self.features is None else table
            return np.asarray(self.model.predict(given), dtype=np.float32)
        except (TypeError, ValueError) as error:
            last = first_row + record.num_rows - 1
            raise TableError(f"{file}: rows {first_row} to {last}: {error}") from error


def input_kinds(model: Any, names: list[str]) -> list[str | None]:
    """Kind of values that a fitted model takes in each column."""
    if isinstance(model, DistilledRanker):
        return input_kinds(model.export_student(), names)
    if isinstance(model, FittedTowers):
        return model.input_kinds()
    return kinds_of_input(model, len(names), names)


def unscored(reject: Reject, expected: str) -> str:
    """Message about a row that ends a run."""
    return (
        f"{reject.file}: row {reject.row}: column {reject.column!r} holds {reject.value}, expected "
        f"{expected}. Correct or drop such rows; score_table can set them aside (rejects=, "
        "--rejects)."
    )


def unfit(X: NDArray[Any], allows_missing: bool) -> NDArray[np.bool_] | None:
    """Mark cells that a model cannot take; None if there are none."""
    # Any NaN or infinity makes the sum one. A finite sum may also overflow, hence the second look.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum()):
            return None
    bad = np.isinf(X) if allows_missing else ~np.isfinite(X)
    return bad if bad.any() else None


def _rejects(record: Any, bad: NDArray[np.bool_], file: str, first_row: int) -> list[Reject]:
    """Rows of a batch with a bad cell; each reject names the first one."""
    rows = np.flatnonzero(bad.any(axis=1))
    columns = bad[rows].argmax(axis=1)
    return [
        Reject(file, first_row + row, record.schema.names[column], _shown(record, column, row))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _matrix(record: Any, dtype: type) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Columns of numbers, NaN if missing or not a number; also marks of text that is not a number.

    The thread's next call overwrites the columns.
    """
    # One column after the other: the caller transposes them chunk by chunk, in cache.
    n_words = record.num_rows * np.dtype(dtype).itemsize // 4
    (words,) = _memory.buffers(record.num_columns, (n_words,))
    columns: NDArray[Any] = words.view(dtype)
    text = None
    for position, column in enumerate(record.columns):
        if is_text(column.type):
            column, is_unfit = parse(column, pyarrow_extra().float64())
            if is_unfit.any():
                text = np.zeros(columns.shape[::-1], bool) if text is None else text
                text[:, position] = is_unfit
        columns[position] = _as_floats(column)
    return columns.T, text


_memory = Scratch()


def _numbers(record: Any) -> NDArray[np.float64]:
    """Columns of numbers as float64; columns of other types become 0."""
    X = np.zeros((record.num_rows, record.num_columns))
    for position, column in enumerate(record.columns):
        if is_number(column.type):
            X[:, position] = _as_floats(column)
    return X


def _as_floats(column: Any) -> NDArray[Any]:
    """Numbers of a column as an array that can be cast to float32."""
    if pyarrow_extra().types.is_decimal(column.type):
        column = column.cast(pyarrow_extra().float64())
    return plain_column(column).to_numpy(zero_copy_only=False)


def _shown(record: Any, column: int, row: int) -> str:
    value = record.column(column)[row].as_py()
    return "nothing" if value is None else repr(value)

"""Score record batches, and find the rows that a model cannot score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.models.scoring import Scratch
from skdistill.serving.column_steps import is_nothing
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.tables.columns import is_number
from skdistill.tables.errors import TableError, pyarrow_extra

# Number of rows that are transposed, checked and scored while they are in cache.
CHUNK = 1024
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


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
    wants_numbers : bool
        Whether all columns must hold numbers.
    engine : str
        Computes the scores. It is part of a run's plan, because engines differ in the last bits.
    """

    features: list[str] | None
    n_features: int
    allows_missing: bool
    wants_numbers: bool
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
    return CompiledTableScorer(scorer)


class CompiledTableScorer:
    """Scores columns of numbers by a compiled scorer."""

    wants_numbers = True

    def __init__(self, scorer: CompiledScorer) -> None:
        self.scorer = scorer
        names = scorer.feature_names
        self.features = None if names is None else list(names)
        self.n_features = scorer.n_features
        self.allows_missing = scorer.allows_missing
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

    A model without column names was fitted on an array. It gets an array, and so wants numbers.
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
        self.wants_numbers = self.features is None

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        X, text = _matrix(record, np.float64) if self.wants_numbers else (_numbers(record), None)
        bad = unfit(X, self.allows_missing)
        if text is not None:
            bad = text if bad is None else bad | text
        if bad is None:
            return self._predict(record, X, file, first_row), []
        good = ~bad.any(axis=1)
        scores = np.full(len(X), np.nan, dtype=np.float32)
        if good.any():
            kept = record.filter(pyarrow_extra().array(good))
            scores[good] = self._predict(kept, X[good], file, first_row)
        return scores, _rejects(record, bad, file, first_row)

    def _predict(
        self, record: Any, X: NDArray[np.float64], file: str, first_row: int
    ) -> NDArray[np.float32]:
        table = X if self.features is None else record.to_pandas()
        try:
            return np.asarray(self.model.predict(table), dtype=np.float32)
        except (TypeError, ValueError) as error:
            last = first_row + record.num_rows - 1
            raise TableError(f"{file}: rows {first_row} to {last}: {error}") from error


def unscored(reject: Reject, allows_missing: bool) -> str:
    """Message about a row that ends a run."""
    expected = "a finite number or nothing" if allows_missing else "a finite number"
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
    types = pyarrow_extra().types
    # One column after the other: the caller transposes them chunk by chunk, in cache.
    n_words = record.num_rows * np.dtype(dtype).itemsize // 4
    (words,) = _memory.buffers(record.num_columns, (n_words,))
    columns: NDArray[Any] = words.view(dtype)
    text = None
    for position, column in enumerate(record.columns):
        if types.is_string(column.type):
            column, is_text = _parsed(column)
            if is_text.any():
                text = np.zeros(columns.shape[::-1], bool) if text is None else text
                text[:, position] = is_text
        columns[position] = column.to_numpy(zero_copy_only=False)
    return columns.T, text


_memory = Scratch()


def _numbers(record: Any) -> NDArray[np.float64]:
    """Columns of numbers as float64; columns of other types become 0."""
    X = np.zeros((record.num_rows, record.num_columns))
    for position, column in enumerate(record.columns):
        if is_number(column.type):
            X[:, position] = column.to_numpy(zero_copy_only=False)
    return X


def _parsed(column: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Parse text as numbers, null if it is not a number; also marks of text that is not one."""
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    text = compute.utf8_trim_whitespace(column)
    is_number = compute.match_substring_regex(text, NUMBER)
    numbers = compute.if_else(is_number, text, None).cast(pyarrow.float64())
    is_text = compute.fill_null(compute.invert(is_number), False)
    return numbers, is_text.to_numpy(zero_copy_only=False)


def _shown(record: Any, column: int, row: int) -> str:
    value = record.column(column)[row].as_py()
    return "nothing" if value is None else repr(value)

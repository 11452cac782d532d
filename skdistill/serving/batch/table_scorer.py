"""From rows of a table to scores: which columns a model reads, and which rows it can't score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.models.scoring import Scratch
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.tables.columns import is_number
from skdistill.tables.errors import TableError, pyarrow_extra

# Rows that are turned from columns into rows, looked at and scored while they are in cache.
CHUNK = 1024
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Reject:
    """A row that can't be scored.

    Parameters
    ----------
    file : str
    row : int
        Of the file, from 0, a header not counted.
    column : str
    value : str
    """

    file: str
    row: int
    column: str
    value: str


class TableScorer(Protocol):
    """Scores of record batches.

    Attributes
    ----------
    features : list of str or None
        Columns in the order that the model takes them; None: it was fitted without names.
    n_features : int
    allows_missing : bool
    wants_numbers : bool
        False where columns may hold anything that the model takes.
    engine : str
        What makes the scores: the last bits of two engines' differ.
    """

    features: list[str] | None
    n_features: int
    allows_missing: bool
    wants_numbers: bool
    engine: str

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        """Scores of a batch's rows, and the rows that have none.

        Parameters
        ----------
        record : pyarrow.RecordBatch
            The features, in order.
        file : str
        first_row : int
            Row of the file that the batch starts with.

        Returns
        -------
        scores : ndarray of shape (n_rows,), float32
            NaN where there is none.
        rejects : list of Reject

        Raises
        ------
        TableError
            When the model refuses the batch as a whole.
        """


def table_scorer(model: Any) -> TableScorer:
    """Compiled where the model's steps can be folded, else by its ``predict``.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        Fitted.
    """
    try:
        scorer = compile_scorer(model)
    except TypeError:
        return PredictingScorer(model)
    return CompiledTableScorer(scorer)


class CompiledTableScorer:
    """A compiled scorer over columns of numbers."""

    wants_numbers = True

    def __init__(self, scorer: CompiledScorer) -> None:
        self.scorer = scorer
        names = scorer.feature_names
        self.features = None if names is None else list(names)
        self.n_features = scorer.n_features
        self.allows_missing = scorer.allows_missing
        self.engine = scorer.engine

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        matrix, text = _matrix(record)
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
    """A model's own ``predict`` over frames, for steps that no compiled scorer knows."""

    wants_numbers = False
    engine = "predict"

    def __init__(self, model: Any) -> None:
        first = model
        if isinstance(model, Pipeline):
            steps = (part for _, part in model.steps)
            first = next(part for part in steps if part not in (None, "passthrough"))
        self.model = model
        self.n_features = first.n_features_in_
        self.allows_missing = bool(get_tags(first).input_tags.allow_nan)
        names = getattr(first, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        X = _numbers(record)
        bad = unfit(X, self.allows_missing)
        if bad is None:
            return self._predict(record, X, file, first_row), []
        good = ~bad.any(axis=1)
        scores = np.full(len(X), np.nan, dtype=np.float32)
        if good.any():
            kept = record.filter(pyarrow_extra().array(good))
            scores[good] = self._predict(kept, X[good], file, first_row)
        return scores, _rejects(record, bad, file, first_row)

    def _predict(
        self, record: Any, X: NDArray[np.float32], file: str, first_row: int
    ) -> NDArray[np.float32]:
        table = X if self.features is None else record.to_pandas()
        try:
            return np.asarray(self.model.predict(table), dtype=np.float32)
        except (TypeError, ValueError) as error:
            last = first_row + record.num_rows - 1
            raise TableError(f"{file}: rows {first_row} to {last}: {error}") from error


def unscored(reject: Reject, allows_missing: bool) -> str:
    """What to tell of a row that ends a run."""
    expected = "a finite number or nothing" if allows_missing else "a finite number"
    return (
        f"{reject.file}: row {reject.row}: column {reject.column!r} holds {reject.value}, expected "
        f"{expected}. Mend such rows, or have them put aside."
    )


def unfit(X: NDArray[np.float32], allows_missing: bool) -> NDArray[np.bool_] | None:
    """Cells that a model can't take, or None where every cell is fine."""
    # Any NaN or infinity makes the sum one; a sum that overflows is looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum()):
            return None
    bad = np.isinf(X) if allows_missing else ~np.isfinite(X)
    return bad if bad.any() else None


def _rejects(record: Any, bad: NDArray[np.bool_], file: str, first_row: int) -> list[Reject]:
    """The rows of a batch that have a bad cell, each with the first."""
    rows = np.flatnonzero(bad.any(axis=1))
    columns = bad[rows].argmax(axis=1)
    return [
        Reject(file, first_row + row, record.schema.names[column], _shown(record, column, row))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _matrix(record: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Columns of float32, NaN where a value is missing or no number; and where it is no number.

    The columns are overwritten by the thread's next call.
    """
    types = pyarrow_extra().types
    # A column after the other: rows are made of it a chunk at a time, which stays in cache.
    (columns,) = _memory.buffers(record.num_columns, (record.num_rows,))
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


def _numbers(record: Any) -> NDArray[np.float32]:
    """The columns of numbers among others, 0 for the others."""
    X = np.zeros((record.num_rows, record.num_columns), dtype=np.float32)
    for position, column in enumerate(record.columns):
        if is_number(column.type):
            X[:, position] = column.to_numpy(zero_copy_only=False)
    return X


def _parsed(column: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Text as numbers, null where it is none; and where it is something else."""
    pyarrow = pyarrow_extra()
    from pyarrow import compute

    text = compute.utf8_trim_whitespace(column)
    is_number = compute.match_substring_regex(text, NUMBER)
    numbers = compute.if_else(is_number, text, None).cast(pyarrow.float32())
    is_text = compute.fill_null(compute.invert(is_number), False)
    return numbers, is_text.to_numpy(zero_copy_only=False)


def _shown(record: Any, column: int, row: int) -> str:
    value = record.column(column)[row].as_py()
    return "nothing" if value is None else repr(value)

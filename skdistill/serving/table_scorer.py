"""From rows of a table to scores: which columns a model reads, and which rows it can't score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.serving.compiled import compile_scorer
from skdistill.serving.table_columns import is_number
from skdistill.serving.table_files import TableError, pyarrow_extra

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


def first_step(model: Any) -> Any:
    """The step of a Pipeline that sees the table; a model that is none itself."""
    if isinstance(model, Pipeline):
        return next(part for _, part in model.steps if part not in (None, "passthrough"))
    return model


class TableScorer:
    """Scores of record batches: a compiled scorer over numbers, or else the model's ``predict``.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        Fitted.

    Attributes
    ----------
    features : list of str or None
        Columns in the order that the model takes them; None: it was fitted without names.
    n_features : int
    is_compiled : bool
        False where a step can't be folded: then columns may hold anything the model takes.
    """

    def __init__(self, model: Any) -> None:
        try:
            self._scorer: Any = compile_scorer(model)
            self.is_compiled = True
            self.allows_missing = self._scorer.allows_missing
            names = self._scorer.feature_names
            self.n_features = self._scorer.n_features
        except TypeError:
            first = first_step(model)
            self._scorer = model
            self.is_compiled = False
            self.allows_missing = bool(get_tags(first).input_tags.allow_nan)
            names = getattr(model, "feature_names_in_", None)
            names = getattr(first, "feature_names_in_", None) if names is None else names
            self.n_features = first.n_features_in_
        self.features = None if names is None else [str(name) for name in names]

    def scores(self, record: Any, file: str, first_row: int) -> tuple[Any, list[Reject]]:
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
        X, text = _matrix(record) if self.is_compiled else (_numbers(record), None)
        bad = unfit(X, self.allows_missing)
        if text is not None:
            bad = text if bad is None else bad | text
        if bad is None:
            return self._of(record, X, file, first_row), []
        rows = np.flatnonzero(bad.any(axis=1))
        columns = bad[rows].argmax(axis=1)
        rejects = [
            Reject(file, first_row + row, record.schema.names[column], _shown(record, column, row))
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        good = np.ones(len(X), dtype=bool)
        good[rows] = False
        scores = np.full(len(X), np.nan, dtype=np.float32)
        if good.any():
            kept = record.filter(pyarrow_extra().array(good))
            scores[good] = self._of(kept, np.ascontiguousarray(X[good]), file, first_row)
        return scores, rejects

    def _of(self, record: Any, X: NDArray[np.float32], file: str, first_row: int) -> Any:
        if self.is_compiled:
            return self._scorer(X)
        table = X if self.features is None else record.to_pandas()
        try:
            return self._scorer.predict(table).astype(np.float32, copy=False)
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


def _matrix(record: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Rows of float32, NaN where a value is missing or no number; and where it is no number."""
    pyarrow = pyarrow_extra()
    columns, text = [], None
    for position, column in enumerate(record.columns):
        if pyarrow.types.is_string(column.type):
            column, is_text = _parsed(column)
            if is_text.any():
                text = (
                    np.zeros((record.num_rows, record.num_columns), bool) if text is None else text
                )
                text[:, position] = is_text
        elif pyarrow.types.is_boolean(column.type):
            column = column.cast(pyarrow.uint8())
        if column.type != pyarrow.float32():
            column = column.cast(pyarrow.float32(), safe=False)
        columns.append(column)
    names = [str(number) for number in range(len(columns))]
    floats = pyarrow.RecordBatch.from_arrays(columns, names)
    matrix = floats.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return np.ascontiguousarray(matrix), text


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

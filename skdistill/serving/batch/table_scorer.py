"""Score record batches, and find the rows that a model cannot score."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skdistill.inputs.encoder_kinds import kinds_of_input
from skdistill.models.scoring import Scratch
from skdistill.ranker import DistilledRanker
from skdistill.serving.batch.model_kinds import other_model
from skdistill.serving.batch.rejects import Reject, expected_of_kind, rejects_of
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.serving.transformers import is_nothing
from skdistill.tables.column_types import arrow_type
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.query_codes import missing_cells
from skdistill.tables.text import is_text, parse_feature
from skdistill.tables.types import is_number, plain_column
from skdistill.towers.fitted import FittedTowers

# Number of rows that are transposed, checked and scored while they are in cache.
CHUNK = 1024
# Bytes of a float32, and numbers of them in a page of memory and in a line of the cache. If columns
# lay whole pages apart, the same row of all columns would share a few lines of the cache, and
# transposing would take five times as long.
WORD, PAGE, LINE = 4, 1024, 16


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
    engine : str
        Computes the scores. It is part of a run's plan, because engines differ in the last bits.
    """

    features: list[str] | None
    n_features: int
    allows_missing: bool
    kinds: list[str | None]
    engine: str

    def expected_in(self, column: str) -> str:
        """Say in a message what the model expects in a cell of a column."""

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

    Raises
    ------
    TypeError
        If the model scores no rows, as a cascade.
    """
    try:
        # NaN comes out where NaN goes in, unlike of some operators of ONNX Runtime.
        asked = compile_scorer(model, "numpy")
    except TypeError as error:
        if not hasattr(model, "predict"):
            expected = "Rows are scored by a student, a DistilledRanker, a retriever or a Pipeline"
            raise other_model(expected, model) from error
        return PredictingScorer(model)
    if asked.n_codes or any(kind != "float" for kind in asked.kinds):
        if isinstance(model, FittedTowers):
            # They refuse ids that have no exact counterpart among those of fit.
            return PredictingScorer(model)
        return CompiledFrameScorer(model, asked)
    return CompiledTableScorer(compile_scorer(model), columns_that_may_be_missing(asked))


class CompiledTableScorer:
    """Scores columns of numbers by a compiled scorer."""

    def __init__(self, scorer: CompiledScorer, may_be_missing: NDArray[np.bool_]) -> None:
        self.scorer = scorer
        self.may_be_missing = may_be_missing
        names = scorer.feature_names
        self.features = None if names is None else list(names)
        self.n_features = scorer.n_features
        self.kinds: list[str | None] = ["float"] * scorer.n_features
        self.allows_missing = bool(may_be_missing.any())
        self.engine = scorer.engine
        self.dtype = np.float64 if scorer.needs_float64 else np.float32

    def expected_in(self, column: str) -> str:
        return expected_of_kind("float", may_be_missing=bool(self.may_be_missing.all()))

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        matrix, text = _matrix(record, self.dtype)
        scores = np.full(len(matrix), np.nan, dtype=np.float32)
        rejects: list[Reject] = []
        for start in range(0, len(matrix), CHUNK):
            chunk = slice(start, start + CHUNK)
            X = np.ascontiguousarray(matrix[chunk])
            bad = unfit(X, self.may_be_missing)
            if text is not None and text[chunk].any():
                bad = text[chunk] if bad is None else bad | text[chunk]
            if bad is None:
                self.scorer.into(X, scores[chunk])
                continue
            rejects += rejects_of(record.slice(start, CHUNK), bad, file, first_row + start)
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
        # What the model answered when it was asked, by the position of the column.
        self.takes_missing: dict[int, bool] = {}
        names = getattr(first, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        self.kinds: list[str | None] = ["float"] * self.n_features
        if self.features is not None:
            self.kinds = input_kinds(model, self.features)

    def expected_in(self, column: str) -> str:
        is_float = all(kind == "float" for kind in self.kinds)
        kind = "float" if is_float else self.kinds[(self.features or []).index(column)]
        return expected_of_kind(kind, may_be_missing=self.allows_missing)

    def scores(
        self, record: Any, file: str, first_row: int
    ) -> tuple[NDArray[np.float32], list[Reject]]:
        read, is_unfit = self._read(record)
        X = _numbers(read)
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = bool(np.isfinite(X.sum()))
        bad = is_unfit if is_finite else is_unfit | np.isinf(X)
        if not is_finite or any(column.null_count for column in read.columns):
            missing = _missing(read, X) & ~is_unfit
            good = ~bad.any(axis=1)
            if missing[good].any():
                bad = bad | self._refused(_rows(read, good), missing[good], missing)
        scores = np.full(len(X), np.nan, dtype=np.float32)
        good = ~bad.any(axis=1)
        if good.any():
            try:
                scores[good] = self._predict(_rows(read, good))
            except (TypeError, ValueError) as error:
                last = first_row + record.num_rows - 1
                raise TableError(f"{file}: rows {first_row} to {last}: {error}") from error
        return scores, rejects_of(record, bad, file, first_row)

    def _refused(
        self, rows: Any, missing: NDArray[np.bool_], marks: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find the missing cells that the model does not take, by asking it.

        Parameters
        ----------
        rows : pyarrow.RecordBatch
            Rows without other bad cells.
        missing : ndarray of shape (n_rows, n_columns), bool
            Their missing cells.
        marks : ndarray of shape (n_all_rows, n_columns), bool
            The missing cells of the whole batch.
        """
        columns = np.flatnonzero(missing.any(axis=0)).tolist()
        if not self.takes_missing.keys() >= set(columns):
            self.takes_missing |= self._answers(rows, missing, columns)
        is_refused = np.zeros(marks.shape[1], dtype=bool)
        # Where the model cannot be asked, its tag is all that is known.
        is_refused[columns] = [
            not self.takes_missing.get(column, self.allows_missing) for column in columns
        ]
        return marks & is_refused

    def _answers(
        self, rows: Any, missing: NDArray[np.bool_], columns: list[int]
    ) -> dict[int, bool]:
        """Whether the model takes missing cells in these columns, as far as it can be asked."""
        if self._takes(rows):
            return dict.fromkeys(columns, True)
        row = _row_without_missing(rows, missing)
        if not self._takes(row):
            return {}
        return {column: self._takes(_without_cell(row, column)) for column in columns}

    def _takes(self, rows: Any) -> bool:
        """Whether the model scores rows."""
        try:
            return bool(np.isfinite(self._predict(rows)).all())
        except (TypeError, ValueError):
            return False

    def _read(self, record: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Convert text to what the model takes; also mark the cells that are something else."""
        types = pyarrow_extra().types
        is_unfit = np.zeros((record.num_rows, record.num_columns), dtype=bool)
        columns = list(record.columns)
        for position, kind in enumerate(self.kinds):
            column, type_ = columns[position], arrow_type(kind)
            if is_text(column.type) and not is_text(type_):
                columns[position], is_unfit[:, position] = parse_feature(column, type_)
            elif types.is_decimal(column.type) or (types.is_null(column.type) and kind):
                is_decimal = types.is_decimal(column.type)
                columns[position] = column.cast("float64" if is_decimal else type_)
        names = record.schema.names
        return pyarrow_extra().RecordBatch.from_arrays(columns, names=names), is_unfit

    def _predict(self, record: Any) -> NDArray[np.float32]:
        # Integers with missing values stay integers where the model takes them as categories.
        has_integers = "integer" in self.kinds
        table = record.to_pandas(integer_object_nulls=has_integers)
        given = table if self.features is not None else _numbers(record)
        return np.asarray(self.model.predict(given), dtype=np.float32)


class CompiledFrameScorer(PredictingScorer):
    """Scores frames with categories or times by a compiled scorer, which finds them by name."""

    def __init__(self, model: Any, scorer: CompiledScorer) -> None:
        super().__init__(model)
        if scorer.feature_names is None:
            raise TableError(
                "The model was fitted on columns whose names are not text, which a file does not "
                "have. Fit it on a data frame with text as names of all columns."
            )
        self.features, self.kinds = list(scorer.feature_names), list(scorer.kinds)
        self.n_features = len(self.features)
        self.scorer, self.engine = scorer, scorer.engine

    def _predict(self, record: Any) -> NDArray[np.float32]:
        return self.scorer(record)


def input_kinds(model: Any, names: list[str]) -> list[str | None]:
    """Kind of values that a fitted model takes in each column."""
    if isinstance(model, DistilledRanker):
        return input_kinds(model.export_student(), names)
    if isinstance(model, FittedTowers):
        return model.input_kinds()
    return kinds_of_input(model, len(names), names)


def columns_that_may_be_missing(scorer: CompiledScorer) -> NDArray[np.bool_]:
    """Ask a model of columns of numbers in which of them it fills in NaN, shape (n_features,)."""
    n_features = scorer.n_features
    if not scorer.allows_missing:
        return np.zeros(n_features, dtype=bool)
    rows = np.ones((n_features + 1, n_features), dtype=np.float32)
    np.fill_diagonal(rows, np.nan)
    *with_hole, complete = np.isfinite(scorer(rows))
    # Where the model cannot be asked, its steps are all that is known.
    return np.array(with_hole) if complete else np.ones(n_features, dtype=bool)


def unfit(X: NDArray[Any], may_be_missing: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Mark cells that a model cannot take; None if there are none."""
    # Any NaN or infinity makes the sum one. A finite sum may also overflow, hence the second look.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(X.sum()):
            return None
    bad = np.isinf(X) | (np.isnan(X) & ~may_be_missing)
    return bad if bad.any() else None


def _rows(record: Any, keep: Any) -> Any:
    """Rows of a batch by a mask."""
    return record if keep.all() else record.filter(pyarrow_extra().array(keep))


def _missing(record: Any, X: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the cells that are null or NaN."""
    missing = np.isnan(X)
    for position, column in enumerate(record.columns):
        if column.null_count:
            missing[:, position] |= missing_cells(column)
    return missing


def _row_without_missing(rows: Any, missing: NDArray[np.bool_]) -> Any:
    """One row of a batch; if none is complete, one of cells from several rows, or 0."""
    complete = np.flatnonzero(~missing.any(axis=1))
    if len(complete):
        return rows.slice(complete[0], 1)
    pyarrow = pyarrow_extra()
    cells = []
    for column, is_missing in zip(rows.columns, missing.T, strict=True):
        if is_missing.all() and is_number(column.type):
            cells.append(pyarrow.array([0]).cast(column.type))
        else:
            cells.append(column.slice(int(is_missing.argmin()), 1))
    return pyarrow.RecordBatch.from_arrays(cells, names=rows.schema.names)


def _without_cell(row: Any, position: int) -> Any:
    """A row whose cell in one column is missing."""
    column = row.column(position)
    nothing = pyarrow_extra().nulls(1, column.type)
    return row.set_column(position, row.schema.names[position], nothing)


def _matrix(record: Any, dtype: type) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Columns of numbers, NaN if missing or not a number; also marks of text that is not a number.

    The thread's next call overwrites the columns.
    """
    # One column after the other: the caller transposes them chunk by chunk, in cache.
    n_words = record.num_rows * np.dtype(dtype).itemsize // WORD
    (words,) = _memory.buffers(record.num_columns, (-(-n_words // PAGE) * PAGE + LINE,))
    columns: NDArray[Any] = words[:, :n_words].view(dtype)
    text, is_floating = None, pyarrow_extra().types.is_floating
    for position, column in enumerate(record.columns):
        if is_floating(column.type):  # as most are; there is nothing to convert
            columns[position] = column.to_numpy(zero_copy_only=False)
            continue
        if is_text(column.type):
            column, is_unfit = parse_feature(column, pyarrow_extra().float64())
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

"""Serve what stands behind the steps of a Pipeline: students and rankers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs.code_rows import CodeRows, FoldsCodes
from skdistill.inputs.scaling import ColumnScaler
from skdistill.ranker import DistilledRanker
from skdistill.serving.column_steps import Step
from skdistill.serving.front import (
    Coded,
    CodeNumbering,
    Column,
    Front,
    Input,
    Number,
    Raw,
    expanded,
)
from skdistill.serving.lowering import steps_to
from skdistill.serving.served import Net, ServedStudent, merge
from skdistill.serving.transformers import translate
from skdistill.students.estimator import StudentEstimator


def steps_of(transformer: Any, n_columns: int, where: str) -> list[Step]:
    """Translate a fitted transformer of numbers into steps.

    Parameters
    ----------
    transformer : transformer, Pipeline, "passthrough" or None
    n_columns : int
        Number of columns that it takes.
    where : str
        Name of the transformer in messages.

    Returns
    -------
    list of Step

    Raises
    ------
    TypeError
        If the transformer is not supported, or reads categories.
    """
    front = Front(n_columns, None)
    outputs = front.numbers(translate(front, transformer, front.columns, where), where)
    if front.groups:
        raise TypeError(f"{where} reads categories, which cannot be folded into a scorer of pairs.")
    numbers = [column for column in outputs if isinstance(column, Number)]
    position = {Input(place): place for place in range(n_columns)}
    return steps_to(numbers, position, CodeNumbering(()))


def serve_behind(
    front: Front, model: Any, columns: Sequence[Column], where: str = "the Pipeline"
) -> ServedStudent:
    """Serve a fitted model whose input was followed from the columns of a table.

    Parameters
    ----------
    front : Front
        The table.
    model : Pipeline, DistilledRanker or student
        A fitted model.
    columns : list of Column
        Its input.
    where : str
        Name of the model in messages.

    Returns
    -------
    ServedStudent

    Raises
    ------
    TypeError
        If a step is not supported. The message names it.
    """
    if isinstance(model, Pipeline):
        for name, transformer in model.steps[:-1]:
            columns = translate(front, transformer, columns, f"step {name!r} of {where}")
        name, last = model.steps[-1]
        return serve_behind(front, last, columns, f"step {name!r} of {where}")
    check_is_fitted(model)
    columns = _without_query_column(model, columns)
    if isinstance(model, DistilledRanker):
        # Inside a Pipeline, a ranker gets all columns, not only the student's.
        if model.student_positions_ is not None:
            columns = [columns[position] for position in model.student_positions_]
        return serve_behind(front, model.export_student(), columns, where)
    if not isinstance(model, StudentEstimator):
        raise TypeError(
            f"The Pipeline ends in a {type(model).__name__}. Retrievers encode queries and items "
            "themselves: serve the retriever without the Pipeline."
        )
    return _student(front, model, columns, where)


def _without_query_column(model: Any, columns: Sequence[Column]) -> list[Column]:
    """Leave out the column of query ids, which models do not read as a feature."""
    query = getattr(model, "query_column", None)
    if query is None:
        return list(columns)
    if isinstance(query, str):
        position = model.feature_names_in_.tolist().index(query)
    else:
        position = range(len(columns))[query]
    return [column for place, column in enumerate(columns) if place != position]


def _student(
    front: Front, student: StudentEstimator, columns: Sequence[Column], where: str
) -> ServedStudent:
    numbers, categories = _read(front, student, columns, where)
    encoder = front.encoder()
    numbering = CodeNumbering(tuple(front.groups))
    network, params = student.served_model()
    scaler = student.scaler_.of_views
    if student.scaler_.sources is not None:
        numbers = [numbers[source] for source in student.scaler_.sources.tolist()]
    is_coded = np.array([isinstance(column, Coded) for column in numbers], dtype=bool)
    folds = False
    if isinstance(network, FoldsCodes) and (is_coded.any() or categories):
        folds = True
        kept = np.flatnonzero(~is_coded)
        rows = _code_rows(numbering, numbers, np.flatnonzero(is_coded).tolist(), categories, scaler)
        params = network.fold_codes(params, _kept_inputs(scaler, kept), rows)
        scaler, numbers = _taken(scaler, kept), [numbers[place] for place in kept.tolist()]
    elif categories:
        raise TypeError(
            f"{where} is a {type(student).__name__} that reads categories from the step before, "
            "and its model does not define fold_codes. Leave the steps before it out."
        )
    dense = expanded(numbers)
    inputs = front.inputs()
    position = {one: place for place, one in enumerate(inputs)}
    n_codes = sum(numbering.sizes)
    net = Net(
        len(inputs), (), scaler, network, params,
        n_codes=n_codes, model_reads_codes=folds,
    )  # fmt: skip
    steps = steps_to(dense, position, numbering)
    names = (
        None if encoder is None or encoder.names is None else tuple(dict.fromkeys(encoder.names))
    )
    return ServedStudent(
        merge(len(inputs), tuple(steps), net), names, student.served_formula, encoder
    )


def _read(
    front: Front, student: StudentEstimator, columns: Sequence[Column], where: str
) -> tuple[list[Number | Coded], list[Coded]]:
    """Read the columns of a student as numbers, and as one-hot columns of its own categories."""
    encoder = student.encoder_
    if encoder is None:
        return front.numbers(columns, where), []
    numbers: list[Number | Coded] = []
    categories: list[Any] = []
    known = iter(encoder.categories)
    read = zip(
        columns, encoder.kinds, encoder.periods_of_columns, encoder.zoned_columns, strict=True
    )
    for column, kind, periods, had_zone in read:
        if kind == "float":
            numbers.append(front.number(column, kind, where))
            continue
        if not isinstance(column, Raw):
            raise TypeError(
                f"{where} reads categories or dates that a step before has computed, which cannot "
                "be folded into a scorer. Leave the steps before it out: students read categories, "
                "missing values and dates themselves."
            )
        if kind != "category":
            numbers += [front.number(column, kind, where), *front.cycles(column, periods, had_zone)]
            continue
        codes = next(known)
        categories += front.coded(column, codes, sparse.identity(codes.n_codes, format="csc"))
    return numbers, categories


def _code_rows(
    numbering: CodeNumbering,
    numbers: Sequence[Number | Coded],
    coded: list[int],
    categories: list[Coded],
    scaler: ColumnScaler,
) -> CodeRows:
    """Collect the values of a model's inputs for each code: scaled columns, flags, categories."""
    columns: list[Any] = [numbers[place] for place in coded]
    places = list(coded)
    flagged = [] if scaler.flagged is None else scaler.flagged.tolist()
    scaled = [
        _scaled(column, _taken(scaler, np.array([p])))
        for p, column in zip(coded, columns, strict=True)
    ]
    flags = {place: len(numbers) + number for number, place in enumerate(flagged)}
    for place, column in zip(coded, columns, strict=True):
        if place in flags:
            is_missing = np.isnan(column.values).astype(np.float64)
            scaled.append(
                replace(column, background=float(np.isnan(column.background)), values=is_missing)
            )
            places.append(flags[place])
    n_inputs = len(numbers) + len(flagged)
    places += range(n_inputs, n_inputs + len(categories))
    return numbering.rows([*scaled, *categories], places, n_inputs + len(categories))


def _scaled(column: Coded, scaler: ColumnScaler) -> Coded:
    """Apply the softsign, shift and scale of a column to its values, in float64."""
    origin = 0 if scaler.origin is None else scaler.origin
    half, softsign, shift, scale = (
        float(array[0]) for array in (scaler.half, scaler.has_softsign, scaler.shift, scaler.scale)
    )

    def transform(values: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = values - origin
        scaled = (centred / (half + softsign * np.abs(centred)) - shift) * scale
        return scaled if scaler.flagged is None else np.nan_to_num(scaled)

    (background,) = transform(np.array([column.background]))
    return replace(column, background=float(background), values=transform(column.values))


def _kept_inputs(scaler: ColumnScaler, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Inputs of a model that belong to some of its columns: these and their flags."""
    if scaler.flagged is None:
        return kept
    flags = np.flatnonzero(np.isin(scaler.flagged, kept))
    return np.concatenate([kept, len(scaler.scale) + flags])


def _taken(scaler: ColumnScaler, columns: NDArray[np.int64]) -> ColumnScaler:
    """Make the scaler of some of the columns, which are in ascending order."""
    flagged = scaler.flagged
    if flagged is not None:
        flagged = np.searchsorted(columns, flagged[np.isin(flagged, columns)])
    return ColumnScaler(
        *(scaler.half[columns], scaler.has_softsign[columns]),
        *(scaler.shift[columns], scaler.scale[columns]),
        origin=None if scaler.origin is None else scaler.origin[columns],
        flagged=flagged,
    )

"""Decompose a fitted model into the parts of a compiled scorer or an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs.column_kinds import NUMBERS
from skdistill.inputs.encoder_kinds import kinds_of_input
from skdistill.inputs.pipelines import refuse_search
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.models.two_tower import side
from skdistill.ranker import DistilledRanker
from skdistill.serving.behind import serve_behind, steps_of
from skdistill.serving.column_steps import Pick, Step
from skdistill.serving.columns_of_pairs import ColumnsOfPairs
from skdistill.serving.front import Front
from skdistill.serving.served import (
    Net,
    Served,
    ServedStudent,
    ServedTowers,
    encoder_of_numbers,
    merge,
)
from skdistill.serving.transformers import is_nothing
from skdistill.students.estimator import StudentEstimator
from skdistill.towers.fitted import FittedTowers


def decompose(model: Any) -> Served:
    """Decompose a fitted model into column steps, scaler and parameters.

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline that ends in either, or TwoTowerRetriever
        A fitted model. Of a :class:`DistilledRanker`, the student is taken, and rows have the
        student's columns.

    Returns
    -------
    Served

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, or a step of the Pipeline, is not supported.
    """
    if isinstance(model, DistilledRanker):
        return decompose(model.export_student())
    if isinstance(model, Pipeline):
        return _pipeline(model)
    if isinstance(model, StudentEstimator | FittedTowers):
        check_is_fitted(model)
        return _student(model) if isinstance(model, StudentEstimator) else _towers(model)
    refuse_search(model)
    way_out = " Use compile_cascade for a cascade." if hasattr(model, "rank") else ""
    if isinstance(model, str | Path):
        way_out = f" Load a file first: load({str(model)!r})."
    raise TypeError(
        "serving takes students, a DistilledRanker, a TwoTowerRetriever or a Pipeline that ends "
        f"in a student or a DistilledRanker, got {type(model).__name__}.{way_out}"
    )


def _student(student: StudentEstimator) -> ServedStudent:
    network, params = student.served_model()
    encoder, names = student.encoder_, _feature_names(student)
    n_features = student.scaler_.n_columns
    n_codes = 0 if encoder is None else encoder.n_codes
    net = Net(n_features, (), student.scaler_, network, params, n_codes=n_codes)
    return ServedStudent(
        merge(n_features, (), net),
        names,
        student.served_formula,
        encoder_of_numbers(names) if encoder is None else encoder,
    )


def _pipeline(model: Pipeline) -> ServedStudent:
    check_is_fitted(model)
    first = next(part for _, part in model.steps if not is_nothing(part))
    names = getattr(first, "feature_names_in_", None)
    names = None if names is None else tuple(str(name) for name in names)
    n_columns = getattr(first, "n_features_in_", None)
    if n_columns is None:
        raise TypeError(
            f"The first step of the Pipeline, a {type(first).__name__}, does not tell how many "
            "columns it was fitted on (n_features_in_). Fit the Pipeline as a whole."
        )
    kinds = kinds_of_input(model, n_columns, None if names is None else list(names))
    texts = frozenset(place for place, kind in enumerate(kinds) if kind not in (*NUMBERS, None))
    front = Front(n_columns, names, texts)
    return serve_behind(front, model, front.columns)


def _towers(model: FittedTowers) -> ServedTowers:
    towers, nets = model.make_model(), []
    columns = ColumnsOfPairs.of(model)
    for name in ("query", "item"):
        positions = getattr(model.pair_columns_, name)
        transformer = getattr(model, f"{name}_transformer_")
        params = side(f"{name}_", model.params_)
        params["weights_0"] = columns.with_all_codes(params["weights_0"], positions, transformer)
        steps: list[Step] = []
        if not isinstance(transformer, TableEncoder):
            steps = steps_of(transformer, len(positions), f"{name}_transformer_")
        net = Net(
            columns.n_numbers,
            (),
            getattr(model, f"{name}_scaler_"),
            getattr(towers, f"{name}_tower"),
            params,
            n_codes=columns.n_codes,
        )
        pick = Pick(columns.numbers_of(positions))
        nets.append(merge(columns.n_numbers, (pick, *steps), net))
    query, item = nets
    return ServedTowers(
        query, item, towers, model.served_combination, columns.names, columns.encoder
    )


def _feature_names(model: Any) -> tuple[str, ...] | None:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return None
    query_column = getattr(model, "query_column", None)
    if isinstance(query_column, int):
        query_column = names[query_column]
    return tuple(str(name) for name in names if query_column is None or name != query_column)

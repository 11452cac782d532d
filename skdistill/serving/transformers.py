"""Follow columns through scikit-learn's fitted transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import getattr_static
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from skdistill._sklearn_compat import power_scaler
from skdistill.inputs.category_codes import MISSING, N_SPECIAL, CategoryCodes
from skdistill.inputs.encoder_kinds import positions_of_part
from skdistill.inputs.ids import as_ids, missing_ids
from skdistill.serving.category_values import recoded, values_by_category
from skdistill.serving.column_functions import (
    LOSSY,
    Affine,
    Clip,
    ColumnFunction,
    Fill,
    IsMissing,
    Universal,
)
from skdistill.serving.distributions import Power, Quantile
from skdistill.serving.front import Coded, Column, Front, Input, Linear, Number, Raw, applied

Columns = Sequence[Column]
Translation = Callable[[Front, Any, Columns, str], list[Column]]


def translate(front: Front, transformer: Any, columns: Columns, where: str) -> list[Column]:
    """Follow columns through a fitted transformer.

    Parameters
    ----------
    front : Front
        The table that the columns come from.
    transformer : transformer, Pipeline, "passthrough" or None
    columns : list of Column
        Its input.
    where : str
        Name of the transformer in messages.

    Returns
    -------
    list of Column
        Its output.

    Raises
    ------
    TypeError
        If the transformer is not supported. The message names it.
    """
    if is_nothing(transformer):
        return list(columns)
    for types, translation in TRANSLATIONS:
        if any(_transforms_as(transformer, type_) for type_ in types):
            return translation(front, transformer, columns, where)
    raise TypeError(
        f"{where} is a {type(transformer).__name__}, which cannot be folded into a scorer. "
        "Supported are scalers, imputation by SimpleImputer, OneHotEncoder, OrdinalEncoder, "
        "TargetEncoder, PowerTransformer, QuantileTransformer, PCA, TruncatedSVD, feature "
        "selection, FunctionTransformer with a function of NumPy, and ColumnTransformer, "
        "FeatureUnion and Pipeline of these. Transform the rows first, and serve the last step by "
        "itself."
    )


def is_nothing(transformer: Any) -> bool:
    """Whether a Pipeline's step does nothing."""
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def _transforms_as(transformer: Any, type_: type) -> bool:
    """Whether a transformer is of a type, and does not transform in a way of its own."""
    if not isinstance(transformer, type_):
        return False
    return getattr_static(type(transformer), "transform") is getattr_static(type_, "transform")


def _pipeline(front: Front, step: Pipeline, columns: Columns, where: str) -> list[Column]:
    followed = list(columns)
    for name, part in step.steps:
        followed = translate(front, part, followed, f"step {name!r} of {where}")
    return followed


def _column_transformer(
    front: Front, step: ColumnTransformer, columns: Columns, where: str
) -> list[Column]:
    names = getattr(step, "feature_names_in_", None)
    followed: list[Column] = []
    for name, part, chosen in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        positions = positions_of_part(
            chosen, len(columns), None if names is None else names.tolist()
        )
        if positions:
            taken = [columns[position] for position in positions]
            taken = translate(front, part, taken, f"transformer {name!r} of {where}")
            followed += _weighted(front, taken, (step.transformer_weights or {}).get(name), where)
    return followed


def _feature_union(front: Front, step: FeatureUnion, columns: Columns, where: str) -> list[Column]:
    followed: list[Column] = []
    for name, part in step.transformer_list:
        if not (isinstance(part, str) and part == "drop"):
            taken = translate(front, part, columns, f"transformer {name!r} of {where}")
            followed += _weighted(front, taken, (step.transformer_weights or {}).get(name), where)
    return followed


def _weighted(front: Front, columns: Columns, weight: float | None, where: str) -> list[Column]:
    if weight is None:
        return list(columns)
    n_columns = len(columns)
    return _apply(front, Affine(np.zeros(n_columns), np.full(n_columns, weight)), columns, where)


def _apply(front: Front, function: ColumnFunction, columns: Columns, where: str) -> list[Column]:
    return list(applied(function, front.numbers(columns, where)))


def _affine(n_columns: int, scale: Any, centre: Any) -> Affine:
    factor = np.ones(n_columns) if scale is None else 1 / np.asarray(scale, np.float64)
    origin = np.zeros(n_columns) if centre is None else np.asarray(centre, np.float64)
    return Affine(origin, factor)


def _standard(front: Front, step: StandardScaler, columns: Columns, where: str) -> list[Column]:
    mean = step.mean_ if step.with_mean else None
    return _apply(front, _affine(len(columns), step.scale_, mean), columns, where)


def _robust(front: Front, step: RobustScaler, columns: Columns, where: str) -> list[Column]:
    return _apply(front, _affine(len(columns), step.scale_, step.center_), columns, where)


def _max_abs(front: Front, step: MaxAbsScaler, columns: Columns, where: str) -> list[Column]:
    scaled = _apply(front, _affine(len(columns), step.scale_, None), columns, where)
    return _clipped(front, step, scaled, (-1.0, 1.0), where)


def _min_max(front: Front, step: MinMaxScaler, columns: Columns, where: str) -> list[Column]:
    # Fitted on float32 rows, its arrays are float32.
    scale = np.asarray(step.scale_, np.float64)
    scaled = _apply(front, Affine(-step.min_ / scale, scale), columns, where)
    return _clipped(front, step, scaled, step.feature_range, where)


def _clipped(
    front: Front, step: Any, columns: list[Column], ends: tuple[float, float], where: str
) -> list[Column]:
    if not getattr(step, "clip", False):
        return columns
    low, high = (np.full(len(columns), float(end)) for end in ends)
    return _apply(front, Clip(low, high), columns, where)


def _power(front: Front, step: PowerTransformer, columns: Columns, where: str) -> list[Column]:
    exponent = np.asarray(step.lambdas_, np.float64)
    scaler = power_scaler(step)
    mean = np.zeros(len(exponent)) if scaler is None else np.asarray(scaler.mean_, np.float64)
    scale = np.ones(len(exponent)) if scaler is None else 1 / np.asarray(scaler.scale_, np.float64)
    function = Power(exponent, mean, scale, np.zeros(len(exponent)), step.method == "yeo-johnson")
    return _apply(front, function, columns, where)


def _quantile(
    front: Front, step: QuantileTransformer, columns: Columns, where: str
) -> list[Column]:
    quantiles = np.asarray(step.quantiles_, np.float64)
    function = Quantile.of(quantiles, step.references_, step.output_distribution == "normal")
    return _apply(front, function, columns, where)


def _function(
    front: Front, step: FunctionTransformer, columns: Columns, where: str
) -> list[Column]:
    if step.func is None:
        return list(columns)
    function = step.func
    if not isinstance(function, np.ufunc) or function.nargs != 2:
        raise TypeError(
            f"{where} applies {getattr(function, '__name__', function)!r}, which cannot be folded "
            "into a scorer. Use a function of NumPy of one argument, such as np.log1p, or "
            "transform the rows first."
        )
    if step.kw_args:
        raise TypeError(f"{where} has kw_args, which cannot be folded into a scorer.")
    return _apply(front, Universal(function, np.zeros(len(columns))), columns, where)


def _pca(front: Front, step: Any, columns: Columns, where: str) -> list[Column]:
    weights = np.asarray(step.components_, np.float64).T
    variance = np.asarray(step.explained_variance_, np.float64)
    # Each column in units of its own spread, which decides whether it lies far from 0.
    spread = np.sqrt(weights**2 @ variance + step.noise_variance_)
    spread[spread == 0] = 1
    centred = _apply(front, Affine(np.asarray(step.mean_, float), 1 / spread), columns, where)
    terms = weights * spread[:, None]
    least = np.finfo(step.components_.dtype).eps
    scale = np.maximum(np.sqrt(variance), least) if step.whiten else 1
    return _linear(front, terms / scale, centred, where, _cancels(terms, variance))


def _truncated_svd(front: Front, step: TruncatedSVD, columns: Columns, where: str) -> list[Column]:
    weights = np.asarray(step.components_, np.float64).T
    variance = np.asarray(step.explained_variance_, np.float64)
    terms = weights * np.sqrt(weights**2 @ variance)[:, None]
    return _linear(front, weights, columns, where, _cancels(terms, variance))


def _cancels(terms: Any, variance: Any) -> bool:
    """Whether the terms of a sum, given their deviations, are much larger than the sum is."""
    return bool((np.sqrt((terms**2).sum(axis=0)) > LOSSY * np.sqrt(variance)).any())


def _linear(
    front: Front, weights: Any, columns: Columns, where: str, loses_digits: bool
) -> list[Column]:
    return list(Linear(front.numbers(columns, where), weights, loses_digits).outputs)


def _select(front: Front, step: SelectorMixin, columns: Columns, where: str) -> list[Column]:
    numbers = front.numbers(columns, where)
    return [numbers[place] for place in np.flatnonzero(step.get_support()).tolist()]


def _impute(front: Front, step: SimpleImputer, columns: Columns, where: str) -> list[Column]:
    _check_missing(step.missing_values, where)
    statistics = np.asarray(step.statistics_)
    followed: list[Column] = []
    is_missing = missing_ids(as_ids(statistics))
    for place, column in enumerate(columns):
        if is_missing[place]:
            # The column was empty in fit.
            if step.keep_empty_features:
                raise TypeError(f"{where} keeps an empty column without a value for it.")
            continue
        fill = statistics[place]
        if isinstance(column, Raw):
            followed.append(column if column.fill else Raw(column.source, (fill,)))
        else:
            followed += _apply(front, Fill(np.array([float(fill)])), [column], where)
    if step.indicator_ is not None:
        followed += _indicators(front, step.indicator_, columns, where)
    return followed


def _missing_indicator(
    front: Front, step: MissingIndicator, columns: Columns, where: str
) -> list[Column]:
    _check_missing(step.missing_values, where)
    return _indicators(front, step, columns, where)


def _check_missing(value: Any, where: str) -> None:
    if not (value is None or value != value or str(value) == "<NA>"):
        raise TypeError(
            f"{where} imputes {value!r}, but a scorer imputes NaN only. Use "
            "SimpleImputer(missing_values=np.nan)."
        )


def _indicators(front: Front, step: Any, columns: Columns, where: str) -> list[Column]:
    return [_indicator(front, columns[place], where) for place in step.features_.tolist()]


def _indicator(front: Front, column: Column, where: str) -> Column:
    if isinstance(column, Raw) and column.source in front.texts:
        return _missing_code(front, column)
    return _apply(front, IsMissing(), [column], where)[0]


def _missing_code(front: Front, column: Raw) -> Coded:
    """Read whether a column is missing as a code."""
    codes = CategoryCodes(as_ids([]), "missing")
    values = np.zeros((N_SPECIAL, 1))
    values[MISSING] = not column.fill
    return front.coded(Raw(column.source), codes, values)[0]


def _encode(front: Front, step: Any, columns: Columns, where: str) -> list[Column]:
    readable = [_as_categories(front, column, where) for column in columns]
    encoded: list[Column] = []
    for column, values in zip(readable, values_by_category(step, where), strict=True):
        if isinstance(column, Raw):
            # Missing values that an imputer before has left are those that it does not look for,
            # such as None if it looks for NaN.
            source = Raw(column.source) if values.has_missing else column
            encoded += front.coded(source, values.known, values.by_code)
        else:
            encoded += recoded(column, values)
    return encoded


def _as_categories(front: Front, column: Column, where: str) -> Raw | Coded:
    """Return a column as one of the table, or as one that depends on the codes of one."""
    if isinstance(column, Number) and isinstance(column.root, Input):
        source = Raw(column.root.source)
        if not column.functions:
            return source
        if len(column.functions) == 1 and isinstance(column.functions[0], IsMissing):
            return _missing_code(front, source)
    if isinstance(column, Number):
        raise TypeError(
            f"{where} encodes what a step before has computed, which cannot be folded into a "
            "scorer. Encode columns of the table, or transform the rows first."
        )
    return column


TRANSLATIONS: tuple[tuple[tuple[type, ...], Translation], ...] = (
    ((Pipeline,), _pipeline),
    ((ColumnTransformer,), _column_transformer),
    ((FeatureUnion,), _feature_union),
    ((StandardScaler,), _standard),
    ((RobustScaler,), _robust),
    ((MinMaxScaler,), _min_max),
    ((MaxAbsScaler,), _max_abs),
    ((PowerTransformer,), _power),
    ((QuantileTransformer,), _quantile),
    ((FunctionTransformer,), _function),
    ((PCA, IncrementalPCA), _pca),
    ((TruncatedSVD,), _truncated_svd),
    ((SimpleImputer,), _impute),
    ((MissingIndicator,), _missing_indicator),
    ((OneHotEncoder, OrdinalEncoder, TargetEncoder), _encode),
    ((SelectorMixin,), _select),
)

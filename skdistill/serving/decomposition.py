"""A fitted model taken apart: steps on columns, squash, network; what engines and formats need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skdistill.models import MLP
from skdistill.models.two_tower import TwoTower, side
from skdistill.multi_objective_retriever import MultiObjectiveRetriever
from skdistill.protocols import Parameters
from skdistill.ranker import DistilledRanker
from skdistill.retriever import TwoTowerRetriever
from skdistill.scaling import ColumnScaler
from skdistill.students import MultiObjectiveRanker
from skdistill.students.base import BaseStudent

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """``x * scale + offset``, column by column.

    Parameters
    ----------
    scale, offset : ndarray of shape (n_columns,), float32
    """

    scale: Floats
    offset: Floats

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    def apply(self, X: Floats, out: Floats) -> Floats:
        np.multiply(X, self.scale, out=out)
        return np.add(out, self.offset, out=out)


@dataclass(frozen=True)
class Pick:
    """Some of the columns.

    Parameters
    ----------
    columns : ndarray of shape (n_picked,), int64
    """

    columns: NDArray[np.int64]

    def n_outputs(self, n_inputs: int) -> int:
        return len(self.columns)

    def apply(self, X: Floats, out: Floats) -> Floats:
        return np.take(X, self.columns, axis=1, out=out, mode="clip")


@dataclass(frozen=True)
class Impute:
    """NaN filled in, then a column for each of some that tells where.

    Parameters
    ----------
    fill : ndarray of shape (n_columns,), float32
    indicated : ndarray of shape (n_indicated,), int64
    """

    fill: Floats
    indicated: NDArray[np.int64]

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs + len(self.indicated)

    def apply(self, X: Floats, out: Floats) -> Floats:
        missing = np.isnan(X)
        n_columns = len(self.fill)
        out[:, :n_columns] = X
        np.copyto(out[:, :n_columns], self.fill, where=missing)
        out[:, n_columns:] = missing[:, self.indicated]
        return out


Step = Affine | Pick | Impute


@dataclass(frozen=True)
class Net:
    """From columns to outputs: steps, then squash and scale, then a model.

    Parameters
    ----------
    n_features : int
    steps : tuple of Step
    scaler : ColumnScaler
    model : Network or FactorizationMachine
    params : dict of ndarray
    """

    n_features: int
    steps: tuple[Step, ...]
    scaler: ColumnScaler
    model: Any
    params: Parameters

    @property
    def step_widths(self) -> tuple[int, ...]:
        """Columns after each step."""
        widths, width = [], self.n_features
        for step in self.steps:
            width = step.n_outputs(width)
            widths.append(width)
        return tuple(widths)


@dataclass(frozen=True)
class ServedStudent:
    """A student, alone or as a Pipeline's last step.

    Parameters
    ----------
    net : Net
    feature_names : tuple of str or None
    combine : callable or None
        From all outputs and the rows to scores, where that is the user's own code.
    """

    net: Net
    feature_names: tuple[str, ...] | None = None
    combine: Callable[[NDArray[Any], Any], NDArray[Any]] | None = None


@dataclass(frozen=True)
class ServedTowers:
    """Towers over tables of numbers.

    Parameters
    ----------
    query, item : Net
        Of all columns of a pair.
    model : TwoTower
    combination : ndarray of shape (n_objectives,), float32, or None
        Weights of a query's embeddings.
    feature_names : tuple of str or None
    """

    query: Net
    item: Net
    model: TwoTower
    combination: Floats | None = None
    feature_names: tuple[str, ...] | None = None


def decompose(model: Any) -> ServedStudent | ServedTowers:
    """Take a fitted student, ranker, Pipeline of either, or retriever apart.

    Of a :class:`DistilledRanker` the student is taken, which reads its own columns.

    Raises
    ------
    TypeError
        For anything else, and for steps whose arithmetic is not known here.
    """
    if isinstance(model, DistilledRanker):
        return decompose(model.export_student())
    steps: list[Step] = []
    names = _feature_names(model)
    if isinstance(model, Pipeline):
        check_is_fitted(model)
        first = next(part for _, part in model.steps if not _is_nothing(part))
        names, n_features = _feature_names(first), first.n_features_in_
        for name, transformer in model.steps[:-1]:
            steps += _steps(transformer, f"step {name!r} of the Pipeline")
        last = model[-1]
        if isinstance(last, DistilledRanker) and last._seen_by_student is not None:
            # Inside a Pipeline it is given all columns, not only the student's.
            steps.append(Pick(np.array(last._seen_by_student, dtype=np.int64)))
        served = decompose(last)
        if not isinstance(served, ServedStudent):
            raise TypeError("A retriever reads tables of queries and items: serve it by itself.")
        net = served.net
        merged = _merge(n_features, (*steps, *net.steps), net)
        return ServedStudent(merged, names, served.combine)
    check_is_fitted(model)
    if isinstance(model, BaseStudent):
        return _student(model, names)
    if isinstance(model, TwoTowerRetriever):
        return _towers(model, names)
    raise TypeError(
        "serving takes students, a DistilledRanker, a TwoTowerRetriever or a Pipeline that ends "
        f"in a student, got {type(model).__name__}."
    )


def _student(model: BaseStudent, names: tuple[str, ...] | None) -> ServedStudent:
    network, params = model._model(), model.params_
    combine = None
    if isinstance(model, MultiObjectiveRanker):
        if callable(model.combine):
            own, by_name = model.combine, model._by_name
            combine = _Combine(own, by_name)
        else:
            network, params = _folded_heads(network, params, model._combination)
    n_features = len(model.scaler_.half)
    return ServedStudent(Net(n_features, (), model.scaler_, network, params), names, combine)


@dataclass(frozen=True)
class _Combine:
    """The user's own formula over the outputs by name."""

    formula: Callable[..., Any]
    by_name: Callable[[Any], Mapping[str, Any]]

    def __call__(self, outputs: NDArray[Any], X: Any) -> NDArray[Any]:
        return np.asarray(self.formula(self.by_name(outputs), X))


def _folded_heads(network: Any, params: Parameters, weights: Floats) -> tuple[MLP, Parameters]:
    """A network whose one output is the weighted sum of the heads."""
    last = network.n_layers - 1
    folded = dict(params)
    folded[f"weights_{last}"] = (params[f"weights_{last}"] @ weights)[:, None]
    folded[f"bias_{last}"] = np.atleast_1d(params[f"bias_{last}"] @ weights)
    return MLP(network.hidden_layer_sizes), folded


def _towers(model: TwoTowerRetriever, names: tuple[str, ...] | None) -> ServedTowers:
    towers, nets = model._model(), []
    for name in ("query", "item"):
        transformer = getattr(model, f"{name}_transformer_")
        steps = _steps(transformer, f"{name}_transformer_")
        columns = np.array(getattr(model._columns, name), dtype=np.int64)
        net = Net(
            model.n_features_in_,
            (),
            getattr(model, f"{name}_scaler_"),
            getattr(towers, f"{name}_tower"),
            side(f"{name}_", model.params_),
        )
        nets.append(_merge(model.n_features_in_, (Pick(columns), *steps), net))
    combination = model._combination if isinstance(model, MultiObjectiveRetriever) else None
    return ServedTowers(nets[0], nets[1], towers, combination, names)


def _steps(transformer: Any, where: str) -> list[Step]:
    """What a fitted transformer does to columns of numbers."""
    if _is_nothing(transformer):
        return []
    if isinstance(transformer, Pipeline):
        return [step for _, part in transformer.steps for step in _steps(part, where)]
    if isinstance(transformer, StandardScaler):
        mean = transformer.mean_ if transformer.with_mean else None
        return [_affine(transformer.n_features_in_, transformer.scale_, mean)]
    if isinstance(transformer, RobustScaler):
        return [_affine(transformer.n_features_in_, transformer.scale_, transformer.center_)]
    if isinstance(transformer, MaxAbsScaler) and not getattr(transformer, "clip", False):
        return [_affine(transformer.n_features_in_, transformer.scale_, None)]
    if isinstance(transformer, MinMaxScaler) and not transformer.clip:
        scale, offset = transformer.scale_, transformer.min_
        return [Affine(scale.astype(np.float32), offset.astype(np.float32))]
    if isinstance(transformer, SimpleImputer):
        return _imputation(transformer, where)
    if isinstance(transformer, SelectorMixin):
        return [Pick(np.flatnonzero(transformer.get_support()))]
    raise TypeError(
        f"{where} is a {type(transformer).__name__}, whose arithmetic can't be folded into a "
        "scorer. Known are StandardScaler, RobustScaler, MinMaxScaler and MaxAbsScaler (without "
        "clip), SimpleImputer and feature selection. Transform the rows first and serve the last "
        "step by itself."
    )


def _is_nothing(transformer: Any) -> bool:
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def _affine(n_columns: int, scale: Any, centre: Any) -> Affine:
    factor = np.ones(n_columns) if scale is None else 1 / np.asarray(scale, np.float64)
    offset = np.zeros(n_columns) if centre is None else -np.asarray(centre, np.float64) * factor
    return Affine(factor.astype(np.float32), offset.astype(np.float32))


def _imputation(imputer: SimpleImputer, where: str) -> list[Step]:
    if not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)):
        raise TypeError(f"{where} imputes {imputer.missing_values!r}; a scorer knows NaN only.")
    fill = np.asarray(imputer.statistics_, np.float64)
    indicated = np.empty(0, np.int64)
    if imputer.add_indicator:
        indicated = np.asarray(imputer.indicator_.features_, np.int64)
    dropped = np.isnan(fill)
    if not dropped.any():
        return [Impute(fill.astype(np.float32), indicated)]
    # Columns that were empty in fit are left out, but may be indicated.
    everything = Impute(np.nan_to_num(fill).astype(np.float32), indicated)
    kept = np.concatenate([np.flatnonzero(~dropped), len(fill) + np.arange(len(indicated))])
    return [everything, Pick(kept.astype(np.int64))]


def _merge(n_features: int, steps: tuple[Step, ...], net: Net) -> Net:
    """Steps in front of a net, those that come to nothing or into the scaler left out."""
    merged: list[Step] = []
    width = n_features
    for step in steps:
        nothing = isinstance(step, Pick) and np.array_equal(step.columns, np.arange(width))
        width = step.n_outputs(width)
        if nothing:
            continue
        before = merged[-1] if merged else None
        if isinstance(step, Affine) and isinstance(before, Affine):
            offset = before.offset * step.scale + step.offset
            merged[-1] = Affine(before.scale * step.scale, offset)
        else:
            merged.append(step)
    scaler = net.scaler
    if merged and isinstance(merged[-1], Affine) and not scaler.squashes:
        last = merged[-1]
        if (last.scale != 0).all():
            merged.pop()
            # ((x a + b) - shift) scale = (x - (shift - b) / a) (a scale)
            scaler = ColumnScaler(
                scaler.half,
                scaler.bend,
                ((scaler.shift - last.offset) / last.scale).astype(np.float32),
                (scaler.scale * last.scale).astype(np.float32),
            )
    return Net(n_features, tuple(merged), scaler, net.model, net.params)


def _feature_names(model: Any) -> tuple[str, ...] | None:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return None
    own = getattr(model, "query_column", None)
    return tuple(str(name) for name in names if own is None or name != own)

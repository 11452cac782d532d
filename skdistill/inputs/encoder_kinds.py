"""Kinds of values that fitted transformers take, read off what they have learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from skdistill.inputs.column_kinds import kind_of
from skdistill.inputs.ids import as_ids

Kinds = list[str | None]


def kinds_of_input(step: Any, n_columns: int, names: list[str] | None) -> Kinds:
    """Kind of values that a fitted step takes in each column.

    Parameters
    ----------
    step : transformer, Pipeline or estimator
        A fitted step.
    n_columns : int
        Number of columns of its input.
    names : list of str or None
        Names of these columns.

    Returns
    -------
    list of (str or None)
        A kind, as in :func:`skdistill.inputs.column_kinds.kind_of`; None if the step does not show
        it.
    """
    if not n_columns:  # such a step is not fitted
        return []
    if isinstance(step, Pipeline):
        parts = [part for _, part in step.steps if not _is_identity(part)]
        return kinds_of_input(parts[0], n_columns, names) if parts else [None] * n_columns
    if isinstance(step, ColumnTransformer):
        return _of_columns(step, n_columns, names)
    if isinstance(step, FeatureUnion):
        members = [kinds_of_input(part, n_columns, names) for _, part in step.transformer_list]
        return [_first(kinds) for kinds in zip(*members, strict=True)]
    learnt = getattr(step, "categories_", None)
    if learnt is None and isinstance(step, SimpleImputer):
        learnt = [[value] for value in step.statistics_]
    if learnt is not None and len(learnt) == n_columns:
        return [_named(kind_of(as_ids(values))) for values in learnt]
    encoder = getattr(step, "encoder_", None)  # of a student
    if encoder is not None and len(encoder.kinds) == n_columns:
        return [kind and _named(kind) for kind in encoder.column_kinds]
    return [_of_estimator(step)] * n_columns


def _of_columns(step: ColumnTransformer, n_columns: int, names: list[str] | None) -> Kinds:
    kinds: Kinds = [None] * n_columns
    for _, part, columns in step.transformers_:
        positions = positions_of_part(columns, n_columns, names)
        of_part: Kinds
        if _is_identity(part):
            of_part = ["float"] * len(positions)  # the next step takes numbers
        elif isinstance(part, str):
            of_part = [None] * len(positions)  # columns that are dropped may hold anything
        else:
            of_part = kinds_of_input(
                part, len(positions), [names[p] for p in positions] if names else None
            )
        for position, kind in zip(positions, of_part, strict=True):
            kinds[position] = _first(
                (None if kinds[position] == "float" else kinds[position], kind)
            )
    return kinds


def _is_identity(part: Any) -> bool:
    """Whether a step passes its columns on as they are."""
    is_function = isinstance(part, FunctionTransformer) and part.func is None
    return part is None or is_function or (isinstance(part, str) and part == "passthrough")


def positions_of_part(columns: Any, n_columns: int, names: list[str] | None) -> list[int]:
    """Positions of the columns that a fitted ColumnTransformer gives to a part."""
    if isinstance(columns, str | int | np.integer):
        columns = [columns]
    if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
        return list(range(n_columns))[columns]
    if isinstance(columns, slice):
        start = 0 if columns.start is None else (names or []).index(columns.start)
        stop = n_columns if columns.stop is None else (names or []).index(columns.stop) + 1
        return list(range(start, stop))
    columns = np.asarray(columns)
    if columns.dtype == bool:
        return np.flatnonzero(columns).tolist()
    return [(names or []).index(c) if isinstance(c, str) else int(c) for c in columns.tolist()]


def _of_estimator(step: Any) -> str | None:
    """Kind that a step of scikit-learn, or a model, takes in all its columns."""
    if not hasattr(step, "transform"):
        return "float"
    tags = get_tags(step)
    takes = tags.input_tags
    is_known = type(step).__module__.startswith("sklearn.") and not tags.no_validation
    return "float" if is_known and not (takes.string or takes.categorical or takes.dict) else None


def _first(kinds: Any) -> str | None:
    return next((kind for kind in kinds if kind is not None), None)


def _named(kind: str) -> str | None:
    """A kind; None if the learnt values are of several kinds or all missing."""
    return None if " and " in kind or kind == "missing" else kind

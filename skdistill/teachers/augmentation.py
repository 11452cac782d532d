"""Synthetic rows for students of tree teachers.

A tree ensemble is constant between neighbouring thresholds of a feature. The midpoints between
them, with the feature's least and largest value, therefore cover everything that the teacher can
distinguish. Rows that combine these values at random show a student the teacher's scores where
there are no training rows.

References
----------
Cohen, Foster, Oren, "Universal Approximation Functions for Fast Learning to Rank", SIGIR 2018.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill._sklearn_compat import histogram_tree_splits
from skdistill.inputs.columns import column_names, select_columns, take_columns, take_rows
from skdistill.inputs.pipelines import thawed
from skdistill.inputs.queries import Queries
from skdistill.teachers.asking import score_rows
from skdistill.teachers.boosters import best_trees
from skdistill.teachers.columns import positions_among
from skdistill.teachers.crossed_rows import cross_rows


def split_thresholds(teacher: Any, n_features: int) -> list[NDArray[np.float64]]:
    """Collect the distinct thresholds of each feature over all trees of a teacher.

    Parameters
    ----------
    teacher : fitted LightGBM, XGBoost or HistGradientBoosting estimator, or a Booster
        The teacher, alone or frozen.
    n_features : int
        Number of columns that the teacher was fitted on.

    Returns
    -------
    list of n_features arrays, float64
        Ascending thresholds of each feature; empty for a feature without a numeric split.

    Raises
    ------
    TypeError
        If the teacher is of another kind.
    """
    teacher = thawed(teacher)
    library = type(teacher).__module__.split(".")[0]
    if library == "lightgbm":
        splits = _of_lightgbm(getattr(teacher, "booster_", teacher))
    elif library == "xgboost":
        booster = teacher.get_booster() if hasattr(teacher, "get_booster") else teacher
        splits = _of_xgboost(best_trees(booster))
    elif (histogram_splits := histogram_tree_splits(teacher)) is not None:
        splits = histogram_splits
    else:
        raise TypeError(
            'augmentation="thresholds" needs a LightGBM, XGBoost or HistGradientBoosting teacher, '
            f"whose thresholds it reads, got {type(teacher).__name__}. Use another teacher, or "
            'augmentation="crossed", the default, which takes any.'
        )
    found: list[set[float]] = [set() for _ in range(n_features)]
    for feature, threshold in splits:
        found[feature].add(threshold)
    return [np.array(sorted(values)) for values in found]


def _of_lightgbm(booster: Any) -> Iterator[tuple[int, float]]:
    """Yield the feature and the threshold of each numeric split of a LightGBM Booster."""
    pending = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while pending:
        node = pending.pop()
        if "split_feature" in node:
            if node["decision_type"] == "<=":  # "==" splits categories
                yield int(node["split_feature"]), float(node["threshold"])
            pending += [node["left_child"], node["right_child"]]


def _of_xgboost(booster: Any) -> Iterator[tuple[int, float]]:
    """Yield the feature and the threshold of each numeric split of an XGBoost Booster."""
    names = booster.feature_names
    position = {name: place for place, name in enumerate(names)} if names else None
    pending = [json.loads(tree) for tree in booster.get_dump(dump_format="json")]
    while pending:
        node = pending.pop()
        if "split" in node:
            name = node["split"]
            feature = position[name] if position else int(name.removeprefix("f"))
            if isinstance(node["split_condition"], int | float):  # a list splits categories
                yield feature, float(node["split_condition"])
            pending += node["children"]


def synthesize(
    teacher: Any,
    X: Any,
    queries: Queries,
    columns: list[int] | None,
    *,
    kind: str,
    n_rows: int,
    rng: np.random.Generator,
) -> tuple[Any, NDArray[np.float64]]:
    """Draw synthetic rows, and score them with a fitted teacher.

    Parameters
    ----------
    teacher : estimator, Booster or None
        A fitted teacher.
    X : data frame or array of shape (n_seen, n_features)
        Training rows, sorted by query.
    queries : Queries
        Segments of the training rows.
    columns : list of int or None
        Positions of the columns that the teacher may see; None for all.
    kind : {"crossed", "thresholds"}
        Whether rows exchange columns, or numbers are drawn from between a tree teacher's
        thresholds.
    n_rows : int
        Number of rows to draw.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    rows : data frame or array of shape (n_rows, n_features)
    scores : ndarray of shape (n_rows,), float64

    Raises
    ------
    ValueError
        If there is no teacher.
    TypeError
        If X is sparse, or a teacher has no thresholds to draw from.
    """
    if teacher is None:
        raise ValueError(
            "augment needs a teacher to score synthetic rows, but teacher_scores were passed or "
            "alpha is 0. Set augment=0, or pass teacher= without teacher_scores and with alpha "
            "above 0."
        )
    if sparse.issparse(X):
        raise TypeError(
            "augment needs X to be an array or a data frame, got a sparse matrix. Set augment=0, "
            "or pass dense columns."
        )
    if kind == "crossed":
        rows = cross_rows(X, queries, n_rows, rng)
    else:
        positions = positions_among(teacher, X, columns)
        rows = draw_rows(X, split_thresholds(teacher, len(positions)), positions, n_rows, rng)
    return rows, score_rows(teacher, select_columns(rows, columns))


def draw_rows(
    X: Any,
    thresholds: list[NDArray[np.float64]],
    positions: list[int],
    n_rows: int,
    rng: np.random.Generator,
) -> Any:
    """Draw synthetic rows. Each column is drawn independently of the others.

    Parameters
    ----------
    X : data frame or array of shape (n_seen, n_features)
        Training rows. Values of columns without thresholds are drawn from them.
    thresholds : list of ndarray
        Thresholds of the columns at ``positions``, ascending.
    positions : list of int
        Columns of X that the teacher reads, in the order of its fit.
    n_rows : int
        Number of rows to draw.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    data frame or array of shape (n_rows, n_features)
        A table of the same kind as X.
    """
    by_column = dict(zip(positions, thresholds, strict=True))
    names = column_names(X)
    drawn: list[NDArray[Any]] = []
    for position in range(X.shape[1]):
        seen = np.asarray(take_columns(X, [position]))[:, 0]
        splits = by_column.get(position, np.empty(0))
        if len(splits):
            middles = (splits[1:] + splits[:-1]) / 2
            values = np.r_[np.nanmin(seen), middles, np.nanmax(seen)]
        else:
            values = seen
        column = rng.choice(values, size=n_rows)
        drawn.append(column.astype(seen.dtype) if seen.dtype.kind == "f" else column)
    if names is None:
        return np.column_stack(drawn)
    # Rows of X as a pattern preserve the kind of table and, if the values allow, the column types.
    pattern = take_rows(X, np.zeros(n_rows, dtype=np.int64))
    if hasattr(pattern, "with_columns"):  # polars
        import polars

        return pattern.with_columns(*map(polars.Series, names, drawn))
    pattern = pattern.reset_index(drop=True)
    for position, column in enumerate(drawn):
        pattern.isetitem(position, column)
    return pattern

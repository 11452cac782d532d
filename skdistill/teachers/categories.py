"""Data frames with columns of categories and text, in the form that LightGBM reads.

LightGBM takes categories from pandas alone, and only where the dtype says so. A model holds the
categories that it was trained with (``pandas_categorical``); text, other orders of the categories
and the types of polars and pyarrow are brought to them here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.column_kinds import kind_of
from skdistill.inputs.column_reading import NUMBER_KINDS, column_of, is_time, read_numbers
from skdistill.inputs.columns import cells, column_names
from skdistill.inputs.ids import as_ids, missing_ids
from skdistill.inputs.pipelines import thawed
from skdistill.inputs.unknown_categories import MANY_ROWS, warn_of_unknown
from skdistill.teachers.boosters import underscored
from skdistill.teachers.limits import library_of


def with_categories_of_model(booster: Any, X: Any) -> Any:
    """Return a data frame whose categories are those that a LightGBM model was trained with.

    Parameters
    ----------
    booster : lightgbm.Booster, or any other model
        The model. Others than those of LightGBM read X as it is.
    X : table of shape (n_rows, n_features)
        The columns of the model, in its order.

    Returns
    -------
    table of shape (n_rows, n_features)
        X itself if it is an array, whose categories are codes, or if LightGBM reads X as it is.
        Categories that the model does not know are missing. Categories that are numbers become
        numbers where the model was trained on numbers.

    Raises
    ------
    ValueError
        If it is not clear which columns hold the categories, or a column holds text where the
        model's categories are numbers, or the other way around.
    """
    if not hasattr(booster, "pandas_categorical") or column_names(X) is None:
        return X
    known = booster.pandas_categorical or []
    if not (known or _may_hold_categories(X)):
        return X
    by_type = [place for place in range(X.shape[1]) if _holds_categories(X, place)]
    # A model without categories may have columns of codes, which are numbers.
    positions = (_declared_positions(booster) or []) if known else []
    if len(positions) != len(known):
        positions = by_type
    names = [str(name) for name in column_names(X) or []]
    if len(positions) != len(known):
        raise ValueError(
            f"The LightGBM model has {len(known)} columns of categories. The table has "
            f"{[names[place] for place in by_type]} of categories or text. "
            "Convert these columns to the types that the model was trained on. Integers that were "
            'categories are such columns too: X[name].astype("category").'
        )
    further = [place for place in by_type if place not in positions]
    columns: dict[int, Any] = _numbers_of_objects(X, {*positions, *by_type})
    columns |= {place: _numeric_categories(X, place, names[place]) for place in further}
    for place, categories in zip(positions, known, strict=True):
        if _is_categorical(X, place):  # LightGBM brings it to the model's categories itself
            _check_type(X.iloc[:, place].cat.categories, categories, names[place])
        else:
            columns[place] = _categorical(cells(X, place), categories, names[place])
    if X.shape[0] >= MANY_ROWS:
        read = zip(positions, known, strict=True)
        unknown = [place for place, of in read if _knows_none(X, place, columns.get(place), of)]
        warn_of_unknown([names[place] for place in unknown], "teacher")
    return _as_pandas(X, columns) if columns else X


def columns_of_times(X: Any) -> list[str]:
    """Return the names of the columns of a data frame that hold dates or times.

    Parameters
    ----------
    X : table of shape (n_rows, n_features)

    Returns
    -------
    list of str
        Empty if the table has no names.
    """
    names = column_names(X) or []
    columns = ((name, column_of(X, place, name)) for place, name in enumerate(names))
    return [str(name) for name, column in columns if is_time(column)]


def table_for_fit(learner: Any, X: Any) -> Any:
    """Return a data frame on which a learner can be trained; X itself unless it is LightGBM's.

    For LightGBM, columns of text and categories of polars and pyarrow become categories of pandas,
    and numbers of a type that it refuses become floats.
    """
    if library_of(learner) != "lightgbm" or column_names(X) is None:
        return X
    times = columns_of_times(X)
    if times:
        raise ValueError(
            f"LightGBM takes no times, but the columns {times} hold some. Leave them to the "
            "student (teacher_columns=), or make numbers of them, such as the hour and the age."
        )
    categories = [place for place in range(X.shape[1]) if _holds_categories(X, place)]
    columns: dict[int, Any] = _numbers_of_objects(X, categories)
    places = [place for place in categories if not _is_categorical(X, place)]
    if not (places or columns):
        return X
    import pandas

    columns |= {place: pandas.Categorical(_without_missing(cells(X, place))) for place in places}
    return _as_pandas(X, columns)


def categories_of(teacher: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the categories of columns that a LightGBM model reads, as they were in its fit.

    Parameters
    ----------
    teacher : estimator, FrozenEstimator or lightgbm.Booster
        Fitted.
    names : sequence of str
        Names of the columns of a table.

    Returns
    -------
    dict of str to list
        Categories by the names of the table; empty for other models.
    """
    model = thawed(teacher)
    booster = getattr(model, "booster_", model)
    known = getattr(booster, "pandas_categorical", None)
    if not known:
        return {}
    positions = _declared_positions(booster) or []
    if len(positions) != len(known):
        return {}  # columns of integers were categories too, so that it is not known which is which
    read = booster.feature_name()
    by_column = {read[place]: values for place, values in zip(positions, known, strict=True)}
    spelt = {name: name if name in by_column else underscored(name) for name in names}
    return {name: by_column[own] for name, own in spelt.items() if own in by_column}


def _declared_positions(booster: Any) -> list[int] | None:
    """Return the columns that a model splits by category, as its parameters name them."""
    parameters = getattr(booster, "params", {})
    for name in ("categorical_column", "categorical_feature"):  # just trained; read from a file
        value = parameters.get(name)
        if isinstance(value, list) and all(isinstance(one, int) for one in value):
            return sorted(value)
    return None


def _may_hold_categories(X: Any) -> bool:
    """Whether a data frame has a column whose type is not that of numbers in NumPy."""
    dtypes = getattr(X, "dtypes", None)
    return dtypes is None or not all(
        isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes
    )


def _holds_categories(X: Any, place: int) -> bool:
    """Whether a column of a data frame has a type of categories or text."""
    if hasattr(X, "iloc"):  # pandas
        dtype = X.dtypes.iloc[place]
        if str(dtype) == "category" or "str" in str(dtype) or "dictionary" in str(dtype):
            return True
        # Objects may be anything, such as decimal numbers.
        return dtype.kind == "O" and isinstance(X.iloc[:, place].dropna().iloc[:1].max(), str)
    type_ = str(X.dtypes[place] if hasattr(X, "dtypes") else X.schema.types[place]).lower()
    return type_.startswith(("string", "large_string", "dictionary", "categorical", "enum", "utf8"))


def _numbers_of_objects(X: Any, others: Collection[int]) -> dict[int, NDArray[Any]]:
    """Read columns of pandas that hold numbers, in a type that LightGBM refuses, as floats.

    Such are booleans or decimals as Python objects, and the types of Arrow. Of the columns in
    ``others`` none is read.
    """
    if not hasattr(X, "iloc"):
        return {}
    read = {}
    for place, (name, dtype) in enumerate(X.dtypes.items()):
        if place in others or not (dtype.kind == "O" or "pyarrow" in str(dtype)):
            continue
        column = X.iloc[:, place]
        if set(kind_of(as_ids(column)).split(" and ")) <= NUMBER_KINDS:
            read[place] = read_numbers(column, "float", name)
    return read


def _is_categorical(X: Any, place: int) -> bool:
    """Whether a column has the categorical type of pandas."""
    return hasattr(X, "iloc") and str(X.dtypes.iloc[place]) == "category"


def _categorical(values: NDArray[Any], categories: list[Any], name: str) -> Any:
    """Make a pandas column of the values, with the codes of a model's categories."""
    import pandas

    present = _without_missing(values)
    codes = pandas.Index(categories).get_indexer(present)
    if (codes < 0).all():
        _check_type([value for value in present if value is not None], categories, name)
    return pandas.Categorical.from_codes(codes, categories=pandas.Index(categories))


def _knows_none(X: Any, place: int, converted: Any, categories: list[Any]) -> bool:
    """Whether a column has categories, none of which is among those of a model.

    ``converted`` is what :func:`_categorical` has made of a column that was not one of pandas.
    """
    if converted is None:
        present = X.iloc[:, place].cat.categories
        return len(present) > 0 and set(present).isdisjoint(categories)
    return bool((converted.codes < 0).all()) and not missing_ids(cells(X, place)).all()


def _numeric_categories(X: Any, place: int, name: str) -> NDArray[np.float64]:
    """Return a column of categories as the numbers that they are."""
    values = _without_missing(cells(X, place))
    if any(isinstance(value, str) for value in values):
        raise ValueError(
            f"Column {name!r} holds categories of text, but the LightGBM model was trained on "
            "numbers there. Convert it to numbers."
        )
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _check_type(given: Any, categories: list[Any], name: str) -> None:
    """Refuse text where a model's categories are numbers, or the other way around."""
    is_text = {isinstance(value, str) for value in categories}
    if len(given) and len(is_text) == 1 and isinstance(given[0], str) not in is_text:
        kind = "text" if True in is_text else "numbers"
        raise ValueError(
            f"Column {name!r} holds {given[0]!r}, but the categories of the LightGBM model are "
            f"like {categories[0]!r}. Convert the column to {kind}."
        )


def _without_missing(values: NDArray[Any]) -> NDArray[Any]:
    """Return values as an array of objects, with None for missing ones."""
    objects = values.astype(object)
    objects[missing_ids(values)] = None
    return objects


def _as_pandas(X: Any, columns: dict[int, Any]) -> Any:
    """Return a table as a pandas data frame, with some columns replaced by position."""
    import pandas

    names = column_names(X) or []
    if hasattr(X, "iloc"):
        parts = [columns.get(place, X.iloc[:, place]) for place in range(X.shape[1])]
        index = X.index
    else:
        parts = [
            columns[place] if place in columns else _numbers(X[name])
            for place, name in enumerate(names)
        ]
        index = None
    series = [pandas.Series(part, index=index) for part in parts]
    return pandas.concat(series, axis=1, keys=names)


def _numbers(column: Any) -> NDArray[Any]:
    """Return a column of polars or pyarrow as numbers, NaN where they are missing."""
    values = np.asarray(column)
    return values.astype(np.float64) if values.dtype == object else values

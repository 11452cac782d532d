"""Determine how the columns are scaled, and draw the parameters that training starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import Rows, chunks_of_rows
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Parameters, StudentModel
from skdistill.students.category_weights import CATEGORY_SCALE, scale_categories
from skdistill.students.reading import names_of_numbers
from skdistill.user_warnings import warn_user

# Rows by which a model adapts to the distribution of the columns.
SAMPLED_ROWS = 10_000


def initialize(student: Any, X: Any, rng: np.random.Generator) -> tuple[ColumnScaler, Parameters]:
    """Fit the scaler of a student to its table, and draw new parameters.

    Parameters
    ----------
    student : StudentEstimator
        It makes the model, and names the columns in a warning.
    X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features)
        What ``read_table`` returned.
    rng : numpy.random.Generator
        Source of the initial values.

    Returns
    -------
    scaler : ColumnScaler
    params : dict of str to ndarray
    """
    flaggable = None if student.encoder_ is None else student.encoder_.first_numbers
    scaler = ColumnScaler.fit(X, student.squash, student.standardize, flaggable=flaggable)
    if not sparse.issparse(X):
        _warn_of_lost_columns(student, scaler.lost_columns(X), scaler.n_columns)
    model = student.make_model()
    params = model.initialize(_n_inputs(X, scaler), rng)
    scale_categories(params, model, X, CATEGORY_SCALE)
    if type(model).adapt is not StudentModel.adapt:
        rows = np.arange(X.shape[0])
        if len(rows) > SAMPLED_ROWS:
            rows = np.sort(rng.choice(rows, SAMPLED_ROWS, replace=False))
        params = model.adapt(params, Rows(scaler.transform(X[rows])))
    return scaler, params


def scaled_rows(scaler: ColumnScaler, data: RankingData) -> Rows:
    """Scale the rows of training data, in their own memory if nobody else needs them.

    A second table would be what limits the rows that a machine can train on. The values are the
    same either way.

    Parameters
    ----------
    scaler : ColumnScaler
    data : RankingData
        Its dense float32 numbers are overwritten if it owns them and the scaler keeps their shape.

    Returns
    -------
    Rows
    """
    numbers = data.X.numbers if isinstance(data.X, MixedTable) else data.X
    fits = isinstance(numbers, np.ndarray) and (
        numbers.dtype == np.float32 and numbers.shape[1] == scaler.n_outputs
    )
    if not (fits and data.owns_table):
        return Rows(scaler.transform(data.X))
    for rows in chunks_of_rows(numbers):
        numbers[rows] = scaler.transform(numbers[rows])
    return Rows(data.X)


def fits_parameters(student: Any, X: Any) -> bool:
    """Whether a student has parameters, which then must have the shapes of this table and model.

    Raises
    ------
    ValueError
        If they have other shapes.
    """
    if not hasattr(student, "params_"):
        return False
    fresh = student.make_model().initialize(_n_inputs(X, student.scaler_), np.random.default_rng(0))
    if {name: array.shape for name, array in fresh.items()} != {
        name: array.shape for name, array in student.params_.items()
    }:
        raise ValueError(
            "warm_start=True needs parameters of the same shapes as in the previous fit, but the "
            "model or the columns of X have changed. Set warm_start=False."
        )
    return True


def _n_inputs(X: Any, scaler: ColumnScaler) -> int:
    """Number of inputs of the model: views of columns, flags of missing values, and codes."""
    return int(X.shape[1]) - scaler.n_columns + scaler.n_outputs


def _warn_of_lost_columns(student: Any, lost: list[int], n_numbers: int) -> None:
    """Warn about columns whose values differ too little for float32."""
    if not lost:
        return
    names = names_of_numbers(student, n_numbers)
    shown = list(dict.fromkeys(names[column] for column in lost))
    warn_user(
        f"The values of the columns {shown} of X differ, but so little that float32 arithmetic "
        "does not show it: nothing is learnt from them. Subtract their smallest value, or "
        "multiply them.",
    )

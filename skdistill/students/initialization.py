"""Determine how the columns are scaled, and draw the parameters that training starts from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Parameters
from skdistill.students.reading import names_of_numbers


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
    scaler = ColumnScaler.fit(X, student.squash, student.standardize)
    if not sparse.issparse(X):
        _warn_of_lost_columns(student, scaler.lost_columns(X), len(scaler.scale))
    return scaler, student.make_model().initialize(_n_inputs(X, scaler), rng)


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
            "warm_start=True needs parameters of the same shapes as in the previous fit, but "
            f"the model or the {X.shape[1]} columns of X have changed. Set warm_start=False."
        )
    return True


def _n_inputs(X: Any, scaler: ColumnScaler) -> int:
    """Number of inputs of the model: columns, codes, and flags of missing values."""
    n_flags = 0 if scaler.flagged is None else len(scaler.flagged)
    return int(X.shape[1]) + n_flags


def _warn_of_lost_columns(student: Any, lost: list[int], n_numbers: int) -> None:
    """Warn about columns whose values differ too little for float32."""
    if not lost:
        return
    names = names_of_numbers(student, n_numbers)
    shown = [names[column] for column in lost]
    warnings.warn(
        f"The values of the columns {shown} of X differ, but so little that float32 arithmetic "
        "does not show it: nothing is learnt from them. Subtract their smallest value, or "
        "multiply them.",
        UserWarning,
        stacklevel=7,
    )

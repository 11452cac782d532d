"""The optimizer of a student's fit, whose settings suit its model and its table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.models.piecewise_network import PiecewiseNetwork
from skdistill.protocols import Parameters, StudentModel
from skdistill.students.category_weights import category_parameters
from skdistill.training.category_rows import CategoryRows
from skdistill.training.loop import TrainingSettings
from skdistill.training.optimizers import Optimizer


def optimizer_for_fit(
    settings: TrainingSettings,
    model: StudentModel,
    params: Parameters,
    inputs: Rows,
    queries: Queries,
    credibility: NDArray[np.float64],
    n_steps: int,
) -> Optimizer:
    """Make the optimizer of a fit of several epochs.

    Parameters
    ----------
    settings : TrainingSettings
        Its weight decay may be "auto".
    model : StudentModel
    params : dict of str to ndarray
        The parameters to start from.
    inputs : Rows
        The scaled rows.
    queries : Queries
        Their segments.
    credibility : ndarray of shape (n_codes,), float64
        Factor of each category: how far to trust what its queries have in common.
    n_steps : int
        Number of steps per epoch.

    Returns
    -------
    Optimizer
    """
    if not isinstance(inputs.X, MixedTable) or not queries.has_lists:
        # Clicks without queries stop early, in so few epochs that slow categories learn too little.
        settings = settings.with_weight_decay(model, inputs, n_steps, None)
        return settings.make_optimizer(model, params, inputs)
    names, categories = category_parameters(model, inputs.X), None
    if model.row_parameters(inputs):
        # Numbers in pieces learn so fast that they would take the part of slow categories.
        n_units = 0 if isinstance(model, PiecewiseNetwork) else model.n_hidden_units
        categories = settings.category_rows(names, credibility, n_units)
    settings = settings.with_weight_decay(model, inputs, n_steps, categories)
    if categories is None and (credibility < 1).any():
        categories = CategoryRows(names, credibility, float(settings.weight_decay))
    return settings.make_optimizer(model, params, inputs, categories)

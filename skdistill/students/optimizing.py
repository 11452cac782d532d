"""The optimizer of a student's fit, whose settings suit its model and its table."""

from __future__ import annotations

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.models.piecewise_network import PiecewiseNetwork
from skdistill.protocols import Parameters, StudentModel
from skdistill.training.category_rows import CategoryRows
from skdistill.training.loop import TrainingSettings
from skdistill.training.optimizers import Optimizer


def optimizer_for_fit(
    settings: TrainingSettings,
    model: StudentModel,
    params: Parameters,
    inputs: Rows,
    queries: Queries,
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
    n_steps : int
        Number of steps per epoch.

    Returns
    -------
    Optimizer
    """
    # Clicks without queries stop early, in so few epochs that slow categories learn too little.
    categories = _category_rows(settings, model, inputs) if queries.has_lists else None
    settings = settings.with_weight_decay(model, inputs, n_steps, categories)
    return settings.make_optimizer(model, params, inputs, categories)


def _category_rows(
    settings: TrainingSettings, model: StudentModel, inputs: Rows
) -> CategoryRows | None:
    """Choose how the weights of categories learn if a step only moves those of its batch."""
    if not isinstance(inputs.X, MixedTable) or not model.row_parameters(inputs):
        return None
    # Numbers in pieces learn so fast that they would take the part of slow categories.
    n_units = 0 if isinstance(model, PiecewiseNetwork) else model.n_hidden_units
    return settings.category_rows(inputs.X.n_codes, n_units)

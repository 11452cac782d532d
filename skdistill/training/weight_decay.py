"""The weight decay of a net that suits its size and the number of steps of its epochs."""

from __future__ import annotations

# A net of this number of hidden units forgets, at the full learning rate, as much as it learns in
# one epoch.
UNITS_PER_EPOCH = 480
# Adam moves a weight by the learning rate at most, so that the decay keeps weights below its
# inverse. More than this would bind them below what they start from.
LARGEST_DECAY = 3.0
# For streams, whose rows are seen once, so that there is nothing to forget, and for wide tables of
# ids: a handful of rows trains the weights of an id, which would be forgotten in between.
SMALL_DECAY = 0.01


def automatic_decay(n_hidden_units: int, n_steps: int, learning_rate: float) -> float:
    """Choose the weight decay of a net.

    With decoupled decay, weights are a moving average of the optimizer's steps, over
    ``1 / (learning_rate * weight_decay)`` steps (Wang and Aitchison). What matters is this number
    in epochs. A net of 96 units does best with 5 epochs; one of 16 units, which has less room to
    remember rows, with 30.

    Parameters
    ----------
    n_hidden_units : int
        Number of units of all hidden layers.
    n_steps : int
        Number of steps per epoch.
    learning_rate : float
        Learning rate before the schedule.

    Returns
    -------
    float
        0 for a model without hidden units.

    References
    ----------
    Wang, Aitchison, "How to set AdamW's weight decay as you scale model and dataset size", 2024.

    Examples
    --------
    >>> from skdistill.training.weight_decay import automatic_decay
    >>> automatic_decay(96, n_steps=50, learning_rate=0.004)
    1.0
    """
    per_step = n_hidden_units / UNITS_PER_EPOCH / n_steps
    return min(per_step / learning_rate, LARGEST_DECAY)

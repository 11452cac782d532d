"""The weight decay and the rate of categories that suit the size of a net and its epochs."""

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


def category_rate(n_hidden_units: int, n_epochs: int) -> float:
    """Choose the factor of the learning rate for weights of categories that few rows train.

    Such weights cannot decay: they would be forgotten between two rows of a category. What these
    rows say is learnt in few epochs, and a large net goes on to learn them by heart. All epochs
    together therefore move the weights as far as so many epochs at the full rate as
    :func:`automatic_decay` lets other weights remember.

    Parameters
    ----------
    n_hidden_units : int
        Number of units of all hidden layers.
    n_epochs : int
        Number of epochs.

    Returns
    -------
    float
        1 at most, as for a model without hidden units.

    Examples
    --------
    >>> from skdistill.training.weight_decay import category_rate
    >>> category_rate(96, n_epochs=20)
    0.25
    >>> category_rate(16, n_epochs=20)
    1.0
    """
    return min(1.0, UNITS_PER_EPOCH / max(n_hidden_units, 1) / n_epochs)

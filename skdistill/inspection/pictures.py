"""What pictures share: their colours, and axes to draw on."""

from __future__ import annotations

from typing import Any

from skdistill.extras import import_extra

# Of Okabe and Ito's palette, which colour-blind readers can tell apart; all have a contrast of 3 to
# white and to a dark background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56809C")
NEUTRAL = "#767676"


def axes_or_new(ax: Any, purpose: str, size: tuple[float, float]) -> Any:
    """Return axes to draw on, those of a new figure if there are none.

    Parameters
    ----------
    ax : matplotlib Axes or None
        What the user has passed.
    purpose : str
        What draws, for the message if matplotlib is missing.
    size : tuple of float
        Width and height of a new figure, in inches.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed (extra ``plots``).
    """
    pyplot = import_extra("matplotlib.pyplot", "plots", purpose)
    return pyplot.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def whole_numbers(axis: Any) -> None:
    """Mark whole numbers only, such as places and epochs.

    Parameters
    ----------
    axis : matplotlib Axis
        Of an Axes.
    """
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))

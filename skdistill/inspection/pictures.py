"""What pictures share: their colours, and axes to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill.extras import import_extra

# Of Okabe and Ito's palette, which colour-blind readers can tell apart; all have a contrast of 3 to
# white and to a dark background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56809C")
NEUTRAL = "#767676"
# Luminance at which small letters have a contrast of 4.5 to white and to black alike (WCAG 2.2).
LUMINANCE = 0.179
# Width of axes, in inches, up to which a legend has one column.
NARROW = 4.0
# Marks and dashes of curves on shared axes, for readers who see no colours.
MARKS, DASHES = "osD^vP", ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), ":", (0, (8, 2)))
# Distances of the places that are marked on an axis, and how many are at most.
ROUND = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]
MOST_MARKS = 8


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


def curve_look(number: int) -> tuple[str, Any, str]:
    """Return the look of a curve among others on shared axes.

    Parameters
    ----------
    number : int
        How many curves were drawn before.

    Returns
    -------
    colour, dashes, mark
    """
    place = number % len(COLOURS)  # there are as many dashes and marks
    return COLOURS[place], DASHES[place], MARKS[place]


def colour_of_letters(colour: str) -> tuple[float, float, float]:
    """Return a colour as bright as small letters must be to be read on white and on black.

    Parameters
    ----------
    colour : str
        Any colour that matplotlib knows.

    Returns
    -------
    tuple of float
        Red, green and blue, of the same hue, within 0 and 1.
    """
    from matplotlib.colors import to_rgb

    # Transfer function and luminance of sRGB, IEC 61966-2-1, with the exponent of the whole curve.
    linear = np.array(to_rgb(colour)) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    red, green, blue = np.clip(linear * (LUMINANCE / luminance), 0.0, 1.0) ** (1 / 2.2)
    return float(red), float(green), float(blue)


def legend_columns(ax: Any) -> int:
    """Return how many columns a legend may have beside axes, so that it stays in the picture.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the curves are.

    Returns
    -------
    int
        One if the axes are narrow, otherwise two.
    """
    width = ax.get_position().width * ax.figure.get_figwidth()
    return 2 if width > NARROW else 1


def legend_above(ax: Any, handles: list[Any] | None = None, title: str | None = None) -> None:
    """Put the legend above the axes, where it covers no curve.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the curves are.
    handles : list of matplotlib Artist, optional
        What the legend explains; by default, all that have a label.
    title : str, optional
        What stands above the legend.
    """
    explained = ax.get_legend_handles_labels()[0] if handles is None else handles
    ax.legend(
        handles=explained,
        title=title,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=legend_columns(ax),
        frameon=False,
        fontsize="small",
        alignment="left",
    )


def whole_numbers(axis: Any) -> None:
    """Mark whole numbers only, such as places and epochs.

    Parameters
    ----------
    axis : matplotlib Axis
        Of an Axes.
    """
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def places_to_mark(n_places: int) -> list[int]:
    """Return the first place, and multiples of a round number, at most eight of them.

    Parameters
    ----------
    n_places : int
        Places are counted from 1.

    Returns
    -------
    list of int
    """
    step = next(step for step in ROUND if n_places // step <= MOST_MARKS)
    return [1, *range(max(step, 2), n_places + 1, step)]


def text_colour(ax: Any) -> Any:
    """Return the colour of letters on axes, which stands out from their background.

    Parameters
    ----------
    ax : matplotlib Axes

    Returns
    -------
    colour
    """
    return ax.xaxis.label.get_color()


def halo(ax: Any) -> list[Any]:
    """Return what draws a line or letters with a rim in the colour of the background.

    Parameters
    ----------
    ax : matplotlib Axes

    Returns
    -------
    list of matplotlib path effects
    """
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=ax.get_facecolor())]

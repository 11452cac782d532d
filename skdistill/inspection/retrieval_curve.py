"""A picture of how many items a retriever must return."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdistill.inputs.checks import check_k
from skdistill.inspection.pictures import (
    axes_or_new,
    colour_of_letters,
    curve_look,
    legend_above,
)
from skdistill.inspection.point_labels import LABELS, LINE, PointLabels, add_point_labels
from skdistill.metrics.curves import RetrievalCurve, retrieval_curve

TARGETS = (0.9, 0.99)


class RetrievalCurveDisplay:
    """How much of the wanted items is among the first items that a retriever returns.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. Several curves can share axes.

    Parameters
    ----------
    curve : RetrievalCurve
        Recall by number of returned items.
    name : str, optional
        Name of the retriever, for the legend.
    targets : sequence of float, default=(0.9, 0.99)
        Recalls to mark with the number of items that they need, where they are reached.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve; after ``plot``.
    ax_ : matplotlib Axes
        Where the picture is; after ``plot``.
    figure_ : matplotlib Figure
        The figure; after ``plot``.
    labels_ : PointLabels
        Numbers of items at the targets of all curves of the axes; after ``plot``.

    Examples
    --------
    >>> from skdistill.inspection import RetrievalCurveDisplay
    >>> display = RetrievalCurveDisplay.from_estimator(
    ...     retriever, users, wanted=teachers_top_10
    ... )  # doctest: +SKIP
    >>> display.figure_.savefig("how_many.png")  # doctest: +SKIP
    """

    def __init__(
        self, curve: RetrievalCurve, name: str | None = None, targets: Sequence[float] = TARGETS
    ) -> None:
        self.curve = curve
        self.name = name
        self.targets = targets

    @classmethod
    def from_estimator(
        cls,
        retriever: Any,
        queries: Any,
        wanted: ArrayLike,
        *,
        m: int = 500,
        name: str | None = None,
        targets: Sequence[float] = TARGETS,
        ax: Any = None,
    ) -> RetrievalCurveDisplay:
        """Retrieve items, and draw how many of them hold the wanted ones.

        Parameters
        ----------
        retriever : TwoTowerRetriever, or anything with ``retrieve(queries, k)``
            Fitted, with an index.
        queries : table of shape (n_queries, n_query_features)
            Queries, such as users.
        wanted : array-like of shape (n_queries, n_wanted)
            Ids of the items that a later stage would show, such as the teacher's top 10. -1, None
            and NaN pad short lists.
        m : int, default=500
            Number of items to retrieve.
        name : str, optional
            Name for the legend; the class of the retriever by default.
        targets : sequence of float, default=(0.9, 0.99)
            Recalls to mark.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        RetrievalCurveDisplay

        Raises
        ------
        ValueError
            If there is not one row per query, or the ids are of other kinds than the items'.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        check_k(m, "m")
        ids, _ = retriever.retrieve(queries, m)
        name = type(retriever).__name__ if name is None else name
        return cls.from_predictions(wanted, ids, name=name, targets=targets, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        wanted: ArrayLike,
        retrieved: ArrayLike,
        *,
        name: str | None = None,
        targets: Sequence[float] = TARGETS,
        ax: Any = None,
    ) -> RetrievalCurveDisplay:
        """Draw how many of the returned items hold the wanted ones.

        Parameters
        ----------
        wanted : array-like of shape (n_queries, n_wanted)
            Ids of the wanted items; -1, None and NaN pad short lists.
        retrieved : array-like of shape (n_queries, n_returned)
            Ids of the returned items, best first, with the same padding.
        name : str, optional
            Name for the legend.
        targets : sequence of float, default=(0.9, 0.99)
            Recalls to mark.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        RetrievalCurveDisplay

        Raises
        ------
        ValueError
            If there is not one row per query on either side, or the ids are of different kinds.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        return cls(retrieval_curve(wanted, retrieved), name, targets).plot(ax=ax)

    def plot(self, ax: Any = None) -> RetrievalCurveDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        ax = axes_or_new(ax, "RetrievalCurveDisplay.plot", (5.6, 4.0))
        self.ax_, self.figure_ = ax, ax.figure
        # Each curve of shared axes gets a colour of its own.
        n_before = sum(line.get_gid() == "curve" for line in ax.lines)
        colour, dashes, mark = curve_look(n_before)
        m, recall = self.curve.m, self.curve.recall
        label = None if self.name is None else fill(self.name, LINE)
        (self.line_,) = ax.plot(m, recall, color=colour, ls=dashes, gid="curve", label=label)
        reached = [target for target in self.targets if len(m) and recall[-1] >= target]
        for target in reached:
            needed = self.curve.items_needed(target)
            ax.plot(needed, target, mark, color=colour, gid="target", zorder=3)
        ax.set(
            xscale="log",
            xlabel="items returned",
            ylabel="fraction of the wanted items",
            ylim=(0, 1.03),
        )
        ax.grid(alpha=0.3)
        if self.name is not None:
            legend_above(ax)
        self.labels_ = _label_targets(ax)
        return self


def _label_targets(ax: Any) -> PointLabels:
    """Write beside the targets of all curves how many items they need."""
    for artist in [artist for artist in ax.artists if artist.get_gid() == LABELS]:
        artist.remove()  # those of the curves that were there before
    lines = {
        gid: [line for line in ax.lines if line.get_gid() == gid] for gid in ("target", "curve")
    }
    points = np.array([line.get_xydata()[0] for line in lines["target"]]).reshape(-1, 2)
    names = [
        f"{needed:.0f} {'item' if needed == 1 else 'items'}: {target:g}"
        for needed, target in points
    ]
    curves = [line.get_xydata() for line in lines["curve"]]
    colours = [colour_of_letters(line.get_color()) for line in lines["target"]]
    return add_point_labels(ax, points, names, curves, colours)

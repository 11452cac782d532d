"""Names beside the points of a picture, none of which covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inspection.pictures import halo

# In points of 1/72 inch: size of letters, space around a name, distance beyond which a line leads
# to the point, and distance between the places that are tried.
LETTERS, SPACE, FAR, STEP = 8.0, 2.0, 14.0, 3.0
# Letters of a line; longer names are broken, so that they fit into a picture of column width.
LINE = 24
# A name that covers another is worse than one that covers so many points and pieces of lines.
WORSE = 1000
# To stand nearer to another point is as bad as to cover so many.
MISLEADING = 2

# Tells names from what else is on the axes.
LABELS = "point labels"

Boxes = NDArray[np.float64]


def add_point_labels(
    axis: Any,
    points: NDArray[np.float64],
    names: Sequence[str],
    lines: Sequence[NDArray[np.float64]] = (),
    colours: Sequence[Any] | None = None,
) -> PointLabels:
    """Write names beside points, each at the free place that is nearest to its point.

    The places are found whenever the picture is drawn, so that they suit its size.

    Parameters
    ----------
    axis : matplotlib Axes
        Where the points are.
    points : ndarray of shape (n_points, 2)
        Coordinates of the points.
    names : sequence of str
        A name for each point.
    lines : sequence of ndarray of shape (n_corners, 2), optional
        Corners of lines that no name shall cover.
    colours : sequence of colour, optional
        Colour of each name; that of text by default.

    Returns
    -------
    PointLabels
        What finds the places.
    """
    from matplotlib.artist import Artist
    from matplotlib.text import Text
    from matplotlib.transforms import IdentityTransform

    texts = [
        Text(text=fill(name, LINE), fontsize=LETTERS, transform=IdentityTransform(), va="bottom")
        for name in names
    ]
    for text, colour in zip(texts, colours or [], strict=False):
        text.set_color(colour)
    labels = PointLabels(axis, points, texts, list(lines))

    class Names(Artist):
        """Draws the names after everything else."""

        def draw(self, renderer: Any) -> None:
            if self.get_visible():
                labels.draw(renderer)
            self.stale = False

    artist = Names()
    artist.set_gid(LABELS)
    artist.set_in_layout(False)
    axis.add_artist(artist)
    for text in texts:
        text.set_figure(axis.figure)
    return labels


@dataclass(frozen=True)
class PointLabels:
    """Names of points and where they stand; see :func:`add_point_labels`.

    Parameters
    ----------
    axis : matplotlib Axes
        Where the points are.
    points : ndarray of shape (n_points, 2)
        Coordinates of the points.
    texts : list of matplotlib Text
        The names.
    lines : list of ndarray of shape (n_corners, 2)
        Corners of lines that no name shall cover.
    """

    axis: Any
    points: NDArray[np.float64]
    texts: list[Any]
    lines: list[NDArray[np.float64]]

    def places(self, renderer: Any) -> Boxes:
        """Find a place for each name.

        Parameters
        ----------
        renderer : matplotlib renderer
            It knows the size of letters.

        Returns
        -------
        ndarray of shape (n_points, 4)
            Left, bottom, right and top of each name, in pixels.
        """
        scale = self.axis.figure.dpi / 72
        points = self.axis.transData.transform(self.points)
        drawn = [_around(points, SPACE * 2 * scale)]
        for line in self.lines:
            drawn.append(_around(_along(self.axis.transData.transform(line), STEP * scale), 1.0))
        marks = np.concatenate(drawn)
        frame = np.array(self.axis.get_window_extent(renderer).extents)
        extents = [text.get_window_extent(renderer) for text in self.texts]
        sizes = np.array([[extent.width, extent.height] for extent in extents]).reshape(-1, 2)
        sizes += 2 * SPACE * scale
        # The largest name chooses first, because small ones fit into what it leaves.
        order = np.argsort(-sizes.prod(axis=1), kind="stable")
        found = np.empty((len(points), 4))
        for number, name in enumerate(order):
            others = np.delete(points, name, axis=0)
            taken = found[order[:number]]
            found[name] = _nearest_free(
                points[name], others, sizes[name], frame, marks, taken, STEP * scale
            )
        return found

    def draw(self, renderer: Any) -> None:
        """Draw the names, and lines from those that are far to their points.

        Parameters
        ----------
        renderer : matplotlib renderer
            Draws.
        """
        from matplotlib.lines import Line2D
        from matplotlib.transforms import IdentityTransform

        scale = self.axis.figure.dpi / 72
        points = self.axis.transData.transform(self.points)
        for point, text, box in zip(points, self.texts, self.places(renderer), strict=True):
            nearest = np.clip(point, box[:2], box[2:])
            own = np.hypot(*(nearest - point))
            if own > FAR * scale or _distances(box[None], points).min() < own:
                ends, colour = np.array([point, nearest]).T, text.get_color()
                line = Line2D(*ends, color=colour, lw=0.7, transform=IdentityTransform())
                line.set_figure(self.axis.figure)
                line.draw(renderer)
            text.set_position(box[:2] + SPACE * scale)
            text.set_path_effects(halo(self.axis))
            text.draw(renderer)


def _distances(boxes: Boxes, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each box to each point."""
    inside = np.clip(points, boxes[:, None, :2], boxes[:, None, 2:])
    return np.hypot(*np.moveaxis(inside - points, -1, 0))


def _around(centres: NDArray[np.float64], radius: float) -> Boxes:
    """Squares around points."""
    return np.concatenate([centres - radius, centres + radius], axis=1)


def _along(corners: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Points on a line through corners, at most a step apart."""
    parts = [corners[:1]]
    for start, end in pairwise(corners):
        n_steps = max(int(np.hypot(*(end - start)) / step), 1)
        parts.append(start + (end - start) * np.linspace(0, 1, n_steps + 1)[1:, None])
    return np.concatenate(parts)


def _nearest_free(
    point: NDArray[np.float64],
    others: NDArray[np.float64],
    size: NDArray[np.float64],
    frame: NDArray[np.float64],
    marks: Boxes,
    names: Boxes,
    step: float,
) -> NDArray[np.float64]:
    """Return the box in the frame that covers no name and fewest marks; the nearest of several.

    A box that is nearer to another point than to its own counts as if it covered marks.
    """
    room = np.maximum(frame[2:] - size, frame[:2] + 1)
    left, bottom = (np.arange(low, high, step) for low, high in zip(frame[:2], room, strict=True))
    corners = np.stack(np.meshgrid(left, bottom), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + size], axis=1)
    nearest = np.clip(point, boxes[:, :2], boxes[:, 2:])
    distance = np.hypot(*(nearest - point).T)
    order = np.argsort(distance, kind="stable")
    covered = _n_covered(boxes, marks) + WORSE * _n_covered(boxes, names)
    if len(others):
        covered += MISLEADING * (_distances(boxes, others).min(axis=1) < distance)
    return boxes[order[np.argmin(covered[order])]]


def _n_covered(boxes: Boxes, taken: Boxes) -> NDArray[np.int64]:
    """Count what each box covers of what is taken."""
    n_covered = np.zeros(len(boxes), dtype=np.int64)
    left, bottom, right, top = np.ascontiguousarray(boxes.T)
    for box in taken:
        n_covered += (left < box[2]) & (bottom < box[3]) & (right > box[0]) & (top > box[1])
    return n_covered

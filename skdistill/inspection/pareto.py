"""A picture of quality against speed, in which students stand beside smaller trees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_labels
from skdistill.inputs.columns import as_table
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection.models import (
    BEGINNING,
    COMPILED,
    OTHER,
    STUDENT,
    TEACHER,
    TREES,
    check_models,
    in_unit_of_offset,
    kind_of,
    scores_of,
)
from skdistill.inspection.pictures import (
    COLOURS,
    NEUTRAL,
    axes_or_new,
    colour_of_letters,
    legend_columns,
)
from skdistill.inspection.point_labels import add_point_labels
from skdistill.inspection.points import SMALLER, ParetoPoint, beaten_by_trees, measured_points
from skdistill.inspection.relevant_queries import require_relevant_queries
from skdistill.inspection.report.document import DistillationReport
from skdistill.inspection.row_costs import RowCost, row_costs
from skdistill.inspection.small_trees import beginnings
from skdistill.metrics.scorers import offset_of, queries_of

# Colour and marker of each kind of model.
LOOKS = {
    TEACHER: (NEUTRAL, "s"),
    BEGINNING: (COLOURS[1], "v"),
    TREES: (COLOURS[3], "^"),
    COMPILED: (COLOURS[4], "<"),
    STUDENT: (COLOURS[0], "o"),
    OTHER: (COLOURS[2], "D"),
}
# Of smaller trees, only the numbers stand in the picture, and the legend says what they are, by how
# many there are.
NUMBERS = {1: "how many", 2: "trees × leaves"}
# Distance of the legend from the axes, in sizes of letters: the numbers and the name of the axis.
LEGEND_DISTANCE = 3.6


class ParetoDisplay:
    """Quality against speed: the teacher, its first trees, small trees, and students.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. A student earns its place above
    or to the right of the line through the trees.

    Parameters
    ----------
    points : list of ParetoPoint
        The models.
    k : int
        Number of top places that count.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the picture is; after ``plot``.
    figure_ : matplotlib Figure
        The figure; after ``plot``.
    labels_ : PointLabels
        Places of the names; after ``plot``.

    Examples
    --------
    >>> from skdistill.inspection import ParetoDisplay
    >>> display = ParetoDisplay.from_estimator(
    ...     {"MLP": student, **small_trees}, X, y, qid=qid, teacher=teacher
    ... )  # doctest: +SKIP
    >>> display.figure_.savefig("quality_and_speed.png")  # doctest: +SKIP
    """

    def __init__(self, points: list[ParetoPoint], k: int) -> None:
        self.points = points
        self.k = k

    @classmethod
    def from_estimator(
        cls,
        models: Mapping[str, Any],
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        teacher: Any = None,
        offset: ArrayLike | None = None,
        k: int = 10,
        kinds: Mapping[str, str] | None = None,
        random_state: Any = 0,
        ax: Any = None,
    ) -> ParetoDisplay:
        """Measure the quality and the speed of models, and draw them.

        Parameters
        ----------
        models : dict of str to model
            Fitted models by name: students, LightGBM models such as those of
            :func:`fit_small_trees`, or anything with ``predict``.
        X : table of shape (n_rows, n_features)
            Rows that no model was fitted on.
        y : array-like of shape (n_rows,)
            Relevance, 0 or more.
        qid : array-like of shape (n_rows,), optional
            Query of each row. By default, that of the ``query_column`` of the first model.
        teacher : model, optional
            The reference. If it is boosted, its first trees are drawn too.
        offset : array-like of shape (n_rows,), optional
            Such as a log bid, which is added to all scores; those within 0 and 1 that are no
            student's are probabilities, and become logarithms.
        k : int, default=10
            Number of top places that count.
        kinds : dict of str to str, optional
            Kind of some models, by name: "small trees", "compiled trees", "student" or "other
            model". By default, the type of the model tells.
        random_state : int, RandomState or None, default=0
            Seeds the bootstrap.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        ParetoDisplay

        Raises
        ------
        ValueError
            If there is no model, fewer than two queries have a relevant row, or the arguments do
            not match.
        TypeError
            If a model cannot score.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        check_models(models)
        if teacher is not None:
            check_models({TEACHER: teacher})
            if TEACHER in models:
                raise ValueError(f"models names a model {TEACHER!r}, as teacher= does. Rename it.")
        X = as_table(X)
        ids = queries_of(next(iter(models.values())), X, qid)
        labels = check_labels(y, X.shape[0])
        rows = RankingData.sort(check_qid(ids, X.shape[0]), X, labels)
        require_relevant_queries(rows, "ParetoDisplay")
        given = {name: kind_of(model) for name, model in models.items()} | dict(kinds or {})
        together = dict(models)
        if teacher is not None:
            cuts = beginnings(teacher)
            together = {TEACHER: teacher, **cuts, **together}
            given = {TEACHER: TEACHER, **dict.fromkeys(cuts, BEGINNING), **given}
        for model in models.values():
            offset = offset_of(model, offset)
        scores = {name: scores_of(model, X) for name, model in together.items()}
        if offset is not None:
            scores = in_unit_of_offset(scores, given)
        return cls.from_predictions(
            y,
            scores,
            row_costs(together, X),
            qid=ids,
            kinds=given,
            offset=offset,
            k=k,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        scores: Mapping[str, ArrayLike],
        costs: Mapping[str, RowCost],
        *,
        qid: ArrayLike | None = None,
        kinds: Mapping[str, str] | None = None,
        offset: ArrayLike | None = None,
        k: int = 10,
        random_state: Any = 0,
        ax: Any = None,
    ) -> ParetoDisplay:
        """Draw models whose scores and costs are known.

        Parameters
        ----------
        y : array-like of shape (n_rows,)
            Relevance, 0 or more.
        scores : dict of str to array-like of shape (n_rows,)
            Scores of each model by its name. The first one is the reference of the intervals.
        costs : dict of str to RowCost
            Seconds per row, as :func:`row_costs` returns them.
        qid : array-like of shape (n_rows,), optional
            Query of each row. None means that all rows are one query.
        kinds : dict of str to str, optional
            Kind of each model; "student" by default.
        offset : array-like of shape (n_rows,), optional
            Added to all scores.
        k : int, default=10
            Number of top places that count.
        random_state : int, RandomState or None, default=0
            Seeds the bootstrap.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        ParetoDisplay

        Raises
        ------
        ValueError
            If the arguments do not match, or a kind is unknown.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        nobody = sorted(set(kinds or {}) - set(scores))
        if nobody:
            raise ValueError(f"kinds names {nobody}, but the models are {list(scores)}.")
        points = measured_points(
            y, scores, costs, dict(kinds or {}), qid, k=k, random_state=random_state, offset=offset
        )
        return cls(points, k).plot(ax=ax)

    @classmethod
    def from_report(cls, report: DistillationReport, *, ax: Any = None) -> ParetoDisplay:
        """Draw the models of a report.

        Parameters
        ----------
        report : DistillationReport
            What :func:`distillation_report` returned.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        ParetoDisplay
            Without a teacher of which only the scores are known.

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        known = [point for point in report.points if not np.isnan(point.cost.seconds)]
        return cls(known, report.k).plot(ax=ax)

    def beaten(self, random_state: Any = 0) -> dict[str, str]:
        """Find the students that a smaller tree beats.

        Parameters
        ----------
        random_state : int, RandomState or None, default=0
            Seeds the bootstrap.

        Returns
        -------
        dict of str to str
            By student: the trees that are at least as fast, and whose NDCG is higher by more than
            the 95% interval of a paired bootstrap over queries; the best of them if there are
            several.
        """
        beaten = beaten_by_trees(self.points, random_state)
        return {name: tree.name for name, tree in beaten.items()}

    def plot(self, ax: Any = None) -> ParetoDisplay:
        """Draw the picture.

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
        ax = axes_or_new(ax, "ParetoDisplay.plot", (6.4, 4.8))
        self.ax_, self.figure_ = ax, ax.figure
        covered = []
        handles = {}
        for kind, (colour, marker) in LOOKS.items():
            points = [point for point in self.points if point.kind == kind]
            if points:
                line, lines = _draw(ax, points, kind, colour, marker)
                covered += lines
                handles[_legend(points, kind)] = line
        ax.set(xscale="log", xlabel="rows per second, one thread", ylabel=f"NDCG@{self.k}")
        _show_a_decade(ax)
        ax.margins(0.12)
        ax.grid(alpha=0.3)
        _add_legend(ax, handles)
        self.labels_ = add_point_labels(
            ax,
            np.array([[1 / point.cost.seconds, point.quality] for point in self.points]),
            [_label(point) for point in self.points],
            covered,
            [colour_of_letters(LOOKS[point.kind][0]) for point in self.points],
        )
        return self


def _draw(
    ax: Any, points: list[ParetoPoint], kind: str, colour: str, marker: str
) -> tuple[Any, list[NDArray[np.float64]]]:
    """Draw a kind, trees by their number; return the line through it, and corners of all lines."""
    points = sorted(points, key=lambda point: (*map(int, _numbers(point)), point.cost.seconds))
    speed = np.array([1 / point.cost.seconds for point in points])
    fast = np.array([1 / point.cost.low for point in points])
    slow = np.array([1 / point.cost.high for point in points])
    quality = np.array([point.quality for point in points])
    low, high = np.array([point.interval for point in points]).T
    drawn = ax.errorbar(
        speed,
        quality,
        # The interval is that of a ratio, whose middle may differ from the mean by a rounding.
        yerr=np.maximum([quality - low, high - quality], 0),
        xerr=np.maximum([speed - slow, fast - speed], 0),
        color=colour,
        marker=marker,
        linestyle="-" if kind in SMALLER else "none",
        linewidth=1.2,
        elinewidth=1,
        capsize=2,
        label=kind,
    )
    whiskers = [np.array([[x, a], [x, b]]) for x, a, b in zip(speed, low, high, strict=True)]
    whiskers += [np.array([[a, y], [b, y]]) for y, a, b in zip(quality, slow, fast, strict=True)]
    joined = [np.column_stack([speed, quality])] if kind in SMALLER else []
    return drawn.lines[0], [*joined, *whiskers]


def _show_a_decade(ax: Any) -> None:
    """Widen the axis of speed to a decade, so that it holds a power of ten, and label no others."""
    from matplotlib.ticker import NullFormatter

    ax.xaxis.set_minor_formatter(NullFormatter())
    low, high = ax.dataLim.intervalx
    if high < 10 * low:
        middle = np.sqrt(low * high)
        ends = [[middle / np.sqrt(10), ax.dataLim.y0], [middle * np.sqrt(10), ax.dataLim.y1]]
        ax.update_datalim(ends)


def _add_legend(ax: Any, handles: dict[str, Any]) -> None:
    """Put the legend below the name of the axis, at whatever size the picture has."""
    from matplotlib import rcParams
    from matplotlib.transforms import ScaledTranslation

    distance = LEGEND_DISTANCE * rcParams["font.size"] / 72
    below = ScaledTranslation(0, -distance, ax.figure.dpi_scale_trans)
    ax.legend(
        list(handles.values()),
        list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0,
        ncols=legend_columns(ax),
        frameon=False,
        fontsize="small",
    )


def _numbers(point: ParetoPoint) -> list[str]:
    """Return what the name of smaller trees says in numbers, if it is one or two of them."""
    numbers = re.findall(r"\d+", point.name) if point.kind in SMALLER else []
    return numbers if len(numbers) in NUMBERS else []


def _label(point: ParetoPoint) -> str:
    """Return what stands beside a point."""
    return " × ".join(_numbers(point)) or point.name


def _legend(points: list[ParetoPoint], kind: str) -> str:
    """Return the name of a kind, and what the numbers beside its points are."""
    most = max(len(_numbers(point)) for point in points)
    return f"{kind}: {NUMBERS[most]}" if most else kind

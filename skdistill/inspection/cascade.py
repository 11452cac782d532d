"""A picture of what a cascade loses and what its stages keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdistill.cascade import CascadeReport, cascade_report
from skdistill.extras import import_extra
from skdistill.inspection.pictures import NEUTRAL, curve_look

# Names of the bars are slanted if they would touch: the fraction of the figure's width that the
# bars have, and the width of a small letter in inches.
PANEL, LETTER = 0.4, 0.075


class CascadeDisplay:
    """Where a cascade loses wanted items, and how many a stage must return to keep them.

    Make one by :meth:`from_estimator` or :meth:`from_report`, and draw it by :meth:`plot`.

    Parameters
    ----------
    report : CascadeReport
        What is drawn.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure; after ``plot``.
    axes_ : ndarray of shape (2,), matplotlib Axes
        The waterfall, and the recall curves; after ``plot``.

    Examples
    --------
    >>> from skdistill.inspection import CascadeDisplay
    >>> display = CascadeDisplay.from_estimator(cascade, queries)  # doctest: +SKIP
    >>> display.figure_.savefig("cascade.png")  # doctest: +SKIP
    """

    def __init__(self, report: CascadeReport) -> None:
        self.report = report

    @classmethod
    def from_estimator(
        cls,
        cascade: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        k: int | None = None,
        exclude: Any = None,
        axes: Any = None,
    ) -> CascadeDisplay:
        """Report on a cascade and draw the report.

        Parameters
        ----------
        cascade : RankingCascade
            Fitted.
        X, y, qid, k, exclude
            As for :func:`skdistill.cascade.cascade_report`.
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        CascadeDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        report = cascade_report(cascade, X, y, qid=qid, k=k, exclude=exclude)
        return cls.from_report(report, axes=axes)

    @classmethod
    def from_report(cls, report: CascadeReport, *, axes: Any = None) -> CascadeDisplay:
        """Draw a report.

        Parameters
        ----------
        report : CascadeReport
            What :func:`skdistill.cascade.cascade_report` returned.
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        CascadeDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        return cls(report).plot(axes=axes)

    def plot(self, axes: Any = None) -> CascadeDisplay:
        """Draw the waterfall and the recall curves.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        pyplot = import_extra("matplotlib.pyplot", "plots", "CascadeDisplay.plot")
        if axes is None:
            _, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        self.axes_ = np.asarray(axes, dtype=object).ravel()
        if len(self.axes_) != 2:
            raise ValueError(f"axes must be two Axes, got {len(self.axes_)}.")
        self.figure_ = self.axes_[0].figure
        self._draw_waterfall(self.axes_[0])
        self._draw_curves(self.axes_[1])
        return self

    def _draw_waterfall(self, axis: Any) -> None:
        """Draw how much of the wanted items each stage drops."""
        report = self.report
        names = [f"{stage.name}\n{stage.size}" for stage in report.stages]
        left = 1.0
        for number, stage in enumerate(report.stages):
            colour, _, _ = curve_look(number)
            axis.bar(number, stage.lost, bottom=left - stage.lost, color=colour, width=0.7)
            axis.annotate(
                f"−{stage.lost:.3f}" if stage.lost >= 0.0005 else "0",
                (number, left - stage.lost),
                xytext=(0, -3),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize="small",
            )
            left -= stage.lost
        axis.bar(len(names), left, color=NEUTRAL, width=0.7)
        axis.annotate(
            f"{left:.3f}",
            (len(names), left),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize="small",
        )
        lowest = max(0.0, 1 - 2.2 * max(1 - left, 0.02))
        shown = [*names, f"returned\n{report.k}"]
        room = PANEL * axis.figure.get_figwidth() / len(shown)
        is_long = max(len(line) for name in shown for line in name.split("\n")) * LETTER > room
        axis.set_xticks(
            range(len(shown)),
            shown,
            fontsize="small",
            rotation=30 if is_long else 0,
            ha="right" if is_long else "center",
        )
        axis.set(
            # The number above the last bar has room even if nothing is lost.
            ylim=(lowest, 1 + 0.08 * (1 - lowest)),
            ylabel=f"fraction of the teacher's top {report.k}",
            title="Lost by each stage",
        )

    def _draw_curves(self, axis: Any) -> None:
        """Draw what each stage keeps, by the number of items that it returns."""
        from matplotlib import ticker

        report = self.report
        for number, stage in enumerate(report.stages):
            colour, dashes, mark = curve_look(number)
            at = np.arange(1, len(stage.curve) + 1)
            is_drawn = stage.size <= len(at)
            axis.plot(
                at,
                stage.curve,
                color=colour,
                linestyle=dashes,
                marker=mark if is_drawn else None,
                markevery=[stage.size - 1] if is_drawn else None,
                label=f"{stage.name}, {stage.size}",
            )
        axis.set(
            xscale="log",
            xlabel="items returned",
            ylabel=f"fraction of the top {report.k} found",
            ylim=(0, 1.03),
            title="Recall by size",
        )
        # Numbers between the powers of ten would cover each other.
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize="small")

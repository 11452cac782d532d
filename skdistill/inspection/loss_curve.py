"""A picture of a training: the loss of each epoch, and the score on held-out queries."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill.inputs.pipelines import last_step
from skdistill.inspection.models import unwrapped
from skdistill.inspection.pictures import COLOURS, axes_or_new, legend_above, whole_numbers


class LossCurveDisplay:
    """Loss by epoch, and the validation score of a model that stopped early.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    losses : sequence of float
        Mean loss of each epoch.
    validation_scores : sequence of float, optional
        Score on held-out queries after each epoch.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The loss; after ``plot``.
    ax_ : matplotlib Axes
        Where the picture is; after ``plot``.
    figure_ : matplotlib Figure
        The figure; after ``plot``.

    Examples
    --------
    >>> from skdistill.inspection import LossCurveDisplay
    >>> LossCurveDisplay.from_estimator(student).figure_.savefig("loss.png")  # doctest: +SKIP
    """

    def __init__(self, losses: Any, validation_scores: Any = None) -> None:
        self.losses = np.asarray(losses, np.float64)
        scores = [] if validation_scores is None else validation_scores
        self.validation_scores = np.asarray(scores, np.float64)

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Any = None) -> LossCurveDisplay:
        """Draw the training of a model.

        Parameters
        ----------
        model : student, DistilledRanker, TwoTowerRetriever, Pipeline or search
            Fitted.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        TypeError
            If the model has no ``loss_curve_``.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        trained = last_step(unwrapped(model))
        trained = last_step(getattr(trained, "student_", trained))
        losses = getattr(trained, "loss_curve_", None)
        if losses is None:
            raise TypeError(
                f"{type(trained).__name__} has no loss_curve_: pass a fitted student or retriever."
            )
        return cls.from_predictions(losses, getattr(trained, "validation_scores_", None), ax=ax)

    @classmethod
    def from_predictions(
        cls, losses: Any, validation_scores: Any = None, *, ax: Any = None
    ) -> LossCurveDisplay:
        """Draw losses that are known.

        Parameters
        ----------
        losses : sequence of float
            Mean loss of each epoch.
        validation_scores : sequence of float, optional
            Score on held-out queries after each epoch.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        return cls(losses, validation_scores).plot(ax=ax)

    def plot(self, ax: Any = None) -> LossCurveDisplay:
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
        ax = axes_or_new(ax, "LossCurveDisplay.plot", (5.6, 4.0))
        self.ax_, self.figure_ = ax, ax.figure
        epochs = np.arange(1, len(self.losses) + 1)
        (self.line_,) = ax.plot(epochs, self.losses, color=COLOURS[0], label="loss")
        ax.set(xlabel="epoch", ylabel="loss on training rows")
        whole_numbers(ax.xaxis)
        ax.grid(alpha=0.3)
        lines = [self.line_]
        if len(self.validation_scores):
            scored = np.arange(1, len(self.validation_scores) + 1)
            beside = ax.twinx()
            lines += beside.plot(
                scored, self.validation_scores, color=COLOURS[1], ls="--", label="validation score"
            )
            best = int(np.argmax(self.validation_scores))
            place = scored[best], self.validation_scores[best]
            lines += beside.plot(*place, "o", color=COLOURS[1], label="best epoch")
            beside.set_ylabel("score on held-out queries")
        if len(lines) > 1:
            legend_above(ax, lines)
        return self

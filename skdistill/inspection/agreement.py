"""A picture of how a student ranks what its teacher ranks, place by place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import check_finite, check_k
from skdistill.inputs.columns import as_table
from skdistill.inputs.offsets import check_offset, log_unless_logs
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inspection.models import require_teacher, scores_of, teacher_columns
from skdistill.inspection.pictures import (
    COLOURS,
    axes_or_new,
    halo,
    legend_above,
    places_to_mark,
    text_colour,
)
from skdistill.metrics import kendall_tau
from skdistill.metrics.scorers import offset_of, queries_of

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


class AgreementDisplay:
    """Where a student ranks the rows that its teacher ranks first, second, and so on.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    quantiles : ndarray of shape (n_places, 5), float64
        For each place of the teacher: the 10%, 25%, 50%, 75% and 90% quantiles over queries of the
        student's place for the same row. Places start at 1.
    tau : float
        Mean over queries of Kendall's tau between student and teacher.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the picture is; after ``plot``.
    figure_ : matplotlib Figure
        The figure; after ``plot``.

    Examples
    --------
    >>> from skdistill.inspection import AgreementDisplay
    >>> display = AgreementDisplay.from_estimator(ranker, X, qid=qid)  # doctest: +SKIP
    >>> display.figure_.savefig("agreement.png")  # doctest: +SKIP
    """

    def __init__(self, quantiles: NDArray[np.float64], tau: float) -> None:
        self.quantiles = quantiles
        self.tau = tau

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any,
        *,
        qid: ArrayLike | None = None,
        teacher: Any = None,
        offset: ArrayLike | None = None,
        n_places: int = 30,
        ax: Any = None,
    ) -> AgreementDisplay:
        """Score rows with a student and its teacher, and draw how they agree.

        Parameters
        ----------
        model : student, DistilledRanker or Pipeline
            Fitted.
        X : table of shape (n_rows, n_features)
            Rows that the student was not fitted on.
        qid : array-like of shape (n_rows,), optional
            Query of each row; by default, that of the model's ``query_column``.
        teacher : model, optional
            By default, the ``teacher_`` of a :class:`DistilledRanker`.
        offset : array-like of shape (n_rows,), optional
            Such as a log bid, which is added to the scores of both.
        n_places : int, default=30
            Number of places of the teacher to draw.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        AgreementDisplay

        Raises
        ------
        ValueError
            If there is no teacher, or the arguments do not match.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        X = as_table(X)
        ids = queries_of(model, X, qid)
        added = check_offset(offset_of(model, offset), X.shape[0])
        taught = scores_of(require_teacher(model, teacher), teacher_columns(model, X))
        learnt = scores_of(model, X)
        if added is not None:
            taught, learnt = log_unless_logs(np.asarray(taught, np.float64)) + added, learnt + added
        return cls.from_predictions(taught, learnt, qid=ids, n_places=n_places, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        teacher_scores: ArrayLike,
        student_scores: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        n_places: int = 30,
        ax: Any = None,
    ) -> AgreementDisplay:
        """Draw how two scores agree.

        Parameters
        ----------
        teacher_scores, student_scores : array-like of shape (n_rows,)
            Scores of each row. Tied rows keep the order of the table.
        qid : array-like of shape (n_rows,), optional
            Query of each row. None means that all rows are one query.
        n_places : int, default=30
            Number of places of the teacher to draw; fewer if no query has as many rows.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        AgreementDisplay

        Raises
        ------
        ValueError
            If the arguments do not match, or a score is not finite.
        ImportError
            If matplotlib is not installed (extra ``plots``).
        """
        check_k(n_places, "n_places")
        taught = np.asarray(teacher_scores, np.float64)
        taught = check_finite("teacher_scores", taught, taught.size)
        learnt = check_finite("student_scores", student_scores, len(taught))
        queries, order = sort_by_query(check_qid(qid, len(taught)), len(taught))
        if order is not None:
            taught, learnt = taught[order], learnt[order]
        wanted = queries.rank_descending(taught)
        found = queries.rank_descending(learnt) + 1.0
        n_places = min(n_places, int(queries.sizes.max()))
        quantiles = np.array(
            [np.quantile(found[wanted == place], QUANTILES) for place in range(n_places)]
        )
        tau = kendall_tau(taught, learnt, queries.segment)
        return cls(quantiles, tau).plot(ax=ax)

    def plot(self, ax: Any = None) -> AgreementDisplay:
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
        ax = axes_or_new(ax, "AgreementDisplay.plot", (4.8, 4.4))
        self.ax_, self.figure_ = ax, ax.figure
        places = np.arange(1, len(self.quantiles) + 1)
        lowest, low, median, high, highest = self.quantiles.T
        colour = COLOURS[0]
        # The bands do not overlap, so that each looks like its key.
        outer = {"color": colour, "alpha": 0.25, "lw": 0}
        ax.fill_between(places, lowest, low, label="80% of queries", **outer)
        ax.fill_between(places, high, highest, **outer)
        ax.fill_between(places, low, high, color=colour, alpha=0.65, lw=0, label="50% of queries")
        ax.plot(places, median, color=text_colour(ax), label="median")
        same = {"color": COLOURS[1], "ls": "--", "lw": 1.2, "path_effects": halo(ax)}
        ax.plot(places, places, label="same place", **same)
        ax.set(
            xlabel="place by the teacher",
            ylabel="place by the student",
            xlim=(1, max(len(places), 2)),
        )
        # The first place is at the top.
        ax.set_ylim(max(float(highest.max()), 2.0), 1)
        ax.set_xticks(places_to_mark(len(places)))
        ax.set_yticks(places_to_mark(int(ax.get_ylim()[0])))
        ax.grid(alpha=0.3)
        legend_above(ax, title=f"Kendall's tau {self.tau:.3f}")
        return self

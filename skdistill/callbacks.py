"""Calls of scikit-learn's callbacks after each epoch, also for a student inside a ranker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.callback import FitCallback

from skdistill._sklearn_compat import fit_context, has_callbacks, with_single_callback
from skdistill.inputs.columns import take_rows
from skdistill.inputs.ids import as_ids


def data_for_callbacks(X: Any, y: Any, qid: Any) -> dict[str, Any]:
    """Gather what a fit shows to its callbacks."""
    return {"X": X, "y": y, "metadata": None if qid is None else {"qid": as_ids(qid)}}


def rows_for_callbacks(X: Any, y: Any, qid: Any) -> Callable[[Any], dict[str, Any]]:
    """Make a function that gathers some rows of a user's table, when a callback asks for them.

    The function takes ``RankingData`` that was read from the table.
    """

    def gather(watched: Any) -> dict[str, Any]:
        rows = watched.rows_of_table
        return {
            "X": lambda: take_rows(X, rows),
            "y": lambda: None if y is None else np.asarray(y)[rows],
            "metadata": lambda: None if qid is None else {"qid": as_ids(qid)[rows]},
        }

    return gather


def sorted_rows_for_callbacks(watched: Any) -> dict[str, Any]:
    """Gather rows that were read and sorted outside of the fit, given as ``RankingData``."""
    metadata = {"qid": watched.queries.segment}
    return {"X": watched.X, "y": watched.labels, "metadata": metadata}


class EpochCallbacks:
    """Calls an estimator's callbacks at the beginning of a fit, after each epoch and at the end.

    Parameters
    ----------
    estimator : RankingEstimator
        Estimator whose ``fit`` is running, for at most ``max_iter`` epochs.
    attributes_after : callable
        Takes a state of the training and returns the fitted attributes.
    callback_data : dict
        Arguments for callbacks: ``X``, ``y`` and ``metadata``, or functions that make them.
    """

    def __init__(
        self,
        estimator: Any,
        attributes_after: Callable[[Any], dict[str, Any]],
        callback_data: dict[str, Any],
    ) -> None:
        self.estimator = estimator
        self.attributes_after = attributes_after
        self.callback_data = callback_data
        self.context = fit_context(estimator, estimator.max_iter)
        self.context.call_on_fit_task_begin(estimator=estimator, **callback_data)

    @property
    def on_epoch(self) -> Callable[[int, Any], bool] | None:
        """Function to call after each epoch; None if nobody listens."""
        # Retrievers have no verbose.
        is_verbose = getattr(self.estimator, "verbose", False)
        return self._end_epoch if is_verbose or has_callbacks(self.estimator) else None

    def _end_epoch(self, epoch: int, state: Any) -> bool:
        """Print the epoch and call the callbacks after it; True stops the training."""
        if getattr(self.estimator, "verbose", False):
            self._print(epoch, state)
        if not has_callbacks(self.estimator):
            return False
        task = self.context.subcontext(task_name=f"epoch {epoch + 1}")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.callback_data)
        return self._end_task(task, state)

    def _print(self, epoch: int, state: Any) -> None:
        """Print a line about an epoch."""
        line = f"{type(self.estimator).__name__}: epoch {epoch + 1} of {self.estimator.max_iter}"
        line += f", loss {state.loss_curve[-1]:.6f}"
        if state.validation_scores:
            line += f", validation score {state.validation_scores[-1]:.4f}"
        print(line, flush=True)

    def end(self, state: Any) -> None:
        """Call the callbacks at the end of the fit."""
        self._end_task(self.context, state)

    def _end_task(self, task: Any, state: Any) -> bool:
        """Call the callbacks at the end of an epoch or of the fit."""
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.attributes_after(state),
            **self.callback_data,
        )


class ForwardedCallback(FitCallback):
    """Forwards the epochs of a student to a callback of the DistilledRanker around it.

    Parameters
    ----------
    ranker : DistilledRanker
        Estimator on which the user set the callback.
    callback : FitCallback
        Callback that sees each epoch as a state of the ranker.
    callback_data : dict
        Arguments for the callback, as in :class:`EpochCallbacks`.
    """

    def __init__(self, ranker: Any, callback: Any, callback_data: dict[str, Any]) -> None:
        self.ranker = ranker
        self.callback = callback
        self.callback_data = callback_data

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing: the ranker's fit sets the callback up."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: the ranker's fit tears the callback down."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: only the end of an epoch is forwarded."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> bool:
        """Call the ranker's callback with a ranker that has the student in its current state."""
        state = None if fitted_estimator is None else {"student_": fitted_estimator}
        return with_single_callback(context, self.callback).call_on_fit_task_end(
            estimator=self.ranker, reconstruction_attributes=state, **self.callback_data
        )

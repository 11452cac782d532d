"""Calls of scikit-learn's callbacks after each epoch, also for a student inside a ranker."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.callback import FitCallback

from skdistill._sklearn_compat import (
    fit_context,
    has_callbacks,
    with_single_callback,
    without_callbacks,
)
from skdistill.inputs.checks import check_k
from skdistill.inputs.columns import take_rows
from skdistill.inputs.ids import as_ids
from skdistill.inputs.pipelines import last_step, with_last_step
from skdistill.tables.atomic_write import atomic_write

__all__ = ["Checkpoint"]


# How the tasks of epochs are named.
EPOCH = "epoch "


def data_for_callbacks(X: Any, y: Any, qid: Any, offset: Any = None) -> dict[str, Any]:
    """Gather what a fit shows to its callbacks."""
    metadata = {} if qid is None else {"qid": as_ids(qid)}
    metadata |= {} if offset is None else {"offset": np.asarray(offset)}
    return {"X": X, "y": y, "metadata": metadata or None}


def rows_for_callbacks(
    X: Any, y: Any, qid: Any, offset: Any = None
) -> Callable[[Any], dict[str, Any]]:
    """Make a function that gathers some rows of a user's table, when a callback asks for them.

    The function takes ``RankingData`` that was read from the table.
    """

    def gather(watched: Any) -> dict[str, Any]:
        rows = watched.rows_of_table
        metadata = data_for_callbacks(X, y, qid, offset)["metadata"]
        return {
            "X": lambda: take_rows(X, rows),
            "y": lambda: None if y is None else np.asarray(y)[rows],
            "metadata": lambda: metadata and {name: v[rows] for name, v in metadata.items()},
        }

    return gather


def sorted_rows_for_callbacks(watched: Any) -> dict[str, Any]:
    """Gather rows that were read and sorted outside of the fit, given as ``RankingData``."""
    metadata = {"qid": watched.queries.segment}
    if watched.offset is not None:
        metadata["offset"] = watched.offset
    return {"X": watched.X, "y": watched.labels, "metadata": metadata}


class EpochCallbacks:
    """Calls an estimator's callbacks at the beginning of a fit, after each epoch and at the end.

    Parameters
    ----------
    estimator : RankingEstimator
        Estimator whose ``fit`` is running.
    attributes_after : callable
        Takes a state of the training and returns the fitted attributes.
    callback_data : dict
        Arguments for callbacks: ``X``, ``y`` and ``metadata``, or functions that make them.
    n_epochs : int
        Largest number of epochs.
    """

    def __init__(
        self,
        estimator: Any,
        attributes_after: Callable[[Any], dict[str, Any]],
        callback_data: dict[str, Any],
        n_epochs: int,
    ) -> None:
        self.estimator = estimator
        self.attributes_after = attributes_after
        self.callback_data = callback_data
        self.n_epochs = n_epochs
        self.context = fit_context(estimator, n_epochs)
        self.context.call_on_fit_task_begin(estimator=estimator, **callback_data)

    @property
    def on_epoch(self) -> Callable[[int, Any], bool] | None:
        """Function to call after each epoch; None if nobody listens."""
        is_watched = self.estimator.verbose or has_callbacks(self.estimator)
        return self._end_epoch if is_watched else None

    def _end_epoch(self, epoch: int, state: Any) -> bool:
        """Print the epoch and call the callbacks after it; True stops the training."""
        if self.estimator.verbose:
            self._print(epoch, state)
        if not has_callbacks(self.estimator):
            return False
        task = self.context.subcontext(task_name=f"{EPOCH}{epoch + 1}")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.callback_data)
        return self._end_task(task, state)

    def _print(self, epoch: int, state: Any) -> None:
        """Print a line about an epoch."""
        line = f"{type(self.estimator).__name__}: epoch {epoch + 1} of {self.n_epochs}"
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


class Checkpoint(FitCallback):
    """A callback that saves the model of a long fit after every few epochs, and at its end.

    Each file is written whole or not at all, and replaces the one before. It holds the model after
    the last saved epoch, without its callbacks; ``joblib.load`` returns it. To go on, fit the
    loaded student with ``warm_start=True`` and the remaining number of epochs as ``max_iter``. That
    of a :class:`DistilledRanker` is its ``student_``. The optimizer and its learning rate start
    anew.

    Parameters
    ----------
    path : str or path
        File to write, by joblib.
    every : int, default=1
        Number of epochs from one file to the next.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import joblib
    >>> from skdistill.callbacks import Checkpoint
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> path = Path(tempfile.mkdtemp()) / "student.joblib"
    >>> student = LinearRanker(max_iter=5).set_callbacks(Checkpoint(path, every=2))
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> resumed = joblib.load(path).set_params(warm_start=True, max_iter=3)
    >>> resumed.fit(data.X, data.y, qid=data.qid).n_iter_
    3
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        check_k(every, "every")
        self.path = path
        self.every = every

    def setup(self, estimator: Any, context: Any) -> None:
        """Check that the folder exists, before anything is fitted.

        Parameters
        ----------
        estimator : estimator
            The estimator whose fit begins.
        context : CallbackContext
            The task of the fit.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        """
        folder = Path(self.path).absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} for the checkpoint {self.path}.")

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: the last file stays.

        Parameters
        ----------
        estimator : estimator
            The estimator whose fit ends.
        context : CallbackContext
            The task of the fit.
        """

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: models are saved at the end of an epoch.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            The task that begins.
        """

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Save the model, if it is time.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            The task that ends: an epoch, or the fit.
        fitted_estimator : estimator, optional
            The model after the task.
        """
        is_epoch = context.task_name.startswith(EPOCH)
        if fitted_estimator is None or (is_epoch and (context.task_id + 1) % self.every):
            return
        model = without_callbacks(fitted_estimator)
        if hasattr(model, "student_"):
            model.student_ = with_last_step(
                model.student_, without_callbacks(last_step(model.student_))
            )
        with atomic_write(self.path) as file:
            joblib.dump(model, file)


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
    student : estimator or Pipeline
        The student, whose last step is fitted.
    """

    def __init__(
        self, ranker: Any, callback: Any, callback_data: dict[str, Any], student: Any
    ) -> None:
        self.ranker = ranker
        self.callback = callback
        self.callback_data = callback_data
        self.student = student

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
        state = None
        if fitted_estimator is not None:
            state = {"student_": with_last_step(self.student, fitted_estimator)}
        return with_single_callback(context, self.callback).call_on_fit_task_end(
            estimator=self.ranker, reconstruction_attributes=state, **self.callback_data
        )

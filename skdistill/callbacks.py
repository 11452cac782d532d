"""scikit-learn's callbacks: telling them of each epoch, also of those of a student inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.callback import FitCallback

from skdistill._sklearn_compat import fit_context, has_callbacks, with_single_callback


class EpochCallbacks:
    """Tells an estimator's callbacks of its fit, epoch by epoch.

    Parameters
    ----------
    estimator : RankingEstimator
        Trained for at most ``max_iter`` epochs. Its ``fit`` is running.
    attributes_after : callable
        Returns the fitted attributes for a state of the training.
    seen : dict
        What callbacks may look at: ``X``, ``y`` and ``metadata``, or functions that make them.
    """

    def __init__(
        self,
        estimator: Any,
        attributes_after: Callable[[Any], dict[str, Any]],
        seen: dict[str, Any],
    ) -> None:
        self.estimator = estimator
        self.attributes_after = attributes_after
        self.seen = seen
        self.context = fit_context(estimator, estimator.max_iter)
        self.context.call_on_fit_task_begin(estimator=estimator, **seen)

    @property
    def on_epoch(self) -> Callable[[int, Any], bool] | None:
        """What the training loop calls after each epoch; None if there are no callbacks."""
        return self._end_epoch if has_callbacks(self.estimator) else None

    def _end_epoch(self, epoch: int, state: Any) -> bool:
        task = self.context.subcontext(task_name=f"epoch {epoch + 1}")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.seen)
        return self._end_task(task, state)

    def end(self, state: Any) -> None:
        """Tell the callbacks that the fit has ended."""
        self._end_task(self.context, state)

    def _end_task(self, task: Any, state: Any) -> bool:
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.attributes_after(state),
            **self.seen,
        )


class ForwardedCallback(FitCallback):
    """Shows the epochs of a student to a callback of the DistilledRanker around it.

    Parameters
    ----------
    ranker : DistilledRanker
    callback : FitCallback
        It sees each epoch as a state of the whole ranker.
    seen : dict
        As in :class:`EpochCallbacks`.
    """

    def __init__(self, ranker: Any, callback: Any, seen: dict[str, Any]) -> None:
        self.ranker = ranker
        self.callback = callback
        self.seen = seen

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to set up: the ranker's fit has done it."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to tear down: the ranker's fit does it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to tell: only the end of an epoch is forwarded."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> bool:
        """Call the ranker's callback with the student's state as the ranker's."""
        state = None if fitted_estimator is None else {"student_": fitted_estimator}
        return with_single_callback(context, self.callback).call_on_fit_task_end(
            estimator=self.ranker, reconstruction_attributes=state, **self.seen
        )

"""A sub-estimator's epochs as seen by the callbacks of the estimator around it."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.callback import FitCallback


class Forward(FitCallback):
    """Lets a callback of the DistilledRanker see the student's epochs, as states of the whole."""

    def __init__(self, ranker: Any, callback: Any, seen: dict[str, Any]) -> None:
        self.ranker = ranker
        self.callback = callback
        self.seen = seen

    def setup(self, estimator: Any, context: Any) -> None:
        pass

    def teardown(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> bool:
        state = None if fitted_estimator is None else {"student_": fitted_estimator}
        forward = _only(context, self.callback)
        return forward.call_on_fit_task_end(
            estimator=self.ranker, reconstruction_attributes=state, **self.seen
        )


def _only(context: Any, callback: Any) -> Any:
    """The context of the same task, with one callback to be called."""
    narrow = copy.copy(context)
    narrow._callbacks = [callback]
    narrow._propagated_callbacks = []
    return narrow

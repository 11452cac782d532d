"""Epochs of training as runs: ours by a callback, others' by calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

N_EPOCHS = 3


@dataclass
class FittedEpochs:
    """Epochs of ``fit``, without what comes before the first one and after the last one.

    Parameters
    ----------
    make : callable
        Takes a number of epochs, and returns an estimator.
    fit : callable
        Takes an estimator, and fits it.
    work : float
        Number of rows of an epoch.
    quality : dict
    """

    make: Callable[[int], Any]
    fit: Callable[[Any], Any]
    work: float
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> None:
        self.fit(self.make(1))

    def measure(self) -> dict[str, float]:
        ends: list[float] = []
        # The first epoch has what is computed once.
        self.fit(self.make(1 + N_EPOCHS).set_callbacks(clock(ends)))
        return {"time": float(np.mean(np.diff(ends))) / self.work}


def clock(ends: list[float]) -> Any:
    """Return a callback that appends the time at which each epoch ends."""
    from sklearn.callback import FitCallback

    class Clock(FitCallback):
        def setup(self, estimator: Any, context: Any) -> None:
            pass

        def teardown(self, estimator: Any, context: Any) -> None:
            pass

        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            pass

        def on_fit_task_end(self, estimator: Any, context: Any) -> None:
            if context.task_name.startswith("epoch "):
                ends.append(time.perf_counter())

    return Clock()


@dataclass
class CalledEpochs:
    """Epochs of a loop written by hand.

    Parameters
    ----------
    epoch : callable
        Trains for an epoch.
    work : float
        Number of rows of an epoch.
    quality : dict
    """

    epoch: Callable[[], Any]
    work: float
    quality: dict[str, float] = field(default_factory=dict)

    def warm(self) -> None:
        self.epoch()

    def measure(self) -> dict[str, float]:
        start = time.perf_counter()
        for _ in range(N_EPOCHS):
            self.epoch()
        return {"time": (time.perf_counter() - start) / N_EPOCHS / self.work}

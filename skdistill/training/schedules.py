"""Learning-rate schedules: factor of ``learning_rate_init`` after a fraction of all steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    # A short warm-up, because Adam's first steps are large and point in noisy directions.
    "cosine": lambda progress: min(progress / 0.02, 1.0) * (1 + np.cos(np.pi * progress)) / 2,
    "linear": lambda progress: 1 - progress,
}

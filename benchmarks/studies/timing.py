"""Timing for the speed benchmarks."""

import time

import numpy as np


def median_times(calls, repeats):
    """Median seconds of each call. Calls take turns, so that a drift in speed affects all alike."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}

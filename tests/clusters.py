"""Pieces of a table for clusters, and a worker that dies once."""

import os
import signal
from itertools import pairwise

import numpy as np

# Feature columns of the fixture ``frame``.
NAMES = [f"f{number}" for number in range(8)]
N_PARTS = 6


def partitions(frame):
    """Cut a frame into pieces of whole queries, for Dask."""
    import dask.dataframe as dd

    bounds = np.linspace(0, frame["query"].nunique(), N_PARTS + 1).astype(int)
    codes = frame["query"].astype("category").cat.codes
    pieces = [frame[(codes >= a) & (codes < b)] for a, b in pairwise(bounds)]
    return dd.from_map(lambda piece: piece, pieces, meta=frame[:0])


def dies_once(frame, mark):
    """Kill the process that is the first to get queries beyond the fiftieth."""
    if len(frame) and frame["query"].min() > 50 and not os.path.exists(mark):
        with open(mark, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return frame

"""What computes the scores of a compiled scorer: NumPy or ONNX Runtime."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill.serving.numpy_engine import NumpyEngine
from skdistill.serving.scorer_input import Rows
from skdistill.serving.served import Served

Floats = NDArray[np.float32]

ENGINES = ("auto", "numpy", "onnxruntime")


class Engine(Protocol):
    """Scores a C-contiguous table without checking it.

    The table is float32. It may be float64 if a net has an origin.
    """

    name: str
    n_rows: int

    def few(self, X: Rows) -> Floats:
        """Score at most ``n_rows`` rows into a new array."""

    def score(self, X: Rows, out: Floats) -> None:
        """Score rows into ``out``. Safe to call from several threads at once."""


def make_engine(served: Served, engine: str, in_threads: bool) -> Engine:
    """Make the engine of that name for a decomposed model; "auto" takes the one that suits it.

    Parameters
    ----------
    served : Served
    engine : {"auto", "numpy", "onnxruntime"}
    in_threads : bool
        Whether several threads will score at once.

    Returns
    -------
    Engine

    Raises
    ------
    ValueError
        If there is no engine of that name.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {list(ENGINES)}, got {engine!r}.")
    if engine == "numpy":
        return NumpyEngine(served, in_threads)
    from skdistill.serving.onnx_engine import OnnxEngine

    if engine == "onnxruntime":
        return OnnxEngine(served, in_threads)
    # NumPy gathers the weights of categories twice as fast.
    reads_categories = any(net.n_codes for net in served.nets)
    if not reads_categories and find_spec("onnxruntime") and find_spec("onnx"):
        # NumPy serves models without an ONNX form.
        with suppress(TypeError):
            return OnnxEngine(served, in_threads)
    return NumpyEngine(served, in_threads)

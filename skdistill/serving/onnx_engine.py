"""The engine of a compiled scorer that runs ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.extras import import_extra
from skdistill.inputs.mixed_table import MixedTable
from skdistill.serving.onnx_columns import add_arrays
from skdistill.serving.onnx_graph import OUTPUTS, Graph, onnx_model
from skdistill.serving.served import Served
from skdistill.threads import restart_after_fork

# Rows per run, so that activations stay in the second-level cache. Threads take more rows per run,
# because they wait for the interpreter's lock between two runs.
RUN_ROWS = 1024
THREAD_ROWS = 4 * RUN_ROWS

Rows = NDArray[np.float32] | NDArray[np.float64]


def _model(served: Served, dtype: Any) -> Any:
    """Make the ONNX model of arrays of this dtype."""
    graph = Graph(dtype=dtype)
    return onnx_model(graph, {"scores": served.add_to_graph(graph, add_arrays(graph, served))})


class OnnxEngine:
    """A single-threaded session that many threads may run at once."""

    name = "onnxruntime"

    def __init__(self, served: Served, in_threads: bool = False) -> None:
        for library in ("onnx", "onnxruntime"):
            import_extra(library, "onnx", 'engine="onnxruntime"')
        needs_float64 = any(net.needs_float64 for net in served.nets)
        dtypes = (np.float32, np.float64) if needs_float64 else (np.float32,)
        models = {np.dtype(d): _model(served, d).SerializeToString() for d in dtypes}
        self._open(models, THREAD_ROWS if in_threads else RUN_ROWS)

    def __getstate__(self) -> tuple[dict[Any, bytes], int]:
        return self.models, self.n_rows

    def __setstate__(self, state: tuple[dict[Any, bytes], int]) -> None:
        self._open(*state)

    def _open(self, models: dict[Any, bytes], n_rows: int) -> None:
        self.models = models
        self.n_rows = n_rows
        self._start()
        restart_after_fork(self)

    def _start(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As in the NumPy engine, threads work on blocks of rows, not inside a run.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # By the character of the dtype, which is looked up faster than the dtype.
        self.runs = {
            np.dtype(dtype).char: onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            ).run
            for dtype, model in self.models.items()
        }

    def after_fork(self) -> None:
        """Start new sessions before the next run; ONNX Runtime does not support forks."""
        # The parent's sessions are not even deleted: other threads may have held their locks.
        self._runs_of_parent = self.runs
        self.runs = {}

    def few(self, X: Rows) -> NDArray[np.float32]:
        if not self.runs:
            self._start()
        # Without names, the session would look up its outputs in every run.
        inputs = {"X": X.numbers, "codes": X.codes} if isinstance(X, MixedTable) else {"X": X}
        scores: NDArray[np.float32] = self.runs[X.dtype.char](OUTPUTS, inputs)[0]
        return scores[:, 0]

    def score(self, X: Rows, out: NDArray[np.float32]) -> None:
        for start in range(0, len(X), self.n_rows):
            out[start : start + self.n_rows] = self.few(X[start : start + self.n_rows])

"""The engine of a compiled scorer that runs ONNX Runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdistill.extras import import_extra
from skdistill.serving.onnx_graph import onnx_model
from skdistill.serving.served import Served
from skdistill.threads import restart_after_fork

# Rows per run, so that activations stay in the second-level cache. Threads take more rows per run,
# because they wait for the interpreter's lock between two runs.
RUN_ROWS = 1024
THREAD_ROWS = 4 * RUN_ROWS


class OnnxEngine:
    """A single-threaded session that many threads may run at once."""

    name = "onnxruntime"

    def __init__(self, served: Served, in_threads: bool = False) -> None:
        for library in ("onnx", "onnxruntime"):
            import_extra(library, "onnx", 'engine="onnxruntime"')
        self._open(onnx_model(served).SerializeToString(), THREAD_ROWS if in_threads else RUN_ROWS)

    def __getstate__(self) -> tuple[bytes, int]:
        return self.model, self.n_rows

    def __setstate__(self, state: tuple[bytes, int]) -> None:
        self._open(*state)

    def _open(self, model: bytes, n_rows: int) -> None:
        self.model = model
        self.n_rows = n_rows
        self._start()
        restart_after_fork(self)

    def _start(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As in the NumPy engine, threads work on blocks of rows, not inside a run.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.model, options, providers=["CPUExecutionProvider"]
        )
        # Without names, the session would look up its outputs in every run.
        self.outputs = [self.session.get_outputs()[0].name]

    def after_fork(self) -> None:
        """Start a new session before the next run; ONNX Runtime does not support forks."""
        # The parent's session is not even deleted: other threads may have held its locks.
        self._session_of_parent = self.session
        self.session = None

    def few(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.session is None:
            self._start()
        scores: NDArray[np.float32] = self.session.run(self.outputs, {"X": X})[0]
        return scores[:, 0]

    def score(self, X: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        for start in range(0, len(X), self.n_rows):
            out[start : start + self.n_rows] = self.few(X[start : start + self.n_rows])

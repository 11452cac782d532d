"""ONNX Runtime as the engine of a compiled scorer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.serving.decomposition import ServedStudent, ServedTowers
from skdistill.serving.onnx_graph import onnx_model

# Rows of a run: their activations fit the second-level cache.
RUN_ROWS = 448


class OnnxEngine:
    """One session of one thread, which many threads may run."""

    name = "onnxruntime"

    def __init__(self, served: ServedStudent | ServedTowers) -> None:
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise ImportError(
                'engine="onnxruntime" needs the extra onnx: pip install "skdistill[onnx]".'
            ) from error
        self._open(onnx_model(served).SerializeToString())

    def __getstate__(self) -> bytes:
        return self.model

    def __setstate__(self, state: bytes) -> None:
        self._open(state)

    def _open(self, model: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Threads are over blocks of rows, as with the other engine.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.model = model
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def score(self, X: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        run: Any = self.session.run
        for start in range(0, len(X), RUN_ROWS):
            scores = run(None, {"X": X[start : start + RUN_ROWS]})[0]
            out[start : start + RUN_ROWS] = scores[:, 0]

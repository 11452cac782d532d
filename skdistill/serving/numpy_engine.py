"""The engine of a compiled scorer that runs NumPy."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.products import BLOCK_ROWS
from skdistill.serving.scorer_input import FLOAT32, FLOAT64, Rows
from skdistill.serving.served import Net, Served

# Bytes of activations per call of NumPy in a thread: as much as fits in a second-level cache.
# With less, threads spend most of their time waiting for the interpreter's lock.
THREAD_BYTES = 1 << 20


class NumpyEngine:
    """Scores blocks of rows by plain NumPy, in buffers that each thread keeps."""

    name = "numpy"

    def __init__(self, served: Served, in_threads: bool = False) -> None:
        self.served = served
        self.in_threads = in_threads
        # If one net centres float64 columns, the others cast them by subtracting 0.
        centres = any(net.needs_float64 for net in served.nets)
        self.nets = tuple(FoldedNet(net, in_threads, centres) for net in served.nets)
        self.n_rows = min(net.n_rows for net in self.nets)

    def __reduce__(self) -> tuple[Any, ...]:
        return NumpyEngine, (self.served, self.in_threads)

    def few(self, X: Rows) -> NDArray[np.float32]:
        if len(X) <= BLOCK_ROWS:
            return self._scores(X).copy()
        out = np.empty(len(X), dtype=np.float32)
        self.score(X, out)
        return out

    def score(self, X: Rows, out: NDArray[np.float32]) -> None:
        # As many blocks at once as fit the buffers, then single blocks; the last may be shorter.
        stop = len(X) // self.n_rows * self.n_rows
        for start, end in pairwise(
            (*range(0, stop, self.n_rows), *range(stop, len(X), BLOCK_ROWS), len(X))
        ):
            out[start:end] = self._scores(X[start:end])

    def _scores(self, block: Rows) -> NDArray[np.float32]:
        """Score one or several blocks; the result may be a buffer of this thread."""
        return self.served.scores([net.outputs(block) for net in self.nets], block)


class FoldedNet:
    """A net folded for scoring, with buffers for each thread."""

    def __init__(self, net: Net, in_threads: bool, centres: bool) -> None:
        self.steps = net.steps
        self.model = net.model
        self.n_codes = net.n_codes
        self.model_reads_codes = net.n_codes > 0 and net.model_reads_codes
        self.origin = None
        if centres and not net.takes_float64:
            origin = np.zeros(net.n_features) if net.origin is None else net.origin
            self.origin = {dtype: origin.astype(dtype) for dtype in (FLOAT32, FLOAT64)}
        self.scaler = net.scaler.for_scoring()
        # The model takes the columns as they are, so that there is nothing to do for the scaler.
        self.takes_columns = (
            not self.scaler.applies_softsign
            and self.scaler.flagged is None
            and self.scaler.origin is None
        )
        self.folded = net.model.fold(net.params, self.scaler)
        for array in self.folded.values():
            array.flags.writeable = False
        widths = net.step_widths
        n_columns = self.scaler.n_outputs
        n_centred = net.n_features if centres else 0
        self.widths = (*widths, n_columns, *net.model.buffer_widths, n_centred)
        n_floats = sum(widths) + sum(net.model.buffer_widths)
        needs_buffer = self.scaler.applies_softsign or self.scaler.flagged is not None
        n_floats += n_columns if needs_buffer else 0
        n_bytes = 4 * BLOCK_ROWS * (n_floats + n_centred)
        self.n_rows = BLOCK_ROWS * max(1, THREAD_BYTES // n_bytes if in_threads else 1)
        self.local = threading.local()

    def outputs(self, block: Any) -> NDArray[np.float32]:
        """Outputs of the model for a block; the thread's next call overwrites them."""
        of_steps, bounded, activations, centred = self._buffers(len(block))
        mixed = block
        if self.n_codes:
            block = mixed.numbers
        if self.origin is not None:
            origin = self.origin[block.dtype]
            block = np.subtract(block, origin, out=centred, casting="same_kind")
        if self.steps:
            for step, buffer in zip(self.steps, of_steps, strict=True):
                if self.n_codes and step.reads_codes:
                    block = mixed.with_numbers(block)
                block = step.apply(block, buffer)
        if not self.takes_columns or block.dtype != FLOAT32:
            block = self.scaler.softsign(block, bounded)
        if self.model_reads_codes:
            block = mixed.with_numbers(block)
        return self.model.score(self.folded, block, activations)

    def _buffers(self, n_rows: int) -> Any:
        """Buffers of the steps, of the scaler, of the model and of centred columns."""
        local = self.local
        if getattr(local, "n_rows", None) != n_rows:
            if not hasattr(local, "full"):
                local.full = [np.empty((self.n_rows, width), np.float32) for width in self.widths]
            views, n_steps = [buffer[:n_rows] for buffer in local.full], len(self.steps)
            local.views = views[:n_steps], views[n_steps], views[n_steps + 1 : -1], views[-1]
            local.n_rows = n_rows
        return local.views

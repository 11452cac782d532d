"""Fast scoring with fitted parameters: folded arrays, and blocks of rows that stay in cache."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.canonical_csr import cells_are_moderate, csr_rows
from skdistill.inputs.checks import LARGEST
from skdistill.inputs.products import BLOCK_ROWS
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Parameters, ScoringModel

# In float32 products, the last bits of a row depend on its place in the block. Requests of up to
# SHORT rows are computed in float64, so that a row's score does not depend on the other rows or on
# their order. That costs nothing there, because overhead dominates arithmetic.
SHORT = 32
# Parameters of more numbers, such as embeddings of a million ids, are not kept in float64 as well.
LARGEST_COPY = 1 << 22
# As many blocks of CSR rows are scored at once as have so many activations. To make a matrix of
# them takes SciPy as long as a linear model takes for a thousand rows. And a factorization machine
# looks up its weights again and again, but its factors replace them in the cache after each block.
SPARSE_ACTIVATIONS, MOST_BLOCKS = 1 << 20, 64


@dataclass(frozen=True)
class Scorer:
    """A model with folded parameters. Calls have no common state, so threads may use one scorer.

    Parameters
    ----------
    model : ScoringModel
        The model that scores.
    folded : dict of str to ndarray
        What the model's ``fold`` returned.
    scaler : ColumnScaler
        Only its origin and softsign are applied, because shift and scale are folded in.
    """

    model: ScoringModel
    folded: Parameters
    scaler: ColumnScaler

    @classmethod
    def fold(cls, model: Any, params: Parameters, scaler: ColumnScaler) -> Scorer:
        """Build a scorer from trained parameters.

        Raises
        ------
        ValueError
            If a parameter is not finite, also one that becomes so by the folding.
        """
        scaler = scaler.for_scoring()
        folded = model.fold(params, scaler)
        if not all(np.isfinite(array).all() for array in (*params.values(), *folded.values())):
            raise ValueError(
                "The parameters of the model are not finite, so that every score would be NaN. "
                "Lower learning_rate_init, or check X for columns with extreme values."
            )
        return cls(model, folded, scaler)

    @cached_property
    def _precise(self) -> Parameters:
        """The folded parameters in float64, for short requests."""
        return {
            name: array.astype(np.float64)
            if array.dtype == np.float32 and array.size <= LARGEST_COPY
            else array
            for name, array in self.folded.items()
        }

    def __call__(self, X: Any, ensure_finite: bool = False) -> NDArray[np.float32]:
        """Score rows.

        Parameters
        ----------
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features), float32 or float64
            C-contiguous if dense, with at least one row.
        ensure_finite : bool, default=False
            Check each block of a dense or CSR table while it is in cache.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs), float32

        Raises
        ------
        NotFiniteError
            If ``ensure_finite`` is set and a block holds NaN, infinity or numbers near the limit
            of float32.
        """
        n_rows, is_sparse = X.shape[0], sparse.issparse(X)
        widths = self.model.buffer_widths
        if n_rows <= SHORT and not is_sparse:
            if ensure_finite:
                _refuse_infinite(X)
            bounded = self.scaler.softsign(X).astype(np.float64)
            buffers = [np.empty((n_rows, width)) for width in widths]
            return self.model.score(self._precise, bounded, buffers).astype(np.float32)
        # The softsign of a CSR block is a new CSR block and needs no dense buffer.
        width = 0 if is_sparse else self.scaler.n_outputs
        at_once = BLOCK_ROWS * (_blocks_at_once(sum(widths)) if is_sparse else 1)
        bounded, *buffers = _scratch.buffers(min(n_rows, at_once), (width, *widths))
        outputs = None
        whole = n_rows // BLOCK_ROWS * BLOCK_ROWS
        for start, stop in pairwise(sorted({*range(0, whole, at_once), whole, n_rows})):
            block = csr_rows(X, start, stop) if is_sparse else X[start:stop]
            if ensure_finite:
                _refuse_infinite(block)
            block = self.scaler.softsign(block, bounded[: stop - start])
            scores = self.model.score(self.folded, block, buffers)
            if outputs is None:
                outputs = np.empty((n_rows, *scores.shape[1:]), dtype=np.float32)
            outputs[start:stop] = scores
        assert outputs is not None  # public methods refuse tables without rows
        return outputs


class NotFiniteError(ValueError):
    """Raised if a table holds NaN, infinity, or numbers whose sum overflows."""


def _blocks_at_once(n_activations: int) -> int:
    """Return how many blocks of CSR rows are scored at once, by the activations of a row."""
    return min(max(SPARSE_ACTIVATIONS // (BLOCK_ROWS * max(n_activations, 1)), 1), MOST_BLOCKS)


def _refuse_infinite(block: Any) -> None:
    """Raise if a block is not finite in float32."""
    if sparse.issparse(block):
        is_finite = cells_are_moderate(block)
    else:
        # NaN or infinity in any cell makes the sum NaN or infinite.
        is_finite = abs(block.sum(dtype=np.float32)) <= LARGEST
    if not is_finite:
        raise NotFiniteError


class Scratch(threading.local):
    """Memory that the calls of one thread reuse; fresh pages would cost as much as a layer.

    Calls of one thread never overlap, so one block of memory is enough for all scorers.
    """

    memory = np.empty(0, dtype=np.float32)

    def buffers(self, n_rows: int, widths: tuple[int, ...]) -> list[NDArray[np.float32]]:
        """Return uninitialised arrays of shape (n_rows, width), one per width."""
        if len(self.memory) < n_rows * sum(widths):
            self.memory = np.empty(n_rows * sum(widths), dtype=np.float32)
        arrays, start = [], 0
        for width in widths:
            stop = start + n_rows * width
            arrays.append(self.memory[start:stop].reshape(n_rows, width))
            start = stop
        return arrays


_scratch = Scratch()

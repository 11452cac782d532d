"""The small multi-layer perceptron as a student."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from skdistill.models import MLP
from skdistill.protocols import Loss, Model
from skdistill.students.base import COMMON_ATTRIBUTES, COMMON_PARAMETERS, BaseStudent


class MLPRanker(BaseStudent):
    __doc__ = f"""A multi-layer perceptron with ReLU, for the ranking stage.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 32)
        Units of each hidden layer; ``()``: linear.
    {COMMON_PARAMETERS}

    Attributes
    ----------
    {COMMON_ATTRIBUTES}

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import MLPRanker
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> student = MLPRanker(hidden_layer_sizes=(16,), random_state=0)
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> bool(student.score(data.X, data.y, qid=data.qid) > 0.5)
    True
    """

    _parameter_constraints = {
        **BaseStudent._parameter_constraints,
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (64, 32),
        *,
        loss: str | Loss = "listwise",
        hard_loss: str | Loss | None = None,
        alpha: float = 1.0,
        temperature: float = 1.0,
        max_iter: int = 30,
        batch_size: int = 16,
        max_batch_rows: int = 8192,
        optimizer: str = "adam",
        learning_rate_init: float = 3e-3,
        learning_rate: str = "cosine",
        weight_decay: float = 1e-2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        squash: bool = True,
        standardize: bool = True,
        warm_start: bool = False,
        query_column: str | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        super().__init__(
            loss=loss,
            hard_loss=hard_loss,
            alpha=alpha,
            temperature=temperature,
            max_iter=max_iter,
            batch_size=batch_size,
            max_batch_rows=max_batch_rows,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            squash=squash,
            standardize=standardize,
            warm_start=warm_start,
            query_column=query_column,
            random_state=random_state,
        )

    def _model(self) -> Model:
        return MLP(self._layer_sizes())

    def _layer_sizes(self) -> tuple[int, ...]:
        sizes = np.atleast_1d(self.hidden_layer_sizes)
        if sizes.ndim != 1 or (sizes.size and sizes.dtype.kind not in "iu") or (sizes < 1).any():
            raise ValueError(
                "hidden_layer_sizes must be positive integers, one a hidden layer, got "
                f"{self.hidden_layer_sizes!r}."
            )
        return tuple(int(size) for size in sizes)

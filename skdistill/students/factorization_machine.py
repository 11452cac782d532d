"""The factorization machine as a student."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from sklearn.utils._param_validation import Interval

from skdistill.models import FactorizationMachine
from skdistill.protocols import Loss, Model
from skdistill.students.base import COMMON_ATTRIBUTES, COMMON_PARAMETERS, BaseStudent


class FactorizationMachineRanker(BaseStudent):
    __doc__ = f"""A factorization machine of second order: every pair of columns interacts.

    Parameters
    ----------
    n_factors : int, default=16
        Length of each column's vector of interactions.
    {COMMON_PARAMETERS}

    Attributes
    ----------
    {COMMON_ATTRIBUTES}

    References
    ----------
    Rendle, "Factorization Machines", ICDM 2010.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import FactorizationMachineRanker
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> student = FactorizationMachineRanker(n_factors=8, random_state=0)
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> bool(student.score(data.X, data.y, qid=data.qid) > 0.5)
    True
    """

    _parameter_constraints = {
        **BaseStudent._parameter_constraints,
        "n_factors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_factors: int = 16,
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
        weight_decay: float = 1e-3,
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
        self.n_factors = n_factors
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
        return FactorizationMachine(self.n_factors)

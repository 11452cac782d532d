"""Means over queries, and the values of queries that they come from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from skdistill.user_warnings import warn_user

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class QueryValues:
    """A metric of each query.

    Parameters
    ----------
    values : ndarray of shape (n_queries,)
        Value of each query; any number where it is not defined.
    defined : ndarray of shape (n_queries,), bool
        Whether the query has a value.
    what : str
        What such a query has; it completes the warning "No query has ...".
    weight : ndarray of shape (n_queries,), optional
        Weight of each query in the mean.
    """

    values: NDArray[Any]
    defined: NDArray[np.bool_]
    what: str
    weight: NDArray[np.float64] | None = None

    def filled(self, value: float) -> QueryValues:
        """Give a value to the queries that have none."""
        values = np.where(self.defined, self.values, value)
        return QueryValues(values, np.ones(len(values), dtype=bool), self.what, self.weight)

    def mean(self) -> float:
        """Average over the queries that have a value; warn if there are none."""
        weight = np.ones(len(self.values)) if self.weight is None else self.weight
        weight = weight * self.defined
        if not weight.sum() > 0:
            reason = f"No query has {self.what}"
            if self.defined.any():
                reason = "All queries that count have the weight 0"
            warn_undefined(reason)
            return 0.0
        return float(np.average(np.where(weight > 0, self.values, 0.0), weights=weight))


def warn_undefined(reason: str) -> None:
    """Warn that a metric is 0 because it has no value."""
    warn_user(
        f"{reason}: the metric is undefined and set to 0.",
        UndefinedMetricWarning,
    )


def averaged(metric: Callable[Arguments, QueryValues]) -> Callable[Arguments, float]:
    """Decorate a function that returns the values of queries, so that it returns their mean."""

    @wraps(metric)
    def mean(*args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
        return metric(*args, **kwargs).mean()

    signature = inspect.signature(metric).replace(return_annotation="float")
    mean.__dict__.update(__signature__=signature, by_query=metric)
    return mean


def per_query(metric: Callable[..., float], *arrays: Any, **options: Any) -> NDArray[np.float64]:
    """Compute a metric for each query.

    Parameters
    ----------
    metric : callable
        A metric of this package that is a mean over queries, such as :func:`mrr_score` or
        :func:`retrieval_recall`.
    *arrays : array-like
        What the metric takes: ``y_true, y_score, qid`` or ``relevant, retrieved``.
    **options : object
        Further arguments of the metric, such as ``k``. Row weights have no effect.

    Returns
    -------
    ndarray of shape (n_queries,), float64
        In the order of the sorted query ids, or of the rows of ``relevant``. NaN for queries that
        the mean leaves out.

    Raises
    ------
    ValueError
        If ``metric`` is no such function, or refuses the arrays or options.

    Examples
    --------
    >>> from skdistill.metrics import mrr_score, per_query
    >>> per_query(mrr_score, [0, 1, 1, 0], [0.9, 0.5, 0.8, 0.1], ["a", "a", "b", "b"])
    array([0.5, 1. ])
    """
    by_query = getattr(metric, "by_query", None)
    if by_query is None:
        raise ValueError(
            f"metric must be a function of skdistill.metrics that averages over queries, got "
            f"{metric!r}. Pass its options beside it: per_query(ndcg_score, ..., k=5)."
        )
    found = by_query(*arrays, **options)
    return np.where(found.defined, found.values, np.nan)

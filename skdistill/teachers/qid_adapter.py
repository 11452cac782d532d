"""What the ``fit`` of one estimator takes: queries in its library's form, weights and metadata.

LightGBM takes ``group`` sizes, XGBoost ``qid`` and CatBoost ``group_id``. The signature of ``fit``
decides which of them is passed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import UNUSED, MetadataRequest
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skdistill._sklearn_compat import own_request, take_metadata
from skdistill.inputs.columns import take_rows
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.public_names import set_module

# Forms in which libraries take queries, the preferred one first.
QUERY_PARAMETERS = ("qid", "group_id", "group")


def query_parameter(estimator: Any) -> str | None:
    """Return the argument by which an estimator's ``fit`` takes queries; None if it takes none.

    An explicit request, such as ``set_fit_request(group=True)``, comes first. A parameter whose
    request is False is never passed.
    """
    requests = own_request(estimator).fit.requests
    taken = [
        name
        for name in QUERY_PARAMETERS
        if has_fit_parameter(estimator, name) and requests.get(name) is not False
    ]
    return min(taken, key=lambda name: requests.get(name) is not True, default=None)


def default_request(estimator: Any) -> MetadataRequest:
    """Return what an estimator itself requests, with row weights by default.

    Queries are left out, because they are derived and passed in the form of ``query_parameter``.
    """
    request = own_request(estimator)
    for name in set(QUERY_PARAMETERS) & set(request.fit.requests):
        request.fit.add_request(param=name, alias=UNUSED)
    if has_fit_parameter(estimator, "sample_weight"):
        _request_by_default(request.fit, "sample_weight")
    if "sample_weight" in request.score.requests:
        _request_by_default(request.score, "sample_weight")
    return request


def _request_by_default(method_request: Any, name: str) -> None:
    """Request metadata of a method, unless the user has decided about it."""
    if method_request.requests.get(name) is None:
        method_request.add_request(param=name, alias=True)


def with_queries(estimator: Any, queries: Queries, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Add the queries of sorted rows to the arguments of ``fit``, in the form that it takes."""
    complete = dict(arguments)
    name = query_parameter(estimator)
    if name is None:
        return complete
    complete[name] = queries.sizes if name == "group" else queries.segment
    if "sample_weight" in complete and _weights_queries(estimator):
        complete["sample_weight"] = queries.mean(np.asarray(complete["sample_weight"], float))
    return complete


def _weights_queries(ranker: Any) -> bool:
    """XGBoost's rankers take one weight per query, all others one per row."""
    return any(base.__module__.startswith("xgboost") for base in type(ranker).__mro__)


@set_module("skdistill.teachers")
class QidAdapter(BaseEstimator):
    """An adapter that makes any ranker take ``qid``, one value per row.

    A search cannot cut LightGBM's group sizes at its folds. The adapter sorts the rows that it gets
    by query, and passes the queries in the form that the ranker takes. In all else it is the
    ranker: it has its parameters, methods and attributes. A teacher that is a search over a ranker
    is fitted through adapters, and ``best_estimator_`` is one.

    Parameters
    ----------
    estimator : estimator
        The ranker. It is fitted in place, like the steps of a Pipeline.
    enable_metadata_routing : bool, default=False
        Whether metadata routing is enabled while the ranker is fitted.

    Examples
    --------
    >>> import sklearn
    >>> from lightgbm import LGBMRanker
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdistill import RankingGroupKFold
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.metrics import ndcg_scorer
    >>> from skdistill.teachers import QidAdapter
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> search = GridSearchCV(
    ...     QidAdapter(LGBMRanker(verbose=-1)),
    ...     {"num_leaves": [7, 15]},
    ...     cv=RankingGroupKFold(3),
    ...     scoring=ndcg_scorer(k=10),
    ... )
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     search = search.fit(data.X, data.y, qid=data.qid)
    >>> sorted(search.best_params_)
    ['num_leaves']
    """

    def __init__(self, estimator: Any, enable_metadata_routing: bool = False) -> None:
        self.estimator = estimator
        self.enable_metadata_routing = enable_metadata_routing

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "estimator":  # unpickling asks before there is one
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        return getattr(self.estimator, name)

    def __sklearn_clone__(self) -> QidAdapter:
        return QidAdapter(clone_or_deepcopy(self.estimator), self.enable_metadata_routing)

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.estimator)

    def __sklearn_is_fitted__(self) -> bool:
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        return True

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of the ranker.

        Parameters
        ----------
        deep : bool, default=True
            Include the parameters of estimators in it.

        Returns
        -------
        dict
            Values by parameter name.
        """
        return self.estimator.get_params(deep=deep)

    def set_params(self, **params: Any) -> QidAdapter:
        """Set parameters of the ranker.

        Parameters
        ----------
        **params : dict
            Values by the names that ``get_params`` returns.

        Returns
        -------
        self
            The adapter.
        """
        self.estimator.set_params(**params)
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Get the metadata that the ranker requests.

        Returns
        -------
        MetadataRequest
            With ``qid`` if the ranker takes queries, and ``sample_weight`` if it takes weights and
            has not declined them.
        """
        request = default_request(self.estimator)
        if query_parameter(self.estimator) is not None:
            request.fit.add_request(param="qid", alias=True)
        return request

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        qid: ArrayLike | None = None,
        **metadata: Any,
    ) -> QidAdapter:
        """Fit the ranker.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Rows in any order.
        y : array-like of shape (n_rows,)
            Labels.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights. XGBoost's rankers get their mean in each query.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Required if the ranker takes queries.
        **metadata : dict
            Further arguments of the ranker's ``fit``; those that it does not take are left out.
            Arrays with an entry per row are sorted with the rows.

        Returns
        -------
        self
            The adapter, whose ranker is fitted.

        Raises
        ------
        ValueError
            If the ranker takes queries and there are none.
        """
        arguments = {
            name: value
            for name, value in metadata.items()
            if has_fit_parameter(self.estimator, name)
        }
        if sample_weight is not None:
            arguments["sample_weight"] = sample_weight
        if query_parameter(self.estimator) is not None:
            n_rows = len(y)
            ids = check_qid(qid, n_rows)
            if ids is None:
                raise ValueError(
                    f"{type(self.estimator).__name__} takes queries, but the estimator around it "
                    "passed no qid."
                )
            queries, order = sort_by_query(ids, n_rows)
            if order is not None:
                X, y = take_rows(X, order), take_rows(y, order)
                arguments = take_metadata(arguments, order, n_rows)
            arguments = with_queries(self.estimator, queries, arguments)
        with config_context(enable_metadata_routing=self.enable_metadata_routing):
            self.estimator.fit(X, y, **arguments)
        return self


def clone_or_deepcopy(estimator: Any) -> Any:
    """Clone an estimator, or deep-copy it if ``clone`` refuses it, such as CatBoost with lists."""
    try:
        return clone(estimator)
    except RuntimeError:
        return copy.deepcopy(estimator)

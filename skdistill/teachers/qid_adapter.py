"""Adapter that makes any ranker take queries and a validation table as this package names them."""

from __future__ import annotations

import copy
from typing import Any

from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skdistill._sklearn_compat import take_metadata
from skdistill.inputs.checks import check_labels
from skdistill.inputs.columns import as_table, take_rows
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inputs.validation import VALIDATION_REQUESTS, ValidationTable
from skdistill.public_names import set_module
from skdistill.teachers.categories import table_for_fit
from skdistill.teachers.fit_arguments import (
    default_request,
    query_parameter,
    takes_validation,
    with_queries,
    with_validation,
)


@set_module("skdistill.teachers")
class QidAdapter(BaseEstimator):
    """An adapter that makes any ranker take ``qid``, one value per row.

    A search cannot cut LightGBM's group sizes at its folds. The adapter sorts the rows that it gets
    by query, and passes the queries in the form that the ranker takes. In all else it is the
    ranker: beside its own parameters it has those of the ranker, and its methods and attributes.
    A name that both have means the ranker's parameter. A teacher that is a search over a ranker
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
        """Get the parameters of the ranker, beside those of the adapter.

        Parameters
        ----------
        deep : bool, default=True
            Include the parameters of estimators in the ranker.

        Returns
        -------
        dict
            Values by parameter name. A name that both have means the ranker's parameter.
        """
        return super().get_params(deep=False) | self._ranker_params(deep)

    def set_params(self, **params: Any) -> QidAdapter:
        """Set parameters of the ranker, or of the adapter.

        Parameters
        ----------
        **params : dict
            Values by the names that ``get_params`` returns.

        Returns
        -------
        self
            The adapter.

        Raises
        ------
        ValueError
            If the ranker has no such parameter.
        """
        of_adapter = set(super().get_params(deep=False)) - set(self._ranker_params(deep=False))
        own = {name: params.pop(name) for name in of_adapter & set(params)}
        ranker = own.get("estimator", self.estimator)
        if params and not hasattr(ranker, "set_params"):
            raise ValueError(
                f"The estimator of a QidAdapter must be a ranker, got {ranker!r}, which has no "
                f"parameters {sorted(params)}."
            )
        super().set_params(**own)
        if params:
            ranker.set_params(**params)
        return self

    def _ranker_params(self, deep: bool) -> dict[str, Any]:
        """Return the parameters of the ranker; none of what is no estimator."""
        ranker = self.estimator
        return ranker.get_params(deep=deep) if hasattr(ranker, "get_params") else {}

    def get_metadata_routing(self) -> MetadataRequest:
        """Get the metadata that the ranker requests.

        Returns
        -------
        MetadataRequest
            With ``qid`` if the ranker takes queries, ``sample_weight`` if it takes weights and has
            not declined them, and ``X_val`` and its like if it takes a validation table.
        """
        request = default_request(self.estimator)
        if query_parameter(self.estimator) is not None:
            request.fit.add_request(param="qid", alias=True)
        if takes_validation(self.estimator):
            for name in VALIDATION_REQUESTS:
                request.fit.add_request(param=name, alias=True)
        return request

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        qid: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        qid_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
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
        X_val : table of shape (n_val, n_features), optional
            Validation rows, which the ranker gets in the form that its ``fit`` takes.
        y_val, qid_val, sample_weight_val : array-like of shape (n_val,), optional
            What ``y``, ``qid`` and ``sample_weight`` are for ``X``.
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
            If the ranker takes queries and there are none, or the validation table is invalid.
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
        given = {"y": y_val, "qid": qid_val, "sample_weight": sample_weight_val}
        table = ValidationTable.of(X_val, **given)
        if table is not None:
            validation = table.read(as_table, check_labels, has_queries=qid is not None)
            arguments = with_validation(self.estimator, validation, arguments)
        with config_context(enable_metadata_routing=self.enable_metadata_routing):
            self.estimator.fit(table_for_fit(self.estimator, X), y, **arguments)
        return self


def clone_or_deepcopy(estimator: Any) -> Any:
    """Clone an estimator, or deep-copy it if ``clone`` refuses it, such as CatBoost with lists."""
    try:
        return clone(estimator)
    except RuntimeError:
        return copy.deepcopy(estimator)

"""What the ``fit`` of one estimator takes: queries, weights and validation in its library's form.

LightGBM takes ``group`` sizes, XGBoost ``qid`` and CatBoost ``group_id``. A validation table is
``X_val`` and its like in scikit-learn and in this package, an ``eval_set`` with further arguments
in LightGBM, XGBoost and others, and a ``Pool`` in CatBoost. The signature of ``fit`` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import UNUSED, MetadataRequest
from sklearn.utils.validation import has_fit_parameter

from skdistill._sklearn_compat import own_request
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import validation_arguments
from skdistill.teachers.categories import table_for_fit
from skdistill.teachers.limits import library_of, list_sizes

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
    is_group = name == "group"
    complete[name] = list_sizes(estimator, queries.sizes) if is_group else queries.segment
    if "sample_weight" in complete and weights_queries(estimator):
        complete["sample_weight"] = queries.mean(np.asarray(complete["sample_weight"], float))
    return complete


def weights_queries(ranker: Any) -> bool:
    """XGBoost's rankers take one weight per query, all others one per row."""
    return library_of(ranker) == "xgboost"


def takes_validation(learner: Any) -> bool:
    """Whether an estimator's ``fit`` takes a validation table and may use it."""
    if _takes_eval_set(learner):
        return True
    # Where early stopping is off, scikit-learn and this package refuse a validation table.
    return has_fit_parameter(learner, "X_val") and bool(getattr(learner, "early_stopping", True))


def _takes_eval_set(learner: Any) -> bool:
    """Whether an estimator takes its library's form of a validation table."""
    return has_fit_parameter(learner, "eval_set") or has_fit_parameter(learner, "eval_X")


def labelled_validation(data: RankingData | None) -> RankingData | None:
    """Return the labelled rows of a validation table; None if there are none."""
    if data is None or not data.is_labelled.any():
        return None
    return data.subset(data.is_labelled)


def with_validation(
    learner: Any, data: RankingData | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Add a validation table to the arguments of ``fit``.

    Parameters
    ----------
    learner : estimator
        The estimator to be fitted.
    data : RankingData or None
        Labelled validation rows, sorted by query.
    arguments : dict
        Arguments of ``fit`` so far. A validation table among them, which the user passed, stays.

    Returns
    -------
    dict
    """
    if data is None or not takes_validation(learner) or {"eval_set", "eval_X"} & set(arguments):
        return arguments
    if not _takes_eval_set(learner):
        return arguments | {
            name: value
            for name, value in validation_arguments(data).items()
            if has_fit_parameter(learner, name)
        }
    if any(base.__module__.startswith("catboost") for base in type(learner).__mro__):
        return arguments | {"eval_set": _catboost_pool(learner, data)}
    weight = data.sample_weight
    if weight is not None and weights_queries(learner):
        weight = data.queries.mean(weight)
    form = query_parameter(learner)
    lists = {
        "eval_group": list_sizes(learner, data.queries.sizes) if form == "group" else None,
        "eval_qid": data.queries.segment if form == "qid" else None,
        "eval_sample_weight": weight,
        "sample_weight_eval_set": weight,
    }
    further = {
        name: [value]
        for name, value in lists.items()
        if value is not None and has_fit_parameter(learner, name)
    }
    table = table_for_fit(learner, data.X)
    tables: dict[str, Any] = {"eval_set": [(table, data.labels)]}
    if has_fit_parameter(learner, "eval_X"):  # LightGBM 4.7 and later
        tables = {"eval_X": table, "eval_y": data.labels}
    return arguments | tables | further


def _catboost_pool(learner: Any, data: RankingData) -> Any:
    """Make the Pool of CatBoost's ``eval_set``, which reads columns as the learner does."""
    from catboost import Pool

    kinds = ("cat_features", "text_features", "embedding_features")
    parameters = learner.get_params()
    columns = {kind: parameters[kind] for kind in kinds if parameters.get(kind) is not None}
    group = data.queries.segment if query_parameter(learner) == "group_id" else None
    return Pool(data.X, data.labels, group_id=group, weight=data.sample_weight, **columns)

"""Route queries, row weights and further metadata to a teacher, through any meta-estimator.

scikit-learn's metadata routing does the work, also where the user has not enabled it: learners that
request nothing request queries and weights by default, and each meta-estimator passes and slices
them in its own way. What would be lost on the way is an error before anything is fitted.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
)
from sklearn.utils.validation import has_fit_parameter

from skdistill._sklearn_compat import (
    SIMPLE_METHODS,
    BaseScorer,
    BaseSearchCV,
    is_router,
    own_request,
)
from skdistill.base import RankingEstimator
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import VALIDATION_REQUESTS, validation_arguments
from skdistill.teachers.categories import table_for_fit
from skdistill.teachers.fit_arguments import (
    QUERY_PARAMETERS,
    default_request,
    query_parameter,
    takes_validation,
    with_queries,
    with_validation,
)
from skdistill.teachers.limits import check_limits
from skdistill.teachers.qid_adapter import QidAdapter, clone_or_deepcopy

FIT = MethodMapping().add(caller="fit", callee="fit")
WAYS_OUT = "Fit it yourself and pass it in a FrozenEstimator, or pass its scores as teacher_scores"


def is_prefit(teacher: Any) -> bool:
    """Check whether a teacher is used as it is.

    It is frozen, or has no ``fit``, like a Booster, which may be the last step of a Pipeline.
    """
    return isinstance(teacher, FrozenEstimator) or not hasattr(last_step(teacher), "fit")


def fit_routed(teacher: Any, data: RankingData, validation: RankingData | None = None) -> Any:
    """Fit a teacher in place on all rows, and pass it what it requests.

    ``validation`` holds labelled rows for its own early stopping.
    """
    check_labels_of_teacher(teacher, data, validation)
    metadata = {**data.metadata, "sample_weight": data.sample_weight}
    if not _learners_inside(teacher):
        arguments = requested_by(_leaf_routing(teacher), metadata)
        arguments = with_queries(teacher, data.queries, arguments)
        arguments = with_validation(teacher, validation, arguments)
        return teacher.fit(table_for_fit(teacher, data.X), data.labels, **arguments)
    ids = data.queries.segment
    if any(isinstance(part, TransformedTargetRegressor) for part in _parts(teacher)):
        validation = None  # it transforms the labels of the training rows alone
    metadata |= validation_arguments(validation)
    undo = _request_defaults(teacher, validates=validation is not None)
    with config_context(enable_metadata_routing=True):
        routing = get_routing_for_object(teacher)
        arguments = requested_by(routing, {"qid": ids, "groups": ids, **metadata})
        takes_weights = own_request(teacher).fit.requests.get("sample_weight")
        if takes_weights is False:
            arguments.pop("sample_weight", None)
        elif takes_weights is True and data.sample_weight is not None:
            # Bagging uses weights by itself, but its router does not say so.
            arguments["sample_weight"] = data.sample_weight
        teacher.fit(data.X, data.labels, **arguments)
    teacher.set_params(
        **{
            path: value.estimator if isinstance(value, QidAdapter) else value
            for path, value in undo.items()
        }
    )
    if isinstance(teacher, BaseSearchCV) and hasattr(teacher, "best_estimator_"):
        # It is a clone of the estimator that was changed.
        for path, value in undo.items():
            if path.endswith("transform_input"):
                teacher.best_estimator_.set_params(**{path.removeprefix("estimator__"): value})
    return teacher


def check_labels_of_teacher(
    teacher: Any, data: RankingData, validation: RankingData | None
) -> None:
    """Check that all that a teacher fits can take the labels, and has a table to stop by.

    Raises
    ------
    ValueError
        If a learner of LightGBM or XGBoost would refuse them.
    """
    given = [part.labels for part in (data, validation) if part is not None]
    labels = np.concatenate([part for part in given if part is not None])
    validates = validation is not None or bool({"eval_set", "eval_X"} & set(data.metadata))
    for learner in _innermost(teacher):
        check_limits(learner, labels[~np.isnan(labels)], validates)


def _innermost(teacher: Any) -> Iterator[Any]:
    """Iterate over the learners that a teacher fits, also through rankers of this package."""
    for _, learner in find_learners(teacher):
        if isinstance(learner, RankingEstimator):
            for inner in learner.sub_teachers().values():
                yield from _innermost(inner)
        elif not is_prefit(learner):
            yield learner


def teacher_router(owner: RankingEstimator) -> MetadataRouter:
    """Make the router of an estimator that fits teachers; it consumes queries and weights too."""
    router = MetadataRouter(owner=owner).add_self_request(owner)
    for name, teacher in owner.sub_teachers().items():
        if teacher is not None and not is_prefit(teacher):
            router.add(**{name: _routing_with_defaults(teacher)}, method_mapping=FIT)
    return router


def check_metadata_reaches(teacher: Any, *, weighted: bool) -> None:
    """Check that queries and row weights reach all that a teacher fits.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The teacher, unfitted or prefit.
    weighted : bool
        Whether there are row weights.

    Raises
    ------
    ValueError
        If something takes queries and would get none, or takes no weights although there are some
        and has not declined them by ``set_fit_request(sample_weight=False)``.
    """
    if is_prefit(teacher):
        return
    learners = dict(find_learners(teacher))
    on_the_way = _estimators_on_the_way(teacher, learners)
    for estimator in on_the_way.values():
        if isinstance(estimator, RankingEstimator):
            for inner in estimator.sub_teachers().values():
                check_metadata_reaches(inner, weighted=weighted)
        elif hasattr(estimator, "get_params"):
            adapted = estimator.estimator if isinstance(estimator, QidAdapter) else estimator
            _check_hidden(adapted, on_the_way, weighted=weighted)
    for path, learner in learners.items():
        _check_query_aliases(learner)
        if weighted and not is_prefit(learner) and not _takes_weights(on_the_way, path):
            raise ValueError(
                f"{type(learner).__name__} takes no sample_weight, so that the row weights would "
                f"be lost on the way to the teacher. {WAYS_OUT}, or leave out sample_weight."
            )
    if "" not in learners:
        _check_passes_on(teacher, learners, weighted=weighted)


def _routing_with_defaults(teacher: Any) -> Any:
    """What a teacher requests, with queries and weights by default."""
    if not _learners_inside(teacher):
        return _leaf_routing(teacher)
    adapted = clone_or_deepcopy(teacher)
    _request_defaults(adapted)
    with config_context(enable_metadata_routing=True):
        return get_routing_for_object(adapted)


def _leaf_routing(learner: Any) -> Any:
    """What a learner requests, with weights by default; queries are derived."""
    request = default_request(learner)
    if not is_router(learner):
        return request
    return get_routing_for_object(learner).add_self_request(request)


def requested_by(routing: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the arguments of ``fit`` that are requested, by scikit-learn's rules."""
    router = MetadataRouter(owner="skdistill").add(child=routing, method_mapping=FIT)
    return dict(router.route_params(caller="fit", params=metadata)["child"]["fit"])


def _learns(value: Any) -> bool:
    """Whether a value is an estimator that can be fitted and can score."""
    return (
        not isinstance(value, type)
        and hasattr(value, "fit")
        and any(hasattr(value, name) for name in ("predict", "predict_proba", "decision_function"))
    )


def _learners_inside(estimator: Any) -> dict[str, Any]:
    """Estimators that a meta-estimator routes metadata to, by parameter name.

    Rankers and adapters of this package are not looked into: they route by themselves.
    """
    if is_prefit(estimator) or isinstance(estimator, RankingEstimator | QidAdapter):
        return {}
    if not is_router(estimator):
        return {}
    parameters = estimator.get_params(deep=True)
    if isinstance(estimator, Pipeline):
        parameters = dict([estimator.steps[-1]])
    return {n: value for n, value in parameters.items() if "__" not in n and _learns(value)}


def find_learners(estimator: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the innermost learners and the names by which ``set_params`` reaches them."""
    inside = _learners_inside(estimator)
    if not inside:
        yield path, estimator
    for name, learner in inside.items():
        yield from find_learners(learner, f"{path}__{name}" if path else name)


def _needs_adapter(learner: Any, validates: bool) -> bool:
    """Whether a learner does not take the metadata as a meta-estimator would pass them."""
    if is_prefit(learner) or isinstance(learner, RankingEstimator):
        return False
    requests_by_signature = hasattr(learner, "get_metadata_routing") and not is_router(learner)
    takes_another_form = (
        validates and takes_validation(learner) and not has_fit_parameter(learner, "X_val")
    )
    return query_parameter(learner) is not None or not requests_by_signature or takes_another_form


def _request_defaults(teacher: Any, validates: bool = False) -> dict[str, Any]:
    """Make all parts of a meta-estimator request queries and weights, unless the user decided.

    Learners that need it get an adapter. Transformers decline weights by default. If there is a
    validation table, learners request it, and Pipelines transform it.

    Returns
    -------
    dict
        Parameters with which ``set_params`` undoes the changes after ``fit``; adapters stand for
        the estimators in them, which may be fitted until then.
    """
    learners = dict(find_learners(teacher))
    wraps = any(_needs_adapter(learner, validates) for learner in learners.values())
    # Stacking passes the queries of its members to its final estimator too, which may take none.
    unfitted = [learner for learner in learners.values() if not is_prefit(learner)]
    wraps |= len({isinstance(learner, RankingEstimator) for learner in unfitted}) == 2
    enabled = get_config()["enable_metadata_routing"]
    changed: dict[str, Any] = {}
    undo: dict[str, Any] = {}
    with config_context(enable_metadata_routing=True):
        _decide(teacher, True)
        for path, value in teacher.get_params(deep=True).items():
            if any(path.startswith(f"{outer}__") for outer in learners):
                continue  # the inside of a learner is its own business
            if path in learners and wraps and not is_prefit(value):
                changed[path] = undo[path] = QidAdapter(value, enabled)
            elif path.rpartition("__")[2] == "scoring":
                changed[path], undo[path] = _weighted_scorers(value), value
            elif path.rpartition("__")[2] == "transform_input":
                if validates:
                    changed[path], undo[path] = [*(value or []), "X_val"], value
            elif not isinstance(value, type):
                leads = any(inner.startswith(f"{path}__") for inner in learners)
                _decide(value, path in learners or leads)
    teacher.set_params(**changed)
    return undo


def _decide(estimator: Any, wanted: bool) -> None:
    """Request row weights, or decline them, where the user has not decided."""
    request = own_request(estimator)
    for method in SIMPLE_METHODS:
        requests = getattr(request, method).requests
        for name in ("sample_weight", "qid", "groups", *VALIDATION_REQUESTS):
            if name in requests and requests[name] is None:
                decision = method == "split" or (wanted and method in ("fit", "score"))
                if name in VALIDATION_REQUESTS:
                    decision = decision and takes_validation(estimator)
                getattr(estimator, f"set_{method}_request")(**{name: decision})


def _weighted_scorers(scoring: Any) -> Any:
    """Make scorers request row weights, as a search passes them without routing too."""
    if isinstance(scoring, dict):
        return {name: _weighted_scorers(value) for name, value in scoring.items()}
    if isinstance(scoring, list | tuple | set):
        return {name: _weighted_scorers(name) for name in scoring}
    if not isinstance(scoring, str | BaseScorer):
        return scoring
    scorer = get_scorer(scoring)
    if own_request(scorer).score.requests.get("sample_weight") is None:
        scorer = copy.copy(scorer).set_score_request(sample_weight=True)
    return scorer


def _parts(teacher: Any) -> Iterator[Any]:
    """Iterate over a teacher and what is inside of it."""
    yield teacher
    yield from teacher.get_params(deep=True).values()


def _estimators_on_the_way(teacher: Any, learners: Mapping[str, Any]) -> dict[str, Any]:
    """Return the teacher and its parts down to the learners, by parameter name."""
    if "" in learners:
        return {"": teacher}
    parameters = teacher.get_params(deep=True)
    return {"": teacher} | {
        path: value
        for path, value in parameters.items()
        if path in learners or any(inner.startswith(f"{path}__") for inner in learners)
    }


def _takes_weights(on_the_way: Mapping[str, Any], path: str) -> bool:
    """Whether a learner takes weights or declines them, or a meta-estimator uses them itself."""
    if "sample_weight" in default_request(on_the_way[path]).fit.requests:
        return True
    around = {
        outer: estimator
        for outer, estimator in on_the_way.items()
        if has_fit_parameter(estimator, "sample_weight")
        and (outer == "" or path.startswith(f"{outer}__"))
    }
    return any(
        outer == ""
        or own_request(estimator).fit.requests.get("sample_weight") is False
        or _routing_with_defaults(estimator).consumes("fit", ["sample_weight"])
        for outer, estimator in around.items()
    )


def _check_query_aliases(learner: Any) -> None:
    """Refuse to take queries from another argument, because rows are sorted by qid."""
    for name in QUERY_PARAMETERS:
        alias = own_request(learner).fit.requests.get(name)
        if isinstance(alias, str) and alias.isidentifier():
            raise ValueError(
                f"{type(learner).__name__} requests {name} as {alias!r}, but a teacher's queries "
                f"are those of qid. Call set_fit_request({name}=True) instead, and pass qid."
            )


def _check_hidden(estimator: Any, on_the_way: Mapping[str, Any], *, weighted: bool) -> None:
    """Refuse rankers in parameters to which an estimator routes no metadata."""
    routed = {id(value) for value in on_the_way.values()}
    for name, parameter in estimator.get_params(deep=False).items():
        is_grid = name.startswith("param_")
        for hidden in _estimators_in(parameter):
            if id(hidden) in routed or is_prefit(hidden):
                continue
            takes_weights = has_fit_parameter(hidden, "sample_weight")
            if query_parameter(hidden) is not None or (is_grid and weighted and takes_weights):
                lost = "queries" if query_parameter(hidden) is not None else "row weights"
                raise ValueError(
                    f"{type(estimator).__name__} would pass no {lost} to the "
                    f"{type(hidden).__name__} in its parameter {name}. {WAYS_OUT}."
                )


def _estimators_in(value: Any) -> Iterator[Any]:
    """Iterate over the learners in a parameter, also those in lists and grids."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _estimators_in(part)
    elif _learns(value):
        yield value


def _check_passes_on(teacher: Any, learners: Mapping[str, Any], *, weighted: bool) -> None:
    """Refuse a meta-estimator that does not route to its learners what they take."""
    unfitted = [learner for learner in learners.values() if not is_prefit(learner)]
    consumed = _routing_with_defaults(teacher).consumes("fit", ("qid", "sample_weight"))
    takes_queries = any(query_parameter(learner) is not None for learner in unfitted)
    is_weighted = weighted and any(
        default_request(learner).fit.requests.get("sample_weight") is True for learner in unfitted
    )
    for name, is_needed in (("qid", takes_queries), ("sample_weight", is_weighted)):
        if is_needed and name not in consumed:
            raise ValueError(
                f"{type(teacher).__name__} passes no {name} on to what it fits. {WAYS_OUT}."
            )

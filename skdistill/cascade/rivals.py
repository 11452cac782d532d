"""Cascades that a distilled one has to beat: the same stages, trained in other ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.parallel import Parallel, delayed

from skdistill.cascade.costs import MICROSECONDS, cost_of_stage
from skdistill.cascade.estimator import RankingCascade
from skdistill.cascade.funnel import Stage
from skdistill.cascade.popularity import PopularityRetriever
from skdistill.cascade.spec import FirstTrees
from skdistill.inputs.columns import as_table, take_rows
from skdistill.public_names import set_module
from skdistill.teachers.first_trees import number_of_trees
from skdistill.teachers.routing import is_prefit


@set_module("skdistill.cascade")
def fit_rivals(
    cascade: RankingCascade,
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None = None,
    items: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> dict[str, RankingCascade]:
    """Fit the cascades that a distilled one has to beat, on the log that it was fitted on.

    All have the sizes of the cascade and its fitted teacher, which also ranks in their last stage
    if it does so here.

    Parameters
    ----------
    cascade : RankingCascade
        Fitted.
    X, y, qid, items, sample_weight, offset
        The arguments of its ``fit``.
    n_jobs : int, optional
        Number of processes, as in scikit-learn. None is 1, -1 is one per core.

    Returns
    -------
    dict of str to RankingCascade
        - "trained on labels": each stage is trained on the logged labels, as is usual.
        - "logged rows only": each later stage learns the teacher's scores of logged rows.
        - "popularity": the most popular items instead of retrievers, and the same later stages.
        - "first trees": the first trees of the teacher instead of students, as many as cost the
          same; only for teachers of LightGBM and XGBoost.

    Raises
    ------
    NotFittedError
        If the cascade is not fitted.
    ValueError
        As ``fit``, or if there is an offset on one side only.
    """
    cascade.check_fitted()
    given = {"y": y, "qid": qid, "items": items, "sample_weight": sample_weight, "offset": offset}
    if (offset is None) != (cascade.funnel_.offset is None):
        raise ValueError(
            "Pass offset= if and only if the cascade was fitted with one: its rivals have to rank "
            "by the same."
        )
    teacher = cascade.teacher_
    if not is_prefit(teacher):
        teacher = FrozenEstimator(teacher)
    columns = cascade.pair_columns_
    named = {"query_columns": columns.query_names, "item_columns": columns.item_names}
    if isinstance(columns.query_names, int):
        named = {"query_columns": columns.query, "item_columns": columns.item}

    def variant(**changes: Any) -> RankingCascade:
        return clone(cascade).set_params(**{"teacher": teacher, **named, **changes})

    fitted = cascade.funnel_.retrieval.retrievers
    frozen = {name: one if is_prefit(one) else FrozenEstimator(one) for name, one in fitted.items()}
    rivals = {
        "trained on labels": _on_labels(variant(alpha=0.0, sources=("logged",))),
        "logged rows only": variant(sources=("logged",), **frozen),
        "popularity": _with_first(variant(), PopularityRetriever(named["item_columns"])),
    }
    trees = _trees_of_equal_cost(cascade, X)
    if trees:
        rivals["first trees"] = variant(**frozen, **trees)
    fits = Parallel(n_jobs=n_jobs)(delayed(_fitted)(rival, X, given) for rival in rivals.values())
    return dict(zip(rivals, fits, strict=True))


def _fitted(cascade: RankingCascade, X: Any, given: Mapping[str, Any]) -> RankingCascade:
    return cascade.fit(X, **given)


def _on_labels(cascade: RankingCascade) -> RankingCascade:
    """Take the teacher's weight from all retrievers and students."""
    weights = {
        name: 0.0
        for name, value in cascade.get_params(deep=True).items()
        if name.endswith("__alpha") and name.count("__") == 1 and isinstance(value, float)
    }
    return cascade.set_params(**weights)


def _with_first(cascade: RankingCascade, retriever: Any) -> RankingCascade:
    """Replace the first stage by one retriever of the same size."""
    (name, _, cut), *later = cascade.stages
    return cascade.set_params(stages=[(name, retriever, cut), *later])


def _trees_of_equal_cost(cascade: RankingCascade, X: Any) -> dict[str, FirstTrees]:
    """First trees for each student that cost as much per pair, at least one."""
    try:
        n_trees = number_of_trees(cascade.teacher_)
    except TypeError:
        return {}
    cuts, funnel = cascade.stage_cuts(), cascade.funnel_
    queries = cascade.pair_columns_.queries(take_rows(as_table(X), np.arange(1)))
    teacher = Stage("teacher", cascade.teacher_, cascade.teacher_table_)
    models = {name: model for name, model, _ in cascade.stages}
    trees = {}
    for stage, before in zip(funnel.stages, cuts, strict=False):
        if isinstance(models[stage.name], str | FirstTrees):
            continue
        width = before.size
        of_student = cost_of_stage(funnel.items, stage, queries, width).of(width)
        cost = cost_of_stage(funnel.items, teacher, queries, width)
        # The features of the teacher would have to be built in any case.
        of_teacher = max(cost.per_call + cost.per_row * width, 1 / MICROSECONDS)
        n_equal = n_trees * of_student / of_teacher
        trees[stage.name] = FirstTrees(int(np.clip(n_equal, 1, n_trees)))
    return trees

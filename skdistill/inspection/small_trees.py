"""The honest rivals of a student: smaller versions of a boosted teacher."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skdistill.inputs.checks import check_labels
from skdistill.inputs.column_reading import column_of, is_time
from skdistill.inputs.columns import as_table, column_names, take_columns
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection.models import unwrapped
from skdistill.inspection.sampling import some_queries
from skdistill.metrics import ndcg_score
from skdistill.public_names import set_module
from skdistill.teachers.asking import score_rows
from skdistill.teachers.first_trees import first_trees, number_of_trees
from skdistill.teachers.fitting import fit_teacher, labelled_rows, seeded
from skdistill.teachers.limits import N_GAINS, STOPPING_PARAMETERS

N_TREES = (5, 10, 20, 40, 80)
N_LEAVES = (4, 8, 16, 31)
LEARNING_RATES = (0.1, 0.2, 0.4)
# The search takes queries of so many rows.
SEARCHED_ROWS = 200_000
# One query in so many chooses among the settings.
HELD_OUT = 4
# Beginnings of a teacher that are looked at, beside halves of the whole.
FEWEST_TREES = 5


@set_module("skdistill.inspection")
def fit_small_trees(
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None = None,
    template: Any = None,
    n_trees: Sequence[int] = N_TREES,
    n_leaves: Sequence[int] = N_LEAVES,
    learning_rates: Sequence[float] = LEARNING_RATES,
    k: int = 10,
    random_state: Any = None,
) -> dict[str, Any]:
    """Fit small LightGBM models on labels, each the best of a small search.

    Such a model is what a student has to beat: it needs no teacher. For each number of trees, the
    number of leaves and the learning rate are chosen by NDCG on a quarter of the queries, of those
    of about 200,000 rows if there are more. The best model is then fitted on all queries.

    Parameters
    ----------
    X : table of shape (n_rows, n_features)
        Training rows.
    y : array-like of shape (n_rows,)
        Relevance; rows with NaN are left out.
    qid : array-like of shape (n_rows,), optional
        Query of each row. None means that all rows are one query.
    template : LightGBM estimator, optional
        Unfitted or fitted; its other parameters are kept, but for early stopping. By default an
        ``LGBMRanker``, or an ``LGBMRegressor`` if the labels are no grades from 0 to 30.
    n_trees : sequence of int, default=(5, 10, 20, 40, 80)
        Numbers of trees, one for each model that is returned.
    n_leaves : sequence of int, default=(4, 8, 16, 31)
        Numbers of leaves to choose from.
    learning_rates : sequence of float, default=(0.1, 0.2, 0.4)
        Learning rates to choose from.
    k : int, default=10
        Number of top places that count for the choice.
    random_state : int, RandomState or None, default=None
        Seeds the choice of queries, and the models if the template has no seed.

    Returns
    -------
    dict of str to estimator
        Fitted models by a name such as "20 trees of 8 leaves".

    Raises
    ------
    ValueError
        If there are fewer than two queries, no row has a label, a size is invalid, or the arguments
        do not match.
    TypeError
        If the template is no estimator of LightGBM.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import fit_small_trees
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> models = fit_small_trees(
    ...     data.X, data.y, qid=data.qid, n_trees=[5, 10], n_leaves=[4], random_state=0
    ... )
    >>> sorted(models)
    ['10 trees of 4 leaves', '5 trees of 4 leaves']
    """
    _check_sizes(n_trees, n_leaves, learning_rates)
    template = None if template is None else unwrapped(template)
    if template is not None and not is_template(template):
        raise TypeError(
            "template must be an estimator of LightGBM, such as LGBMRanker(), got "
            f"{type(template).__name__}."
        )
    X = as_table(X)
    n_rows = X.shape[0]
    data = RankingData.sort(check_qid(qid, n_rows), X, check_labels(y, n_rows))
    seed = check_random_state(random_state).randint(2**31 - 1)
    if data.queries.n_queries < 2:
        raise ValueError(
            "fit_small_trees chooses by queries that it holds out, but all rows are one query. "
            "Pass qid=."
        )
    ranker = seeded(_default_trees(data) if template is None else _without_stopping(template), seed)
    parallel = Parallel(n_jobs=1, prefer="threads")
    if ranker.n_jobs is None:
        # Threads of one fit wait for each other, for most of the time if the cores are busy; fits
        # that take one thread each do not.
        ranker, parallel = clone(ranker).set_params(n_jobs=1), Parallel(-1, prefer="threads")
    data = labelled_rows(ranker, data)
    some = some_queries(data, SEARCHED_ROWS, seed)
    settings = list(product(n_leaves, learning_rates))
    chosen = _search(ranker, some, n_trees, settings, k, seed, parallel)
    sized = {
        f"{size} trees of {leaves} leaves": _resized(ranker, size, leaves, rate)
        for size, (leaves, rate) in chosen.items()
    }
    fitted = parallel(delayed(fit_teacher)(model, data) for model in sized.values())
    return dict(zip(sized, fitted, strict=True))


def is_template(model: Any) -> bool:
    """Whether a model is an estimator of LightGBM, whose parameters small trees can keep."""
    has_parameters = hasattr(model, "get_params") and hasattr(model, "fit")
    return has_parameters and "num_leaves" in model.get_params()


def without_times(X: Any) -> Any:
    """Return the columns of a table that LightGBM takes, which are all but times."""
    names = column_names(X)
    if names is None:
        return X
    kept = [place for place, name in enumerate(names) if not is_time(column_of(X, place, name))]
    return X if len(kept) == len(names) else take_columns(X, kept)


def beginnings(teacher: Any) -> dict[str, Any]:
    """Cut a boosted teacher to its first half, quarter and so on, down to five trees.

    Parameters
    ----------
    teacher : object
        Any fitted teacher.

    Returns
    -------
    dict of str to Booster or Pipeline
        By a name such as "first 20 trees"; Pipelines of the teacher's steps before, if it is one.
        Empty for teachers whose trees cannot be taken one after the other.
    """
    model = unwrapped(teacher)
    try:
        n_trees = number_of_trees(model)
    except TypeError:
        return {}
    sizes = []
    while n_trees >= 2 * FEWEST_TREES:
        n_trees //= 2
        sizes.append(n_trees)
    return {f"first {size} trees": first_trees(model, size) for size in reversed(sizes)}


def _check_sizes(
    n_trees: Sequence[int], n_leaves: Sequence[int], learning_rates: Sequence[float]
) -> None:
    """Refuse lists without values, and values that LightGBM does not take."""
    least = {"n_trees": (n_trees, 1), "n_leaves": (n_leaves, 2)}
    for name, (sizes, smallest) in least.items():
        if not len(sizes) or any(not isinstance(n, Integral) or n < smallest for n in sizes):
            raise ValueError(
                f"{name} must list integers of at least {smallest}, got {list(sizes)}."
            )
    if not len(learning_rates) or not all(rate > 0 for rate in learning_rates):
        raise ValueError(f"learning_rates must list numbers above 0, got {list(learning_rates)}.")


def _default_trees(data: RankingData) -> Any:
    """Make a ranker, or a regressor of labels that no ranker takes."""
    import lightgbm

    assert data.labels is not None  # the caller has passed them
    labels = data.labels[data.is_labelled]
    are_grades = bool(((labels % 1 == 0) & (labels >= 0) & (labels < N_GAINS["lightgbm"])).all())
    return (lightgbm.LGBMRanker if are_grades else lightgbm.LGBMRegressor)(verbose=-1)


def _without_stopping(template: Any) -> Any:
    """Return an unfitted clone that is fitted without a validation table."""
    names = set(STOPPING_PARAMETERS) & set(template.get_params())
    return clone(template).set_params(**dict.fromkeys(names))


def _resized(ranker: Any, n_trees: int, n_leaves: int, learning_rate: float) -> Any:
    """Return a clone of another size."""
    return clone(ranker).set_params(
        n_estimators=n_trees, num_leaves=n_leaves, learning_rate=learning_rate
    )


def _search(
    ranker: Any,
    data: RankingData,
    n_trees: Sequence[int],
    settings: list[tuple[int, float]],
    k: int,
    seed: int,
    parallel: Parallel,
) -> dict[int, tuple[int, float]]:
    """Choose leaves and rate for each number of trees.

    A model of few trees is the beginning of one of many, as long as the rate is the same, so that
    each setting is fitted once.
    """
    shuffled = np.random.default_rng(seed).permutation(data.queries.n_queries)
    n_held_out = -(-len(shuffled) // HELD_OUT)
    held_out = data.take_queries(np.sort(shuffled[:n_held_out]))
    train = data.take_queries(np.sort(shuffled[n_held_out:]))
    labels, qid = held_out.labels, held_out.queries.segment
    assert labels is not None  # the caller passes labelled rows only

    def qualities(leaves: int, rate: float) -> list[float]:
        model = fit_teacher(_resized(ranker, max(n_trees), leaves, rate), train)
        cut = (first_trees(model, size) for size in n_trees)
        scores = (score_rows(trees, held_out.X, held_out.queries) for trees in cut)
        return [ndcg_score(labels, of_rows, qid, k=k) for of_rows in scores]

    found = np.array(parallel(delayed(qualities)(*setting) for setting in settings))
    best = found.argmax(axis=0).tolist()
    return {size: settings[place] for size, place in zip(n_trees, best, strict=True)}

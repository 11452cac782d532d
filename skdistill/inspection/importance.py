"""Permutation importance of the columns of a table, for models that rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

from skdistill.inputs.checks import check_k
from skdistill.inputs.columns import as_table
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inspection.shuffling import ColumnShuffler
from skdistill.metrics.scorers import default_scorer, queries_of


def ranking_importance(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    qid: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    scoring: Any = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Bunch:
    """Compute how much worse a ranking gets if a column is shuffled within each query.

    The importance of a column is the score of the table, less that of the table in which the values
    of the column change places between the rows of each query (Breiman 2001). The same for all rows
    of each query, a value takes the place of another query's: what a column about users does for
    the order of their items. ``sklearn.inspection.permutation_importance`` shuffles the whole
    table, which counts how a column tells queries apart and not what it does for their order, and
    passes no ``qid``.

    Parameters
    ----------
    estimator : estimator
        Any fitted ranker, such as a student, a teacher, or a Pipeline.
    X : table of shape (n_rows, n_features)
        Rows that the estimator was preferably not fitted on: array, CSR matrix or data frame.
    y : array-like of shape (n_rows,) or (n_rows, n_label_objectives)
        Relevance, 0 or more, or what else ``scoring`` takes.
    qid : array-like of shape (n_rows,), optional
        Query of each row. By default, those of the estimator's ``query_column``; without one, all
        rows are one query.
    sample_weight : array-like of shape (n_rows,), optional
        Row weights, for the score.
    offset : array-like of shape (n_rows,), optional
        Such as a log bid, for the score; see :func:`skdistill.metrics.ndcg_score`.
    scoring : callable, optional
        ``scorer(estimator, X, y, qid=..., sample_weight=..., offset=...)``; by default
        ``ndcg_scorer(k=10)``, or ``grouped_auc_scorer()`` where ``score`` of a student of rows
        without queries is the AUC. The arguments that are None are not passed.
    n_repeats : int, default=5
        Number of times that each column is shuffled.
    n_jobs : int, optional
        Number of processes over which the columns are spread.
    random_state : int, RandomState or None, default=None
        Pass an int for reproducible results.

    Returns
    -------
    Bunch
        ``importances_mean`` and ``importances_std``, of shape (n_features,), and ``importances``,
        of shape (n_features, n_repeats), as scikit-learn's function returns them.

    Raises
    ------
    ValueError
        If there are no queries although the estimator was fitted with some, or the arguments do not
        match.

    References
    ----------
    Breiman, "Random Forests", Machine Learning 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import ranking_importance
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=50, n_features=3, truth="linear", random_state=0)
    >>> X = np.column_stack([data.X, np.zeros(len(data.y))])
    >>> student = LinearRanker(random_state=0).fit(X, data.y, qid=data.qid)
    >>> found = ranking_importance(student, X, data.y, qid=data.qid, random_state=0)
    >>> found.importances_mean.round(2)[3]
    np.float64(0.0)
    """
    check_k(n_repeats, "n_repeats")
    X = as_table(X)
    queries, order = sort_by_query(check_qid(queries_of(estimator, X, qid), X.shape[0]), X.shape[0])
    order = np.arange(X.shape[0]) if order is None else order
    scorer = default_scorer(estimator, qid) if scoring is None else scoring
    given = {"qid": qid, "sample_weight": sample_weight, "offset": offset}
    metadata = {name: values for name, values in given.items() if values is not None}
    baseline = scorer(estimator, X, y, **metadata)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=X.shape[1])
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_scores_without)(
            column, scorer, (estimator, X, y, metadata), (queries, order), n_repeats, seed
        )
        for column, seed in enumerate(seeds)
    )
    importances = baseline - np.array(scores)
    return Bunch(
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        importances=importances,
    )


def _scores_without(
    column: int,
    scorer: Any,
    scored: tuple[Any, Any, Any, dict[str, Any]],
    sorted_rows: tuple[Queries, NDArray[np.int64]],
    n_repeats: int,
    seed: int,
) -> list[float]:
    """Score a table several times, each time with other values in one column."""
    estimator, X, y, metadata = scored
    shuffler = ColumnShuffler.of(X, column, *sorted_rows)
    rng = np.random.default_rng(seed)
    return [scorer(estimator, shuffler.shuffled(rng), y, **metadata) for _ in range(n_repeats)]

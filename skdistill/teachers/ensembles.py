"""Teachers made of several: any named rankers, or MLP rankers that differ by draw and design.

Members' scores have scales of their own. They are brought to one within each query, where the
ensemble is told the queries (``predict(X, qid=...)``, as when it teaches); else each member is
divided by the deviation that its scores have within a query on average over the training queries,
which orders a query's rows alike when queries do not differ much.
"""

from __future__ import annotations

from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.columns import as_table, take_rows
from skdistill.losses import get_loss
from skdistill.queries import Queries, check_qid, sort_by_query
from skdistill.ranking_estimator import (
    RankingEstimator,
    check_labels,
    check_sample_weight,
    in_query_order,
)
from skdistill.students import LinearRanker, MLPRanker
from skdistill.teachers.labelling import fit_on_labelled, score_rows
from skdistill.training import hold_out


def standardize_by_query(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """Mean 0 and deviation 1 within each query; a constant list becomes 0."""
    centred, deviation = _about_the_mean(scores, queries)
    deviation[deviation == 0] = 1
    return centred / queries.spread(deviation)


def _about_the_mean(
    scores: NDArray[Any], queries: Queries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores less their query's mean, and their deviation in each query."""
    centred = scores - queries.spread(queries.mean(scores))
    return centred, np.sqrt(queries.mean(centred**2))


def scores_of(members: list[Any], X: Any) -> NDArray[np.float64]:
    """Scores of every fitted member, shape (n_rows, n_members)."""
    return np.column_stack([score_rows(member, X) for member in members])


def share_of_rank(scores: NDArray[Any], queries: Queries) -> NDArray[np.float64]:
    """1 for the first row of a query down to 0 for its last; ties by the order of the rows."""
    last = queries.spread(np.maximum(queries.sizes - 1, 1))
    return 1 - queries.rank_descending(scores) / last


class _Ensemble(RankingEstimator):
    """What both kinds share: checked queries in, members' scores on one scale, their mean out."""

    averaging: str
    estimators_: list[Any]
    deviations_: NDArray[np.float64]

    def predict(self, X: Any, qid: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of rows, higher is better; in the order of the rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        qid : array-like of shape (n_rows,), optional
            Query of each row; needed for averaging ranks and for weights by query.

        Returns
        -------
        ndarray of shape (n_rows,), float64
        """
        check_is_fitted(self)
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        scores = scores_of(self.estimators_, X)
        ids = check_qid(qid, X.shape[0])
        if ids is None:
            return self._without_queries(scores)
        queries, order = sort_by_query(ids, X.shape[0])
        order = np.arange(X.shape[0]) if order is None else order
        combined = np.empty(X.shape[0])
        combined[order] = self._combine(self._on_one_scale(scores[order], queries), queries)
        return combined

    def _without_queries(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.averaging == "rank":
            raise ValueError("averaging='rank' looks at whole queries: predict needs qid.")
        return (scores / self.deviations_).mean(axis=1)

    def _on_one_scale(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        rescale = share_of_rank if self.averaging == "rank" else standardize_by_query
        return np.column_stack([rescale(column, queries) for column in scores.T])

    def _combine(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        return scores.mean(axis=1)

    def _read(
        self, X: Any, y: ArrayLike, qid: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> tuple[Any, Queries, NDArray[np.float64], NDArray[np.float64] | None]:
        """The table sorted by query, its queries, labels and weights."""
        self._validate_params()
        X = as_table(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        n_rows = X.shape[0]
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        labels, weight = check_labels(y, n_rows), check_sample_weight(sample_weight, n_rows)
        ids = self._ids_for_fit(X, qid, n_rows)
        self.fitted_with_qid_ = ids is not None
        queries, _, X, labels, weight = in_query_order(ids, X, labels, weight)
        return X, queries, labels, weight

    def _remember_deviations(self, X: Any, queries: Queries) -> None:
        """Keep the mean deviation of each member's scores within a training query."""
        scores = scores_of(self.estimators_, X)
        deviations = [_about_the_mean(column, queries)[1].mean() for column in scores.T]
        self.deviations_ = np.where(np.array(deviations) > 0, deviations, 1.0)


class MLPEnsembleRanker(_Ensemble):
    """MLP rankers trained on labels, each on queries, widths and a loss of its own.

    Parameters
    ----------
    n_estimators : int, default=5
    hidden_layer_sizes : tuple of int or list of tuples, default=(64, 32)
        A list is gone through in turn.
    loss : str, Loss or list of these, default="listwise"
        A list is gone through in turn.
    bootstrap : bool, default=True
        Each member sees as many queries as there are, drawn with replacement.
    averaging : {"score", "rank"}, default="score"
        What is averaged where the queries are told: standardised scores, or shares of the rank.
    mlp_parameters : dict, optional
        Of every :class:`MLPRanker`: ``{"max_iter": 50, "weight_decay": 1.0}``.
    n_jobs : int, optional
        Members fitted at once, by joblib.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    estimators_ : list of MLPRanker
    deviations_ : ndarray of shape (n_estimators,)
        Mean deviation of each member's scores within a training query.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.teachers import MLPEnsembleRanker
    >>> data = make_ranking(random_state=0)
    >>> teacher = MLPEnsembleRanker(3, mlp_parameters={"max_iter": 5}, random_state=0)
    >>> teacher.fit(data.X, data.y, qid=data.qid).predict(data.X).shape == data.y.shape
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [tuple, list],
        "bootstrap": ["boolean"],
        "averaging": [StrOptions({"score", "rank"})],
        "mlp_parameters": [dict, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_estimators: int = 5,
        *,
        hidden_layer_sizes: Any = (64, 32),
        loss: Any = "listwise",
        bootstrap: bool = True,
        averaging: str = "score",
        mlp_parameters: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.bootstrap = bootstrap
        self.averaging = averaging
        self.mlp_parameters = mlp_parameters
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> MLPEnsembleRanker:
        """Train every member.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
            Relevance, NaN where unknown.
        qid : array-like of shape (n_rows,), optional
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        self
        """
        X, queries, labels, weight = self._read(X, y, qid, sample_weight)
        losses = list(self.loss) if isinstance(self.loss, list) else [self.loss]
        for loss in losses:
            get_loss(loss)
        shapes = self.hidden_layer_sizes
        shapes = shapes if shapes and isinstance(shapes, list) else [shapes]
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_estimators)
        own = self.mlp_parameters or {}
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(
                MLPRanker(
                    tuple(shapes[member % len(shapes)]),
                    **{"loss": losses[member % len(losses)], "random_state": int(seed), **own},
                ),
                X,
                labels,
                queries.offsets,
                weight,
                int(seed) if self.bootstrap else None,
            )
            for member, seed in enumerate(seeds)
        )
        self._remember_deviations(X, queries)
        return self


def _fit_member(
    member: MLPRanker,
    X: Any,
    y: NDArray[np.float64],
    offsets: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    bootstrap_seed: int | None,
) -> MLPRanker:
    queries = Queries(offsets)
    if bootstrap_seed is not None:
        n_queries = queries.n_queries
        drawn = np.random.default_rng(bootstrap_seed).integers(n_queries, size=n_queries)
        rows, queries = queries.take(np.sort(drawn))
        X, y = take_rows(X, rows), y[rows]
        weight = None if weight is None else weight[rows]
    return member.fit(X, y, qid=queries.segment, sample_weight=weight)


class RankEnsemble(_Ensemble, _BaseComposition):
    """Named teachers of any kind, averaged.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Rankers, classifiers or regressors as :class:`DistilledRanker` takes them as teacher; frozen
        ones are used as they are.
    weights : array-like of shape (n_estimators,), "learn", "agreement" or None, default=None
        None: equal. "learn": non-negative, by the listwise loss on held-out queries. "agreement":
        in each query by how far a member's scores correlate with each of the others', so that one
        that has lost its way there counts little.
    averaging : {"score", "rank"}, default="score"
        What is averaged: scores standardised within the query, or shares of the rank.
    validation_fraction : float, default=0.2
        Of the queries, held out by "learn"; afterwards the members are fitted on all.
    random_state : int, RandomState or None, default=None
        Of the held-out queries; members have their own.

    Attributes
    ----------
    estimators_ : list of estimators
    named_estimators_ : dict
    weights_ : ndarray of shape (n_estimators,)
        They sum to 1; equal for "agreement".
    deviations_ : ndarray of shape (n_estimators,)
        Mean deviation of each member's scores within a training query.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "estimators": [list],
        "weights": ["array-like", StrOptions({"learn", "agreement"}), None],
        "averaging": [StrOptions({"score", "rank"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        weights: Any = None,
        averaging: str = "score",
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.averaging = averaging
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, those of the named estimators too: ``lightgbm__num_leaves``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> RankEnsemble:
        """Set them, by the names of ``get_params``."""
        self._set_params("estimators", **params)
        return self

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> RankEnsemble:
        """Fit every member that is to be fitted, and the weights.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
            Relevance, NaN where unknown.
        qid : array-like of shape (n_rows,), optional
        sample_weight : array-like of shape (n_rows,), optional
            For the members that take it.

        Returns
        -------
        self
        """
        X, queries, labels, weight = self._read(X, y, qid, sample_weight)
        names = [name for name, _ in self.estimators]
        if not names:
            raise ValueError("estimators must name at least one teacher, got an empty list.")
        self._validate_names(names)
        members = [member for _, member in self.estimators]
        self.weights_ = self._fit_weights(members, X, queries, labels, weight)
        self.estimators_ = [
            fit_on_labelled(member, X, labels, queries, weight) for member in members
        ]
        self.named_estimators_ = dict(zip(names, self.estimators_, strict=True))
        self._remember_deviations(X, queries)
        return self

    def _fit_weights(
        self,
        members: list[Any],
        X: Any,
        queries: Queries,
        labels: NDArray[np.float64],
        weight: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        equal = np.full(len(members), 1 / len(members))
        if self.weights is None or (isinstance(self.weights, str) and self.weights == "agreement"):
            return equal
        if not isinstance(self.weights, str):
            given = np.asarray(self.weights, dtype=np.float64)
            if given.shape != equal.shape or not (given >= 0).all() or not given.any():
                raise ValueError(
                    f"weights must be {len(members)} numbers of at least 0, not all 0; got "
                    f"{self.weights!r}."
                )
            return given / given.sum()
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        kept, held_out = hold_out(
            queries.n_queries, self.validation_fraction, rng, "weights='learn'"
        )
        rows, kept_queries = queries.take(kept)
        fitted = [
            fit_on_labelled(
                member,
                take_rows(X, rows),
                labels[rows],
                kept_queries,
                None if weight is None else weight[rows],
            )
            for member in members
        ]
        rows, held_queries = queries.take(held_out)
        held = take_rows(X, rows)
        scores = scores_of(fitted, held)
        # No squash and no scale: the columns are members' scores, and their coefficients weights.
        linear = LinearRanker(squash=False, standardize=False, max_iter=100, random_state=0)
        linear.fit(self._on_one_scale(scores, held_queries), labels[rows], qid=held_queries.segment)
        learnt = np.maximum(linear.params_["weights_0"][:, 0].astype(np.float64), 0)
        return learnt / learnt.sum() if learnt.any() else equal

    def _without_queries(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.averaging == "rank" or (isinstance(self.weights, str) and self.weights != "learn"):
            raise ValueError(
                f"averaging={self.averaging!r} with weights={self.weights!r} looks at whole "
                "queries: predict needs qid."
            )
        return (scores / self.deviations_) @ self.weights_

    def _combine(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        if not (isinstance(self.weights, str) and self.weights == "agreement"):
            return scores @ self.weights_
        standard = np.column_stack([standardize_by_query(own, queries) for own in scores.T])
        agreement = np.full((queries.n_queries, scores.shape[1]), 1e-6)  # where nobody agrees
        for one, other in combinations(range(scores.shape[1]), 2):
            correlation = queries.mean(standard[:, one] * standard[:, other])
            # Opposition to one that is lost must not count against a member.
            agreement[:, [one, other]] += np.maximum(correlation, 0)[:, None]
        agreement /= agreement.sum(axis=1, keepdims=True)
        return np.einsum("ij,ij->i", scores, agreement[queries.segment])

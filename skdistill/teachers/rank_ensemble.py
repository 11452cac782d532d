"""An ensemble of named teachers of any kind."""

from __future__ import annotations

from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill._sklearn_compat import BaseComposition, Interval, StrOptions
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.students import LinearRanker
from skdistill.teachers.ensemble import Ensemble, scores_of, standardize_by_query
from skdistill.teachers.fitting import fit_on_labelled
from skdistill.training.early_stopping import hold_out


class RankEnsemble(Ensemble, BaseComposition):
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
        data = self._read(X, y, qid, sample_weight)
        names = [name for name, _ in self.estimators]
        if not names:
            raise ValueError("estimators must name at least one teacher, got an empty list.")
        self._validate_names(names)
        members = [member for _, member in self.estimators]
        self.weights_ = self._fit_weights(members, data)
        self.estimators_ = [fit_on_labelled(member, data) for member in members]
        self.named_estimators_ = dict(zip(names, self.estimators_, strict=True))
        self._remember_deviations(data)
        return self

    def _fit_weights(self, members: list[Any], data: RankingData) -> NDArray[np.float64]:
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
        return self._learn_weights(members, data)

    def _learn_weights(self, members: list[Any], data: RankingData) -> NDArray[np.float64]:
        """Non-negative weights, by the listwise loss on held-out queries; equal if all are 0."""
        train, evaluation = hold_out(
            data.queries.n_queries,
            self.validation_fraction,
            self.generator(),
            "weights='learn'",
        )
        fitted = [fit_on_labelled(member, data.take_queries(train)) for member in members]
        held_out = data.take_queries(evaluation)
        scores = scores_of(fitted, held_out.X)
        # No squash and no scale: the columns are members' scores, and their coefficients weights.
        linear = LinearRanker(squash=False, standardize=False, max_iter=100, random_state=0)
        linear.fit(
            self._on_one_scale(scores, held_out.queries),
            held_out.labels,
            qid=held_out.queries.segment,
        )
        learnt = np.maximum(linear.params_["weights_0"][:, 0].astype(np.float64), 0)
        equal = np.full(len(members), 1 / len(members))
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

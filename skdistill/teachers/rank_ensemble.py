"""An ensemble of named teachers of any kind."""

from __future__ import annotations

from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import MetadataRouter

from skdistill._sklearn_compat import (
    BaseComposition,
    Interval,
    StrOptions,
    check_further_metadata,
)
from skdistill.base import all_or_nothing, inherit_input_tags
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.students import LinearRanker
from skdistill.teachers.columns import teacher_positions
from skdistill.teachers.ensemble import Ensemble, scores_of, standardize_by_query
from skdistill.teachers.fit_arguments import labelled_validation
from skdistill.teachers.fitting import check_teacher, fit_on_labelled, warn_of_refit
from skdistill.teachers.routing import (
    check_labels_of_teacher,
    check_metadata_reaches,
    is_prefit,
    teacher_router,
)
from skdistill.training.early_stopping import hold_out


class RankEnsemble(Ensemble, BaseComposition):
    """A weighted average of named teachers of any kind.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Name and estimator of each member: rankers, classifiers or regressors, as
        :class:`DistilledRanker` takes them as teacher. Frozen ones are used as they are.
    weights : array-like of shape (n_estimators,), {"learn", "agreement"} or None, default=None
        Weights of the members; equal by default. With "learn", non-negative weights are fitted by
        the listwise loss on held-out queries. With "agreement", a member's weight in each query is
        the sum of the correlations of its scores with those of the other members. A member that
        disagrees with all others there has almost no weight.
    averaging : {"score", "rank"}, default="score"
        Average scores that are standardised within the query, or rank fractions. Ranks and weights
        by "agreement" require ``predict`` to get ``qid``.
    validation_fraction : float, default=0.2
        Fraction of the queries that "learn" holds out. Afterwards, members are fitted on all rows.
    random_state : int, RandomState or None, default=None
        Pass an int to hold out the same queries in every fit. It is not passed to the members.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members.
    named_estimators_ : dict of str to estimator
        The fitted members by name.
    weights_ : ndarray of shape (n_estimators,), float64
        Weights that sum to 1; equal for "agreement".
    deviations_ : ndarray of shape (n_estimators,), float64
        Mean standard deviation of each member's scores within a training query.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import LinearRanker
    >>> from skdistill.teachers import RankEnsemble
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> members = [
    ...     ("trees", HistGradientBoostingRegressor(max_iter=20)),
    ...     ("linear", LinearRanker(random_state=0)),
    ... ]
    >>> teacher = RankEnsemble(members).fit(data.X, data.y, qid=data.qid)
    >>> teacher.weights_.tolist()
    [0.5, 0.5]
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
        """Get the parameters of the ensemble and of its members.

        Parameters
        ----------
        deep : bool, default=True
            Include the members by name, and their parameters, such as ``lightgbm__num_leaves`` for
            a member named "lightgbm".

        Returns
        -------
        dict
            Values by parameter name.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> RankEnsemble:
        """Set parameters of the ensemble and of its members.

        Parameters
        ----------
        **params : dict
            Values by the names that ``get_params`` returns.

        Returns
        -------
        self
            The ensemble.
        """
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self) -> Tags:
        return inherit_input_tags(super().__sklearn_tags__(), [one for _, one in self.estimators])

    def sub_teachers(self) -> dict[str, Any]:
        """Return the members by name."""
        return dict(self.estimators)

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that the ensemble consumes, and that it routes to its members.

        Returns
        -------
        MetadataRouter
            Members that request nothing get queries and row weights.
        """
        return teacher_router(self)

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        qid_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        **metadata: Any,
    ) -> RankEnsemble:
        """Fit the members that are not prefit, and the weights.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            A table that every member can take; rows in any order. If it has column names, prefit
            members with names take their columns by name.
        y : array-like of shape (n_rows,)
            Relevance, NaN for unlabelled rows.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it, all rows are one query.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights of the members, and of the loss that learns their weights. A member that
            shall not get them declines by ``set_fit_request(sample_weight=False)``.
        X_val : table of shape (n_val, n_features), optional
            Rows, such as those of a later week, for the early stopping of the members that have
            one. ``weights="learn"`` learns on them instead of on held-out queries.
        y_val, qid_val, sample_weight_val : array-like of shape (n_val,), optional
            What ``y``, ``qid`` and ``sample_weight`` are for ``X``.
        **metadata : dict
            Further arguments, such as ``init_score``, of the members that request them by
            ``set_fit_request``. Arrays with an entry per row are sorted with the rows. Only
            available if metadata routing is enabled.

        Returns
        -------
        self
            The fitted ensemble.

        Raises
        ------
        TypeError
            If a member cannot score, or no member requests a further argument.
        ValueError
            If parameters are invalid, the arguments do not match, members have to be fitted and
            no row has a label, or a member takes no ``sample_weight`` and there is one.
        """
        check_further_metadata(self, metadata)
        data = self._read(X, y, qid, sample_weight, metadata)
        validation = self._read_validation(
            X_val, y=y_val, qid=qid_val, sample_weight=sample_weight_val
        )
        names = [name for name, _ in self.estimators]
        if not names:
            raise ValueError(
                "estimators must hold at least one pair (name, teacher), got an empty list."
            )
        self._validate_names(names)
        members = [member for _, member in self.estimators]
        for member in members:
            check_teacher(member)
            check_metadata_reaches(member, weighted=sample_weight is not None)
            warn_of_refit(member)
            check_labels_of_teacher(member, data, labelled_validation(validation))
            if is_prefit(member):
                teacher_positions(member, data.X)  # refuses another table before anything is fitted
        weights = self._given_weights(len(members))
        if weights is None and validation is None:
            weights = self._learn_weights(*self._hold_out(members, data))
        self.estimators_ = [fit_on_labelled(member, data, validation) for member in members]
        if weights is None:
            weights = self._learn_weights(self.estimators_, labelled_validation(validation))
        self.weights_ = weights
        self.named_estimators_ = dict(zip(names, self.estimators_, strict=True))
        self._remember_deviations(data)
        return self

    def _given_weights(self, n_members: int) -> NDArray[np.float64] | None:
        """Check the weights of the members, which sum to 1; None if they are learnt."""
        equal = np.full(n_members, 1 / n_members)
        if self.weights is None or (isinstance(self.weights, str) and self.weights == "agreement"):
            return equal
        if isinstance(self.weights, str):
            return None
        given = np.asarray(self.weights, dtype=np.float64)
        if given.shape != equal.shape or not (given >= 0).all() or not given.any():
            raise ValueError(
                f"weights must be {n_members} numbers of at least 0, one per estimator and "
                f"not all 0, got {self.weights!r}."
            )
        return given / given.sum()

    def _hold_out(self, members: list[Any], data: RankingData) -> tuple[list[Any], RankingData]:
        """Hold out queries, and fit the members on the others."""
        train, evaluation = hold_out(
            data.queries.n_queries,
            self.validation_fraction,
            self.generator(),
            "weights='learn'",
        )
        fitted = [fit_on_labelled(member, data.take_queries(train)) for member in members]
        return fitted, data.take_queries(evaluation)

    def _learn_weights(self, fitted: list[Any], held_out: Any) -> NDArray[np.float64]:
        """Learn weights by the listwise loss on held-out rows; equal ones if all become 0."""
        scores = scores_of(fitted, held_out.X)
        # Without scaling the columns, the coefficients are weights of the members' scores.
        linear = LinearRanker(squash=False, standardize=False, max_iter=100, random_state=0)
        linear.fit(
            self._on_one_scale(scores, held_out.queries),
            held_out.labels,
            qid=held_out.queries.segment,
            sample_weight=held_out.sample_weight,
        )
        learnt = np.maximum(linear.params_["weights_0"][:, 0].astype(np.float64), 0)
        equal = np.full(len(fitted), 1 / len(fitted))
        return learnt / learnt.sum() if learnt.any() else equal

    def _without_queries(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.averaging == "rank" or (isinstance(self.weights, str) and self.weights != "learn"):
            raise ValueError(
                f"averaging={self.averaging!r} with weights={self.weights!r} compares the rows of "
                "each query, so predict needs qid. Pass qid=."
            )
        return (scores / self.deviations_) @ self.weights_

    def _combine(self, scores: NDArray[np.float64], queries: Queries) -> NDArray[np.float64]:
        if not (isinstance(self.weights, str) and self.weights == "agreement"):
            return scores @ self.weights_
        standard = np.column_stack([standardize_by_query(column, queries) for column in scores.T])
        agreement = np.full((queries.n_queries, scores.shape[1]), 1e-6)  # if no members agree
        for one, other in combinations(range(scores.shape[1]), 2):
            correlation = queries.mean(standard[:, one] * standard[:, other])
            # A negative correlation must not lower the weight of a member, because the other one
            # may be wrong.
            agreement[:, [one, other]] += np.maximum(correlation, 0)[:, None]
        agreement /= agreement.sum(axis=1, keepdims=True)
        return np.einsum("ij,ij->i", scores, agreement[queries.segment])

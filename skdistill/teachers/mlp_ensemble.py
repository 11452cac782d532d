"""An ensemble of MLP rankers that differ in their training queries, widths and losses."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.utils import Tags, check_random_state

from skdistill._sklearn_compat import Interval, StrOptions
from skdistill.base import all_or_nothing, inherit_input_tags
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.validation import validation_arguments
from skdistill.losses import get_loss
from skdistill.students import MLPRanker
from skdistill.teachers.ensemble import Ensemble
from skdistill.teachers.fit_arguments import takes_validation


class MLPEnsembleRanker(Ensemble):
    """An ensemble of MLP rankers trained on labels.

    Members differ in their bootstrap samples of queries, their initial parameters and, if lists are
    given, their layer sizes and losses.

    Parameters
    ----------
    n_estimators : int, default=5
        Number of members.
    hidden_layer_sizes : tuple of int or list of tuples, default=(64, 32)
        Hidden layers of the members. Members take the entries of a list in turn.
    loss : str, Loss or list of these, default="listwise"
        Loss of the members. Members take the entries of a list in turn.
    bootstrap : bool, default=True
        Train each member on a sample of the queries, drawn with replacement and as large as their
        number.
    averaging : {"score", "rank"}, default="score"
        Average standardised scores, or rank fractions. Ranks require ``predict`` to get ``qid``.
    mlp_parameters : dict, optional
        Parameters of every :class:`MLPRanker`, such as ``{"max_iter": 50, "weight_decay": 1.0}``.
    n_jobs : int, optional
        Number of members that joblib fits in parallel.
    random_state : int, RandomState or None, default=None
        Pass an int for an ensemble that is bitwise reproducible for a given machine and thread
        count.

    Attributes
    ----------
    estimators_ : list of MLPRanker
        The fitted members.
    deviations_ : ndarray of shape (n_estimators,), float64
        Mean standard deviation of each member's scores within a training query.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.teachers import MLPEnsembleRanker
    >>> data = make_ranking(random_state=0)
    >>> teacher = MLPEnsembleRanker(3, mlp_parameters={"max_iter": 5}, random_state=0)
    >>> teacher = teacher.fit(data.X, data.y, qid=data.qid)
    >>> teacher.predict(data.X[:3]).shape
    (3,)
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

    def __sklearn_tags__(self) -> Tags:
        return inherit_input_tags(super().__sklearn_tags__(), [MLPRanker()])

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
    ) -> MLPEnsembleRanker:
        """Train every member.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Finite numbers; rows in any order.
        y : array-like of shape (n_rows,)
            Relevance, NaN for unlabelled rows.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Without it, all rows are one query.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights; each multiplies its row's term of the loss.
        X_val : table of shape (n_val, n_features), optional
            Rows, such as those of a later week, by which the members stop early. They are never
            trained on.
        y_val, qid_val, sample_weight_val : array-like of shape (n_val,), optional
            What ``y``, ``qid`` and ``sample_weight`` are for ``X``.

        Returns
        -------
        self
            The fitted ensemble.

        Raises
        ------
        ValueError
            If parameters are invalid, the arguments do not match, or no row has a label.
        """
        data = self._read(X, y, qid, sample_weight)
        validation = self._read_validation(
            X_val, y=y_val, qid=qid_val, sample_weight=sample_weight_val
        )
        losses = list(self.loss) if isinstance(self.loss, list) else [self.loss]
        for loss in losses:
            get_loss(loss)
        shapes = self.hidden_layer_sizes
        shapes = shapes if shapes and isinstance(shapes, list) else [shapes]
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_estimators)
        parameters = self.mlp_parameters or {}
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(
                MLPRanker(
                    tuple(shapes[member % len(shapes)]),
                    **{
                        "loss": losses[member % len(losses)],
                        "random_state": int(seed),
                        **parameters,
                    },
                ),
                data,
                validation,
                int(seed) if self.bootstrap else None,
            )
            for member, seed in enumerate(seeds)
        )
        self._remember_deviations(data)
        return self


def _fit_member(
    member: MLPRanker,
    data: RankingData,
    validation: RankingData | None,
    bootstrap_seed: int | None,
) -> MLPRanker:
    """Fit one member, on a bootstrap sample of the queries if there is a seed for it."""
    if bootstrap_seed is not None:
        n_queries = data.queries.n_queries
        drawn = np.random.default_rng(bootstrap_seed).integers(n_queries, size=n_queries)
        data = data.take_queries(np.sort(drawn))
    return member.fit(
        data.X,
        data.labels,
        qid=data.queries.segment,
        sample_weight=data.sample_weight,
        **(validation_arguments(validation) if takes_validation(member) else {}),
    )

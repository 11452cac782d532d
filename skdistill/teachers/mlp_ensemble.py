"""An ensemble of MLP rankers that differ by their draws of queries, widths and losses."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skdistill._sklearn_compat import Interval, StrOptions
from skdistill.inputs.ranking_data import RankingData
from skdistill.losses import get_loss
from skdistill.students import MLPRanker
from skdistill.teachers.ensemble import Ensemble


class MLPEnsembleRanker(Ensemble):
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
        data = self._read(X, y, qid, sample_weight)
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
                data,
                int(seed) if self.bootstrap else None,
            )
            for member, seed in enumerate(seeds)
        )
        self._remember_deviations(data)
        return self


def _fit_member(member: MLPRanker, data: RankingData, bootstrap_seed: int | None) -> MLPRanker:
    if bootstrap_seed is not None:
        n_queries = data.queries.n_queries
        drawn = np.random.default_rng(bootstrap_seed).integers(n_queries, size=n_queries)
        data = data.take_queries(np.sort(drawn))
    return member.fit(
        data.X, data.labels, qid=data.queries.segment, sample_weight=data.sample_weight
    )

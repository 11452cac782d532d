"""Several objectives of one estimator: their labels, their losses, and one combined score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions

from skdistill.columns import column_names
from skdistill.losses import Logistic, get_loss
from skdistill.metrics import ndcg_score
from skdistill.objective import GradientBalance, HeadsObjective, Objective
from skdistill.protocols import Loss
from skdistill.queries import Queries
from skdistill.ranking_estimator import RankingEstimator, check_labels

TEACHER = "teacher"

# What the parameters of the same names may be.
OBJECTIVES_CONSTRAINTS: dict[str, list[Any]] = {
    "objectives": [Mapping],
    "objective_weights": [Mapping, None],
    "balance": [StrOptions({"fixed", "gradient"})],
}
OBJECTIVES_PARAMETERS = """objectives : dict of str to (str or Loss)
        Loss of each. The names of y's columns, or of an array's columns in their order, and
        "teacher" for the teacher's scores."""
WEIGHTS_PARAMETERS = """objective_weights : dict of str to float, optional
        1 for those that it does not name.
    balance : {"fixed", "gradient"}, default="fixed"
        "gradient": weights say how much an objective moves the parameters, whatever its loss's
        scale."""


class WithObjectives(RankingEstimator):
    """What students and towers of several objectives share.

    Attributes
    ----------
    objective_names_ : list of str
        In the order of the model's outputs.
    """

    objectives: Mapping[str, str | Loss]
    objective_weights: Mapping[str, float] | None
    balance: str
    temperature: float
    combine: Any
    objective_names_: list[str]
    predict: Any

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Mean over y's columns of the NDCG@10 of the combined order.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
        y : array-like of shape (n_rows, n_label_objectives)
        qid : array-like of shape (n_rows,), optional
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        float
        """
        scores, ids = self.predict(X), self._resolve_qid(X, qid)
        return mean_ndcg(self._check_labels(y, len(scores)), scores, ids, sample_weight)

    def _by_name(self, outputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Probabilities of logistic objectives, scores of others."""
        return {
            name: expit(column) if isinstance(get_loss(self.objectives[name]), Logistic) else column
            for name, column in zip(self.objective_names_, outputs.T, strict=True)
        }

    @property
    def _combination(self) -> NDArray[np.float32]:
        """Weight of each output in the combined score."""
        weights = dict.fromkeys(self.objective_names_, 1.0)
        if self.combine is not None:
            self._check_names("combine", self.combine)
            weights = dict.fromkeys(self.objective_names_, 0.0) | dict(self.combine)
        return np.array([weights[name] for name in self.objective_names_], np.float32)

    @property
    def _has_teacher(self) -> bool:
        return TEACHER in self.objectives

    @property
    def _label_names(self) -> list[str]:
        return [name for name in self.objectives if name != TEACHER]

    def _check_labels(self, y: Any, n_rows: int) -> NDArray[np.float64]:
        names = self._label_names
        present = column_names(y)
        if present is not None:
            missing = [name for name in names if name not in present]
            if missing:
                raise ValueError(f"y lacks the objectives {missing}; it has {present}.")
            columns = [np.asarray(y[name]) for name in names]
        else:
            table = np.asarray(y)
            table = table[:, None] if table.ndim == 1 else table
            if table.ndim != 2 or table.shape[1] != len(names):
                raise ValueError(
                    f"y must have a column for each of {names}: got shape {np.shape(y)}."
                )
            columns = list(table.T)
        if not columns:
            return np.empty((n_rows, 0))
        return np.column_stack([check_labels(column, n_rows) for column in columns])

    def _check_names(self, parameter: str, named: Mapping[str, Any]) -> None:
        unknown = [name for name in named if name not in self.objectives]
        if unknown:
            raise ValueError(
                f"{parameter} names {unknown}, the objectives are {list(self.objectives)}."
            )

    def _name_objectives(self) -> NDArray[np.float64]:
        """Take note of the objectives; returns the weight of each."""
        weights = dict(self.objective_weights or {})
        self._check_names("objective_weights", weights)
        self.objective_names_ = list(self.objectives)
        return np.array([weights.get(name, 1.0) for name in self.objectives])

    def _balance_of(self, weights: NDArray[np.float64]) -> GradientBalance | None:
        return GradientBalance(weights) if self.balance == "gradient" else None

    def _loss_of(self, name: str) -> Loss:
        # Labels have no temperature.
        given = self.objectives[name]
        return get_loss(given, self.temperature) if name == TEACHER else get_loss(given)

    def _labels_of(self, name: str, labels: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """An objective's column of the labels.

        Raises
        ------
        ValueError
            When none of it is known.
        """
        own = None if labels is None else labels[:, self._label_names.index(name)]
        if own is None or np.isnan(own).all():
            raise ValueError(f"No row of y has a label for the objective {name!r}.")
        return own

    def _heads_objective(
        self,
        queries: Queries,
        labels: NDArray[np.float64] | None,
        teacher_scores: NDArray[np.float64] | None,
        sample_weight: NDArray[np.float64] | None,
    ) -> HeadsObjective:
        weights = self._name_objectives()
        heads = []
        for name in self.objectives:
            loss = self._loss_of(name)
            if name != TEACHER:
                known: dict[str, Any] = {"alpha": 0.0, "labels": self._labels_of(name, labels)}
            elif teacher_scores is None:
                raise ValueError('The objective "teacher" needs teacher_scores, got none.')
            else:
                known = {"alpha": 1.0, "teacher_scores": teacher_scores}
            heads.append(
                Objective.mix(queries, soft=loss, hard=loss, sample_weight=sample_weight, **known)
            )
        return HeadsObjective(tuple(heads), weights, self._balance_of(weights))


def labels_for_teacher(
    table: NDArray[np.float64], names: list[str], target: str | None, is_needed: bool
) -> NDArray[np.float64]:
    """The objective's column that a teacher learns, or a check goes by.

    Raises
    ------
    ValueError
        For a name that is none, and for a teacher that ``is_needed`` to learn and not told what.
    """
    if target is not None:
        if target not in names:
            raise ValueError(f"teacher_target={target!r} is none of y's objectives {names}.")
        return table[:, names.index(target)]
    if table.shape[1] == 1:
        return table[:, 0]
    if is_needed:
        raise ValueError(
            "The teacher comes unfitted: name the objective whose labels it is to learn by "
            f"teacher_target, one of {names}."
        )
    # Any label will do to check a teacher by.
    return np.fmax.reduce(table, axis=1, initial=np.nan)


def mean_ndcg(
    table: NDArray[np.float64], scores: NDArray[Any], ids: Any, sample_weight: ArrayLike | None
) -> float:
    """Mean over the objectives of the NDCG@10 of one order, of rows whose label is known."""
    values = []
    for labels in table.T:
        known = ~np.isnan(labels)
        own, weight = (None if v is None else np.asarray(v)[known] for v in (ids, sample_weight))
        values.append(ndcg_score(labels[known], scores[known], own, k=10, sample_weight=weight))
    return float(np.mean(values))

"""Estimators with several objectives: their labels, losses and combined score."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import Tags

from skdistill._sklearn_compat import StrOptions
from skdistill.base import RankingEstimator
from skdistill.inputs.checks import check_labels, unmask_labels
from skdistill.inputs.columns import column_names, take_values
from skdistill.inputs.pipelines import last_step
from skdistill.inputs.queries import Queries
from skdistill.losses import get_loss
from skdistill.metrics import grouped_auc, ndcg_score
from skdistill.protocols import Loss
from skdistill.training.loop import Training
from skdistill.training.objective import GradientBalance, HeadsObjective, Objective

# The objective whose targets are the teacher's scores.
TEACHER = "teacher"

# Valid values of the parameters of the same names.
OBJECTIVES_CONSTRAINTS: dict[str, list[Any]] = {
    "objectives": [Mapping],
    "objective_weights": [Mapping, None],
    "balance": [StrOptions({"fixed", "gradient"})],
}


def has_objectives(ranker: Any) -> bool:
    """Check whether the student of a ranker has several objectives."""
    return isinstance(last_step(getattr(ranker, "student_", ranker.student)), WithObjectives)


class WithObjectives(RankingEstimator):
    """Base class of students and retrievers with several objectives.

    Attributes
    ----------
    objective_names_ : list of str
        Names of the objectives, in the order of the model's outputs.
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
        # The predictions of a regressor have the shape of y.
        tags.estimator_type = tags.regressor_tags = None
        # Invalid parameters are reported by fit, and not by whoever asks for the tags.
        has_several = isinstance(self.objectives, Mapping) and len(self.label_names) > 1
        tags.target_tags.multi_output = has_several
        tags.target_tags.single_output = not has_several
        return tags

    def mean_score(
        self,
        X: Any,
        y: Any,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
    ) -> float:
        """Compute what ``score`` returns: the mean over the objectives that have labels."""
        return mean_score(self, self, X, y, qid, sample_weight, offset)

    @property
    def has_teacher_objective(self) -> bool:
        """Whether the teacher's scores are one of the objectives."""
        return TEACHER in self.objectives

    @property
    def label_names(self) -> list[str]:
        """Names of the objectives that learn from columns of y."""
        return [name for name in self.objectives if name != TEACHER]

    @property
    def combination(self) -> NDArray[np.float32]:
        """Weight of each output in the combined score, shape (n_objectives,)."""
        names = self.objective_names_
        if self.combine is None:
            return np.ones(len(names), np.float32)
        self._check_names("combine", self.combine)
        return np.array([self.combine.get(name, 0.0) for name in names], np.float32)

    @property
    def weights_of_objectives(self) -> NDArray[np.float64]:
        """Weight of each objective in the loss, 1 by default, shape (n_objectives,)."""
        weights = self.objective_weights or {}
        return np.array([weights.get(name, 1.0) for name in self.objectives], dtype=np.float64)

    def check_objectives(self) -> None:
        """Check the parameters that name objectives and losses.

        Raises
        ------
        ValueError
            If a name is not an objective, or a loss does not exist.
        """
        self._check_names("objective_weights", self.objective_weights or {})
        if isinstance(self.combine, Mapping):
            self._check_names("combine", self.combine)
        for name in self.objectives:
            self.loss_of(name)

    def fitted_attributes(self, training: Training) -> dict[str, Any]:
        """Return the fitted attributes for a state of the training."""
        attributes: dict[str, Any] = super().fitted_attributes(training)  # type: ignore[misc]
        return attributes | {"objective_names_": list(self.objectives)}

    def by_name(self, outputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return outputs by objective: probabilities of logistic objectives, scores of others."""
        return {
            name: expit(column) if get_loss(self.objectives[name]).is_log_odds else column
            for name, column in zip(self.objective_names_, outputs.T, strict=True)
        }

    def read_labels(self, y: Any, n_rows: int) -> NDArray[np.float64]:
        """Return checked labels, with one column per objective that learns from labels.

        Raises
        ------
        ValueError
            If a column of y is missing or holds invalid labels.
        """
        names = self.label_names
        present = column_names(y)
        # A data frame made of an array numbers its columns.
        if present is not None and present != list(range(len(names))):
            missing = [name for name in names if name not in present]
            if missing:
                raise ValueError(f"y lacks the objectives {missing}; it has the columns {present}.")
            columns = [np.asarray(y[name]) for name in names]
        else:
            table = unmask_labels(y)
            table = table[:, None] if table.ndim == 1 else table
            if table.ndim != 2 or table.shape[1] != len(names):
                raise ValueError(
                    f"y must have a column for each of {names}, got shape {np.shape(y)}."
                )
            columns = list(table.T)
        if not columns:
            return np.empty((n_rows, 0))
        return np.column_stack([check_labels(column, n_rows) for column in columns])

    def loss_of(self, name: str) -> Loss:
        """Return the loss of an objective; the temperature only applies to the teacher's."""
        given = self.objectives[name]
        return get_loss(given, self.temperature) if name == TEACHER else get_loss(given)

    def labels_of(self, name: str, labels: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the labels of an objective.

        Raises
        ------
        ValueError
            If no row has a label.
        """
        column = None if labels is None else labels[:, self.label_names.index(name)]
        if column is None or np.isnan(column).all():
            raise ValueError(f"No row of y has a label for the objective {name!r}.")
        return column

    def gradient_balance(self) -> GradientBalance | None:
        """Make the balance of the objectives' gradients; None with fixed weights."""
        return GradientBalance(self.weights_of_objectives) if self.balance == "gradient" else None

    def heads_objective(
        self,
        queries: Queries,
        labels: NDArray[np.float64] | None,
        teacher_scores: NDArray[np.float64] | None,
        sample_weight: NDArray[np.float64] | None,
        offset: NDArray[np.float64] | None = None,
    ) -> HeadsObjective:
        """Make the training objective, with one term per output of the model.

        The offset enters the objective "teacher" alone.

        Raises
        ------
        ValueError
            If an objective has no labels or no teacher scores.
        """
        heads = []
        for name in self.objectives:
            loss = self.loss_of(name)
            if name != TEACHER:
                target: dict[str, Any] = {"alpha": 0.0, "labels": self.labels_of(name, labels)}
            elif teacher_scores is None:
                raise ValueError('The objective "teacher" needs teacher_scores, but got none.')
            else:
                target = {"alpha": 1.0, "teacher_scores": teacher_scores, "offset": offset}
            heads.append(
                Objective.mix(queries, soft=loss, hard=loss, sample_weight=sample_weight, **target)
            )
        return HeadsObjective(tuple(heads), self.weights_of_objectives, self.gradient_balance())

    def _check_names(self, parameter: str, named: Mapping[str, Any]) -> None:
        """Raise a ValueError if a parameter names something that is not an objective."""
        unknown = [name for name in named if name not in self.objectives]
        if unknown:
            raise ValueError(
                f"{parameter} names {unknown}, but the objectives are {list(self.objectives)}."
            )


def labels_for_teacher(
    table: NDArray[np.float64], names: list[str], target: str | None, is_needed: bool
) -> NDArray[np.float64]:
    """Choose the labels on which a teacher is fitted or checked.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_label_objectives)
        Labels of each objective.
    names : list of str
        Names of the columns.
    target : str or None
        Column to choose. With None, the only column, or the largest label of each row.
    is_needed : bool
        Whether a teacher is fitted on the labels.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If the target is not a column, or if a teacher is fitted and there are several columns but
        no target.
    """
    if target is not None:
        if target not in names:
            raise ValueError(f"teacher_target={target!r} is not an objective of y: {names}.")
        return table[:, names.index(target)]
    if table.shape[1] == 1:
        return table[:, 0]
    if is_needed:
        raise ValueError(
            "The teacher is not fitted yet: name the objective whose labels it learns from by "
            f"teacher_target, one of {names}."
        )
    # To check a teacher, a positive label of any objective counts.
    return np.fmax.reduce(table, axis=1, initial=np.nan)


def mean_score(
    ranker: RankingEstimator,
    reader: WithObjectives,
    X: Any,
    y: Any,
    qid: ArrayLike | None,
    sample_weight: ArrayLike | None,
    offset: ArrayLike | None,
) -> float:
    """Compute the score of a ranker for the labels of each objective, and average them.

    ``reader`` reads the labels: the ranker's student, or the ranker itself.
    """
    scores = ranker.predict(X)  # type: ignore[attr-defined]
    table = reader.read_labels(y, len(scores))
    given = ranker.resolve_qid(X, qid), sample_weight, ranker.resolve_offset(offset)
    ids, weight, added = (None if v is None else np.asarray(v) for v in given)
    metric = grouped_auc if ranker.scores_single_rows(qid) else partial(ndcg_score, k=10)
    values = []
    for labels in table.T:
        is_labelled = ~np.isnan(labels)
        values.append(
            metric(
                labels[is_labelled],
                scores[is_labelled],
                take_values(ids, is_labelled),
                sample_weight=take_values(weight, is_labelled),
                offset=take_values(added, is_labelled),
            )
        )
    return float(np.mean(values))

"""A student of several objectives: one trunk, a head each, one combined score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from skdistill.columns import column_names
from skdistill.inputs import Rows
from skdistill.losses import Logistic, get_loss
from skdistill.metrics import ndcg_score
from skdistill.models import Network
from skdistill.objective import HeadsObjective, Objective
from skdistill.protocols import Loss, Model, Parameters
from skdistill.ranking_estimator import check_labels
from skdistill.students.base import (
    COMMON_ATTRIBUTES,
    COMMON_PARAMETERS,
    Lesson,
)
from skdistill.students.mlp import MLPRanker
from skdistill.validation import Validate, ndcg_on

TEACHER = "teacher"


class MultiObjectiveRanker(MLPRanker):
    __doc__ = f"""Clicks, likes, purchases and the teacher's scores, learnt side by side.

    A network with a shared trunk and an output for each objective; without hidden layers, a linear
    model for each. Distillation is one more objective beside those there are, or by
    ``objectives={{"teacher": "listwise"}}`` the only one.

    Parameters
    ----------
    objectives : dict of str to (str or Loss)
        Loss of each. The names of y's columns, or of an array's columns in their order, and
        "teacher" for the ``teacher_scores``.
    hidden_layer_sizes : tuple of int, default=(64, 32)
        Of the shared trunk; ``()``: linear.
    objective_weights : dict of str to float, optional
        1 for those that it does not name.
    balance : {{"fixed", "gradient"}}, default="fixed"
        "gradient": weights say how much an objective moves the network, whatever its loss's scale.
    combine : dict of str to float, or callable, optional
        What ``predict`` gives: a weighted sum of the heads' outputs, by default of all alike; or
        ``combine(outputs, X)`` of a dict of arrays and the table, with probabilities for logistic
        heads: ``lambda outputs, X: outputs["click"] * outputs["purchase"] * X[:, 3]``.
    {COMMON_PARAMETERS}
        ``loss``, ``hard_loss`` and ``alpha`` are not used, ``objectives`` stands for them.

    Attributes
    ----------
    objective_names_ : list of str
        In the order of the heads.
    {COMMON_ATTRIBUTES}

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import MultiObjectiveRanker
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> y = np.column_stack([data.y > 0, data.y > 2]).astype(float)
    >>> student = MultiObjectiveRanker(
    ...     {{"click": "logistic", "like": "logistic", "teacher": "listwise"}}, random_state=0
    ... )
    >>> student = student.fit(data.X, y, qid=data.qid, teacher_scores=data.utility)
    >>> sorted(student.predict_objectives(data.X))
    ['click', 'like', 'teacher']
    """

    _parameter_constraints = {
        **MLPRanker._parameter_constraints,
        "objectives": [Mapping],
        "objective_weights": [Mapping, None],
        "balance": [StrOptions({"fixed", "gradient"})],
        "combine": [Mapping, callable, None],
    }

    def __init__(
        self,
        objectives: Mapping[str, str | Loss],
        hidden_layer_sizes: tuple[int, ...] = (64, 32),
        *,
        objective_weights: Mapping[str, float] | None = None,
        balance: str = "fixed",
        combine: Mapping[str, float] | Callable[..., Any] | None = None,
        temperature: float = 1.0,
        max_iter: int = 30,
        batch_size: int = 16,
        max_batch_rows: int = 8192,
        optimizer: str = "adam",
        learning_rate_init: float = 3e-3,
        learning_rate: str = "cosine",
        weight_decay: float = 1e-2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        squash: bool = True,
        standardize: bool = True,
        warm_start: bool = False,
        query_column: str | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.objectives = objectives
        self.objective_weights = objective_weights
        self.balance = balance
        self.combine = combine
        super().__init__(
            hidden_layer_sizes,
            temperature=temperature,
            max_iter=max_iter,
            batch_size=batch_size,
            max_batch_rows=max_batch_rows,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            squash=squash,
            standardize=standardize,
            warm_start=warm_start,
            query_column=query_column,
            random_state=random_state,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def predict(self, X: Any) -> NDArray[Any]:
        """Combined scores, higher is better; in the order of the rows.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        outputs = super().predict(X)
        if callable(self.combine):
            combined = np.asarray(self.combine(self._by_name(outputs), X))
            if combined.shape != (len(outputs),):
                raise ValueError(
                    f"combine must give one score a row: expected shape ({len(outputs)},), got "
                    f"{combined.shape}."
                )
            return combined
        weights = dict.fromkeys(self.objective_names_, 1.0)
        if self.combine is not None:
            self._check_names("combine", self.combine)
            weights = dict.fromkeys(self.objective_names_, 0.0) | dict(self.combine)
        return outputs @ np.array([weights[name] for name in self.objective_names_], np.float32)

    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """What each head says of the rows: probabilities of logistic heads, scores of others.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
        """
        check_is_fitted(self)
        return self._by_name(super().predict(X))

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
        values = []
        for labels in self._check_labels(y, len(scores)).T:
            known = ~np.isnan(labels)
            own, weight = (
                None if v is None else np.asarray(v)[known] for v in (ids, sample_weight)
            )
            values.append(ndcg_score(labels[known], scores[known], own, k=10, sample_weight=weight))
        return float(np.mean(values))

    def _by_name(self, outputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {
            name: expit(column) if isinstance(get_loss(self.objectives[name]), Logistic) else column
            for name, column in zip(self.objective_names_, outputs.T, strict=True)
        }

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

    def _model(self) -> Model:
        return Network(self._layer_sizes(), len(self.objectives))

    def _objective(self, lesson: Lesson) -> HeadsObjective:  # type: ignore[override]
        self.objective_names_ = list(self.objectives)
        weights = dict(self.objective_weights or {})
        self._check_names("objective_weights", weights)
        heads = []
        for name, given in self.objectives.items():
            if name == TEACHER:
                loss = get_loss(given, self.temperature)
                if lesson.teacher_scores is None:
                    raise ValueError('The objective "teacher" needs teacher_scores, got none.')
                known: dict[str, Any] = {"alpha": 1.0, "teacher_scores": lesson.teacher_scores}
            else:
                loss = get_loss(given)
                column = self._label_names.index(name)
                labels = None if lesson.labels is None else lesson.labels[:, column]
                if labels is None or np.isnan(labels).all():
                    raise ValueError(f"No row of y has a label for the objective {name!r}.")
                known = {"alpha": 0.0, "labels": labels}
            heads.append(
                Objective.mix(
                    lesson.queries,
                    soft=loss,
                    hard=loss,
                    sample_weight=lesson.sample_weight,
                    **known,
                )
            )
        return HeadsObjective(
            tuple(heads),
            np.array([weights.get(name, 1.0) for name in self.objectives]),
            self.balance == "gradient",
        )

    def _validator(self, held_out: Lesson) -> Validate:
        """Mean over the heads of the NDCG@10 of what each is to fit."""
        rows = Rows(self.scaler_.transform(held_out.X))
        heads = []
        for column, name in enumerate(self.objectives):
            labels = None
            if name != TEACHER:
                assert held_out.labels is not None  # the objective has looked
                labels = held_out.labels[:, self._label_names.index(name)]
            head = _Head(self._model(), column)
            heads.append(ndcg_on(head, rows, held_out.queries, labels, held_out.teacher_scores))

        def validate(params: Parameters) -> float:
            return float(np.mean([head(params) for head in heads]))

        return validate


class _Head:
    """One output of a model as a model."""

    def __init__(self, model: Model, column: int) -> None:
        self.model = model
        self.column = column

    def forward(self, params: Parameters, inputs: Any) -> tuple[NDArray[Any], Any]:
        outputs, cache = self.model.forward(params, inputs)
        return outputs[:, self.column], cache

"""A student of several objectives: one trunk, a head each, one combined score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs import Rows
from skdistill.models import Network
from skdistill.objective import HeadsObjective
from skdistill.objectives import (
    OBJECTIVES_CONSTRAINTS,
    OBJECTIVES_PARAMETERS,
    TEACHER,
    WEIGHTS_PARAMETERS,
    WithObjectives,
)
from skdistill.protocols import Loss, Model, Parameters
from skdistill.students.base import (
    COMMON_ATTRIBUTES,
    COMMON_PARAMETERS,
    Lesson,
)
from skdistill.students.mlp import MLPRanker
from skdistill.validation import Validate, ndcg_on


class MultiObjectiveRanker(WithObjectives, MLPRanker):
    __doc__ = f"""Clicks, likes, purchases and the teacher's scores, learnt side by side.

    A network with a shared trunk and an output for each objective; without hidden layers, a linear
    model for each. Distillation is one more objective beside those there are, or by
    ``objectives={{"teacher": "listwise"}}`` the only one.

    Parameters
    ----------
    {OBJECTIVES_PARAMETERS}
    hidden_layer_sizes : tuple of int, default=(64, 32)
        Of the shared trunk; ``()``: linear.
    {WEIGHTS_PARAMETERS}
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
        **OBJECTIVES_CONSTRAINTS,
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
        return outputs @ self._combination

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

    def _model(self) -> Model:
        return Network(self._layer_sizes(), len(self.objectives))

    def _objective(self, lesson: Lesson) -> HeadsObjective:  # type: ignore[override]
        return self._heads_objective(
            lesson.queries, lesson.labels, lesson.teacher_scores, lesson.sample_weight
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

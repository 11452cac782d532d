"""Towers of several objectives: a query has a vector for each, an item one for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.catalogue import CatalogueCurriculum, LoggedLists, TaughtLists
from skdistill.columns import as_table
from skdistill.models.two_tower import TwoTower
from skdistill.objective import HeadsObjective
from skdistill.objectives import (
    OBJECTIVES_CONSTRAINTS,
    OBJECTIVES_PARAMETERS,
    TEACHER,
    WEIGHTS_PARAMETERS,
    WithObjectives,
    labels_for_teacher,
)
from skdistill.pairs import PairList, Pairs
from skdistill.protocols import Array, Loss, Parameters
from skdistill.queries import Queries
from skdistill.retriever import TwoTowerRetriever
from skdistill.teachers import is_fitted_for_good
from skdistill.tower_lesson import (
    TowerLesson,
    TowerTraining,
    label_validator,
    logged_lists,
    taught_lists,
    teacher_validator,
)
from skdistill.training import Curriculum, Evaluate, TableCurriculum
from skdistill.validation import Validate, ndcg_on


class MultiObjectiveRetriever(WithObjectives, TwoTowerRetriever):
    __doc__ = f"""Towers that learn clicks, purchases and the teacher's order side by side.

    The query tower gives a vector for each objective, the item tower one for all, and the combined
    score, a weighted sum, is the dot product of the summed query vector: one index serves any
    weights, which may be changed after the fit (``set_params(combine=...)``).

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``, optional
    {OBJECTIVES_PARAMETERS}
    query_columns, item_columns : columns as in ColumnTransformer
    {WEIGHTS_PARAMETERS}
    combine : dict of str to float, optional
        Weights of the objectives' scores in the combined one; by default all alike. Of logistic
        objectives the log-odds count.
    teacher_target : str, optional
        Objective whose labels a teacher is fitted on that comes unfitted.
    embedding_dim, query_hidden, item_hidden, query_transformer, item_transformer, pair_features,
    temperature, n_candidates, draw_correction, similarity, item_bias, spectral_start,
    teacher_check, keep_teacher, max_iter, batch_size, max_batch_rows, optimizer,
    learning_rate_init, learning_rate, weight_decay, early_stopping, validation_fraction,
    n_iter_no_change, tol, query_column, random_state
        As in :class:`TwoTowerRetriever`.

    Attributes
    ----------
    objective_names_ : list of str
    params_, teacher_, teacher_check_, index_, loss_curve_
        And the others of :class:`TwoTowerRetriever`.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import MultiObjectiveRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> data = make_retrieval(n_queries=200, n_items=300, random_state=0)
    >>> retriever = MultiObjectiveRetriever(
    ...     objectives={{"click": "listwise", "teacher": "listwise"}},
    ...     query_columns=data.query_columns,
    ...     item_columns=data.item_columns,
    ...     random_state=0,
    ... )
    >>> retriever = retriever.fit(
    ...     data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility
    ... )
    >>> ids, scores = retriever.retrieve(data.queries[:2], k=5)
    >>> sorted(retriever.predict_objectives(data.X[:3]))
    ['click', 'teacher']
    """

    _parameter_constraints = {
        **TwoTowerRetriever._parameter_constraints,
        **OBJECTIVES_CONSTRAINTS,
        "combine": [Mapping, None],
        "teacher_target": [str, None],
    }

    def __init__(
        self,
        teacher: Any = None,
        *,
        objectives: Mapping[str, str | Loss],
        query_columns: Any,
        item_columns: Any,
        objective_weights: Mapping[str, float] | None = None,
        balance: str = "fixed",
        combine: Mapping[str, float] | None = None,
        teacher_target: str | None = None,
        embedding_dim: int = 32,
        query_hidden: tuple[int, ...] = (),
        item_hidden: tuple[int, ...] = (),
        query_transformer: Any = "auto",
        item_transformer: Any = "auto",
        pair_features: Callable[[Any, Any], Any] | None = None,
        temperature: float = 1.0,
        n_candidates: int | None = None,
        draw_correction: float = 0.5,
        similarity: str = "dot",
        item_bias: bool = True,
        spectral_start: bool = True,
        teacher_check: bool = True,
        keep_teacher: bool = True,
        max_iter: int = 20,
        batch_size: int = 64,
        max_batch_rows: int = 1 << 16,
        optimizer: str = "adam",
        learning_rate_init: float = 0.02,
        learning_rate: str = "cosine",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        query_column: str | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.objectives = objectives
        self.objective_weights = objective_weights
        self.balance = balance
        self.combine = combine
        self.teacher_target = teacher_target
        super().__init__(
            teacher,
            query_columns=query_columns,
            item_columns=item_columns,
            embedding_dim=embedding_dim,
            query_hidden=query_hidden,
            item_hidden=item_hidden,
            query_transformer=query_transformer,
            item_transformer=item_transformer,
            pair_features=pair_features,
            temperature=temperature,
            n_candidates=n_candidates,
            draw_correction=draw_correction,
            similarity=similarity,
            item_bias=item_bias,
            spectral_start=spectral_start,
            teacher_check=teacher_check,
            keep_teacher=keep_teacher,
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
            query_column=query_column,
            random_state=random_state,
        )

    def transform_queries(self, queries: Any) -> NDArray[np.float32]:
        """Embeddings of queries whose dot products are the combined scores.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)

        Returns
        -------
        ndarray of shape (n_queries, embedding_dim), float32
        """
        return np.einsum("nhd,h->nd", self._embed_objectives(queries), self._combination)

    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """What each objective says of pairs: probabilities of logistic ones, scores of others.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
        """
        check_is_fitted(self)
        X = as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        left = self._embed_objectives(self._columns.queries(X))
        right = self.transform_items(self._columns.items(X))
        scores = np.einsum("nhd,nd->nh", left, right)
        if self.similarity == "cosine":
            scores *= np.exp(self.params_["log_scale_bias"][0])
        return self._by_name(scores)

    def _embed_objectives(self, queries: Any) -> NDArray[np.float32]:
        """Shape (n_queries, n_objectives, embedding_dim)."""
        embeddings = self._embed(queries, "query")
        return embeddings.reshape(-1, len(self.objective_names_), self.embedding_dim)

    def _model(self) -> TwoTower:
        return replace(super()._model(), n_objectives=len(self.objectives))

    def _read_lesson(self, *log: Any) -> TowerLesson:
        self._name_objectives()
        lesson = super()._read_lesson(*log)
        if lesson.labels is None:
            return lesson
        taught = lesson.pair_scores is not None or lesson.row_scores is not None
        to_learn = not (taught or self.teacher is None or is_fitted_for_good(self.teacher))
        labels = labels_for_teacher(
            lesson.labels, self._label_names, self.teacher_target, to_learn and self._has_teacher
        )
        return replace(lesson, labels=labels, objective_labels=lesson.labels)

    def _teach(self, lesson: TowerLesson, has_catalogue: bool) -> TowerLesson:
        if not self._has_teacher:
            self.teacher_ = None
            return replace(lesson, pair_scores=None, row_scores=None)
        lesson = super()._teach(lesson, has_catalogue)
        if lesson.pair_scores is None and lesson.row_scores is None:
            raise ValueError(
                'The objective "teacher" needs teacher= or fit(..., teacher_scores=), got neither.'
            )
        return lesson

    def _curriculum(
        self,
        lesson: TowerLesson,
        towers: TowerTraining,
        taking_part: NDArray[np.int64],
        held_out: NDArray[np.int64] | None,
        params: Parameters,
        rng: np.random.Generator,
        has_catalogue: bool,
    ) -> tuple[Curriculum, Validate | None]:
        if has_catalogue:
            return self._over_catalogue(lesson, towers, taking_part, held_out, params, rng)
        return self._over_table(lesson, towers, taking_part, held_out)

    def _over_catalogue(
        self,
        lesson: TowerLesson,
        towers: TowerTraining,
        taking_part: NDArray[np.int64],
        held_out: NDArray[np.int64] | None,
        params: Parameters,
        rng: np.random.Generator,
    ) -> tuple[Curriculum, Validate | None]:
        weights = self._name_objectives()
        balance = self._balance_of(weights)
        sources: list[TaughtLists | LoggedLists] = []
        validators: list[Validate] = []
        for number, name in enumerate(self.objectives):
            loss = self._loss_of(name)
            # The balance has the weights in its factors.
            share = 1.0 if balance is not None else float(weights[number])
            if name == TEACHER:
                own = slice(number, None, len(weights))
                sources.append(taught_lists(lesson, towers, loss, share, params, rng, own))
                if held_out is not None:
                    validators.append(teacher_validator(lesson, towers, held_out, rng, number))
            else:
                log = lesson.log(self._labels_of(name, lesson.objective_labels))
                assert log is not None  # some labels are known
                sources.append(logged_lists(log, towers, loss, share, taking_part))
                if held_out is not None:
                    validators.append(label_validator(log, lesson, towers, held_out, rng, number))
        curriculum = CatalogueCurriculum(
            towers.query_rows,
            towers.item_rows,
            lesson.pairs.n_catalogue,
            towers.settings.batch_size,
            taking_part,
            tuple(sources),
            has_objectives=True,
            balance=balance,
        )
        return curriculum, _mean(validators)

    def _over_table(
        self,
        lesson: TowerLesson,
        towers: TowerTraining,
        taking_part: NDArray[np.int64],
        held_out: NDArray[np.int64] | None,
    ) -> tuple[Curriculum, Validate | None]:
        def part(queries: NDArray[np.int64]) -> tuple[Pairs, Queries, list[Any]]:
            rows, segments = lesson.queries.take(queries)
            pairs = PairList(lesson.pairs.query[rows], lesson.pairs.item[rows])
            columns = [
                None if column is None else column[rows]
                for column in (lesson.objective_labels, lesson.row_scores, lesson.weight)
            ]
            return Pairs(towers.query_rows, towers.item_rows, (pairs,)), segments, columns

        inputs, queries, (labels, scores, weight) = part(taking_part)
        objective = self._heads_objective(queries, labels, scores, weight)
        curriculum = ObjectivesTable(inputs, queries, objective, towers.settings)
        if held_out is None:
            return curriculum, None
        inputs, queries, (labels, scores, _) = part(held_out)
        validators = []
        for number, name in enumerate(self.objectives):
            own = None if name == TEACHER else self._labels_of(name, labels)
            pairs = _of_objective(inputs, number, len(self.objectives))
            validators.append(ndcg_on(towers.model, pairs, queries, own, scores))
        return curriculum, _mean(validators)


@dataclass(frozen=True)
class ObjectivesTable:
    """Steps over a log's lists, each pair scored for every objective.

    Parameters
    ----------
    inputs : Pairs
        A single ``PairList`` of queries and items.
    queries : Queries
    objective : HeadsObjective
    settings : TrainingSettings
    """

    inputs: Pairs
    queries: Queries
    objective: HeadsObjective
    settings: Any

    @property
    def n_steps(self) -> int:
        return self._table.n_steps

    @property
    def _table(self) -> TableCurriculum:
        return TableCurriculum(self.inputs, self.queries, self.objective, self.settings)

    def epoch(
        self, epoch: int, params: Parameters, rng: np.random.Generator
    ) -> Iterator[tuple[Any, Evaluate]]:
        n_objectives = len(self.objective.heads)
        for inputs, evaluate in self._table.epoch(epoch, params, rng):
            lists = [_of_objective(inputs, number, n_objectives) for number in range(n_objectives)]
            blocks = tuple(block for one in lists for block in one.blocks)
            yield replace(inputs, blocks=blocks), partial(_by_head, evaluate, n_objectives)


def _of_objective(inputs: Pairs, number: int, n_objectives: int) -> Pairs:
    """The same pairs with the embedding of one objective."""
    (pairs,) = inputs.blocks
    query = np.arange(inputs.query_rows.n_rows) if pairs.query is None else pairs.query
    return replace(inputs, blocks=(PairList(query * n_objectives + number, pairs.item),))


def _by_head(evaluate: Evaluate, n_objectives: int, scores: Array) -> tuple[float, Array]:
    value, gradient = evaluate(scores.reshape(n_objectives, -1).T)
    return value, np.ascontiguousarray(gradient.T).ravel()


def _mean(validators: list[Validate]) -> Validate | None:
    if not validators:
        return None
    return lambda params: float(np.mean([validate(params) for validate in validators]))

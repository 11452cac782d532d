"""What towers learn from: a log, and a teacher's scores of its rows or of a whole catalogue.

``LogSupervision`` and ``CatalogueSupervision`` implement one protocol, so that the rest of the code
need not ask whether there is a catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_rows, take_values
from skdistill.inputs.pairs import PairList, Pairs
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.asking import score_rows
from skdistill.teachers.fitting import fit_on_labelled, is_prefit
from skdistill.teachers.pair_scores import PairScores, score_grid, teacher_scores_of
from skdistill.towers.batches import CatalogueBatches, LossSource
from skdistill.towers.in_batch_negatives import InBatchNegatives, LabelledPairs
from skdistill.towers.log_batches import by_embedding
from skdistill.towers.objectives import PairTerm
from skdistill.towers.pair_table import PairTable
from skdistill.towers.teacher_lists import (
    SampledCatalogue,
    ScoredLists,
    TeacherLists,
    WholeCatalogue,
)
from skdistill.towers.training import TowerTraining
from skdistill.towers.validation import choose_items, label_validator, teacher_validator
from skdistill.training.early_stopping import EarlyStopping, Validate, mean_of, ndcg_on
from skdistill.training.loop import BatchSource
from skdistill.training.query_batches import QueryBatches

PairFeatures = Callable[[Any, Any], Any]


class PairSupervision(Protocol):
    """What towers learn from. None of its methods change parameters."""

    pairs: PairTable
    queries: Queries

    @property
    def has_teacher_scores(self) -> bool:
        """Whether there are teacher scores to learn from."""

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which rows of the log have a label."""

    def taught_by(self, teacher: Any, features: PairFeatures | None) -> tuple[Self, Any]:
        """Add a teacher's scores; also return the fitted teacher."""

    def without_teacher(self) -> Self:
        """Drop the teacher's scores."""

    def make_batches(
        self, training: TowerTraining, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, Any]:
        """Make training batches, and a sample of the teacher's scores of the catalogue.

        The spectral start uses the sample, a dense or CSR matrix of shape (n_queries, n_items). It
        is None if no teacher scores the catalogue.
        """

    def make_early_stopping(
        self, training: TowerTraining, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Make the early stopping that measures the objective on held-out queries."""


@dataclass(frozen=True)
class _Supervision:
    """Common part of both kinds of supervision.

    Parameters
    ----------
    table : table of shape (n_rows, ...)
        The log without the query column, sorted by query.
    pairs : PairTable
        The log and the catalogue as distinct queries and items.
    queries : Queries
        Segments of the log; query q of ``pairs`` is segment q.
    labels : ndarray of shape (n_rows,) or None
        Labels, NaN for unlabelled rows. If there are several objectives, the labels that a teacher
        is fitted on.
    sample_weight : ndarray of shape (n_rows,) or None
    objective_labels : ndarray of shape (n_rows, n_label_objectives) or None
        Labels of each objective, if there are several.
    """

    table: Any
    pairs: PairTable
    queries: Queries
    labels: NDArray[np.float64] | None
    sample_weight: NDArray[np.float64] | None
    objective_labels: NDArray[np.float64] | None = None
    teacher_scores: Any = None

    @property
    def has_teacher_scores(self) -> bool:
        """Whether there are teacher scores to learn from."""
        return self.teacher_scores is not None

    def without_teacher(self) -> Self:
        """Drop the teacher's scores."""
        return replace(self, teacher_scores=None)

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which rows of the log have a label."""
        if self.labels is None:
            return np.zeros(self.queries.n_rows, dtype=bool)
        return ~np.isnan(self.labels)

    def labelled_pairs(self, labels: NDArray[np.float64]) -> LabelledPairs:
        """Rows of the log with a label among ``labels``."""
        is_labelled = ~np.isnan(labels)
        weight = take_values(self.sample_weight, is_labelled)
        return LabelledPairs(
            self.queries.subset(is_labelled),
            np.unique(self.pairs.query[is_labelled]),
            self.pairs.item[is_labelled],
            labels[is_labelled],
            None if weight is None else weight.astype(np.float32),
        )

    def _fit_teacher(self, teacher: Any, rows: Any) -> Any:
        data = RankingData(rows, self.queries, labels=self.labels, sample_weight=self.sample_weight)
        return fit_on_labelled(teacher, data)

    def _rows_for_teacher(self, features: PairFeatures) -> Any:
        pairs = self.pairs
        return features(take_rows(pairs.queries, pairs.query), take_rows(pairs.items, pairs.item))

    def _early_stopping(self, training: TowerTraining, validators: list[Validate]) -> EarlyStopping:
        settings = training.settings
        return EarlyStopping(mean_of(validators), settings.n_iter_no_change, settings.tol)


@dataclass(frozen=True)
class LogSupervision(_Supervision):
    """Each query's list is its rows in the log, which makes a pre-ranking scorer.

    Parameters
    ----------
    teacher_scores : ndarray of shape (n_rows,) or None
        Scores of the log's rows.
    """

    teacher_scores: NDArray[np.float64] | None = None

    def taught_by(self, teacher: Any, features: PairFeatures | None) -> tuple[Self, Any]:
        """Add a teacher's scores; also return the fitted teacher.

        The teacher reads the rows that ``features`` builds, by default the log's table as it is.
        """
        rows = self.table if features is None else self._rows_for_teacher(features)
        fitted = self._fit_teacher(teacher, rows)
        return replace(self, teacher_scores=score_rows(fitted, rows)), fitted

    def columns_of(self, rows: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """Labels, teacher scores and weights of some rows; each may be None."""
        columns = self.labels, self.teacher_scores, self.sample_weight
        return tuple(take_values(column, rows) for column in columns)  # type: ignore[return-value]

    def make_batches(
        self, training: TowerTraining, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, None]:
        """Make batches of the log's lists; there is no sample for a spectral start."""
        rows, queries = self.queries.take(train_queries)
        batches = QueryBatches(
            self._pairs_of(training, rows),
            queries,
            training.objective.over_log(self, rows, queries),
            training.settings,
        )
        return training.objective.log_batches(batches), None

    def make_early_stopping(
        self, training: TowerTraining, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Measure NDCG@10 on held-out queries, averaged over the embeddings."""
        rows, queries = self.queries.take(eval_queries)
        pairs = self._pairs_of(training, rows)
        scores = take_values(self.teacher_scores, rows)
        n = training.objective.n_embeddings
        validators = [
            ndcg_on(
                training.model,
                by_embedding(pairs, number, n),
                queries,
                take_values(labels, rows),
                scores,
            )
            for number, labels in enumerate(training.objective.labels_by_embedding(self))
        ]
        return self._early_stopping(training, validators)

    def _pairs_of(self, training: TowerTraining, rows: NDArray[np.int64]) -> Pairs:
        pairs = PairList(self.pairs.query[rows], self.pairs.item[rows])
        return Pairs(training.query_rows, training.item_rows, (pairs,))


@dataclass(frozen=True)
class CatalogueSupervision(_Supervision):
    """Each query's list is the whole catalogue, or candidates drawn from it.

    Parameters
    ----------
    teacher_scores : PairScores or None
        Scores any pair of a query and an item.
    is_teacher_fitted_here : bool
        Whether the teacher was fitted on these labels.
    """

    teacher_scores: PairScores | None = None
    is_teacher_fitted_here: bool = False

    def taught_by(self, teacher: Any, features: PairFeatures | None) -> tuple[Self, Any]:
        """Add a teacher's scores; also return the fitted teacher.

        The teacher reads the rows that ``features`` builds from queries and items.
        """
        assert features is not None  # a catalogue has pair features
        fitted = self._fit_teacher(teacher, self._rows_for_teacher(features))
        scores = teacher_scores_of(fitted, features, self.pairs.queries, self.pairs.items)
        taught = replace(self, teacher_scores=scores, is_teacher_fitted_here=not is_prefit(teacher))
        return taught, fitted

    def without_labels_of(self, queries: NDArray[np.int64]) -> Self:
        """Remove the labels of some queries."""
        assert self.labels is not None
        labels = np.where(np.isin(self.pairs.query, queries), np.nan, self.labels)
        return replace(self, labels=labels)

    def make_batches(
        self, training: TowerTraining, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, Any]:
        """Make batches of lists of the catalogue, and a sample of the teacher's scores."""
        sample = None
        sources: list[LossSource] = []
        n_queries, n_items = training.query_rows.n_rows, training.item_rows.n_rows
        for term in training.objective.terms(self):
            if term.labels is None:
                scored, sample = self._scored_lists(training, term, rng)
                sources.append(
                    TeacherLists(
                        scored, term.loss, term.weight, self._query_weight(), term.embedding
                    )
                )
            else:
                log = self.labelled_pairs(term.labels)
                sources.append(
                    InBatchNegatives(
                        *(log, term.loss, term.weight, n_items, train_queries, n_queries),
                        term.embedding,
                    )
                )
        batches = CatalogueBatches(
            training.query_rows,
            training.item_rows,
            self.pairs.n_catalogue,
            training.settings.batch_size,
            train_queries,
            tuple(sources),
            n_embeddings=training.objective.n_embeddings,
            balance=training.objective.balance(),
        )
        return batches, sample

    def make_early_stopping(
        self, training: TowerTraining, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Measure each validated term on held-out queries, and average.

        A term that learns from the teacher is measured by the fraction of the teacher's top 10 in
        the towers' top 50, a term that learns from labels by NDCG@10.
        """
        items = choose_items(self.pairs.n_catalogue, rng)
        validators = []
        for term in training.objective.terms(self):
            held_out = eval_queries, items, term.embedding
            if not term.is_validated:
                continue
            if term.labels is None:
                assert self.teacher_scores is not None  # the term learns from them
                validators.append(teacher_validator(training, self.teacher_scores, *held_out))
            else:
                log = self.labelled_pairs(term.labels)
                validators.append(label_validator(training, log, *held_out))
        return self._early_stopping(training, validators)

    def _scored_lists(
        self, training: TowerTraining, term: PairTerm, rng: np.random.Generator
    ) -> tuple[ScoredLists, Any]:
        """Lists scored by the teacher, and the scores that a spectral start uses."""
        assert self.teacher_scores is not None  # the term learns from them
        n_items, n_queries = self.pairs.n_catalogue, self.pairs.n_queries
        if training.n_candidates is None or training.n_candidates >= n_items:
            scores = score_grid(self.teacher_scores, np.arange(n_queries), np.arange(n_items))
            return WholeCatalogue(scores, term.loss), scores
        in_catalogue = self.pairs.item < n_items
        sampled = SampledCatalogue(
            training.model,
            training.query_rows,
            training.catalogue(n_items),
            self.teacher_scores,
            term.loss,
            training.n_candidates,
            training.logq_correction,
            training.settings.max_iter,
            (self.pairs.query[in_catalogue], self.pairs.item[in_catalogue]),
            rng,
            slice(term.embedding, None, training.objective.n_embeddings),
        )
        return sampled, sampled.uniform_sample()

    def _query_weight(self) -> NDArray[np.float32] | None:
        """Mean weight of each query's rows, after scaling row weights to a mean of 1."""
        if self.sample_weight is None:
            return None
        weight = self.sample_weight / self.sample_weight.mean()
        return self.queries.mean(weight).astype(np.float32)

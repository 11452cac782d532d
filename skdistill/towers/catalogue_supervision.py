"""Supervision by a catalogue: each query's list is the whole catalogue, or candidates from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.canonical_csr import canonical_csr
from skdistill.inputs.columns import take_values
from skdistill.teachers.fitting import fit_on_labelled
from skdistill.teachers.pair_scores import DenseScores, PairScores, teacher_scores_of
from skdistill.teachers.routing import is_prefit
from skdistill.towers.batches import CatalogueBatches, LossSource
from skdistill.towers.in_batch_negatives import InBatchNegatives
from skdistill.towers.initialization import LoggedPairs, MatrixOfPairs, TeacherMatrix
from skdistill.towers.objectives import PairTerm
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import SCHEDULE, PairFeatures, Supervision
from skdistill.towers.teacher_lists import (
    SampledCatalogue,
    ScoredLists,
    TeacherLists,
    WholeCatalogue,
)
from skdistill.towers.validation import choose_items, label_validator, teacher_validator
from skdistill.training.early_stopping import EarlyStopping
from skdistill.training.loop import BatchSource

# Weight decay of towers that learn a catalogue from labels alone. A pair that was not logged need
# not be bad; a teacher says which are not, and needs no decay (docs/decisions/0021).
LABEL_DECAY = 0.2
# Settings of towers that learn a catalogue from a teacher alone and know queries by their ids, with
# and without hidden layers. The weights of an id get one step per epoch (docs/decisions/0026).
TAUGHT = {"max_iter": 40}
LINEAR_TAUGHT = {"max_iter": 40, "learning_rate_init": 0.05}


@dataclass(frozen=True)
class CatalogueSupervision(Supervision):
    """Each query's list is the whole catalogue, or candidates drawn from it.

    Parameters
    ----------
    pair_scores : PairScores or None
        The teacher's score of any pair of a query and an item.
    is_teacher_fitted_here : bool
        Whether the teacher was fitted on the labels of this log, rather than passed in prefit.
    """

    pair_scores: PairScores | None = None
    is_teacher_fitted_here: bool = False

    @property
    def catalogue(self) -> Any:
        return self.pairs.catalogue

    @property
    def has_teacher_scores(self) -> bool:
        return self.pair_scores is not None

    def taught_by(
        self, teacher: Any, make_rows: PairFeatures | None, validation: Any = None
    ) -> tuple[Self, Any]:
        watched = None if validation is None else validation.teacher_data(make_rows)
        fitted = fit_on_labelled(teacher, self.teacher_data(make_rows), watched)
        taught = self.scored_by(fitted, make_rows)
        return replace(taught, is_teacher_fitted_here=not is_prefit(teacher)), fitted

    def scored_by(self, fitted: Any, make_rows: PairFeatures | None) -> Self:
        assert make_rows is not None  # by default, the columns of a catalogue side by side
        scores = teacher_scores_of(fitted, make_rows, self.pairs.queries, self.pairs.items)
        return replace(self, pair_scores=scores)

    def without_teacher(self) -> Self:
        return replace(self, pair_scores=None)

    def automatic_settings(self, setup: TowerSetup) -> dict[str, float]:
        terms = setup.objective.catalogue_terms(self)
        n_of_labels = sum(term.labels is not None for term in terms)
        schedule = SCHEDULE
        if n_of_labels == 0 and setup.names_queries:
            schedule = SCHEDULE | (LINEAR_TAUGHT if setup.model.is_linear else TAUGHT)
        return schedule | {"weight_decay": LABEL_DECAY if n_of_labels == len(terms) else 0.0}

    def with_labels(self, labels: NDArray[np.float64]) -> Self:
        """Replace the labels."""
        return replace(self, data=replace(self.data, labels=labels))

    def make_batches(
        self, setup: TowerSetup, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, MatrixOfPairs | None]:
        """Make batches of lists of the catalogue, and a matrix for a spectral start.

        It holds the teacher's scores, or without any the logged pairs.
        """
        matrix: MatrixOfPairs | None = None
        sources: list[LossSource] = []
        n_queries, n_items = setup.query_rows.n_rows, setup.item_rows.n_rows
        terms = setup.objective.catalogue_terms(self)
        for term in terms:
            if term.labels is None:
                scored, scores = self._scored_lists(setup, term, rng)
                matrix = TeacherMatrix(scores)
                sources.append(
                    TeacherLists(
                        scored, term.loss, term.weight, self._query_weight(), term.embedding
                    )
                )
            else:
                negatives = InBatchNegatives(
                    self.labelled_pairs(term.labels),
                    term.loss,
                    term.weight,
                    n_items=n_items,
                    train_queries=train_queries,
                    n_queries=n_queries,
                    n_catalogue=self.pairs.n_catalogue,
                    batch_size=setup.settings.batch_size,
                    embedding=term.embedding,
                )
                sources.append(negatives)
        batches = CatalogueBatches(
            setup.query_rows,
            setup.item_rows,
            self.pairs.n_catalogue,
            setup.settings.batch_size,
            train_queries,
            tuple(sources),
            n_embeddings=setup.objective.n_embeddings,
            balance=setup.objective.balance(),
        )
        if matrix is None:
            matrix = LoggedPairs(self._logged(self._teaches(terms, train_queries)))
        return batches, matrix

    def make_early_stopping(
        self, setup: TowerSetup, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Measure each term that has a target on held-out queries, and average.

        A term that learns from the teacher is measured by the fraction of the teacher's top 10 in
        the towers' top 50, a term that learns from labels by NDCG@10.
        """
        items = choose_items(self.pairs.n_catalogue, rng)
        validators = []
        weight = take_values(self._query_weight(), eval_queries)
        for term in setup.objective.validated_terms(self):
            held_out = eval_queries, items, term.embedding, weight
            if term.labels is None:
                assert self.pair_scores is not None  # the term is measured by them
                left_out = None
                if setup.masks_known_items:
                    left_out = self._known_items[eval_queries][:, items]
                scores = self.pair_scores
                validators.append(teacher_validator(setup, scores, *held_out, left_out))
            else:
                log = self.labelled_pairs(term.labels)
                validators.append(label_validator(setup, log, *held_out))
        return self._early_stopping(setup, validators)

    def _scored_lists(
        self, setup: TowerSetup, term: PairTerm, rng: np.random.Generator
    ) -> tuple[ScoredLists, Any]:
        """Lists scored by the teacher, and the scores that a spectral start uses."""
        assert self.pair_scores is not None  # the term learns from them
        n_items, n_queries = self.pairs.n_catalogue, self.pairs.n_queries
        left_out = self._known_items if setup.masks_known_items else None
        if left_out is not None and left_out.nnz == n_queries * n_items:
            raise ValueError(
                'known_items="mask" leaves nothing to learn: the log holds every item of the '
                'catalogue for every query. Pass known_items="keep", or a larger catalogue.'
            )
        if setup.n_candidates is None or setup.n_candidates >= n_items:
            scores = self.pair_scores.whole(n_queries, n_items)
            return WholeCatalogue(scores, term.loss, left_out), scores
        logged = np.flatnonzero(self.pairs.item < n_items)
        if left_out is not None:
            is_known = left_out[self.pairs.query[logged], self.pairs.item[logged]]
            logged = logged[~np.asarray(is_known).ravel()]
        sampled = SampledCatalogue(
            setup.model,
            setup.query_rows,
            setup.catalogue(n_items),
            self.pair_scores,
            term.loss,
            setup.n_candidates,
            setup.logq_correction,
            setup.settings.n_epochs,
            (self.pairs.query[logged], self.pairs.item[logged]),
            rng,
            slice(term.embedding, None, setup.objective.n_embeddings),
            self._known_items,
            left_out,
        )
        if isinstance(self.pair_scores, DenseScores):
            return sampled, self.pair_scores.matrix
        return sampled, sampled.uniform_sample()

    @cached_property
    def _known_items(self) -> Any:
        """Logged pairs of the catalogue except those of label 0: CSR, (n_queries, n_items)."""
        if self.data.labels is None:
            return self._logged(np.ones(self.data.n_rows, dtype=bool))
        return self._logged(self.data.labels != 0)

    def _teaches(
        self, terms: tuple[PairTerm, ...], train_queries: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each row of the log is a positive that some term learns from."""
        labels = [term.labels for term in terms if term.labels is not None]
        teaches = np.logical_or.reduce([one > 0 for one in labels])
        if self.data.sample_weight is not None:
            teaches &= self.data.sample_weight > 0
        return teaches & np.isin(self.pairs.query, train_queries)

    def _logged(self, chosen: NDArray[np.bool_]) -> Any:
        """Chosen rows of the log as pairs of the catalogue: CSR, (n_queries, n_items), bool."""
        chosen = chosen & (self.pairs.item < self.pairs.n_catalogue)
        pairs = self.pairs.query[chosen], self.pairs.item[chosen]
        shape = self.pairs.n_queries, self.pairs.n_catalogue
        return canonical_csr(sparse.coo_array((np.ones(chosen.sum(), dtype=bool), pairs), shape))

    def _query_weight(self) -> NDArray[np.float32] | None:
        """Mean weight of each query's rows, after scaling row weights to a mean of 1."""
        if self.data.sample_weight is None:
            return None
        weight = self.data.sample_weight / self.data.sample_weight.mean()
        return self.data.queries.mean(weight).astype(np.float32)

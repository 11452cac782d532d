"""What towers learn from: a log, and a teacher's scores of its rows.

Supervision by the log and that by a catalogue (``catalogue_supervision``) implement one protocol,
so that the rest of the code need not ask whether there is a catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import take_rows, take_values
from skdistill.inputs.pairs import PairList, Pairs
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.asking import score_rows
from skdistill.teachers.fitting import fit_on_labelled
from skdistill.teachers.pair_scores import pair_rows
from skdistill.towers.in_batch_negatives import LabelledPairs
from skdistill.towers.initialization import MatrixOfPairs
from skdistill.towers.multi_embedding_batches import by_embedding
from skdistill.towers.pair_table import PairTable
from skdistill.towers.setup import TowerSetup
from skdistill.training.early_stopping import EarlyStopping, Validate, mean_of, ndcg_on
from skdistill.training.loop import BatchSource
from skdistill.training.query_batches import QueryBatches

PairFeatures = Callable[[Any, Any], Any]
# Epochs and learning rate, if nothing is known that suits better.
SCHEDULE = {"max_iter": 20, "learning_rate_init": 0.02}


class PairSupervision(Protocol):
    """What towers learn from. None of its methods change parameters."""

    @property
    def data(self) -> RankingData:
        """The log, in query order."""

    @property
    def pairs(self) -> PairTable:
        """The log and the catalogue as distinct queries and items."""

    @property
    def catalogue(self) -> Any:
        """Table of the catalogue; None if there is no catalogue."""

    @property
    def has_teacher_scores(self) -> bool:
        """Whether there are teacher scores to learn from."""

    def taught_by(
        self, teacher: Any, make_rows: PairFeatures | None, validation: Any = None
    ) -> tuple[Self, Any]:
        """Add a teacher's scores; also return the fitted teacher.

        ``validation``, a supervision of the same kind, is for the teacher's own early stopping.
        """

    def scored_by(self, fitted: Any, make_rows: PairFeatures | None) -> Self:
        """Add the scores of a fitted teacher."""

    def without_teacher(self) -> Self:
        """Drop the teacher's scores."""

    def automatic_settings(self, setup: TowerSetup) -> dict[str, float]:
        """Epochs, learning rate and weight decay that suit what is learnt, for settings "auto"."""

    def make_batches(
        self, setup: TowerSetup, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, MatrixOfPairs | None]:
        """Make training batches, and the matrix of queries and catalogue for a spectral start.

        The matrix is None without a catalogue.
        """

    def make_early_stopping(
        self, setup: TowerSetup, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Make the early stopping that measures the objective on held-out queries."""


@dataclass(frozen=True)
class Supervision:
    """Common part of both kinds of supervision.

    Parameters
    ----------
    data : RankingData
        The log without the query column. If there are several objectives, its labels are those that
        a teacher is fitted on. Its teacher scores are those of the log's rows.
    pairs : PairTable
        The log and the catalogue as distinct queries and items; query q of it is query q of
        ``data``.
    objective_labels : ndarray of shape (n_rows, n_label_objectives) or None
        Labels of each objective, if there are several.
    """

    data: RankingData
    pairs: PairTable
    objective_labels: NDArray[np.float64] | None = None

    def labelled_pairs(self, labels: NDArray[np.float64]) -> LabelledPairs:
        """The logged pairs whose entry in ``labels`` is not NaN."""
        is_labelled = ~np.isnan(labels)
        weight = take_values(self.data.sample_weight, is_labelled)
        return LabelledPairs(
            self.data.queries.subset(is_labelled),
            np.unique(self.pairs.query[is_labelled]),
            self.pairs.item[is_labelled],
            labels[is_labelled],
            None if weight is None else weight.astype(np.float32),
        )

    def teacher_data(self, make_rows: PairFeatures | None) -> RankingData:
        """The log as a teacher reads it: the rows that ``make_rows`` builds, or as it is."""
        if make_rows is None:
            return self.data
        pairs = self.pairs
        queries, items = take_rows(pairs.queries, pairs.query), take_rows(pairs.items, pairs.item)
        return self.data.with_table(pair_rows(make_rows, queries, items))

    def _early_stopping(self, setup: TowerSetup, validators: list[Validate]) -> EarlyStopping:
        settings = setup.settings
        return EarlyStopping(mean_of(validators), settings.n_iter_no_change, settings.tol)


@dataclass(frozen=True)
class LogSupervision(Supervision):
    """Supervision by the log alone: the list of a query consists of its logged rows.

    Towers that are fitted this way score the rows that a retrieval stage has found.
    """

    @property
    def catalogue(self) -> None:
        return None

    @property
    def has_teacher_scores(self) -> bool:
        return self.data.teacher_scores is not None

    def taught_by(
        self, teacher: Any, make_rows: PairFeatures | None, validation: Any = None
    ) -> tuple[Self, Any]:
        data = self.teacher_data(make_rows)
        watched = None if validation is None else validation.teacher_data(make_rows)
        fitted = fit_on_labelled(teacher, data, watched)
        return self._with_scores(score_rows(fitted, data.X)), fitted

    def scored_by(self, fitted: Any, make_rows: PairFeatures | None) -> Self:
        return self._with_scores(score_rows(fitted, self.teacher_data(make_rows).X))

    def without_teacher(self) -> Self:
        return self._with_scores(None)

    def automatic_settings(self, setup: TowerSetup) -> dict[str, float]:
        return SCHEDULE | {"weight_decay": 0.0}

    def _with_scores(self, scores: NDArray[np.float64] | None) -> Self:
        return replace(self, data=replace(self.data, teacher_scores=scores))

    def make_batches(
        self, setup: TowerSetup, train_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[BatchSource, None]:
        """Make batches of the log's lists; there is no matrix for a spectral start."""
        rows, queries = self.data.queries.take(train_queries)
        batches = QueryBatches(
            self._pairs_of(setup, rows),
            queries,
            setup.objective.log_objective(self, rows, queries),
            setup.settings,
        )
        return setup.objective.adapt_batches(batches), None

    def make_early_stopping(
        self, setup: TowerSetup, eval_queries: NDArray[np.int64], rng: np.random.Generator
    ) -> EarlyStopping:
        """Measure NDCG@10 on held-out queries, averaged over the embeddings that have a target."""
        rows, queries = self.data.queries.take(eval_queries)
        pairs = self._pairs_of(setup, rows)
        scores = take_values(self.data.teacher_scores, rows)
        n = setup.objective.n_embeddings
        validators = [
            ndcg_on(
                setup.model,
                by_embedding(pairs, number, n),
                queries,
                take_values(labels, rows),
                scores,
                take_values(self.data.sample_weight, rows),
            )
            for number, labels in setup.objective.validated_embeddings(self)
        ]
        return self._early_stopping(setup, validators)

    def _pairs_of(self, setup: TowerSetup, rows: NDArray[np.int64]) -> Pairs:
        pairs = PairList(self.pairs.query[rows], self.pairs.item[rows])
        return Pairs(setup.query_rows, setup.item_rows, (pairs,))

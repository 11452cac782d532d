"""Model, encoded tables and settings that training towers needs besides the supervision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import Parameters
from skdistill.threads import blas_threads_for
from skdistill.towers.objectives import PairObjective
from skdistill.training.loop import BatchSource, Training, TrainingSettings, train


@dataclass(frozen=True)
class TowerSetup:
    """Everything that training needs besides the supervision.

    Parameters
    ----------
    model : TwoTower
    query_rows, item_rows : Rows
        Encoded and scaled tables of distinct queries and items.
    objective : PairObjective
    settings : TrainingSettings
    n_candidates : int or None
        Number of items that the teacher scores per query; None for the whole catalogue.
    logq_correction : float
        Strength of the correction for sampled items.
    masks_known_items : bool
        Whether lists that the teacher scores leave out the items that a query's log holds.
    """

    model: TwoTower
    query_rows: Rows
    item_rows: Rows
    objective: PairObjective
    settings: TrainingSettings
    n_candidates: int | None
    logq_correction: float
    masks_known_items: bool = False

    def catalogue(self, n_items: int) -> Rows:
        """Rows of the catalogue, without items that only occur in the log."""
        rows = self.item_rows
        return rows if n_items == rows.n_rows else rows.take(np.arange(n_items))

    def initialize(self, rng: np.random.Generator) -> Parameters:
        """Fresh parameters of both towers.

        The weights of codes that no row has are 0 and stay so: a category that ``fit`` did not see
        adds nothing to an embedding.
        """
        rows = {"query": self.query_rows, "item": self.item_rows}
        n_features = self.query_rows.n_features, self.item_rows.n_features
        params = self.model.initialize(n_features, rng)
        for name, table in rows.items():
            if isinstance(table.X, MixedTable):
                of_codes = params[f"{name}_weights_0"][-table.X.n_codes :]
                of_codes[~table.X.has_code] = 0
        return params

    def run(
        self, params: Parameters, batches: BatchSource, rng: np.random.Generator, **watchers: Any
    ) -> Training:
        """Train from these parameters; ``watchers`` are passed to :func:`train`."""
        everything = Pairs(self.query_rows, self.item_rows, ())
        optimizer = self.settings.make_optimizer(self.model, params, everything)
        n_items = min(self.n_candidates or self.item_rows.n_rows, self.item_rows.n_rows)
        n_pairs = self.settings.batch_size * n_items
        with blas_threads_for(n_pairs * self.model.embedding_dim):
            return train(self.model, optimizer, batches, self.settings, rng, **watchers)

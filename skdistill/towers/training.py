"""What training towers needs besides their supervision: model, encoded tables, settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import Parameters
from skdistill.training.loop import BatchSource, Training, TrainingSettings, train


@dataclass(frozen=True)
class TowerTraining:
    """What training needs besides the supervision.

    Parameters
    ----------
    model : TwoTower
    query_rows, item_rows : Rows
        Encoded and scaled.
    settings : TrainingSettings
    n_candidates : int or None
    logq_correction : float
    """

    model: TwoTower
    query_rows: Rows
    item_rows: Rows
    settings: TrainingSettings
    n_candidates: int | None
    logq_correction: float

    def catalogue(self, n_items: int) -> Rows:
        """The item rows without those that only the log has."""
        rows = self.item_rows
        return rows if n_items == rows.n_rows else rows.take(np.arange(n_items))

    def initialize(self, rng: np.random.Generator) -> Parameters:
        """Fresh parameters of both towers."""
        return self.model.initialize((self.query_rows.n_features, self.item_rows.n_features), rng)

    def run(
        self, params: Parameters, batches: BatchSource, rng: np.random.Generator, **watchers: Any
    ) -> Training:
        """Train from these parameters; ``watchers`` are those of :func:`train`."""
        everything = Pairs(self.query_rows, self.item_rows, ())
        optimizer = self.settings.make_optimizer(self.model, params, everything)
        return train(self.model, optimizer, batches, self.settings, rng, **watchers)

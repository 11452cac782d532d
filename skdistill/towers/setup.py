"""Model, encoded tables and settings that training towers needs besides the supervision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.pairs import Pairs
from skdistill.inputs.rows import Rows
from skdistill.models.partly_fixed import PartlyFixed
from skdistill.models.two_tower import TwoTower
from skdistill.protocols import Parameters, TrainableModel
from skdistill.threads import blas_threads_for
from skdistill.towers.objectives import PairObjective
from skdistill.towers.pair_table import PairTable
from skdistill.towers.reading import TowerInput, read_rows
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
    start : dict of str to ndarray, or None
        Parameters to go on from; None to draw new ones.
    trained : dict of str to ndarray of bool, or None
        Rows of the parameters that training may change; None for everything.
    """

    model: TwoTower
    query_rows: Rows
    item_rows: Rows
    objective: PairObjective
    settings: TrainingSettings
    n_candidates: int | None
    logq_correction: float
    masks_known_items: bool = False
    start: Parameters | None = None
    trained: Mapping[str, NDArray[np.bool_]] | None = None

    @classmethod
    def of(
        cls,
        retriever: Any,
        pairs: PairTable,
        settings: TrainingSettings,
        read: Callable[[Any, Any, str], TowerInput] = TowerInput.fit,
    ) -> TowerSetup:
        """Read both tables, and gather what training needs besides the supervision.

        Parameters
        ----------
        retriever : TowerEstimator
            It remembers how the tables were read.
        pairs : PairTable
            The log and the catalogue.
        settings : TrainingSettings
        read : callable, default=TowerInput.fit
            ``read(retriever, table, side)`` reads the table of a tower.

        Returns
        -------
        TowerSetup
        """
        rows = []
        for side, table in (("query", pairs.queries), ("item", pairs.items)):
            found = read(retriever, retriever.check_table(table, side), side)
            setattr(retriever, f"{side}_transformer_", found.transformer)
            setattr(retriever, f"{side}_scaler_", found.scaler)
            rows.append(found.rows)
        return cls(
            model=retriever.make_model(),
            query_rows=rows[0],
            item_rows=rows[1],
            objective=retriever.make_pair_objective(),
            settings=settings,
            n_candidates=retriever.n_candidates,
            logq_correction=retriever.strength_of_correction,
            masks_known_items=retriever.known_items == "mask",
        )

    def of_further(self, retriever: Any, pairs: PairTable, catalogue: Any) -> TowerSetup:
        """Replace the tables by further ones, read in the same way.

        Parameters
        ----------
        retriever : TowerEstimator
            It has read the tables of this setup.
        pairs : PairTable
            A further log.
        catalogue : table or None
            The item table of this setup, if it is a catalogue.

        Returns
        -------
        TowerSetup
        """
        setup = replace(self, query_rows=read_rows(retriever, pairs.queries, "query"))
        if pairs.items is catalogue:
            return setup
        return replace(setup, item_rows=read_rows(retriever, pairs.items, "item"))

    @property
    def names_queries(self) -> bool:
        """Whether each query can have weights of its own, as it has if its id is a column."""
        return self.query_rows.n_features >= self.query_rows.n_rows

    def with_automatic(self, values: Mapping[str, float]) -> TowerSetup:
        """Replace those of the settings that are "auto"."""
        return replace(self, settings=self.settings.with_automatic(**values))

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
        model: TrainableModel = self.model
        if self.trained is not None:
            model = PartlyFixed(self.model, tuple(params), self.trained)
        optimizer = self.settings.make_optimizer(model, params, everything)
        n_items = min(self.n_candidates or self.item_rows.n_rows, self.item_rows.n_rows)
        n_pairs = self.settings.batch_size * n_items
        with blas_threads_for(n_pairs * self.model.embedding_dim):
            return train(model, optimizer, batches, self.settings, rng, **watchers)

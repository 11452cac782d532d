"""Go on from fitted towers: weights for new categories, and what a further log may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.category_codes import N_SPECIAL
from skdistill.inputs.mixed_table import MixedTable
from skdistill.protocols import Parameters
from skdistill.towers.pair_table import PairTable
from skdistill.towers.reading import TowerInput
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import SCHEDULE
from skdistill.training.loop import TrainingSettings
from skdistill.user_warnings import warn_user

# Number of epochs over a further log, in those of a fit. The weights of a query get one step per
# epoch, and those of a new one start from nothing (docs/decisions/0020).
EPOCHS = 2
# How far a weight can move over these epochs, in root mean squares of the known weights: a step of
# Adam is as long as the learning rate, of which the schedule leaves half on average.
REACH = 3.0


def setup_to_go_on(retriever: Any, pairs: PairTable, settings: TrainingSettings) -> TowerSetup:
    """Read both tables as those of an earlier fit, and go on from its parameters.

    Categories that are new get weights of their own. These start from the weights of unknown
    categories, so that at first every row is embedded as before.

    Parameters
    ----------
    retriever : TowerEstimator
        Fitted; it remembers the new categories.
    pairs : PairTable
        The log and the catalogue.
    settings : TrainingSettings

    Returns
    -------
    TowerSetup

    Raises
    ------
    ValueError
        If the parameters do not have the shapes of the model.
    """
    return _extended(retriever, pairs, settings)[0]


def setup_for_further(retriever: Any, pairs: PairTable, settings: TrainingSettings) -> TowerSetup:
    """Go on from an earlier fit, and keep all weights that the log tells too little of.

    Trained are the weights of new categories, and those that name the queries of the log. All
    others belong to queries that the log does not hold, too: if a few queries could change them,
    the towers would forget the rest.

    Parameters
    ----------
    retriever : TowerEstimator
        Fitted; it remembers the new categories.
    pairs : PairTable
        The log and the catalogue.
    settings : TrainingSettings
        Those of a fit.

    Returns
    -------
    TowerSetup

    Raises
    ------
    ValueError
        If the parameters do not have the shapes of the model.

    Warns
    -----
    UserWarning
        If there is nothing to train; ``trained`` is then empty.
    """
    setup, inputs = _extended(retriever, pairs, settings)
    trained = {
        f"{side}_weights_0": found.has_new_category
        for side, found in inputs.items()
        if isinstance(found.rows.X, MixedTable)
    }
    if "query_weights_0" in trained:
        trained["query_weights_0"] |= _names_a_query(inputs["query"])
    if not any(rows.any() for rows in trained.values()):
        warn_user(
            f"partial_fit of {type(retriever).__name__} trains nothing: no category of the log or "
            "of the catalogue is new, and no query has a known one. Call fit with warm_start=True "
            "to train all weights.",
        )
        return replace(setup, trained={})
    assert setup.start is not None  # it goes on
    settings = _settings_to_reach(setup.start, trained, settings)
    return replace(setup, trained=trained, settings=settings)


def _extended(
    retriever: Any, pairs: PairTable, settings: TrainingSettings
) -> tuple[TowerSetup, dict[str, TowerInput]]:
    """Make a setup with weights for new categories; also return what both tables were read as."""
    start = dict(retriever.params_)
    inputs = {}

    def extend(retriever: Any, table: Any, side: str) -> TowerInput:
        inputs[side] = found = TowerInput.extend(retriever, table, side)
        if found.former_inputs is not None:
            name = f"{side}_weights_0"
            start[name] = start[name][found.former_inputs]
        return found

    setup = replace(TowerSetup.of(retriever, pairs, settings, extend), start=start)
    if _shapes(setup.initialize(np.random.default_rng(0))) != _shapes(start):
        raise ValueError(
            f"{type(retriever).__name__} cannot go on from its parameters, because the "
            "architecture of its towers has changed. Call fit with warm_start=False."
        )
    return setup, inputs


def _settings_to_reach(
    params: Parameters, trained: Mapping[str, NDArray[np.bool_]], settings: TrainingSettings
) -> TrainingSettings:
    """Choose epochs and a learning rate by which new weights can become as large as known ones."""
    weights = params[next(iter(trained))]  # those of queries, which get the fewest steps, if any
    known = weights[weights.any(axis=1)]
    size = float(np.sqrt(np.mean(known * known))) if len(known) else 0.0
    settings = settings.with_automatic(**SCHEDULE)
    return replace(
        settings,
        max_iter=EPOCHS * settings.n_epochs,
        learning_rate_init=max(
            float(settings.learning_rate_init), REACH * size / settings.n_epochs
        ),
    )


def _shapes(params: Parameters) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in params.items()}


def _names_a_query(found: TowerInput) -> NDArray[np.bool_]:
    """Whether each input is a category of the log in the column that names its queries.

    This is the column with the most categories, such as that of the users' ids. Categories of other
    columns are shared with many queries that the log does not hold.
    """
    sizes = np.array([codes.n_codes for codes in found.transformer.categories])
    column = int(np.argmax(sizes))
    first = int(sizes[:column].sum())
    codes = found.rows.X.codes[:, column]
    named = np.zeros(found.rows.n_features, dtype=bool)
    n_numbers = found.rows.n_features - found.transformer.n_codes
    named[n_numbers + codes[codes >= first + N_SPECIAL]] = True
    return named

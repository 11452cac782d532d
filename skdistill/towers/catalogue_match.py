"""Whether a log and a catalogue are of the same items, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from skdistill.inputs.columns import column_names, row_codes, take_columns, take_rows
from skdistill.towers.pair_table import PairTable
from skdistill.user_warnings import warn_user

# Fraction of the rows of a log whose items may have left the catalogue, and of the items of a
# catalogue that may equal others.
MOST_FOREIGN, MOST_EQUAL = 0.1, 0.1
NOT_PER_PAIR = (
    "A column that changes from row to row, such as a price of the day, does not identify an item: "
    "leave it out of the item columns."
)


class ForeignItemsWarning(UserWarning):
    """Issued if many rows of a log have items that the catalogue lacks."""


def warn_of_catalogue(pairs: PairTable, log_items: Any, catalogue: Any) -> None:
    """Warn if a catalogue lacks items of many rows of a log, or many of its items are equal.

    Parameters
    ----------
    pairs : PairTable
        The log and the catalogue.
    log_items : table of shape (n_rows, n_item_columns)
        The item of each row of the log.
    catalogue : table of shape (n_items, n_item_columns)
        The catalogue.
    """
    foreign = np.flatnonzero(pairs.item >= pairs.n_catalogue)
    n_rows = len(pairs.item)
    if len(foreign) > MOST_FOREIGN * n_rows:
        warn_user(
            f"{len(foreign):,} of the {n_rows:,} rows of the log have items that are not in the "
            f"catalogue items=, in which all item columns have to agree"
            f"{differing_columns(take_rows(log_items, foreign), catalogue)}. {NOT_PER_PAIR}",
            ForeignItemsWarning,
        )
    if pairs.n_repeated > MOST_EQUAL * pairs.n_catalogue:
        warn_user(
            f"{pairs.n_repeated:,} of the {pairs.n_catalogue:,} "
            "items of the catalogue items= equal an earlier one in all item columns, and get its "
            "embedding. Rows of the log with such an item count for the first one. Add a column "
            "that tells them apart, such as an id, or drop repeated items."
        )


def differing_columns(log_items: Any, catalogue: Any) -> str:
    """Name the columns in which items of a log differ from all items of a catalogue.

    Parameters
    ----------
    log_items, catalogue : tables with the same columns
        Items of the log that are not in the catalogue, and the catalogue.

    Returns
    -------
    str
        A part of a sentence; empty if each value occurs in the catalogue.
    """
    if sparse.issparse(catalogue):
        return ""
    names = column_names(catalogue) or range(catalogue.shape[1])
    shares = {}
    for position, name in enumerate(names):
        known, found = (take_columns(table, [position]) for table in (catalogue, log_items))
        codes, of_log = row_codes(known, found)
        shares[name] = float((~np.isin(of_log, codes)).mean())
    differing = sorted((name for name in names if shares[name]), key=lambda name: -shares[name])
    shown = ", ".join(f"{name!r} ({shares[name]:.0%})" for name in differing[:3])
    return f"; values that no item of the catalogue has are in {shown}" if shown else ""

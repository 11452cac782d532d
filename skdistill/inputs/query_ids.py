"""Query ids as users pass them: checked, and turned into segments of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.inputs.checks import refuse_masked
from skdistill.inputs.ids import as_ids, id_codes, missing_ids
from skdistill.inputs.queries import Queries

# Number of queries that a fitted model remembers, and the fraction of them that may have another
# number of rows in a table that is scored. Folds without shuffling cut two queries at most.
SAMPLED_QUERIES = 256
MOST_CUT = 0.05


def check_qid(qid: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
    """Check query ids of any type and return them as an array; None stays None.

    Raises
    ------
    ValueError
        If there is not one id per row, or an id is missing (None, NaN, NaT).
    """
    if qid is None:
        return None
    refuse_masked("qid", qid, "an id of their own")
    if isinstance(qid, str):
        raise ValueError(
            f"qid must hold one query id per row, got the name {qid!r}. Pass the column itself, "
            f"qid=log[{qid!r}], or name a column of X by query_column={qid!r}."
        )
    ids = as_ids(qid)
    if ids.ndim != 1 or len(ids) != n_rows:
        raise ValueError(
            f"qid must hold one query id per row: expected shape ({n_rows},), got {ids.shape}."
            + _if_sizes(ids, n_rows)
        )
    missing = missing_ids(ids)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise ValueError(f"qid must name a query in every row: row {row} holds {ids[row]!r}.")
    return ids


def _if_sizes(ids: NDArray[Any], n_rows: int) -> str:
    """Say how ids are made of the numbers of rows of queries, which LightGBM calls group."""
    if ids.dtype.kind not in "iu" or ids.sum() != n_rows:
        return ""
    return (
        " They sum to the number of rows: if they are the numbers of rows of the queries, pass "
        "qid=np.repeat(np.arange(len(sizes)), sizes)."
    )


class QuerySample:
    """Some queries of a fit and their numbers of rows, to recognise folds that cut queries.

    Parameters
    ----------
    ids : ndarray of shape (n_rows,)
        Checked query ids.
    """

    def __init__(self, ids: NDArray[Any]) -> None:
        spaced = ids[:: -(-len(ids) // SAMPLED_QUERIES)]
        self.counts = _count(set(spaced.tolist()), ids)

    def is_cut_by(self, qid: ArrayLike) -> bool:
        """Whether many of the queries are in another table with another number of rows."""
        counts = _count(self.counts, np.asarray(qid))
        n_cut = sum(count != self.counts[query] for query, count in counts.items())
        return n_cut > MOST_CUT * len(self.counts)


def _count(wanted: Container[Any], ids: NDArray[Any]) -> Counter[Any]:
    """Count the rows of some queries."""
    ids = ids.ravel()
    if ids.dtype == object:
        return Counter(query for query in ids if query in wanted)
    # Rows of a query mostly stand together, and a run is counted at once.
    ends = np.flatnonzero(np.append(ids[1:] != ids[:-1], True)) + 1
    sizes = np.diff(ends, prepend=0)
    counts: Counter[Any] = Counter()
    for query, size in zip(ids[ends - 1].tolist(), sizes.tolist(), strict=True):
        if query in wanted:
            counts[query] += size
    return counts


def sort_by_query(
    qid: NDArray[Any] | None,
    n_rows: int,
    tie_break: NDArray[Any] | None = None,
    without_ids: Callable[[int], Queries] = Queries.single,
) -> tuple[Queries, NDArray[np.int64] | None]:
    """Sort rows by query, and the rows of a query by ``tie_break`` or the order of the table.

    Without checked ids, ``without_ids(n_rows)`` makes the queries: by default, all rows are one.

    Returns
    -------
    queries : Queries
    order : ndarray of shape (n_rows,), int64, or None
        Row of the table at each place. None if the table is already in order.

    Raises
    ------
    TypeError
        If an id has no hash value, such as a list.
    """
    if qid is None:
        order = None if tie_break is None else np.argsort(tie_break, kind="stable")
        return without_ids(n_rows), order
    codes = qid if qid.dtype.kind in "iufbM" else id_codes(qid)[0]
    order = None
    if tie_break is not None:
        order = np.lexsort((tie_break, codes))
    elif (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable")
    ordered = codes if order is None else codes[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    queries = Queries(np.concatenate([[0], starts, [n_rows]]).astype(np.int64, copy=False))
    if order is not None and np.array_equal(order, np.arange(n_rows)):
        order = None
    return queries, order

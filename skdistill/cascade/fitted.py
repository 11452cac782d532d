"""What a fitted cascade does: rank and score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skdistill.cascade.blocks import query_blocks
from skdistill.cascade.catalogue import WithCatalogue
from skdistill.cascade.cuts import Cut
from skdistill.cascade.funnel import Funnel, RankedItems, best_items, stack_ranked
from skdistill.cascade.gains import LabelledQueries, gains_of_labels, largest_labels, ndcg_of_lists
from skdistill.cascade.pair_tables import StageTable
from skdistill.cascade.restrictions import check_rows
from skdistill.cascade.spec import StageSpec, check_length, default_length, read_stages
from skdistill.index.item_ids import named_ids
from skdistill.inputs.checks import check_sample_weight
from skdistill.inputs.columns import as_table, take_rows, take_values
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.public_names import set_module
from skdistill.towers.pair_table import PairTable
from skdistill.user_warnings import warn_user

# Queries that pass through the stages at once.
QUERY_BLOCK = 256


@set_module("skdistill.cascade")
class DeadlineWarning(UserWarning):
    """A cascade returned the order of an earlier stage for some queries: its time was up."""


@set_module("skdistill.cascade")
@dataclass(frozen=True)
class RankingTrace:
    """How a cascade came to its lists.

    Attributes
    ----------
    stage : ndarray of shape (n_queries, k), int64
        Number of the stage that placed each item, from 0; -1 for padding.
    source : ndarray of shape (n_queries, k), int64, or None
        Number of the retriever that found the item first; None if there is one retriever.
    seconds : dict of str to float
        Time of each stage that was run.
    is_complete : ndarray of shape (n_queries,), bool
        Whether all stages were run for the query, before the deadline.
    """

    stage: NDArray[np.int64]
    source: NDArray[np.int64] | None
    seconds: dict[str, float]
    is_complete: NDArray[np.bool_]


class FittedCascade(WithCatalogue):
    """Base of the cascade: everything after ``fit``.

    Attributes
    ----------
    teacher_ : estimator, Booster or callable
        The fitted teacher; None if it was not kept.
    teacher_table_ : StageTable
        Builds its rows.
    teacher_log_floor_ : float or None
        Floor of the logarithms of its probabilities, to which the offset is added.
    """

    # Offsets belong to items; what score gets would be one per row.
    __metadata_request__score = {"offset": False}

    teacher_: Any
    teacher_table_: StageTable
    teacher_log_floor_: float | None

    def rank(
        self,
        queries: Any,
        k: int | None = None,
        *,
        exclude: Any = None,
        mask: Any = None,
        offset: ArrayLike | None = None,
        deadline_ms: float | None = None,
        return_stages: bool = False,
    ) -> Any:
        """Find and rank the best items of the catalogue for each query, best first.

        The candidates of the first stage pass through all others; each scores what the stage before
        passes on. If ``k`` is larger than what the last stage has scored, items that only earlier
        stages have scored follow behind it, in the order of these.

        A cascade that was fitted with an offset orders by score plus offset at every stage: with
        log bids, by bid x probability. The scores that it returns contain the offset.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query columns of ``fit``. A data frame may have further columns.
        k : int, optional
            Number of items per query; the size of the last stage by default.
        exclude : sparse matrix of shape (n_queries, n_items), optional
            Items with a non-zero entry are not returned, such as those that a query has seen.
        mask : array-like of shape (n_items,), bool, or sparse (n_queries, n_items), optional
            Items that may be returned; all by default. A sparse matrix is an allow-list per query.
        offset : array-like of shape (n_items,), optional
            Offset of each item of the catalogue for this call alone, such as the log bids of an
            auction; by default those that ``fit``, ``index`` and ``set_offset`` have set. For a
            cascade that was fitted with an offset.
        deadline_ms : float, optional
            Milliseconds after which no further stage is begun. The order of the last stage that was
            finished is returned, with a :class:`DeadlineWarning`. A stage that was begun is
            finished, and the first stage is always run.
        return_stages : bool, default=False
            Also return which stage placed each item, and the time of each stage.

        Returns
        -------
        ids : ndarray of shape (n_queries, min(k, n_items))
            Ids of the items. If fewer than k items are left, the rest is -1, or None if ids are not
            numbers.
        scores : ndarray of shape (n_queries, min(k, n_items)), float32
            Score of each item by the stage that placed it, plus its offset, such as log bid + log
            probability; -inf for missing ones. Scores of different stages cannot be compared.
        trace : RankingTrace
            Only if ``return_stages`` is True.

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        ValueError
            If a column is missing, an argument is invalid, k is larger than the size of the first
            stage, a stage cannot take its features, or there is an offset though the cascade was
            fitted without.
        TypeError
            If there is an offset, and a retriever searches by an approximate engine.

        Warns
        -----
        DeadlineWarning
            If a stage was left out for some queries.
        """
        start = time.perf_counter()
        if not hasattr(self, "funnel_"):
            check_is_fitted(self)  # which costs as much as a stage
        specs = read_stages(self.stages)
        k = min(check_length(specs, k), self.n_items)
        table = self.pair_columns_.check(queries, "query", keeps_numbers=True)
        n_queries = table.shape[0]
        exclude = check_rows("exclude", exclude, n_queries, self.n_items)
        if sparse.issparse(mask):
            mask = check_rows("mask", mask, n_queries, self.n_items)

        def is_late() -> bool:
            return deadline_ms is not None and time.perf_counter() - start > deadline_ms / 1000

        funnel = self.funnel_
        if offset is not None:
            funnel = funnel.with_offset(self.check_offset_of_items(offset, self.n_items))
        ranked, trace = _rank_blocks(funnel, table, specs, k, exclude, mask, is_late)
        if not trace.is_complete.all():
            warn_user(
                f"{(~trace.is_complete).sum()} of {n_queries} queries are ranked by an earlier "
                f"stage than {specs[-1].name!r}: {deadline_ms:g} ms were over.",
                DeadlineWarning,
            )
        answer = named_ids(self.item_ids_, ranked.item), ranked.score
        return (*answer, trace) if return_stages else answer

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Compute the mean NDCG@k of the items that the cascade ranks first in its catalogue.

        k is the size of the last stage. Items without a label count as irrelevant, and labels of
        items that are not in the catalogue do not count. Queries without a relevant item are left
        out. If the cascade was fitted with an offset, gains are multiplied by ``exp(offset)``: a
        click counts with its bid.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            A log with the columns of ``fit``.
        y : array-like of shape (n_rows,)
            Relevance, 0 or more, with the gain :math:`2^y - 1`.
        qid : array-like of shape (n_rows,), optional
            Query of each row; by default, rows with equal query columns are one query.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights. A query counts with the mean weight of its rows.
        offset : None
            Offsets belong to the items of the catalogue, and not to the rows of a log: see ``fit``
            and ``set_offset``.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or labels are negative.
        """
        if offset is not None:
            raise ValueError("A cascade ranks its catalogue: score takes no offset of rows.")
        log = self.read_labelled(X, y, qid)
        weight = check_sample_weight(sample_weight, log.queries.n_rows)
        specs = read_stages(self.stages)
        k = specs[-1].cut.size
        n_ranked = min(k, self.n_items)
        ranked, _ = _rank_blocks(
            self.funnel_, log.table, specs, n_ranked, None, None, lambda: False
        )
        values = ndcg_of_lists(ranked.item, log.gains, k)
        weights = np.ones(len(values))
        if weight is not None:
            weights = log.queries.mean(take_values(weight, log.order))
        is_defined = ~np.isnan(values)
        if not weights[is_defined].sum():
            return float("nan")
        return float(np.average(values[is_defined], weights=weights[is_defined]))

    def read_labelled(self, X: Any, y: ArrayLike, qid: ArrayLike | None) -> LabelledQueries:
        """Read a log: its queries, and what each item of the catalogue gains for them.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            A log with the columns of ``fit``.
        y : array-like of shape (n_rows,)
            Relevance, 0 or more.
        qid : array-like of shape (n_rows,), optional
            Query of each row; by default, rows with equal query columns are one query.

        Returns
        -------
        LabelledQueries

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or labels are negative.
        """
        check_is_fitted(self, "funnel_")
        X = as_table(X)
        self.check_columns(X, reset=False)
        labels = self.read_labels(y, X.shape[0])
        ids = check_qid(self.resolve_qid(X, qid), X.shape[0])
        queries, order = sort_by_query(ids, X.shape[0])
        rows, labels = take_rows(X, order), take_values(labels, order)
        columns = self.pair_columns_
        log = columns.queries(rows), columns.items(rows)
        pairs = PairTable.split(*log, queries.segment, self.funnel_.items)
        counted = (labels > 0) & (pairs.item < self.n_items)
        relevance = largest_labels(
            *(labels[counted], pairs.query[counted], pairs.item[counted]),
            (queries.n_queries, self.n_items),
        )
        table = columns.check(pairs.queries, "query", keeps_numbers=True)
        gains = gains_of_labels(relevance, self.funnel_.offset)
        return LabelledQueries(table, gains, queries, order)

    def check_places(self, k: int | None) -> int:
        """Check a number of places of the last stage, before a plan or a report.

        Parameters
        ----------
        k : int, optional
            The number; the size of the last stage by default.

        Returns
        -------
        int
            At most the number of items.

        Raises
        ------
        NotFittedError
            If the cascade is not fitted.
        ValueError
            If it is less than 1, or larger than what the last stage gets.
        """
        self.check_fitted()
        specs = read_stages(self.stages)
        k, before = default_length(specs, k), specs[-2]
        if k > before.cut.size:
            raise ValueError(
                f"k={k} items cannot come through: the stage {before.name!r} passes "
                f"{before.cut.size} to the last one. Raise its size."
            )
        return min(k, self.n_items)

    def check_fitted(self) -> None:
        """Check that the cascade is fitted, with the stages that it has now.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If stages were added, removed or renamed since ``fit``.
        """
        check_is_fitted(self, "funnel_")
        fitted = [self.funnel_.name, *(stage.name for stage in self.funnel_.stages)]
        if self.stage_names() != fitted:
            raise ValueError(
                f"The stages are {self.stage_names()}, but those of fit were {fitted}. Fit again."
            )

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue."""
        return int(self.funnel_.items.shape[0])

    def stage_cuts(self) -> list[Cut]:
        """Return what each stage passes on, by the present parameters.

        Returns
        -------
        list of Cut
        """
        return [spec.cut for spec in read_stages(self.stages)]

    def stage_names(self) -> list[str]:
        """Return the names of the stages.

        Returns
        -------
        list of str
        """
        return [spec.name for spec in read_stages(self.stages)]


def _rank_blocks(
    funnel: Funnel,
    queries: Any,
    specs: list[StageSpec],
    k: int,
    exclude: Any,
    mask: Any,
    is_late: Callable[[], bool],
) -> tuple[RankedItems, RankingTrace]:
    """Rank checked queries in blocks of bounded memory."""
    cuts = [spec.cut for spec in specs]
    blocks, seconds = [], {spec.name: 0.0 for spec in specs}
    is_complete = np.ones(queries.shape[0], dtype=bool)
    for block, table, hidden in query_blocks(queries, QUERY_BLOCK, exclude):
        allowed = mask[block] if sparse.issparse(mask) else mask
        passage = funnel.run(table, cuts, hidden, allowed, is_late)
        blocks.append(best_items(passage, cuts, k))
        is_complete[block] = len(passage.lists) == len(specs)
        for spec, spent in zip(specs, passage.seconds, strict=False):
            seconds[spec.name] += spent
    ranked = stack_ranked(blocks, k)
    return ranked, RankingTrace(ranked.stage, ranked.source, seconds, is_complete)

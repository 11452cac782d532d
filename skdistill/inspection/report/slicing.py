"""Parts of a table on which student and teacher are measured by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.ids import id_codes, missing_ids
from skdistill.inspection.report.evidence import Evidence
from skdistill.inspection.report.findings import QueryReport, SliceReport
from skdistill.metrics import RatioInterval, bootstrap_ratio, kendall_tau, ndcg_score, per_query

# Numbers with more values than this are cut into quarters.
MOST_NUMBERS = 8
# Of other columns, the most frequent values.
MOST_VALUES = 8
N_WORST = 5
LENGTH = "rows per query"


def slice_reports(evidence: Evidence) -> list[SliceReport]:
    """Measure all slices: those by the length of queries, and those that the user named."""
    lengths = evidence.queries.spread(evidence.queries.sizes)
    columns = {LENGTH: lengths, **evidence.slices}
    return [
        _slice_report(evidence, name, value, mask)
        for name, values in columns.items()
        for value, mask in _parts(values)
        if not (name == LENGTH and mask.all())
    ]


def worst_queries(evidence: Evidence) -> list[QueryReport]:
    """Find the queries of three rows or more on which student and teacher disagree most."""
    tau, teachers = evidence.tau, evidence.teacher_values
    if tau is None or teachers is None:
        return []
    comparable = np.flatnonzero(evidence.is_comparable)
    worst = comparable[np.argsort(tau[comparable], kind="stable")][:N_WORST]
    return [
        QueryReport(
            evidence.ids[query],
            int(evidence.queries.sizes[query]),
            float(tau[query]),
            float(evidence.values[query]),
            float(teachers[query]),
        )
        for query in worst.tolist()
    ]


def _parts(values: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Cut rows by their values: numbers and dates by quartiles, others by value."""
    missing = missing_ids(values)
    if values.dtype.kind in "iufbM" and len(np.unique(values[~missing])) > MOST_NUMBERS:
        numbers = values if values.dtype.kind == "M" else values.astype(np.float64)
        # Quartiles of dates are dates that occur, because a date has no half.
        method: Literal["lower", "linear"] = "lower" if values.dtype.kind == "M" else "linear"
        edges = np.unique(np.quantile(numbers[~missing], [0, 0.25, 0.5, 0.75, 1], method=method))
        for number, (low, high) in enumerate(pairwise(edges)):
            above = numbers >= low if number == 0 else numbers > low
            begin, end = _edge(low), _edge(high)
            yield (
                f"{begin} to {end}" if number == 0 else f"above {begin}, to {end}",
                above & (numbers <= high),
            )
    else:
        codes = id_codes(values)[0]
        present = np.flatnonzero(~missing)
        found, first, counts = np.unique(codes[present], return_index=True, return_counts=True)
        kept = np.argsort(-counts, kind="stable")[:MOST_VALUES]
        if values.dtype.kind in "iufb":
            kept = np.sort(kept)
        for place in kept.tolist():
            yield str(values[present[first[place]]]), (codes == found[place]) & ~missing
        rest = ~missing & ~np.isin(codes, found[kept])
        if rest.any():
            yield "others", rest
    if missing.any():
        yield "missing", missing


def _edge(value: Any) -> str:
    """Return the end of a slice as text: a number to six digits, or a date to the second."""
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[s]")).replace("T", " ")
    return f"{value:.6g}"


def _slice_report(
    evidence: Evidence, name: str, value: str, mask: NDArray[np.bool_]
) -> SliceReport:
    """Measure student and teacher on some of the rows."""
    queries = evidence.queries.subset(mask)
    qid, labels = queries.segment, evidence.labels[mask]
    offset = None if evidence.data.offset is None else evidence.data.offset[mask]

    def ndcg(scores: NDArray[Any]) -> NDArray[np.float64]:
        values = per_query(ndcg_score, labels, scores[mask], qid, k=evidence.k, offset=offset)
        # A single row is in the best order whatever its score: its NDCG of 1 would say nothing.
        return np.where(queries.sizes > 1, values, np.nan)

    ours = ndcg(evidence.scores)
    undefined = float("nan")
    its, tau, ratio = undefined, undefined, RatioInterval(undefined, undefined, undefined)
    if evidence.data.teacher_scores is not None and evidence.taught is not None:
        teachers = ndcg(evidence.data.teacher_scores)
        its = _mean(teachers)
        both = per_query(kendall_tau, evidence.taught[mask], evidence.ordered[mask], qid)
        tau = _mean(both)
        if np.nansum(teachers > 0) > 1:
            ratio = bootstrap_ratio(ours, teachers, random_state=evidence.seed)
    return SliceReport(name, value, queries.n_queries, queries.n_rows, _mean(ours), its, ratio, tau)


def _mean(values: NDArray[np.float64]) -> float:
    """Average what is defined; NaN if nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")

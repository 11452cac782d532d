"""A plan of a cascade: sizes for its stages, what they keep and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.costs import StageCost
from skdistill.cascade.fitted import FittedCascade
from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.text_tables import Table, text_table


@dataclass(frozen=True)
class Combinations:
    """All combinations of sizes that were counted, one per entry.

    Parameters
    ----------
    sizes : ndarray of shape (n_combinations, n_stages), int64
        Sizes of the stages; they do not grow.
    recall, lower : ndarray of shape (n_combinations,), float64
        Mean recall over queries, and its lower confidence bound.
    cost : ndarray of shape (n_combinations,), float64
        Microseconds per query.
    product : ndarray of shape (n_combinations,), float64
        Product of the recalls of the stages alone.
    """

    sizes: NDArray[np.int64]
    recall: NDArray[np.float64]
    lower: NDArray[np.float64]
    cost: NDArray[np.float64]
    product: NDArray[np.float64]

    def named(self, number: int, names: list[str]) -> dict[str, int]:
        """Sizes of a combination by name of the stage."""
        return dict(zip(names, self.sizes[number].tolist(), strict=True))

    def without(self, number: int, cost: StageCost) -> Combinations:
        """Combinations of the other stages: those in which a stage passes on all that it gets."""
        passed = self.sizes[:, number - 1]
        rows = np.flatnonzero(self.sizes[:, number] == passed)
        return Combinations(
            np.delete(self.sizes[rows], number, axis=1),
            self.recall[rows],
            self.lower[rows],
            self.cost[rows] - cost.of(passed[rows]),
            self.product[rows],
        )

    def frontier(self) -> NDArray[np.int64]:
        """Combinations that no other beats in both cost and recall, by ascending cost."""
        order = np.lexsort((-self.recall, self.cost))
        best = np.maximum.accumulate(self.recall[order])
        is_better = np.append(True, self.recall[order][1:] > best[:-1])
        return order[is_better]


@dataclass(frozen=True)
class PlanWithout:
    """A better plan for a cascade that lacks a stage.

    Parameters
    ----------
    stage : str
        Name of the stage that is left out.
    sizes : dict of str to int
        Number of items that each other stage returns.
    recall, lower : float
        Mean recall over queries, and its lower confidence bound.
    cost : float
        Microseconds per query.
    """

    stage: str
    sizes: dict[str, int]
    recall: float
    lower: float
    cost: float


@set_module("skdistill.cascade")
@dataclass(frozen=True, repr=False)
class CascadePlan:
    """Sizes for the stages of a cascade, with what they keep and what they cost.

    It prints as text.

    Attributes
    ----------
    sizes : dict of str to int
        Number of items that each stage returns.
    recall : float
        Fraction of the wanted items that come through, averaged over the queries.
    lower : float
        Its lower confidence bound.
    cost : float
        Microseconds per query.
    confidence : float
        Probability with which the recall of other queries is above the bound.
    product_sizes : dict of str to int, or None
        What the product of the stages' recalls would have chosen; None if it finds nothing.
    product_recall, product_cost : float
        The recall that these sizes really have, and their cost; NaN without sizes.
    teacher_cost : float
        Microseconds per query that the teacher would take for the whole catalogue, by the cost of
        the stage that it is; NaN if it is none.
    without : PlanWithout or None
        The best plan that leaves out one of the stages between the first and the last, with its
        ``stage``, ``sizes``, ``recall``, ``lower`` and ``cost``; None if it is not better.
    costs : dict of str to StageCost
        Cost of each stage.
    combinations : Combinations
        All combinations that were counted.
    """

    sizes: dict[str, int]
    recall: float
    lower: float
    cost: float
    confidence: float
    product_sizes: dict[str, int] | None
    product_recall: float
    product_cost: float
    teacher_cost: float
    without: PlanWithout | None
    costs: dict[str, StageCost]
    combinations: Combinations
    cascade: FittedCascade

    def apply(self) -> FittedCascade:
        """Set the sizes in the cascade. It need not be fitted again.

        Returns
        -------
        RankingCascade
            The cascade that was planned.
        """
        self.cascade.set_params(**{f"{name}__size": size for name, size in self.sizes.items()})
        return self.cascade

    def rows(self) -> list[list[Any]]:
        """Return the table of the stages.

        Returns
        -------
        list of list
            The heading, then a row per stage: the number of items that it gets and returns, the
            microseconds per query that it takes, and how many of these go into its features. The
            first stage gets no items.
        """
        table = Table([["stage", "gets", "returns", "us", "of these features"]])
        before = None
        for name, size in self.sizes.items():
            cost, rows = self.costs[name], size if before is None else before
            features = cost.features_per_call + cost.features_per_row * rows
            gets = "" if before is None else before
            table.append([name, gets, size, f"{cost.of(rows):.0f}", f"{features:.0f}"])
            before = size
        return table

    def frame(self) -> Any:
        """Return the combinations that no other beats in both cost and recall.

        Returns
        -------
        DataFrame
            A row per combination: the sizes, ``recall``, ``lower``, ``product`` and ``cost``.

        Raises
        ------
        ImportError
            If pandas is not installed (extra ``data``).
        """
        pandas = import_extra("pandas", "data", "CascadePlan.frame")
        every, rows = self.combinations, self.combinations.frontier()
        table = pandas.DataFrame(every.sizes[rows], columns=list(self.sizes))
        measures = {"recall": every.recall, "lower": every.lower, "product": every.product}
        return table.assign(**{n: v[rows] for n, v in measures.items()}, cost=every.cost[rows])

    def __str__(self) -> str:
        lines = [
            f"sizes {_arrows(self.sizes)}",
            f"recall {self.recall:.4f}, at least {self.lower:.4f} with {self.confidence:.0%} "
            f"confidence; {self.cost:.0f} us per query",
        ]
        if not np.isnan(self.teacher_cost):
            lines.append(f"The teacher alone, on the whole catalogue: {self.teacher_cost:.0f} us.")
        if self.without is not None:
            lines.append(
                f"Without the stage {self.without.stage!r}: {_arrows(self.without.sizes)}, recall "
                f"{self.without.recall:.4f}, at least {self.without.lower:.4f}; "
                f"{self.without.cost:.0f} us. Fit the cascade without it and plan again."
            )
        if self.product_sizes is None:
            lines.append("The product of the stages' recalls finds no such sizes.")
        elif self.product_sizes == self.sizes:
            lines.append("The product of the stages' recalls chooses the same sizes.")
        else:
            lines.append(
                "The product of the stages' recalls would have chosen "
                f"{_arrows(self.product_sizes)}: recall {self.product_recall:.4f}, "
                f"{self.product_cost:.0f} us."
            )
        return "\n".join([*lines, "", text_table(self.rows())])

    __repr__ = __str__


def _arrows(sizes: dict[str, int]) -> str:
    return " -> ".join(f"{name} {size}" for name, size in sizes.items())

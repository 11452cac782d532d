"""Losses: one file per family, one frozen dataclass per loss, all behind the contract ``Loss``.

To write another loss, subclass :class:`skdistill.protocols.Loss`. Pass an instance as ``loss=``.
Enter the class in ``LOSSES`` to name it in recipes and grids and to store it in files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skdistill._sklearn_compat import HasMethods
from skdistill.inputs.queries import Queries
from skdistill.losses.listwise import Listwise, PlackettLuce
from skdistill.losses.pairwise import Lambda, Margin, Pairwise
from skdistill.losses.pointwise import Logistic, Pointwise
from skdistill.losses.rank_listwise import RankListwise
from skdistill.losses.top_k import TopK
from skdistill.protocols import Array, Loss
from skdistill.public_names import publish
from skdistill.user_warnings import warn_user

__all__ = [
    "LOSSES",
    "LOSS_CONSTRAINTS",
    "Lambda",
    "Listwise",
    "Logistic",
    "Margin",
    "Pairwise",
    "PlackettLuce",
    "Pointwise",
    "RankListwise",
    "TopK",
    "get_loss",
]

# Every loss by name. Files, recipes and the tests derive their lists from this one.
LOSSES: dict[str, Callable[..., Loss]] = {
    "pointwise": Pointwise,
    "logistic": Logistic,
    "pairwise": Pairwise,
    "margin": Margin,
    "lambda": Lambda,
    "listwise": Listwise,
    "rank_listwise": RankListwise,
    "plackett_luce": PlackettLuce,
    "top_k": TopK,
}


# Valid values of an estimator's parameter ``loss``.
LOSS_CONSTRAINTS = [str, HasMethods(["soft_target", "hard_target", "value_and_gradient"])]


def get_loss(loss: str | Loss, temperature: float = 1.0) -> Loss:
    """Look up a loss by its name.

    Parameters
    ----------
    loss : str or Loss
        A name in ``LOSSES``, or an object that keeps the contract
        :class:`skdistill.protocols.Loss`.
    temperature : float, default=1.0
        Passed to a named loss that has a temperature.

    Returns
    -------
    Loss
        A new loss for a name; an object is returned as it is.

    Raises
    ------
    ValueError
        If the name is not in ``LOSSES``, or the object is not a loss.

    Examples
    --------
    >>> from skdistill.losses import get_loss
    >>> get_loss("listwise", temperature=2.0)
    Listwise(temperature=2.0)
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {sorted(LOSSES)} or a Loss, got {loss!r}.")
        kind = LOSSES[loss]
        return kind(temperature=temperature) if has_temperature(kind) else kind()
    if isinstance(loss, Loss):
        return loss
    lacking = [name for name in Loss.__abstractmethods__ if not hasattr(loss, name)]
    if lacking:
        raise ValueError(
            f"loss must be one of {sorted(LOSSES)} or keep the contract Loss; "
            f"{loss!r} lacks {sorted(lacking)}."
        )
    warn_user(
        f"{type(loss).__name__} keeps only the contract of skdistill 0.1.0, which will be an error "
        "from 0.3 on. Subclass skdistill.protocols.Loss, which has defaults for everything that "
        "was added since.",
        FutureWarning,
    )
    return FormerLoss(loss)


def has_temperature(kind: Callable[..., Loss]) -> bool:
    """Whether a loss takes a temperature."""
    return "temperature" in inspect.signature(kind).parameters


@dataclass(frozen=True)
class FormerLoss(Loss):
    """Wraps a loss that has only the three methods of 0.1.0; the rest are the defaults."""

    inner: Any

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        return self.inner.soft_target(teacher_scores, queries)

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        return self.inner.hard_target(labels, queries)

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        return self.inner.value_and_gradient(scores, target, queries, weight)


publish(__name__)

"""Losses: one file a family, one frozen dataclass a loss, all behind the contract ``Loss``.

``get_loss`` turns a name into a loss; an object of the user's own that follows
:class:`skdistill.protocols.Loss` passes through, so a new loss needs no registration.
"""

from __future__ import annotations

from collections.abc import Callable

from skdistill.losses.listwise import Listwise, PlackettLuce
from skdistill.losses.pairwise import Lambda, Margin, Pairwise
from skdistill.losses.pointwise import Logistic, Pointwise
from skdistill.losses.top_k import TopK
from skdistill.protocols import Loss

__all__ = [
    "LOSSES",
    "Lambda",
    "Listwise",
    "Logistic",
    "Margin",
    "Pairwise",
    "PlackettLuce",
    "Pointwise",
    "TopK",
    "get_loss",
]

LOSSES: dict[str, Callable[..., Loss]] = {
    "pointwise": Pointwise,
    "logistic": Logistic,
    "pairwise": Pairwise,
    "margin": Margin,
    "lambda": Lambda,
    "listwise": Listwise,
    "plackett_luce": PlackettLuce,
    "top_k": TopK,
}

WITH_TEMPERATURE = {"pairwise", "lambda", "listwise"}


def get_loss(loss: str | Loss, temperature: float = 1.0) -> Loss:
    """The loss of a name, at a temperature where the loss has one; a ``Loss`` as it is.

    Raises
    ------
    ValueError
        For a name that is none of ``LOSSES``.
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {sorted(LOSSES)} or a Loss, got {loss!r}.")
        return LOSSES[loss](temperature) if loss in WITH_TEMPERATURE else LOSSES[loss]()
    if not isinstance(loss, Loss):
        lacking = [
            name
            for name in ("soft_target", "hard_target", "value_and_gradient")
            if not hasattr(loss, name)
        ]
        raise ValueError(
            f"loss must be one of {sorted(LOSSES)} or follow the Loss protocol; "
            f"{loss!r} lacks {lacking}."
        )
    return loss

"""Training: the objective, the batches, the optimizers and early stopping."""

from skdistill.public_names import publish
from skdistill.training.optimizers import OPTIMIZERS, AdaGrad, Adam, Optimizer
from skdistill.training.schedules import SCHEDULES

__all__ = ["OPTIMIZERS", "SCHEDULES", "AdaGrad", "Adam", "Optimizer"]

publish(__name__)

"""Training: what is minimised, in which steps, and when it stops."""

from skdistill.training.optimizers import OPTIMIZERS, AdaGrad, Adam, Optimizer

__all__ = ["OPTIMIZERS", "AdaGrad", "Adam", "Optimizer"]

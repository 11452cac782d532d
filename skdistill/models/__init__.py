"""Differentiable scorers, stateless: parameters in, scores and gradients out."""

from skdistill.models.factorization_machine import FactorizationMachine
from skdistill.models.network import MLP, Linear, Network

__all__ = ["MLP", "FactorizationMachine", "Linear", "Network"]

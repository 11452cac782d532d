"""Differentiable scorers without state: parameters go in, scores and gradients come out."""

from skdistill.models.factorization_machine import FactorizationMachine
from skdistill.models.network import MLP, Linear, Network
from skdistill.models.piecewise_network import PiecewiseNetwork
from skdistill.models.two_tower import TwoTower
from skdistill.public_names import publish

__all__ = [
    "MLP",
    "FactorizationMachine",
    "Linear",
    "Network",
    "PiecewiseNetwork",
    "TwoTower",
]

publish(__name__)

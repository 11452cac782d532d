"""The three small contracts that carry the package: loss, model, teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from skdistill.inputs import RowGradient
from skdistill.queries import Queries

Array = NDArray[Any]
Parameters = dict[str, Array]
Gradients = Mapping[str, "Array | RowGradient"]

# Rows that are scored at once. They and their activations fit the second-level cache; larger blocks
# are slower, not faster.
BLOCK = 448


@runtime_checkable
class Loss(Protocol):
    """What a student is trained to make small. It sees scores, never a model.

    A loss is told once what it has to fit (``soft_target`` of a teacher's scores, ``hard_target``
    of labels: one row of numbers a row of data, in a form of its own), then asked again and again
    for its value at the student's scores.
    """

    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        """What this loss needs to know of a teacher's scores, first axis the rows."""

    def hard_target(self, labels: Array, queries: Queries) -> Array:
        """What this loss needs to know of true labels (no NaN), first axis the rows."""

    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        """Mean over queries, and its derivative with respect to each score."""


@runtime_checkable
class Model(Protocol):
    """A differentiable scorer without state of its own: hyper-parameters in, arrays in and out."""

    def row_parameters(self, inputs: Any) -> tuple[str, ...]:
        """Parameters of which a batch of these inputs changes only some rows."""

    def initialize(self, n_features: Any, rng: Any) -> Parameters:
        """Fresh parameters, named float32 arrays; two towers are told two numbers of columns."""

    def forward(self, params: Parameters, inputs: Any) -> tuple[Array, Any]:
        """Scores of the inputs (``Rows`` or ``Pairs``), and what ``backward`` needs to remember."""

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        """Gradient of each parameter, given that of the scores."""


@runtime_checkable
class Teacher(Protocol):
    """Anything that turns rows into scores."""

    def predict(self, X: Any) -> Array:
        """Scores of shape (n_rows,)."""

"""Factorization machine of second order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.inputs.code_rows import CodeRows, FoldsCodes
from skdistill.inputs.rows import RowGradient, Rows, square
from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols import Array, Gradients, GraphBuilder, Parameters, StudentModel


@dataclass(frozen=True)
class FactorizationMachine(StudentModel, FoldsCodes):
    r"""A linear model with an interaction of every pair of columns.

    The score is :math:`b + \sum_i w_i x_i + \sum_{i<j} \langle v_i, v_j \rangle x_i x_j`, where
    :math:`v_i` are the factors of column i. The interactions of n columns with k factors are
    computed in O(k n) as :math:`\frac{1}{2} (\sum_f (\sum_i v_{if} x_i)^2 - \sum_i u_i x_i^2)` with
    :math:`u_i = \lVert v_i \rVert^2`.

    Parameters
    ----------
    n_factors : int, default=16
        Number of factors k per column.

    References
    ----------
    Rendle, "Factorization Machines", ICDM 2010.
    """

    n_factors: int = 16

    def row_parameters(self, inputs: Rows) -> tuple[str, ...]:
        # In wide CSR tables a batch touches few columns.
        return ("linear", "factors") if inputs.is_wide else ()

    def initialize(self, n_features: int, rng: Any) -> Parameters:
        factors = 0.01 * rng.standard_normal((n_features, self.n_factors))
        return {
            "bias": np.zeros(1, dtype=np.float32),
            "linear": np.zeros(n_features, dtype=np.float32),
            "factors": factors.astype(np.float32),
        }

    def forward(self, params: Parameters, inputs: Rows) -> tuple[Array, Any]:
        sums = inputs.dot(params["factors"])
        interactions = np.einsum("ij,ij->i", sums, sums) - inputs.square_norms(params["factors"])
        output = inputs.dot(params["linear"]) + interactions / 2 + params["bias"]
        return output, (inputs, sums)

    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        inputs, sums = cache
        linear = inputs.gradient(grad_output)
        factors = inputs.gradient(grad_output[:, None] * sums)
        norms = inputs.squared.gradient(grad_output)
        gradient: Array | RowGradient
        if isinstance(factors, RowGradient):
            assert isinstance(norms, RowGradient)
            touched = params["factors"][factors.rows]
            gradient = RowGradient(factors.rows, factors.values - norms.values[:, None] * touched)
        else:
            assert isinstance(norms, np.ndarray)
            gradient = factors - norms[:, None] * params["factors"]
        return {"bias": grad_output.sum(keepdims=True), "linear": linear, "factors": gradient}

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array:
        inputs, sums = cache
        factors = params["factors"]
        norms = np.einsum("ij,ij->i", factors, factors)
        gradient = params["linear"] + sums @ factors.T - inputs.X * norms
        return gradient * grad_output[:, None]

    def fold_codes(self, params: Parameters, kept: Array, codes: CodeRows) -> Parameters:
        # The columns of a code interact with each other, which is a constant of the code. The
        # factors of the code would subtract their own norm instead; the linear term makes up.
        factors, linear = codes.dot(params["factors"]), codes.dot(params["linear"])
        norms = np.einsum("ij,ij->i", params["factors"], params["factors"])
        linear += (np.einsum("ij,ij->i", factors, factors) - codes.squared.dot(norms)) / 2
        return params | {
            name: np.concatenate([params[name][kept], rows]).astype(np.float32)
            for name, rows in {"factors": factors, "linear": linear}.items()
        }

    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        # A scaled column is z = (q - shift) * scale, so z^2 is a polynomial in q. Its coefficients
        # of q^2 and q are added to the vectors, and the rest to the constant.
        shift, scale = scaler.shift_and_scale(len(params["linear"]))
        squares = np.einsum("ij,ij->i", params["factors"], params["factors"]) * scale**2
        factors = params["factors"] * scale[:, None]
        linear = params["linear"] * scale
        moved = slice(len(scaler.scale))  # not flags and codes
        constant = params["bias"][0] - linear[moved] @ shift[moved]
        constant -= squares[moved] @ shift[moved] ** 2 / 2
        return {
            "factors": factors,
            "sums": -(shift[moved] @ factors[moved]),
            "linear": linear + squares * shift,
            "squares": squares / 2,
            "constant": constant.reshape(1),
        }

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """One buffer with a column per factor."""
        return (self.n_factors,)

    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        if isinstance(X, np.ndarray):
            sums = np.matmul(X, folded["factors"], out=workspace[0][: len(X)])
        else:
            sums = X @ folded["factors"]
        sums += folded["sums"]
        output = np.einsum("ij,ij->i", sums, sums) / 2
        output += X @ folded["linear"]
        output -= square(X) @ folded["squares"]
        output += folded["constant"]
        return output

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        folded = self.fold(params, scaler)

        sums = graph.dot(X, folded["factors"], folded["sums"])
        axis = graph.constant(np.array([1]))
        squares = graph.add("ReduceSum", graph.add("Mul", sums, sums), axis, keepdims=1)
        output = graph.add("Mul", squares, graph.constant(np.float32(0.5)))
        output = graph.add("Add", output, graph.dot(X, folded["linear"].reshape(-1, 1)))
        squared = graph.dot(graph.square(X), folded["squares"].reshape(-1, 1))
        output = graph.add("Sub", output, squared)
        return graph.add("Add", output, graph.constant(folded["constant"]))

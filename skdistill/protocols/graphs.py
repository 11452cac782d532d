"""The contract of an ONNX graph under construction."""

from __future__ import annotations

from typing import Any, Protocol

from skdistill.protocols.types import Array


class GraphBuilder(Protocol):
    """An ONNX graph under construction, to which a model adds operators."""

    def constant(self, values: Any) -> str:
        """Add a constant to the graph.

        Parameters
        ----------
        values : array-like
            Stored as int64 if they are integers, else as float32.

        Returns
        -------
        str
            Name of the constant.
        """

    def input_constant(self, values: Any) -> str:
        """Add a constant of the dtype of the graph's input columns.

        Parameters
        ----------
        values : array-like
            Numbers.

        Returns
        -------
        str
            Name of the constant.
        """

    def dot(self, X: str, weights: Array, bias: Array | None = None) -> str:
        """Multiply the graph's input columns, which may have categories, by constant weights.

        Parameters
        ----------
        X : str
            Name of the input columns, of shape (n_rows, n_inputs).
        weights : ndarray of shape (n_inputs, n_outputs)
            Weights of a first layer.
        bias : ndarray of shape (n_outputs,), optional
            Added to the product.

        Returns
        -------
        str
            Name of the product, of shape (n_rows, n_outputs).
        """

    def numbers(self, X: str) -> str:
        """Leave the categories of the graph's input columns out, which ``dot`` multiplies.

        Parameters
        ----------
        X : str
            Name of the input columns.

        Returns
        -------
        str
            Name of the columns of numbers, for any operator.
        """

    def square(self, X: str) -> str:
        """Square the graph's input columns.

        Parameters
        ----------
        X : str
            Name of the input columns.

        Returns
        -------
        str
            Name of the squares, for ``dot``.
        """

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output to the graph.

        Parameters
        ----------
        operator : str
            ONNX operator type, such as "Gemm".
        *inputs : str
            Names of the operator's inputs.
        **attributes : object
            Attributes of the operator.

        Returns
        -------
        str
            Name of the output.
        """

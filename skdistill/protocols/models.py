"""The contracts of models: to be trained, to be served, and both."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

from skdistill.inputs.scaling import ColumnScaler
from skdistill.protocols.graphs import GraphBuilder
from skdistill.protocols.types import Array, Gradients, Parameters


@runtime_checkable
class TrainableModel(Protocol):
    """A differentiable scorer. It holds hyper-parameters only; the caller passes the parameters."""

    def row_parameters(self, inputs: Any) -> tuple[str, ...]:
        """Name the parameters whose gradient is a ``RowGradient`` for batches of these inputs.

        The optimizer updates only the touched rows of these parameters.

        Parameters
        ----------
        inputs : Rows or Pairs
            The training inputs, of which each batch is a part.

        Returns
        -------
        tuple of str
            Empty by default.
        """
        return ()

    def fixed_parameters(self, inputs: Any) -> tuple[str, ...]:
        """Name the parameters that training leaves as they are.

        Parameters
        ----------
        inputs : Rows or Pairs
            The training inputs, of which each batch is a part.

        Returns
        -------
        tuple of str
            Empty by default.
        """
        return ()

    @property
    def n_hidden_units(self) -> int:
        """Number of hidden units, by which ``weight_decay="auto"`` is chosen; 0 by default."""
        return 0

    @property
    def undecayed_parameters(self) -> tuple[str, ...]:
        """Names of parameters that weight decay skips, beside those with "bias" in their name.

        Empty by default.
        """
        return ()

    @abstractmethod
    def initialize(self, n_features: Any, rng: Any) -> Parameters:
        """Create the parameters that training starts from.

        Parameters
        ----------
        n_features : int or tuple of int
            Number of input columns; for two towers, the number of query and of item columns.
        rng : numpy.random.Generator
            Source of the random initial values.

        Returns
        -------
        dict of str to ndarray, float32
            Weight decay skips parameters with "bias" in their name.
        """

    @abstractmethod
    def forward(self, params: Parameters, inputs: Any) -> tuple[Array, Any]:
        """Compute the outputs, and keep what ``backward`` needs.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters by name.
        inputs : Rows or Pairs
            The rows, or pairs of a query and an item, to score.

        Returns
        -------
        outputs : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Scores. The caller may overwrite them.
        cache : object
            Intermediate results, only for ``backward``.
        """

    @abstractmethod
    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        """Compute the gradient of each parameter from the gradient of the outputs.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters by name, as passed to ``forward``.
        cache : object
            What ``forward`` returned.
        grad_output : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Derivative of the objective with respect to the outputs.

        Returns
        -------
        mapping of str to ndarray or RowGradient
            One gradient per parameter.
        """


@runtime_checkable
class ScoringModel(Protocol):
    """A model at serving time: it folds its parameters once and then scores blocks of rows."""

    @abstractmethod
    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        """Fold the scaler's shift and scale into the parameters.

        Parameters
        ----------
        params : dict of str to ndarray
            Trained parameters, for scaled columns.
        scaler : ColumnScaler
            Its shift and scale go into the parameters; see :meth:`ColumnScaler.fold_layer`.

        Returns
        -------
        dict of str to ndarray
            Parameters that give the same outputs on columns after the softsign, before shift and
            scale.
        """

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """Number of columns of each buffer that ``score`` needs; no buffers by default."""
        return ()

    @abstractmethod
    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        """Score a block of rows.

        Parameters
        ----------
        folded : dict of str to ndarray
            What ``fold`` returned.
        X : ndarray, MixedTable or CSR matrix of shape (n_rows, n_features)
            Columns after the softsign, before shift and scale, of the dtype of ``folded``. All
            three can be multiplied by weights: ``X @ weights``.
        workspace : list of ndarray
            One buffer of at least n_rows rows for each entry of ``buffer_widths``. The model may
            overwrite the buffers, and return one of them.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
            The outputs of ``forward``.
        """

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        """Write the same computation as ONNX operators.

        Parameters
        ----------
        graph : GraphBuilder
            The graph to which the operators are added.
        params : dict of str to ndarray
            Trained parameters, not folded.
        scaler : ColumnScaler
            Its shift and scale must be applied, or folded into the parameters.
        X : str
            Name of the graph's input columns, of shape (n_rows, n_features), after the softsign
            and before shift and scale. Only ``graph.dot`` and ``graph.square`` take categories.

        Returns
        -------
        str
            Name of the outputs, of shape (n_rows, n_outputs).

        Raises
        ------
        TypeError
            By default, because a model need not have an ONNX form.
        """
        raise TypeError(f"{type(self).__name__} has no ONNX form: it does not define add_to_graph.")


@runtime_checkable
class StudentModel(TrainableModel, ScoringModel, Protocol):
    """A model that can be trained and served; every student wraps one."""

    def adapt(self, params: Parameters, sample: Any) -> Parameters:
        """Set the parameters that depend on how the columns are distributed.

        Called once, after ``initialize``.

        Parameters
        ----------
        params : dict of str to ndarray
            What ``initialize`` returned.
        sample : Rows
            Some of the scaled training rows.

        Returns
        -------
        dict of str to ndarray, float32
            Parameters of the same names and shapes; by default, those that were passed.
        """
        return params

    def input_gradient(self, params: Parameters, cache: Any, grad_output: Array) -> Array | None:
        """Compute the gradient of each input from the gradient of the outputs.

        Parameters
        ----------
        params : dict of str to ndarray
            Parameters by name, as passed to ``forward``.
        cache : object
            What ``forward`` returned for dense rows.
        grad_output : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Derivative of a function of the scores with respect to the outputs.

        Returns
        -------
        ndarray of shape (n_rows, n_features), or None
            None by default: the student then has no ``feature_importances_``.
        """
        return None

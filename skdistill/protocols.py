"""The contracts of the package: loss, model, teacher.

Each contract names everything that the training loop, the compiled scorer, the ONNX export, files
and recipes ask for. Subclass a contract to inherit its defaults. ``skdistill.testing`` checks
whether a class that you wrote keeps it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import RowGradient
from skdistill.inputs.scaling import ColumnScaler

Array = NDArray[Any]
Parameters = dict[str, Array]
Gradients = Mapping[str, "Array | RowGradient"]


@runtime_checkable
class Loss(Protocol):
    """A function of scores that training minimises. A loss never sees a model.

    Before training, a loss turns what it has to fit into a target: ``soft_target`` converts a
    teacher's scores, ``hard_target`` converts labels. During training,
    ``value_and_gradient`` compares the student's scores with that target.

    Write a loss as a frozen dataclass. If it has a field ``temperature``, the students' parameter
    of that name sets it.
    """

    @abstractmethod
    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        """Convert a teacher's scores into the target of this loss.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
            Finite scores of the training rows, sorted by query.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_values)
            What ``value_and_gradient`` gets as ``target``, row by row.
        """

    @abstractmethod
    def hard_target(self, labels: Array, queries: Queries) -> Array:
        """Convert labels into the target of this loss.

        Parameters
        ----------
        labels : ndarray of shape (n_rows,), float64
            Relevance of the labelled training rows, without NaN, sorted by query.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_values)
            What ``value_and_gradient`` gets as ``target``, row by row.
        """

    @abstractmethod
    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        """Compute the mean loss over queries and its gradient with respect to the scores.

        Parameters
        ----------
        scores : ndarray of shape (n_rows,), float32 or float64
            The student's scores of a batch of whole queries.
        target : ndarray of shape (n_rows,) or (n_rows, n_values)
            Rows of what ``soft_target`` or ``hard_target`` returned, of the dtype of ``scores``.
        queries : Queries
            Segments of the batch.
        weight : ndarray of shape (n_rows,), optional
            Row weights; each multiplies its row's term.

        Returns
        -------
        value : float
            Mean over the queries of the batch.
        gradient : ndarray of shape (n_rows,)
            Derivative of the value, of the dtype of ``scores``.
        """

    @property
    def logit_scale(self) -> float | None:
        """Score per logit if the loss is a softmax over a list, else None.

        It decides how a row of importance w (1 / probability of its draw) is corrected for. In a
        softmax, the logarithm of w is added to the row's logit. In other losses, w multiplies the
        row's term.
        """
        return None

    @property
    def is_log_odds(self) -> bool:
        """Whether scores trained by this loss are log-odds of a positive label."""
        return False

    @property
    def compares_rows(self) -> bool:
        """Whether the loss teaches nothing unless rows of one query differ in what they have.

        If so, students warn about data in which no query has two different labels or scores.
        """
        return True

    def score_unit(self, teacher_scores: Array) -> float:
        """Return the difference in teacher score that equals one unit of the student's score.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
            Scores of the training rows.

        Returns
        -------
        float
            1 unless the loss standardises its targets.
        """
        return 1.0


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


@runtime_checkable
class Teacher(Protocol):
    """Anything that scores rows.

    Classifiers score with ``predict_proba`` or ``decision_function`` instead of ``predict``. A
    teacher with a method ``fit(X, y)`` is fitted unless it is frozen. It gets the queries through
    whichever of the parameters ``qid``, ``group_id`` and ``group`` its ``fit`` takes. A teacher
    without ``fit`` is used as it is.
    """

    @abstractmethod
    def predict(self, X: Any) -> Array:
        """Score rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns that the teacher was fitted on.

        Returns
        -------
        ndarray of shape (n_rows,)
            One score per row; higher is better.
        """

"""The contracts that carry the package: loss, model, teacher.

Each contract names everything that the training loop, the compiled scorer, ONNX, files and recipes
ask for. Subclass a contract to inherit its defaults; ``skdistill.testing`` checks whether a class
of your own keeps it.
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
    """What a student is trained to make small. A loss sees scores, never a model.

    A loss first turns what it has to fit into a target of its own form: ``soft_target`` of a
    teacher's scores, ``hard_target`` of labels. The training loop then asks for its value at the
    student's scores again and again.

    Write a loss as a frozen dataclass. If it has a field ``temperature``, the students' parameter
    of that name sets it.
    """

    @abstractmethod
    def soft_target(self, teacher_scores: Array, queries: Queries) -> Array:
        """What this loss needs to know of a teacher's scores.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,), float64
        queries : Queries

        Returns
        -------
        ndarray of shape (n_rows, ...)
        """

    @abstractmethod
    def hard_target(self, labels: Array, queries: Queries) -> Array:
        """What this loss needs to know of true labels.

        Parameters
        ----------
        labels : ndarray of shape (n_rows,), float64
            Without NaN.
        queries : Queries

        Returns
        -------
        ndarray of shape (n_rows, ...)
        """

    @abstractmethod
    def value_and_gradient(
        self, scores: Array, target: Array, queries: Queries, weight: Array | None = None
    ) -> tuple[float, Array]:
        """Mean over queries, and its derivative with respect to each score.

        Parameters
        ----------
        scores : ndarray of shape (n_rows,)
        target : ndarray of shape (n_rows, ...)
        queries : Queries
        weight : ndarray of shape (n_rows,), optional
            Multiplies each row's term.

        Returns
        -------
        value : float
        gradient : ndarray of shape (n_rows,)
            Of the dtype of ``scores``.
        """

    @property
    def logit_scale(self) -> float | None:
        """Score of one logit if the loss is a softmax over a list, else None.

        A sampled row of importance w then enters the softmax with the logarithm of w added to its
        logit. For other losses its term is weighted by w.
        """
        return None

    @property
    def is_log_odds(self) -> bool:
        """Whether scores trained by this loss are log-odds of a positive label."""
        return False

    def score_unit(self, teacher_scores: Array) -> float:
        """Teacher score that one unit of the student's score stands for.

        Parameters
        ----------
        teacher_scores : ndarray of shape (n_rows,)

        Returns
        -------
        float
            1 unless the loss standardises its targets.
        """
        return 1.0


@runtime_checkable
class TrainableModel(Protocol):
    """A differentiable scorer without state: hyper-parameters in, arrays in and out."""

    def row_parameters(self, inputs: Any) -> tuple[str, ...]:
        """Parameters whose gradient comes as a ``RowGradient`` for batches of these inputs.

        Parameters
        ----------
        inputs : Rows or Pairs

        Returns
        -------
        tuple of str
            None by default. The optimizer then also walks over rows that a batch did not touch.
        """
        return ()

    @abstractmethod
    def initialize(self, n_features: Any, rng: Any) -> Parameters:
        """Fresh parameters.

        Parameters
        ----------
        n_features : int
            Columns of the input; two towers are told two such numbers.
        rng : numpy.random.Generator

        Returns
        -------
        dict of ndarray, float32
            Weight decay leaves out those with "bias" in their name.
        """

    @abstractmethod
    def forward(self, params: Parameters, inputs: Any) -> tuple[Array, Any]:
        """Outputs of the inputs, and what ``backward`` needs to remember.

        Parameters
        ----------
        params : dict of ndarray
        inputs : Rows or Pairs

        Returns
        -------
        outputs : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        cache : object
        """

    @abstractmethod
    def backward(self, params: Parameters, cache: Any, grad_output: Array) -> Gradients:
        """Gradient of each parameter, given that of the outputs.

        Parameters
        ----------
        params : dict of ndarray
        cache : object
        grad_output : ndarray
            Of the shape of the outputs.

        Returns
        -------
        mapping of str to ndarray or RowGradient
        """


class GraphBuilder(Protocol):
    """What a model writes its ONNX operators into."""

    def constant(self, values: Any) -> str:
        """Name of a constant: float32, or int64 if the values are integers."""

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Name of an operator's output."""


@runtime_checkable
class ScoringModel(Protocol):
    """A model at serving time: parameters folded once, blocks of rows scored fast."""

    @abstractmethod
    def fold(self, params: Parameters, scaler: ColumnScaler) -> Parameters:
        """Parameters of the same outputs on softsigned, unscaled columns.

        Parameters
        ----------
        params : dict of ndarray
        scaler : ColumnScaler
            Its shift and scale go into the parameters; see :meth:`ColumnScaler.fold_layer`.

        Returns
        -------
        dict of ndarray
        """

    @property
    def buffer_widths(self) -> tuple[int, ...]:
        """Columns of each buffer that ``score`` needs; none by default."""
        return ()

    @abstractmethod
    def score(self, folded: Parameters, X: Any, workspace: list[Array]) -> Array:
        """Outputs of a block of softsigned rows.

        Parameters
        ----------
        folded : dict of ndarray
        X : ndarray or CSR matrix of shape (n_rows, n_features)
        workspace : list of ndarray
            A buffer of at least n_rows rows for each of ``buffer_widths``. They may be overwritten,
            and the outputs may be one of them.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
        """

    def add_to_graph(
        self, graph: GraphBuilder, params: Parameters, scaler: ColumnScaler, X: str
    ) -> str:
        """Write the same computation as ONNX operators.

        Parameters
        ----------
        graph : GraphBuilder
        params : dict of ndarray
            Not folded.
        scaler : ColumnScaler
        X : str
            Name of the softsigned, unscaled columns, shape (n_rows, n_features).

        Returns
        -------
        str
            Name of the outputs, shape (n_rows, n_outputs).

        Raises
        ------
        TypeError
            By default: the model has no ONNX form.
        """
        raise TypeError(f"{type(self).__name__} has no ONNX form: it lacks add_to_graph.")


@runtime_checkable
class StudentModel(TrainableModel, ScoringModel, Protocol):
    """What a student is the estimator of: a model that can be trained and served."""


@runtime_checkable
class Teacher(Protocol):
    """Anything that scores rows.

    Classifiers score by ``predict_proba`` or ``decision_function`` instead of ``predict``. A
    teacher that is to be fitted has a ``fit(X, y)``, which is told the queries by the parameter
    that it takes: ``qid``, ``group_id`` or ``group``. Without a ``fit`` it is used as it is.
    """

    @abstractmethod
    def predict(self, X: Any) -> Array:
        """Scores of rows, higher is better.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """

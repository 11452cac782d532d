"""A student of several objectives: a shared trunk, a head per objective, one combined score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs.alignment import call_aligned
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import Rows
from skdistill.models import Network, PiecewiseNetwork
from skdistill.multi_objective import OBJECTIVES_CONSTRAINTS, TEACHER, WithObjectives
from skdistill.protocols import Loss, Parameters, StudentModel, TrainableModel
from skdistill.students.estimator import StudentEstimator
from skdistill.students.knots import KNOTS_CONSTRAINTS, WithKnots
from skdistill.students.mlp import DECAY_CONSTRAINTS, LAYER_CONSTRAINTS, check_layer_sizes
from skdistill.training.early_stopping import Validate, mean_of, quality_on
from skdistill.training.objective import HeadsObjective


@dataclass(kw_only=True, eq=False, repr=False)
class MultiObjectiveRanker(WithKnots, WithObjectives, StudentEstimator):
    """A network that learns several objectives, such as clicks, purchases and a teacher's scores.

    All objectives share a trunk and have an output each; without hidden layers, each has a linear
    model. Distillation is one more objective beside the others, or, with
    ``objectives={"teacher": "listwise"}``, the only one.

    Parameters
    ----------
    objectives : dict of str to (str or Loss)
        Loss of each objective. The keys name the columns of y if it is a data frame; the columns of
        an array are taken in the order of the keys. The key "teacher" denotes the teacher's scores.
    hidden_layer_sizes : tuple of int, default=(64, 32)
        Number of units of each layer of the shared trunk; ``()`` makes it linear.
    n_knots : int, default=0
        Largest number of knots in each column of numbers. They lie at quantiles, and cut the column
        into pieces, of which each has weights of its own. 4 bring most students closer to the order
        of a teacher of trees. Needs a dense table.
    objective_weights : dict of str to float, optional
        Weight of each objective; 1 for those that are not named.
    balance : {"fixed", "gradient"}, default="fixed"
        With "gradient", a weight determines how much an objective moves the parameters, whatever
        the scale of its loss.
    combine : dict of str to float, or callable, optional
        How ``predict`` combines the heads. A dict holds the weight of each output (log-odds for
        logistic heads), 0 for those that are not named; by default all outputs are summed. A
        callable ``combine(outputs, X)`` gets a dict of arrays, with probabilities for logistic
        heads, and the table, with the index 0, 1, 2, ... if it is a data frame:
        ``lambda outputs, X: outputs["click"] * outputs["purchase"] * X[:, 3]``.
    temperature : float, default=1.0
        Divides the teacher's and the student's scores in losses that have a temperature. It does
        not apply to labels.
    max_iter : int, default=30
        Number of epochs.
    batch_size : int or "auto", default="auto"
        Number of queries per step. "auto" is 16, or 256 if each row is a query of its own.
    max_batch_rows : int, default=8192
        Largest number of rows per step. A longer query is cut into random lists, anew in each
        epoch.
    optimizer : {"adam", "adagrad"}, default="adam"
        "adagrad" suits id columns of very different frequency.
    learning_rate_init : float, default=3e-3
        Learning rate before the schedule.
    learning_rate : {"constant", "cosine", "linear"}, default="cosine"
        Schedule over the whole training.
    weight_decay : float or "auto", default="auto"
        Decoupled weight decay of the hidden layers. "auto" is the more, the more units they have,
        and the fewer steps an epoch has; it is 1 for 96 units and 67 steps, and 3 at the most. It
        is 0.01 in ``partial_fit``, and for tables with more than a thousand one-hot columns.
    early_stopping : bool or "auto", default="auto"
        Stop when NDCG@10 on the rows of ``X_val`` or, with True and without ``X_val``, on held-out
        queries stops improving, and restore the best epoch. "auto" stops early if ``fit`` gets
        ``X_val``, or at least 10,000 labelled rows that are each a query of its own. Of such rows,
        minus the mean loss is measured instead of NDCG@10.
    validation_fraction : float, default=0.1
        Fraction of the queries that early stopping holds out.
    n_iter_no_change : int, default=5
        Number of epochs without improvement after which early stopping stops.
    tol : float, default=1e-4
        Least gain in what early stopping measures that counts as an improvement.
    squash : bool, default=True
        Apply a softsign, ``x / (half + |x|)``, to columns with a heavy tail. Dense columns with a
        very heavy one are read twice; see ``scaler_``.
    standardize : bool, default=True
        Bring columns to one scale: dense ones to mean 0 and standard deviation 1, CSR ones to a
        largest absolute value of 1.
    categorical_features : array-like, callable, "from_dtype" or None, default="from_dtype"
        Columns of categories besides those of a data frame that hold strings or have a categorical
        type: names, positions, a mask, or a function of the table. By default, there are no
        others. With None there are no columns of categories at all.
    min_frequency : int, float, "auto" or None, default="auto"
        Least number, or fraction, of the rows of a category with weights of its own. "auto" is 5
        for rows of queries and 10 for rows without, or 1% of the rows if that is less. Rarer
        categories share weights with those that ``fit`` did not see.
    max_categories : int or None, default=None
        Largest number of categories of a column with weights of their own; the most frequent ones.
    warm_start : bool, default=False
        Start from the parameters of the previous fit instead of new ones.
    verbose : bool, default=False
        Print the loss and the validation score after each epoch.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. It is not a feature.
    random_state : int, RandomState or None, default=None
        Pass an int for a student that is bitwise reproducible for a given machine and thread count.

    Attributes
    ----------
    objective_names_ : list of str
        Names of the objectives in the order of the heads.
    params_ : dict of ndarray
        Trained parameters, float32.
    scaler_ : ColumnScaler
        Softsign, shift and scale of each column of numbers. The second views of columns that are
        read twice follow after all columns; its ``sources`` are the columns.
    encoder_ : TableEncoder or None
        Reads the columns of data frames; None if ``fit`` got an array or CSR matrix of numbers.
    allows_missing_ : bool
        Whether numbers may be missing, because some were in ``fit`` or there are categories.
    loss_curve_ : list of float
        Mean objective over the steps of each epoch.
    validation_scores_ : list of float
        NDCG@10 on the validation rows after each epoch, or minus the loss if each row is a query of
        its own; empty if training does not stop early.
    n_iter_ : int
        Number of epochs run.
    feature_importances_ : ndarray of shape (n_features,)
        How much a typical deviation of each column moves the scores of rows against the others of
        their query, from gradients; the sum is 1. Not available after ``partial_fit``, nor for
        tables with categories, dates or missing values.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import MultiObjectiveRanker
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> y = np.column_stack([data.y > 0, data.y > 2]).astype(float)
    >>> student = MultiObjectiveRanker(
    ...     {"click": "logistic", "like": "logistic", "teacher": "listwise"}, random_state=0
    ... )
    >>> student = student.fit(data.X, y, qid=data.qid, teacher_scores=data.utility)
    >>> sorted(student.predict_objectives(data.X))
    ['click', 'like', 'teacher']
    """

    objectives: Mapping[str, str | Loss] = field(kw_only=False)
    hidden_layer_sizes: tuple[int, ...] = field(default=(64, 32), kw_only=False)
    objective_weights: Mapping[str, float] | None = None
    balance: str = "fixed"
    combine: Mapping[str, float] | Callable[..., Any] | None = None
    n_knots: int = 0
    weight_decay: float | str = "auto"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **StudentEstimator._parameter_constraints,
        **OBJECTIVES_CONSTRAINTS,
        "hidden_layer_sizes": LAYER_CONSTRAINTS,
        "n_knots": KNOTS_CONSTRAINTS,
        "weight_decay": DECAY_CONSTRAINTS,
        "combine": [Mapping, callable, None],
    }

    @property
    def compares_rows(self) -> bool:
        """Whether the losses of all objectives compare the rows of a query."""
        return all(self.loss_of(name).compares_rows for name in self.objectives)

    @property
    def needs_queries(self) -> bool:
        """Whether the loss of any objective compares the rows of a query."""
        return any(self.loss_of(name).compares_rows for name in self.objectives)

    def check_parameters(self) -> None:
        """Check all parameters before anything expensive runs.

        Raises
        ------
        ValueError
            If a parameter is invalid.
        """
        super().check_parameters()
        self.check_objectives()

    def check_labels(self, data: RankingData) -> None:
        """Check that each objective can take its labels.

        Raises
        ------
        ValueError
            If an objective has no labels, or its loss refuses them.
        """
        super().check_labels(data)
        for name in self.label_names:
            labels = self.labels_of(name, data.labels)
            is_labelled = ~np.isnan(labels)
            queries = data.queries.subset(is_labelled)
            self.loss_of(name).hard_target(labels[is_labelled], queries)

    def predict(self, X: Any) -> NDArray[Any]:
        """Score rows by the combined heads.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            The columns of ``fit``, with finite values; rows in any order.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row, in the order of X; higher is better. A callable ``combine`` may
            return another dtype.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If the columns differ from those of ``fit``, values are missing or infinite, or
            ``combine`` does not return one score per row.
        """
        outputs = super().predict(X)
        if callable(self.combine):
            combined = self.combine_by_formula(outputs, X)
            if combined.shape != (len(outputs),):
                raise ValueError(
                    f"combine must return one score per row: expected shape ({len(outputs)},), "
                    f"got {combined.shape}."
                )
            return combined
        return outputs @ self.combination

    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Predict the output of each head.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            The columns of ``fit``, with finite values; rows in any order.

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
            Probabilities for logistic heads, scores for others, by the name of the objective.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or values are missing or infinite.
        """
        check_is_fitted(self)
        return self.by_name(super().predict(X))

    def combine_by_formula(self, outputs: NDArray[np.float32], X: Any) -> NDArray[Any]:
        """Apply a callable ``combine`` to the outputs of the heads."""
        combine = self.combine
        assert callable(combine)
        by_name = self.by_name(outputs)
        return np.asarray(call_aligned(lambda table: combine(by_name, table), X, name="combine"))

    def make_model(self) -> Network | PiecewiseNetwork:
        """Make a network with one output per objective.

        Returns
        -------
        Network or PiecewiseNetwork
        """
        sizes = check_layer_sizes(self.hidden_layer_sizes)
        return self._in_pieces(Network(sizes, len(self.objectives)))

    def served_model(self) -> tuple[StudentModel, Parameters]:
        """Return a network whose output is the combined score, or all heads for a callable."""
        if callable(self.combine):
            return super().served_model()
        return self.make_model().combine_outputs(self.params_, self.combination)

    @property
    def served_formula(self) -> Callable[[NDArray[Any], Any], NDArray[Any]] | None:
        """A callable ``combine``, or None."""
        return self.combine_by_formula if callable(self.combine) else None

    def teachers_loss(self) -> Loss | None:
        """Return the loss of the objective "teacher"; None if there is none."""
        return self.loss_of(TEACHER) if self.has_teacher_objective else None

    def make_objective(self, data: RankingData) -> HeadsObjective:
        """Build one objective per head."""
        return self.heads_objective(
            data.queries, data.labels, data.teacher_scores, data.sample_weight, data.offset
        )

    def make_validator(self, held_out: RankingData) -> Validate:
        """Measure the mean over heads of NDCG@10 or, of single rows, of minus the loss.

        Each head is compared with its labels or the teacher's scores.

        Heads that the rows have no target for are left out.
        """
        rows = Rows(self.scaler_.transform(held_out.X))
        heads = []
        for column, name in enumerate(self.objectives):
            labels = None
            if name != TEACHER and held_out.labels is not None:
                labels = held_out.labels[:, self.label_names.index(name)]
            elif name != TEACHER or held_out.teacher_scores is None:
                continue  # a validation table may lack the labels, or the teacher's scores
            head = _Head(self.make_model(), column)
            heads.append(quality_on(head, rows, held_out, self.loss_of(name), labels))
        if not heads:
            raise ValueError(
                f"Nothing measures the objectives {list(self.objectives)}: pass y_val with X_val."
            )
        return mean_of(heads)


class _Head:
    """A model that returns one output of another."""

    def __init__(self, model: TrainableModel, column: int) -> None:
        self.model = model
        self.column = column

    def forward(self, params: Parameters, inputs: Any) -> tuple[NDArray[Any], Any]:
        outputs, cache = self.model.forward(params, inputs)
        return outputs[:, self.column], cache

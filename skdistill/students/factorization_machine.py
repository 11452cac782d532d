"""The factorization machine as a student."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

from skdistill._sklearn_compat import Interval
from skdistill.models import FactorizationMachine
from skdistill.protocols import StudentModel
from skdistill.students.base import BaseStudent


@dataclass(kw_only=True, eq=False, repr=False)
class FactorizationMachineRanker(BaseStudent):
    """A factorization machine of second order: every pair of columns interacts.

    Parameters
    ----------
    n_factors : int, default=16
        Number of factors per column, which determine its interactions with other columns.
    loss : str or Loss, default="listwise"
        Loss on the teacher's scores: a name in ``skdistill.losses.LOSSES``, or an object that keeps
        the contract :class:`skdistill.protocols.Loss`.
    hard_loss : str or Loss, optional
        Loss on labels; the same as ``loss`` by default.
    alpha : float, default=1.0
        Weight of the loss on the teacher's scores, if ``fit`` gets ``teacher_scores``. The loss on
        labels has the weight ``1 - alpha``.
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
    weight_decay : float, default=1e-3
        Decoupled weight decay.
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
    classes_ : ndarray of shape (2,)
        The labels 0 and 1; only with a logistic loss.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    References
    ----------
    Rendle, "Factorization Machines", ICDM 2010.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.students import FactorizationMachineRanker
    >>> data = make_ranking(n_queries=50, random_state=0)
    >>> student = FactorizationMachineRanker(n_factors=8, random_state=0)
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> bool(student.score(data.X, data.y, qid=data.qid) > 0.5)
    True
    """

    n_factors: int = field(default=16, kw_only=False)
    weight_decay: float = 1e-3

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseStudent._parameter_constraints,
        "n_factors": [Interval(Integral, 1, None, closed="left")],
    }

    def make_model(self) -> StudentModel:
        """Make a factorization machine.

        Returns
        -------
        FactorizationMachine
        """
        return FactorizationMachine(self.n_factors)

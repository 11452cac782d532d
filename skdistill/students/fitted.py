"""The base of students that scores: it checks tables and applies the fitted model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skdistill.base import RankingEstimator
from skdistill.inputs.scaling import ColumnScaler
from skdistill.inputs.table_encoder import TableEncoder
from skdistill.inputs.validation import OFFSET_REQUESTS, VALIDATION_REQUESTS
from skdistill.models.scoring import NotFiniteError, Scorer
from skdistill.protocols import Parameters, StudentModel
from skdistill.students.reading import read_table


class FittedStudent(RankingEstimator):
    """Scoring with a fitted student; subclasses do the fitting.

    Attributes
    ----------
    params_ : dict of ndarray
        Trained parameters, float32.
    scaler_ : ColumnScaler
        Softsign, shift and scale of each column.
    encoder_ : TableEncoder or None
        Reads the columns of data frames; None if ``fit`` got an array or CSR matrix of numbers.
    allows_missing_ : bool
        Whether numbers may be missing, because some were in ``fit`` or there are categories.
    """

    __metadata_request__fit = {**VALIDATION_REQUESTS, **OFFSET_REQUESTS, "teacher_scores_val": True}
    __metadata_request__partial_fit = {"offset": True}

    params_: Parameters
    scaler_: ColumnScaler
    # Files of 0.1.0 have none.
    encoder_: TableEncoder | None = None
    allows_missing_: bool = False
    _scorer: Scorer

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def make_model(self) -> StudentModel:
        """Make the model that the parameters of the student describe.

        Returns
        -------
        StudentModel
            A model that can be trained and served.

        Raises
        ------
        NotImplementedError
            If a subclass does not define this method.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define make_model. Define it, or use LinearRanker, "
            "MLPRanker or another student."
        )

    def predict(self, X: Any) -> NDArray[Any]:
        """Score rows.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)
            The columns of ``fit``; rows in any order. Values may be missing if some were in
            ``fit``.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            One score per row, in the order of X; higher is better.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If the columns differ from those of ``fit``, or numbers are infinite.
        """
        if not hasattr(self, "params_"):
            check_is_fitted(self)  # which costs as much as scoring a row
        if self._is_ready(X):
            # If values are not finite, the slower checks below report which.
            with suppress(NotFiniteError):
                return self._scorer(X, ensure_finite=True)
        return self._scorer(self.read_table(X, reset=False))

    def __getstate__(self) -> dict[str, Any]:
        # The scorer holds the same parameters in folded form, so it is rebuilt and not stored.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_optimizer" in state:  # its name in 0.1.0
            state["optimizer_"] = state.pop("_optimizer")
        super().__setstate__(state)
        if hasattr(self, "params_"):
            self._scorer = Scorer.fold(self.make_model(), self.params_, self.scaler_)

    def read_table(self, X: Any, reset: bool) -> Any:
        """Check a table and return its features; see :func:`skdistill.students.reading.read_table`.

        ``reset`` remembers the columns, as in ``fit``; otherwise they are compared with those
        remembered.
        """
        return read_table(self, X, reset)

    def served_model(self) -> tuple[StudentModel, Parameters]:
        """Return the model and the parameters that a compiled scorer and ONNX compute."""
        return self.make_model(), self.params_

    @property
    def served_formula(self) -> Callable[[NDArray[Any], Any], NDArray[Any]] | None:
        """The user's function from outputs and rows to scores; None if the outputs are scores."""
        return None

    def _is_ready(self, X: Any) -> bool:
        """Check whether X needs no conversion, at a tenth of the cost of scikit-learn's checks.

        The scorer checks for finite values while it has the rows in cache. What is not ready goes
        through all checks of ``read_table``, whose errors say what is wrong.
        """
        if self.query_column is not None or hasattr(self, "feature_names_in_"):
            return False
        if self.encoder_ is not None and not self.encoder_.reads_only_numbers:
            return False
        if sparse.issparse(X):
            has_form = X.format == "csr" and X.has_canonical_format and not self.allows_missing_
        else:
            has_form = type(X) is np.ndarray and X.flags.c_contiguous
        return (
            has_form
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
        )

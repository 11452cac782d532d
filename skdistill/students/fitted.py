"""A fitted student at work: checked tables in, scores out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.base import RankingEstimator
from skdistill.inputs.columns import without_query_column
from skdistill.inputs.scaling import ColumnScaler
from skdistill.models.scoring import NotFiniteError, Scorer
from skdistill.protocols import Parameters, StudentModel


class FittedStudent(RankingEstimator):
    """What a student does once it is fitted; fitting is the subclass's.

    Attributes
    ----------
    params_ : dict of ndarray
    scaler_ : ColumnScaler
    """

    params_: Parameters
    scaler_: ColumnScaler
    _scorer: Scorer

    def make_model(self) -> StudentModel:
        """The model that the hyper-parameters describe; every student defines it."""
        raise NotImplementedError(
            f"{type(self).__name__} has no model: define make_model, or use LinearRanker, "
            "MLPRanker or another student."
        )

    def predict(self, X: Any) -> NDArray[Any]:
        """Score rows.

        Parameters
        ----------
        X : array, CSR matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,), float32
            Higher is better; in the order of the rows.

        Raises
        ------
        NotFittedError
        ValueError
            For other columns than those of ``fit``, NaN and infinities.
        """
        check_is_fitted(self)
        if self._is_ready(X):
            # If anything is wrong with the table, the slower checks say what.
            with suppress(NotFiniteError):
                return self._scorer(X, ensure_finite=True)
        return self._scorer(self.read_table(X, reset=False))

    def __getstate__(self) -> dict[str, Any]:
        # A scorer holds the parameters again, folded: it is made anew rather than stored.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_scorer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_optimizer" in state:  # its name in 0.1.0
            state["optimizer_"] = state.pop("_optimizer")
        super().__setstate__(state)
        if hasattr(self, "params_"):
            self._scorer = Scorer.fold(self.make_model(), self.params_, self.scaler_)

    def read_table(self, X: Any, reset: bool) -> Any:
        """The columns that are features, as finite float32: C-contiguous or CSR."""
        as_numbers = {"accept_sparse": "csr", "dtype": np.float32, "order": "C"}
        if self.query_column is None:
            return validate_data(self, X, reset=reset, **as_numbers)
        validate_data(self, X, reset=reset, skip_check_array=True)
        X = without_query_column(X, self.query_column)
        return check_array(X, **as_numbers, estimator=self)

    def served_model(self) -> tuple[StudentModel, Parameters]:
        """The model and the parameters that a compiled scorer and ONNX compute."""
        return self.make_model(), self.params_

    @property
    def served_formula(self) -> Callable[[NDArray[Any], Any], NDArray[Any]] | None:
        """The user's own code from outputs and rows to scores; None: the outputs are scores."""
        return None

    def _is_ready(self, X: Any) -> bool:
        """Whether X needs no conversion, by checks that cost a tenth of scikit-learn's.

        The scorer checks that it is finite, while it has the rows in cache.
        """
        return (
            type(X) is np.ndarray
            and X.dtype == np.float32
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and X.flags.c_contiguous
            and self.query_column is None
            and not hasattr(self, "feature_names_in_")
        )

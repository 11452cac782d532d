"""The contract of a teacher."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

from skdistill.protocols.types import Array


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

"""Asking a teacher for scores, and refusing what is no score."""

import numpy as np
import pytest

from skdistill.teachers import score_rows


def test_a_teacher_that_returns_nan_or_too_much_is_refused():
    class Bad:
        def __init__(self, value):
            self.value = value

        def predict(self, X):
            return self.value(len(X))

    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"but the score of row 0 \(sorted by query\) is nan"):
        score_rows(Bad(lambda n: np.full(n, np.nan)), X)
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(3, 2\)"):
        score_rows(Bad(lambda n: np.zeros((n, 2))), X)

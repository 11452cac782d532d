"""Synthetic rankings: they repeat, and their labels follow the utility."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill.datasets import make_ranking


def test_a_synthetic_ranking_repeats_and_follows_its_utility():
    a, b = make_ranking(random_state=3), make_ranking(random_state=3)
    assert_array_equal(a.X, b.X)
    assert a.X.dtype == np.float32
    assert np.corrcoef(a.utility, a.y)[0, 1] > 0.8
    shares = np.bincount(a.y.astype(int)) / len(a.y)
    assert (np.diff(shares) < 0.03).all()
    ids = make_ranking(20, 10, 4, id_columns=(5, 6), random_state=0)
    assert ids.X.shape == (200, 15)
    assert (ids.X[:, 4:].sum(axis=1) == 2).all()
    with pytest.raises(ValueError, match="truth must be one of"):
        make_ranking(truth="none")

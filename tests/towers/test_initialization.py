"""Towers that start from the spectrum of the teacher."""

import numpy as np
import pytest
from scipy import sparse

from skdistill.inputs.rows import Rows
from skdistill.models import TwoTower
from skdistill.towers.initialization import start_from_spectrum


@pytest.mark.parametrize("hidden", [(), (200,)])
def test_start_from_the_spectrum_gives_the_scores_of_low_rank(hidden):
    """Rank 3 and an item bias, in id columns: the start is the teacher already."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 60)) + rng.standard_normal(60)
    model = TwoTower(4, hidden, hidden)
    rows = [Rows(sparse.eye_array(n, format="csr", dtype=np.float32)) for n in (40, 60)]
    params = model.initialize((40, 60), rng)
    start_from_spectrum(model, params, *rows, scores.astype(np.float32), 0)
    from skdistill.inputs.pairs import PairGrid, Pairs

    student = model.forward(params, Pairs(*rows, (PairGrid(),)))[0].reshape(40, 60)
    centred = scores - scores.mean(axis=1, keepdims=True)
    student -= student.mean(axis=1, keepdims=True)
    assert np.corrcoef(student.ravel(), centred.ravel())[0, 1] > 0.99

"""The calibration error against the bins of scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from skdistill.metrics import expected_calibration_error


def test_error_is_the_mean_gap_of_sklearns_bins():
    rng = np.random.default_rng(0)
    predicted = rng.random(5000)
    y = (rng.random(5000) < predicted**2).astype(float)
    for strategy in ("uniform", "quantile"):
        share, mean = calibration_curve(y, predicted, n_bins=10, strategy=strategy)
        edges = (
            np.linspace(0, 1, 11)
            if strategy == "uniform"
            else np.quantile(predicted, np.linspace(0, 1, 11))
        )
        counts = np.histogram(predicted, edges)[0]
        expected = (np.abs(share - mean) * counts).sum() / 5000
        found = expected_calibration_error(y, predicted, strategy=strategy)
        assert found == pytest.approx(expected, rel=1e-3)
    twice = expected_calibration_error(y, predicted, sample_weight=np.full(5000, 2.0))
    assert twice == pytest.approx(expected_calibration_error(y, predicted))
    with pytest.raises(ValueError, match="must lie in"):
        expected_calibration_error([0, 1], [0, 1.5])
    with pytest.raises(ValueError, match="one value per row"):
        expected_calibration_error([0, 1], [0.5])

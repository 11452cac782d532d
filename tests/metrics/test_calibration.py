"""The calibration error against the bins of scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from skdistill.metrics import expected_calibration_error


@pytest.mark.parametrize("n_bins", [7, 10, 15])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_error_is_the_mean_gap_of_scikit_learns_bins(strategy, n_bins):
    """The gap changes its sign five times, so that every bin counts for itself."""
    rng = np.random.default_rng(0)
    predicted = rng.beta(2, 1, 5000)
    truth = predicted + 0.3 * np.sin(5 * np.pi * predicted) * np.minimum(predicted, 1 - predicted)
    y = (rng.random(5000) < truth).astype(float)
    share, mean = calibration_curve(y, predicted, n_bins=n_bins, strategy=strategy)
    grid = np.linspace(0, 1, n_bins + 1)
    edges = grid if strategy == "uniform" else np.quantile(predicted, grid)
    counts = np.histogram(predicted, edges)[0]
    expected = (np.abs(share - mean) * counts).sum() / 5000
    found = expected_calibration_error(y, predicted, n_bins=n_bins, strategy=strategy)
    assert found == pytest.approx(expected, rel=1e-3)
    assert found > 1.2 * abs(y.mean() - predicted.mean())  # which a single bin would give


def test_rows_count_by_their_weights():
    y, predicted, weight = [0, 1, 1], [0.25, 0.5, 0.75], [3.0, 1.0, 2.0]
    # Two bins: 0.25 alone, and 0.5 with 0.75.
    expected = (3 * 0.25 + abs(1 * (0.5 - 1) + 2 * (0.75 - 1))) / (3 + 1 + 2)
    found = expected_calibration_error(y, predicted, n_bins=2, sample_weight=weight)
    assert found == pytest.approx(expected)
    unweighted = (0.25 + abs((0.5 - 1) + (0.75 - 1))) / 3
    assert expected_calibration_error(y, predicted, n_bins=2) == pytest.approx(unweighted)


def test_probabilities_outside_of_0_and_1_are_refused():
    assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    for wrong in ([0, 1.5], [-0.1, 1], [np.nan, 1]):
        with pytest.raises(ValueError, match="^y_prob must lie in"):
            expected_calibration_error([0, 1], wrong)
    for y, predicted in (([0, 1], [0.5]), ([[0, 1]], [[0.5, 0.5]]), ([], [])):
        with pytest.raises(ValueError, match="^y_true and y_prob must hold one value per row"):
            expected_calibration_error(y, predicted)


def test_ten_bins_of_equal_width_are_the_default():
    """0.095 and 0.1 fall into one of eleven bins, but into two of ten."""
    assert expected_calibration_error([0, 1], [0.095, 0.1]) == pytest.approx((0.095 + 0.9) / 2)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match=r"^strategy must be one of \['uniform', 'quantile'\]"):
        expected_calibration_error([0], [0.5], strategy="log")


@pytest.mark.parametrize("name", ["y_true", "y_prob"])
def test_masked_values_are_refused_with_a_way_out(name):
    columns = {"y_true": np.array([0.0, 1]), "y_prob": np.array([0.2, 0.7])}
    columns[name] = np.ma.array(columns[name], mask=[False, True])
    with pytest.raises(
        ValueError,
        match=rf"^{name} must not be masked.* by {name}\.filled.*, or leave out their rows\.$",
    ):
        expected_calibration_error(**columns)


def test_columns_of_objects_are_numbers():
    y, predicted = np.array([0, 1], dtype=object), np.array([0.25, 0.5], dtype=object)
    assert expected_calibration_error(y, predicted) == pytest.approx((0.25 + 0.5) / 2)

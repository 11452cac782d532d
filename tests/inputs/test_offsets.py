"""Offsets are finite, and a teacher's probabilities are brought to their unit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs.offsets import (
    check_offset,
    in_unit_of_offset,
    log_above,
    log_floor,
    log_of_probabilities,
)
from skdistill.inputs.ranking_data import RankingData


def data_with(scores, offset=True):
    n_rows = len(scores)
    given = np.zeros(n_rows) if offset else None
    return RankingData.sort(None, np.arange(n_rows)[:, None], None, np.array(scores), offset=given)


def test_an_offset_is_one_finite_number_per_row():
    assert check_offset(None, 3) is None
    assert_array_equal(check_offset([1, 2, 3], 3), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"row 1 holds -inf. A bid of 0 has no logarithm"):
        check_offset([0.0, -np.inf], 2)
    with pytest.raises(ValueError, match="offset must be finite: row 0 holds nan"):
        check_offset([np.nan, 0.0], 2)
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(2,\)"):
        check_offset([1.0, 2.0], 3)


def test_a_probability_of_zero_counts_as_the_smallest_other_one():
    assert_allclose(np.exp(log_of_probabilities(np.array([0.5, 0.0, 0.25]))), [0.5, 0.25, 0.25])
    assert_array_equal(log_of_probabilities(np.zeros(2)), [0.0, 0.0])


def test_one_floor_for_all_scores_of_a_model():
    """It is chosen from some of them; others may be smaller, but none becomes infinite."""
    logs = np.array([-3.0, 0.5])
    assert log_floor(logs) is None
    assert log_above(logs, None) is logs
    coarse = log_floor(np.array([0.0, 0.25, 1.0]))
    assert_allclose(log_above(np.array([0.0, 0.01, 0.5]), coarse), np.log([0.25, 0.25, 0.5]))
    fine = log_floor(np.array([0.1, 0.25, 1.0]))
    assert_allclose(log_above(np.array([0.01, 0.5]), fine), np.log([0.01, 0.5]))
    assert np.isfinite(log_above(np.array([-0.1, 0.0, 1.1]), fine)).all()
    tiny = np.array([1e-12, 1e-11])
    assert_allclose(log_above(tiny, log_floor(tiny)), np.log(tiny))


def test_probabilities_become_logarithms_only_where_there_is_an_offset():
    probability = [0.5, 0.25, 1.0]
    data, _ = in_unit_of_offset(data_with(probability))
    assert_allclose(np.sort(data.teacher_scores), np.log([0.25, 0.5, 1.0]))
    same = data_with(probability, offset=False)
    assert in_unit_of_offset(same)[0] is same
    logarithms = data_with([-0.5, -2.0, 0.1])
    assert in_unit_of_offset(logarithms)[0] is logarithms


def test_scores_of_the_validation_rows_are_of_the_kind_of_the_others():
    probability, logarithm = data_with([0.5, 0.25]), data_with([-0.5, -2.0])
    _, validation = in_unit_of_offset(probability, probability)
    assert_allclose(np.sort(validation.teacher_scores), np.log([0.25, 0.5]))
    assert in_unit_of_offset(logarithm, probability)[1] is probability
    with pytest.raises(ValueError, match="validation rows do not all lie in"):
        in_unit_of_offset(probability, logarithm)


def test_an_offset_goes_where_its_row_goes():
    """Rows are sorted by query and by content, and subsets keep their offsets."""
    rng = np.random.default_rng(0)
    X, qid, offset = rng.standard_normal((20, 2)), rng.integers(0, 4, 20), np.arange(20.0)
    data = RankingData.sort(qid, X, offset=offset)
    assert_array_equal(data.offset, offset[data.order])
    chosen = data.take_queries(np.array([2, 0]))
    assert_array_equal(chosen.offset, offset[chosen.order])
    kept = data.subset(data.offset > 9)
    assert_array_equal(kept.offset, offset[kept.order])

"""Lists of items: which places hold no item, or one that was there before."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill.metrics.item_lists import check_positions, first_places, is_padding, kind_of_ids


def test_padding_of_objects_is_any_of_the_three():
    ids = np.array([[-1, None, np.nan, "a", 3]], dtype=object)
    assert is_padding(ids).tolist() == [[True, True, True, False, False]]


def test_all_numbers_are_of_one_kind():
    for numbers in ([1], [1.0], [True], np.array([1], np.uint8)):
        assert kind_of_ids(np.asarray(numbers)) == "number"
    for ids, kind in ((["a"], "str"), ([b"a"], "bytes"), ([None], "object")):
        assert kind_of_ids(np.asarray(ids)) == kind


@pytest.mark.parametrize("kind", [np.int64, object])
def test_the_first_of_many_equal_items_counts(kind):
    """Rows are long enough for NumPy's default sort to be unstable."""
    ids = np.random.default_rng(0).integers(0, 5, (3, 200)).astype(kind)
    expected = np.zeros(ids.shape, dtype=bool)
    for row, values in enumerate(ids.tolist()):
        for item in set(values):
            expected[row, values.index(item)] = True
    assert_array_equal(first_places(ids, np.ones(ids.shape, dtype=bool)), expected)


def test_unsigned_positions_and_empty_lists_are_positions():
    assert check_positions(np.array([[0, 3]], np.uint8), 4).tolist() == [[0, 3]]
    assert check_positions(np.empty((2, 0), int), 4).shape == (2, 0)
    with pytest.raises(ValueError, match="^retrieved must hold positions .* got float64"):
        check_positions([[0.0, 3.0]], 4)

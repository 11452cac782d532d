"""The recall of all combinations of sizes against a cascade that is simulated item by item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.cascade import counting
from skdistill.cascade.counting import StageOrders, recall_alone, recall_slabs


def simulated_recall(orders, sizes):
    """Fraction of wanted items that come through, query by query, one list after the other."""
    recalls = []
    for query, wanted in enumerate(orders.wanted):
        places = [place for place, item in enumerate(orders.item[query]) if item >= 0]
        for number, size in enumerate(sizes):
            if number:
                scores = orders.scores[number - 1][query]
                places = sorted(places, key=lambda place: -scores[place])
            places = places[:size]
        returned = {int(orders.item[query, place]) for place in places}
        asked = {int(item) for item in wanted if item >= 0}
        recalls.append(len(returned & asked) / len(asked))
    return recalls


def random_orders(rng, n_stages, n_queries, width):
    """Lists of different lengths, scores with many ties, wanted items that may not be in them."""
    item = np.full((n_queries, width), -1)
    scores = [np.full((n_queries, width), -np.inf) for _ in range(n_stages - 1)]
    wanted = np.full((n_queries, 3), -1)
    for query in range(n_queries):
        length = rng.integers(1, width + 1)
        item[query, :length] = rng.permutation(width + 2)[:length]
        for score in scores:
            score[query, :length] = rng.integers(0, 4, length)
        n_wanted = rng.integers(1, 4)
        wanted[query, :n_wanted] = rng.permutation(width + 2)[:n_wanted]
    return StageOrders(item, scores, wanted)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 4), st.integers(1, 7))
def test_counting_is_simulation(seed, n_stages, n_queries, width):
    rng = np.random.default_rng(seed)
    orders = random_orders(rng, n_stages, n_queries, width)
    sizes = [np.arange(1, width + 2) for _ in range(n_stages)]
    if n_stages == 4:
        sizes[0] = np.array([1, width])
    block, counting.BLOCK_CELLS = counting.BLOCK_CELLS, 20
    try:
        slabs = list(recall_slabs(orders, sizes))
    finally:
        counting.BLOCK_CELLS = block
    assert len(slabs) == np.prod([len(of_stage) for of_stage in sizes[:-2]])
    for first, recall in slabs:
        for row, before in enumerate(sizes[-2]):
            for column, last in enumerate(sizes[-1]):
                expected = simulated_recall(orders, (*first, before, last))
                assert recall[:, row, column] == pytest.approx(expected)


def test_the_product_of_the_recalls_is_not_the_recall():
    """Both stages rank the same wanted item low: what is lost twice is counted once."""
    item = np.array([[0, 1, 2, 3]])
    scores = [np.array([[3.0, 1.0, 2.0, 0.0]])]
    orders = StageOrders(item, scores, np.array([[0, 3]]))
    ((_, recall),) = recall_slabs(orders, [np.array([3]), np.array([2])])
    alone = recall_alone(orders, [np.array([3]), np.array([2])])
    assert recall.ravel().tolist() == [0.5]
    assert [part.tolist() for part in alone] == [[0.5], [0.5]]  # a product of 0.25

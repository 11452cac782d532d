"""A teacher's scores of pairs, dense or of the best alone."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.teachers import pair_scores
from skdistill.teachers.pair_scores import (
    BestScores,
    DenseScores,
    IndexedScores,
    check_pair_scores,
    pair_rows,
    teacher_scores_of,
)

SCORES = np.arange(12.0).reshape(3, 4)


def sum_of_features(queries, items):
    """A teacher whose scores of these tables are ``SCORES``."""
    return queries[:, 0] + items[:, 0]


TABLES = np.array([[0.0], [4], [8]]), np.arange(4.0)[:, None]


def test_best_scores_count_the_rest_as_their_least():
    stored = sparse.csr_array(np.array([[0, -3.0, -1], [0, 0, 0], [5, 0, 2]]))
    scores = BestScores(stored)
    query, item = np.divmod(np.arange(9), 3)
    expected = [[-3, -3, -1], [0, 0, 0], [5, 2, 2]]
    assert_allclose(scores(query, item).reshape(3, 3), expected)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (SCORES, DenseScores),
        (SCORES.tolist(), DenseScores),
        (sparse.csr_array(SCORES), BestScores),
        (sparse.coo_array(SCORES), BestScores),
        (sum_of_features, IndexedScores),
    ],
)
@pytest.mark.parametrize("per_block", [1, 4, 9, 1000])
def test_any_kind_of_scores_fills_a_grid_in_blocks(scores, kind, per_block, monkeypatch):
    monkeypatch.setattr(pair_scores, "GRID_PAIRS", per_block)
    monkeypatch.setattr(pair_scores, "BLOCK", 5)
    checked = check_pair_scores(scores, 3, 4, *TABLES)
    assert isinstance(checked, kind)
    query, item = np.array([2, 0, 1, 2]), np.array([3, 1])
    # Item 0 is left out: its score of 0 is not stored in the sparse matrices.
    assert_array_equal(checked.grid(query, item), SCORES[query][:, item])
    assert checked(query, np.array([1, 1, 1, 1])).dtype == np.float32


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, lambda far: far_function(far)])
def test_scores_far_from_0_keep_their_differences(make):
    far = SCORES / 8 + 1e8
    grid = check_pair_scores(make(far), 3, 4, *TABLES).grid(np.arange(3), np.arange(4))
    assert_array_equal(grid - grid[0, 0], SCORES / 8)


def far_function(far):
    return lambda queries, items: far[queries[:, 0].astype(int) // 4, items[:, 0].astype(int)]


def test_probabilities_stay_what_they_are():
    for scores in (np.full((3, 4), 0.25), 0.999 + SCORES * 1e-5, -SCORES, np.full((3, 4), 1.0)):
        grid = check_pair_scores(scores, 3, 4, *TABLES).grid(np.arange(3), np.arange(4))
        assert_allclose(grid, scores, rtol=1e-7)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_matrices_of_another_shape_or_with_nan_are_refused(make):
    with pytest.raises(ValueError, match=r"^teacher_scores of .* shape \(4, 3\), got \(3, 4\)"):
        check_pair_scores(make(SCORES), 4, 3, *TABLES)
    for wrong in (np.nan, np.inf):
        changed = SCORES.copy()
        changed[1, 2] = wrong
        with pytest.raises(ValueError, match="^teacher_scores must be finite"):
            check_pair_scores(make(changed), 3, 4, *TABLES)


def test_a_function_must_return_a_finite_score_per_pair():
    for function in (lambda queries, items: np.zeros(3), lambda queries, items: queries[:, 0] / 0):
        scores = check_pair_scores(function, 3, 4, *TABLES)
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="teacher_scores must"):
            scores(np.array([0, 1]), np.array([0, 1]))


def test_a_score_that_is_not_finite_is_named_by_its_pair(monkeypatch):
    """Blocks of two pairs: the third pair is the first of its block."""
    monkeypatch.setattr(pair_scores, "BLOCK", 2)
    scores = check_pair_scores(lambda queries, items: np.log(items[:, 0] - 0.5), 3, 4, *TABLES)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            ValueError,
            match=r"^teacher_scores must .* of query 2 \(sorted by query id\) and item 0 is nan",
        ),
    ):
        scores(np.array([0, 1, 2, 0]), np.array([1, 2, 0, 3]))


def test_a_teacher_scores_the_rows_that_are_built_of_two_tables():
    class SumOfColumns:
        def predict(self, X):
            return X.sum(axis=1)

    scores = teacher_scores_of(SumOfColumns(), lambda q, i: np.hstack([q, i]), *TABLES)
    assert isinstance(scores, IndexedScores)
    query, item = np.array([2, 0, 1]), np.array([3, 1, 0])
    assert_array_equal(scores(query, item), SCORES[query, item])
    assert scores(query, item).dtype == np.float32
    assert scores.name == "The teacher SumOfColumns"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda q, i: q[:, 0], r"expected 2 rows, got ndarray of shape \(2,\)\.$"),
        (lambda q, i: q[:1], r"expected 2 rows, got ndarray of shape \(1, 1\)\.$"),
        (lambda q, i: [[1.0], [2.0]], r"expected 2 rows, got list\.$"),
    ],
)
def test_pair_features_make_a_table_of_one_row_per_pair(answer, message):
    with pytest.raises(ValueError, match=f"^pair_features must return a table .*{message}"):
        pair_rows(answer, TABLES[0][:2], TABLES[1][:2])


def test_pair_features_keep_the_order_of_the_rows():
    queries, items = (pd.DataFrame(table, columns=["a"]) for table in TABLES)
    with pytest.raises(ValueError, match="^pair_features must return one row per row"):
        pair_rows(lambda q, i: q.iloc[::-1], queries.iloc[[1, 0]], items.iloc[[2, 3]])
    # Tables with other indexes are aligned by position.
    rows = pair_rows(lambda q, i: q + i, queries.iloc[[1, 0]], items.iloc[[2, 3]])
    assert rows["a"].tolist() == [4 + 2, 0 + 3]


def test_cells_that_are_stored_twice_are_added_up():
    twice = sparse.coo_array(([1.0, 2, 5], ([0, 0, 0], [1, 1, 2])), shape=(1, 3))
    scores = check_pair_scores(twice, 1, 3, *TABLES)
    assert scores(np.zeros(3, int), np.arange(3)).tolist() == [1 + 2, 1 + 2, 5]


def test_answers_may_be_objects_and_keep_the_order_of_the_pairs():
    scores = check_pair_scores(lambda q, i: (q + i)[:, 0].astype(object), 3, 4, *TABLES)
    assert scores(np.array([2, 0]), np.array([1, 3])).tolist() == [8 + 1, 0 + 3]
    shuffled = check_pair_scores(lambda q, i: q[0].iloc[::-1], 3, 4, *map(pd.DataFrame, TABLES))
    with pytest.raises(ValueError, match="^teacher_scores must return one row per row"):
        shuffled(np.array([2, 0]), np.array([1, 3]))


@pytest.mark.parametrize(("per_block", "sizes"), [(2, [2, 2, 1]), (5, [5])])
def test_a_function_is_called_for_blocks_of_pairs(per_block, sizes, monkeypatch):
    monkeypatch.setattr(pair_scores, "BLOCK", per_block)
    called = []

    def function(queries, items):
        called.append(len(queries))
        return sum_of_features(queries, items)

    scores = check_pair_scores(function, 3, 4, *TABLES)
    query, item = np.array([2, 0, 1, 1, 0]), np.array([3, 1, 0, 2, 2])
    assert_array_equal(scores(query, item), SCORES[query, item])
    assert called == sizes


@pytest.mark.parametrize(("n_pairs", "sizes"), [(1, [4, 4, 4]), (9, [8, 4]), (12, [12])])
def test_a_grid_is_scored_for_whole_queries(n_pairs, sizes, monkeypatch):
    monkeypatch.setattr(pair_scores, "GRID_PAIRS", n_pairs)
    asked = []

    def remember(query, item):
        asked.append(len(query))
        return SCORES[query, item]

    grid = IndexedScores(remember, "teacher").grid(np.arange(3), np.arange(4))
    assert_array_equal(grid, SCORES)
    assert grid.dtype == np.float32
    assert asked == sizes


@pytest.mark.parametrize("n_pairs", [1, 1000])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_the_highest_are_known_from_a_matrix(kind, n_pairs, monkeypatch):
    """Items that are left out are passed over; a query may have fewer than n."""
    monkeypatch.setattr(pair_scores, "GRID_PAIRS", n_pairs)
    rng = np.random.default_rng(0)
    matrix = rng.permutation(60).reshape(5, 12) + 1.0
    left_out = rng.random((5, 12)) < 0.3
    left_out[3, 2:] = True
    given = sparse.csr_array(matrix) if kind == "sparse" else matrix
    scores = check_pair_scores(given, 5, 12, np.zeros((5, 1)), np.zeros((12, 1)))
    for hidden in (np.zeros_like(left_out), left_out):
        query, item = scores.highest(3, sparse.csr_array(hidden))
        assert (np.diff(query) >= 0).all()
        for number in range(5):
            allowed = np.flatnonzero(~hidden[number])
            best = allowed[np.argsort(-matrix[number, allowed])[:3]]
            assert set(item[query == number]) == set(best)


def test_the_highest_of_few_stored_scores_are_those():
    stored = sparse.csr_array(np.array([[0, -3.0, -1], [0, 0, 0], [5, 0, 2]]))
    query, item = BestScores(stored).highest(2)
    assert sorted(zip(query.tolist(), item.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (2, 0),
        (2, 2),
    ]


def test_a_function_must_be_asked_for_its_highest():
    assert check_pair_scores(sum_of_features, 3, 4, *TABLES).highest(2) is None

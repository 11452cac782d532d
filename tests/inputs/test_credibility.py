"""How far categories of queries are told from noise: brute force, and what must not matter."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill.inputs import credibility as module
from skdistill.inputs.category_codes import N_SPECIAL
from skdistill.inputs.credibility import credibilities
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries

N_USERS, N_BRANDS = 12, 5


def data_of(taste, n_queries=150, seed=0, n_numbers=3):
    """Rows with a user of each query, a brand of each row, and a label."""
    rng = np.random.default_rng(seed)
    queries = Queries.from_sizes(rng.integers(1, 9, n_queries))
    n_rows = queries.n_rows
    numbers = rng.normal(size=(n_rows, n_numbers)).astype(np.float32)
    user = rng.integers(0, N_USERS, n_queries)[queries.segment]
    brand = rng.integers(0, N_BRANDS, n_rows)
    codes = np.stack([N_SPECIAL + user, 2 * N_SPECIAL + N_USERS + brand], axis=1)
    X = MixedTable(numbers, codes.astype(np.int32), 2 * N_SPECIAL + N_USERS + N_BRANDS)
    column_of_code = np.repeat([0, 1], [N_SPECIAL + N_USERS, N_SPECIAL + N_BRANDS])
    tastes = taste * rng.normal(size=(N_USERS, n_numbers))
    label = numbers.sum(axis=1) + (numbers * tastes[user]).sum(axis=1) + rng.normal(size=n_rows)
    return X, column_of_code, queries, label


def by_brute_force(X, queries, label, user_of_query):
    """The same with dense matrices, the exact regression and one loop for each sum."""
    n_numbers = X.numbers.shape[1]
    dense = np.zeros(X.shape)
    dense[:, :n_numbers] = X.numbers
    for column in X.codes.T:
        dense[np.arange(len(column)), n_numbers + column] = 1
    centre = np.eye(queries.n_rows)
    for start, stop in zip(queries.offsets[:-1], queries.offsets[1:], strict=True):
        centre[start:stop, start:stop] -= 1 / (stop - start)
    design, target = centre @ dense, centre @ label
    gram = design.T @ design + module.PENALTY * np.eye(X.shape[1])
    rest = target - design @ np.linalg.solve(gram, design.T @ target)
    lists = [
        slice(start, stop)
        for start, stop in zip(queries.offsets[:-1], queries.offsets[1:], strict=True)
    ]
    # A query of one row compares nothing.
    lists = [rows for rows in lists if rows.stop - rows.start > 1]
    user_of_query = user_of_query[queries.sizes > 1]
    weights = queries.sizes[queries.sizes > 1] - 1
    effects = np.array([rest[rows] @ dense[rows] for rows in lists]) / weights[:, None]
    effects -= np.average(effects, axis=0, weights=weights)
    within, between, of_users = 0.0, 0.0, []
    for user in np.unique(user_of_query):
        group, of_group = effects[user_of_query == user], weights[user_of_query == user]
        mean = np.average(group, axis=0, weights=of_group)
        within += (of_group * ((group - mean) ** 2).sum(axis=1)).sum()
        between += of_group.sum() * (mean**2).sum()
        of_users.append(of_group.sum())
    of_users = np.array(of_users)
    within /= len(effects) - len(of_users)
    spread = of_users.sum() - (of_users**2).sum() / of_users.sum()
    return max((between - (len(of_users) - 1) * within) / spread / within, 0.0)


def evidence(X, queries):
    """Rows of the queries of each code, less one per query."""
    user_of_query = X.codes[queries.starts, 0]
    return np.bincount(user_of_query, queries.sizes - 1, minlength=X.n_codes)


@pytest.mark.parametrize("taste", [0.0, 0.4, 2.0])
def test_brute_force(taste, monkeypatch):
    monkeypatch.setattr(module, "STEPS", 500)
    X, column_of_code, queries, label = data_of(taste)
    found = credibilities(X, column_of_code, queries, [label])
    user_of_query = X.codes[queries.starts, 0]
    ratio = by_brute_force(X, queries, label, user_of_query)
    told = evidence(X, queries) * ratio
    expected = np.where(column_of_code == 0, told / (1 + told), 1.0)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_few_steps_of_the_regression_suffice():
    X, column_of_code, queries, label = data_of(0.5)
    user_of_query = X.codes[queries.starts, 0]
    ratio = by_brute_force(X, queries, label, user_of_query)
    told = evidence(X, queries)[column_of_code == 0] * ratio
    found = credibilities(X, column_of_code, queries, [label])[column_of_code == 0]
    assert_allclose(found, told / (1 + told), atol=0.005)


def test_users_with_tastes_are_told_from_users_without():
    with_tastes, without = (
        np.mean([credibilities(*data_of(taste, seed=seed)[:3], [data_of(taste, seed=seed)[3]])[2:14]
                 for seed in range(10)])
        for taste in (1.0, 0.0)
    )  # fmt: skip
    assert with_tastes > 0.8
    assert without < 0.1


def test_columns_that_differ_within_queries_are_not_judged():
    X, column_of_code, queries, label = data_of(0.0)
    found = credibilities(X, column_of_code, queries, [label])
    assert_array_equal(found[column_of_code == 1], 1)
    brands = MixedTable(X.numbers, X.codes[:, 1:], X.n_codes)
    assert_array_equal(credibilities(brands, np.zeros(X.n_codes, int), queries, [label]), 1)


def test_categories_without_queries_are_worth_nothing():
    X, column_of_code, queries, label = data_of(2.0)
    found = credibilities(X, column_of_code, queries, [label])
    assert found[0] == found[1] == 0  # nobody is missing or unknown
    assert found[2:14].min() > 0.5


def test_missing_and_unknown_users_are_no_group_of_their_own():
    """Their queries do not count as those of one user, who would agree on nothing."""
    X, column_of_code, queries, label = data_of(1.5, n_queries=400)
    codes = X.codes.copy()
    is_unknown = queries.segment % 2 == 0
    codes[is_unknown, 0] = np.where(queries.segment % 4 == 0, 0, 1)[is_unknown]
    half = MixedTable(X.numbers, codes, X.n_codes)
    found = credibilities(half, column_of_code, queries, [label])
    among = evidence(half, queries)[2:14]
    whole = credibilities(X, column_of_code, queries, [label])
    counts = evidence(X, queries)[2:14]
    # m / k of the same tastes, from half of the queries and from all.
    assert_allclose(
        np.mean(found[2:14] / (1 - found[2:14]) / among),
        np.mean(whole[2:14] / (1 - whole[2:14]) / counts),
        rtol=0.3,
    )


def test_rows_without_a_target_are_left_out():
    X, column_of_code, queries, label = data_of(1.0)
    known = np.random.default_rng(3).random(queries.n_rows) < 0.7
    sizes = np.bincount(queries.segment[known], minlength=queries.n_queries)
    found = credibilities(X, column_of_code, queries, [np.where(known, label, np.nan)])
    lists = Queries.from_sizes(sizes[sizes > 0])
    alone = credibilities(X[known], column_of_code, lists, [label[known]])
    # Rows without a target still tell how often a user comes.
    of_all, of_some = (
        evidence(table, of_table)[2:14] for table, of_table in ((X, queries), (X[known], lists))
    )
    assert_allclose(
        found[2:14] / (1 - found[2:14]) / of_all, alone[2:14] / (1 - alone[2:14]) / of_some
    )


def test_several_targets_count_alike_whatever_their_scale():
    X, column_of_code, queries, label = data_of(1.0)
    other = data_of(0.0, seed=1)[3][: len(label)]
    other = np.resize(other, len(label))
    ratios = []
    for targets in ([label], [other], [label, 1000 * other]):
        found = credibilities(X, column_of_code, queries, targets)[2:14]
        counts = evidence(X, queries)[2:14]
        ratios.append(np.mean(found / (1 - found) / counts))
    assert min(ratios[0], ratios[0] / 2 + 0.1) > ratios[2] > ratios[0] / 4


def test_the_first_rows_tell_of_all(monkeypatch):
    """The ratio comes from the first rows, the queries of each category from all."""
    X, column_of_code, queries, label = data_of(1.0)
    monkeypatch.setattr(module, "MOST_ROWS", 400)
    found = credibilities(X, column_of_code, queries, [label])[2:14]
    spoilt = label.copy()
    spoilt[400:] = np.random.default_rng(0).normal(size=len(label) - 400)
    assert_array_equal(credibilities(X, column_of_code, queries, [spoilt])[2:14], found)
    assert found.min() > 0.5


def test_nothing_can_be_told_if_each_user_comes_once():
    X, column_of_code, queries, label = data_of(1.0, n_queries=N_USERS)
    codes = X.codes.copy()
    codes[:, 0] = N_SPECIAL + queries.segment
    few = MixedTable(X.numbers, codes, X.n_codes)
    # Twelve queries are too few to find columns of queries at all.
    assert_array_equal(credibilities(few, column_of_code, queries, [label]), 1)
    X, column_of_code, queries, label = data_of(1.0, n_queries=60)
    codes = np.stack([N_SPECIAL + queries.segment], axis=1).astype(np.int32)
    single = MixedTable(X.numbers, codes, N_SPECIAL + 60)
    assert_array_equal(credibilities(single, np.zeros(N_SPECIAL + 60, int), queries, [label]), 0)

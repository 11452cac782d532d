"""Ids among columns of numbers are found; counts and places are not taken for ids."""

import warnings

import numpy as np
import pytest
from lightgbm import LGBMRanker

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs import Queries
from skdistill.inputs.id_columns import (
    columns_like_ids,
    columns_like_query_ids,
    columns_of_places,
)
from skdistill.students import LinearRanker, MLPRanker

pandas = pytest.importorskip("pandas")

N_ROWS, PER_QUERY = 20_000, 20
QUERIES = Queries.from_sizes(np.full(N_ROWS // PER_QUERY, PER_QUERY))
RNG = np.random.default_rng(0)
SHOP = RNG.integers(5000, 5300, N_ROWS)
EFFECT = RNG.normal(size=300)[SHOP - 5000]
NUMBERS = {
    "views": RNG.poisson(np.exp(RNG.normal(2, 1.5, N_ROWS))),
    "day of year": RNG.integers(1, 366, N_ROWS),
    "age": RNG.integers(18, 90, N_ROWS),
    "place": np.tile(np.arange(1, PER_QUERY + 1), N_ROWS // PER_QUERY),
    "rank": RNG.integers(1, 501, N_ROWS),
}
SMOOTH = {
    "views": np.log1p,
    "day of year": lambda day: np.sin(day / 58),
    "age": lambda age: np.abs(age - 40.0) / 20,
    "place": lambda place: 1 / place,
    "rank": lambda rank: 1 / rank,
}


def found(columns, target):
    return columns_like_ids(np.column_stack(columns).astype(float), target, QUERIES)


def test_an_id_is_found_whatever_else_moves_the_target():
    noise = RNG.normal(size=N_ROWS)
    for strength in (0.7, 1.0):
        columns = [NUMBERS["age"], SHOP, NUMBERS["views"]]
        target = SMOOTH["views"](NUMBERS["views"]) + strength * EFFECT + noise
        assert found(columns, target) == [1]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_with_smooth_effects_are_no_ids(name):
    effect = SMOOTH[name](NUMBERS[name].astype(float))
    for noise in (0.0, 0.5):
        assert found([NUMBERS[name], SHOP], effect + noise * RNG.normal(size=N_ROWS)) == []


def test_a_few_frequent_values_are_no_ids():
    """As the years of films: most are of the last ones, which differ without being ids."""
    year = 1998 - RNG.geometric(0.2, N_ROWS)
    target = np.where(year == 1996, 1.0, 0.0) - np.where(year == 1997, 1.0, 0.0)
    assert found([year], target + RNG.normal(size=N_ROWS)) == []


def test_columns_that_say_nothing_are_not_told():
    target = EFFECT + RNG.normal(size=N_ROWS)
    shuffled = RNG.permutation(SHOP)
    fractions = SHOP + 0.5
    nearly_unique = RNG.integers(0, N_ROWS, N_ROWS)
    few = SHOP % 7
    assert found([shuffled, fractions, nearly_unique, few], target) == []
    # The same for all rows of a query: it says nothing about their order.
    of_query = np.repeat(RNG.integers(0, 100, QUERIES.n_queries), PER_QUERY)
    assert found([of_query], of_query.astype(float)) == []
    assert found([SHOP], np.zeros(N_ROWS)) == []


def test_missing_numbers_and_targets_are_left_out():
    column, target = SHOP.astype(float), EFFECT.copy()
    column[::3], target[1::3] = np.nan, np.nan
    assert found([column], target) == [0]
    assert found([np.full(N_ROWS, np.nan), column], target) == [1]


@pytest.fixture(scope="module")
def log():
    data = make_ranking(400, 20, n_features=4, random_state=0)
    frame = pandas.DataFrame(data.X, columns=list("abcd"))
    shop = np.random.default_rng(1).integers(0, 200, len(frame))
    frame["shop"] = shop + 1000
    frame["device"] = pandas.Categorical(np.where(shop % 3, "phone", "desk"))
    quality = np.random.default_rng(2).normal(size=200)[shop]
    utility = data.X[:, 0] + 2 * quality
    return frame, np.digitize(utility, np.quantile(utility, [0.7, 0.9])), data.qid


def test_a_student_warns_of_an_id_and_ranks_better_with_it_as_a_category(log):
    X, y, qid = log
    seen = qid < 300
    groups = np.unique(qid[seen], return_counts=True)[1]
    teacher = LGBMRanker(n_estimators=100, verbose=-1).fit(X[seen], y[seen], group=groups).booster_
    ranker = DistilledRanker(teacher, MLPRanker((16,)), random_state=0)
    with pytest.warns(UserWarning, match=r"\['shop'\] of X hold whole numbers.*seem to be ids"):
        ranker.fit(X[seen], y[seen], qid=qid[seen])
    as_number = ranker.score(X[~seen], y[~seen], qid=qid[~seen])
    named = MLPRanker((16,), categorical_features=["shop"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranker = DistilledRanker(teacher, named, random_state=0).fit(
            X[seen], y[seen], qid=qid[seen]
        )
        by_type = X.astype({"shop": "category"})
        other = DistilledRanker(teacher, MLPRanker((16,)), random_state=0)
        other.fit(by_type[seen], y[seen], qid=qid[seen])
    as_category = ranker.score(X[~seen], y[~seen], qid=qid[~seen])
    assert as_category > as_number + 0.05
    # The teacher gets the numbers that the categories are.
    assert other.score(by_type[~seen], y[~seen], qid=qid[~seen]) == pytest.approx(as_category)


def test_a_student_on_labels_alone_warns_too(log):
    X, y, qid = log
    with pytest.warns(UserWarning, match=r"\['shop'\].*seem to be ids"):
        LinearRanker(max_iter=1).fit(X, y, qid=qid)


@pytest.mark.parametrize("alone", [False, True], ids=["with labels", "teacher alone"])
def test_a_price_that_goes_with_an_item_is_no_id(alone):
    """Its values have effects that neighbours do not have, which other columns explain."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, 400, N_ROWS)
    X = pandas.DataFrame({"price": rng.integers(10_000, 90_000, 400)[item]})
    for name in "abc":
        X[name] = rng.normal(size=400)[item]
    X["match"] = rng.normal(size=N_ROWS)
    utility = np.maximum(X["a"], X["b"]) + X["c"] * X["match"] + rng.normal(size=N_ROWS)
    y = np.digitize(utility, np.quantile(utility, [0.7, 0.9]))
    teacher = LGBMRanker(n_estimators=100, verbose=-1)
    teacher.fit(X, y, group=np.full(N_ROWS // PER_QUERY, PER_QUERY))
    scores = teacher.predict(X)
    assert found([X["price"]], scores) == [0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRanker(alpha=1.0 if alone else 0.5, random_state=0).fit(
            X, None if alone else y, teacher_scores=scores,
            qid=np.repeat(np.arange(N_ROWS // PER_QUERY), PER_QUERY),
        )  # fmt: skip


def test_dates_are_no_ids():
    """The day of the week has an effect of its own, of which neighbouring days tell nothing."""
    day = pandas.to_datetime("2026-01-01") + pandas.to_timedelta(RNG.integers(0, 300, N_ROWS), "D")
    X = pandas.DataFrame({"day": day, "age": NUMBERS["age"]})
    target = (day.day_of_week == 5).astype(float) + 0.1 * RNG.normal(size=N_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearRanker(max_iter=1, random_state=0).fit(
            X, teacher_scores=target, qid=np.repeat(np.arange(N_ROWS // PER_QUERY), PER_QUERY)
        )
    seconds = X["day"].astype("datetime64[s]").astype(np.int64).to_numpy()
    assert found([seconds], np.asarray(target)) == [0]


def test_a_column_that_names_the_query_is_told():
    rng = np.random.default_rng(3)
    # Queries in any order, ids with gaps that float32 does not hold.
    qid = rng.permutation(np.repeat(1_700_000_001 + 7 * np.arange(100), 10))
    X = pandas.DataFrame({"request": qid, "a": rng.normal(size=len(qid))})
    X["of_query"] = rng.permutation(np.arange(100))[(qid - qid.min()) // 7]
    y = (X["a"] > 0).astype(int)
    student = MLPRanker((4,), max_iter=1)
    with pytest.warns(UserWarning, match=r"\['request'\] of X hold another whole .* each query"):
        student.fit(X, y, qid=qid)
    one_less = X.assign(request=X["request"].where(X["request"] != qid.max(), qid.min()))
    for table in (
        X.drop(columns="request"),
        X.assign(request=X["request"] / 3),
        X.assign(request=pandas.to_datetime(X["request"], unit="s")),
        one_less,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            student.fit(table, y, qid=qid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRanker((4,), max_iter=1, categorical_features=["request"]).fit(X, y, qid=qid)


def test_a_column_of_positions_is_told():
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 12, 60)
    qid = np.repeat(np.arange(60), sizes)
    shown = np.concatenate([rng.permutation(size) + 1 for size in sizes])
    X = pandas.DataFrame({"a": rng.normal(size=len(qid)), "position": shown})
    X["count"] = rng.poisson(3, len(qid))
    X["day"] = X["position"] + 738_000
    X["missing"] = X["position"].where(X["position"] != 2)
    y = (X["a"] > 0).astype(int)
    student = MLPRanker((4,), max_iter=1)
    order = rng.permutation(len(qid))
    for start in (0, 1):
        table = X.assign(position=shown - 1 + start).iloc[order]
        with pytest.warns(UserWarning, match=r"\['position'\] of X number the rows of each query"):
            student.fit(table, y.iloc[order], qid=qid[order])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.fit(X.drop(columns="position"), y, qid=qid)
        # As in every second query: a few lists happen to be numbered.
        half = X["position"].where(qid % 2 == 0, X["count"])
        student.fit(X.assign(position=half), y, qid=qid)


def test_few_queries_do_not_tell_positions():
    sizes = np.append(np.full(19, 3), np.ones(30, dtype=int))
    column = np.concatenate([np.arange(size) for size in sizes])[:, None]
    assert columns_of_places(column, Queries.from_sizes(sizes)) == []
    queries = Queries.from_sizes(np.full(20, 3))
    assert columns_of_places(np.tile(np.arange(3), 20)[:, None], queries) == [0]


def test_a_category_that_names_the_query_is_told():
    rng = np.random.default_rng(4)
    qid = rng.permutation(np.repeat([f"s{query}" for query in range(60)], 12))
    X = pandas.DataFrame({"search": qid, "a": rng.normal(size=len(qid))})
    y = (X["a"] > 0).astype(int)
    student = MLPRanker((4,), max_iter=1)
    message = r"\['search'\] of X name the query: each query has a value of its own"
    with pytest.warns(UserWarning, match=message):
        student.fit(X, y, qid=qid)
    # Rare values share a code.
    sizes = np.where(np.arange(60) < 20, 2, 12)
    some = np.repeat(np.arange(60), sizes)
    table = pandas.DataFrame({"search": [f"s{query}" for query in some], "a": np.arange(len(some))})
    with pytest.warns(UserWarning, match=message):
        student.fit(table, some % 2, qid=some)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.fit(X.assign(search=rng.permutation(qid)), y, qid=qid)
        student.fit(X.assign(search=X["search"].str[-1]), y, qid=qid)
        student.fit(X.drop(columns="search"), y, qid=qid)


def test_few_queries_do_not_tell_ids_from_other_columns():
    queries = Queries.from_sizes(np.full(19, 3))
    assert columns_like_query_ids(queries.segment[:, None] + 5.0, queries) == []
    queries = Queries.from_sizes(np.full(20, 3))
    assert columns_like_query_ids(queries.segment[:, None] + 5.0, queries) == [0]

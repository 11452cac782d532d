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
    missed_effects,
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


AMOUNTS = {
    "price": np.exp(RNG.normal(10, 0.8, N_ROWS)).round(-1),
    "mileage": (RNG.gamma(2, 40_000, N_ROWS)).round(-2),
    "ratings": RNG.poisson(np.exp(RNG.normal(4, 1.3, 400)))[RNG.integers(0, 400, N_ROWS)],
}
IDS = {
    "one to n": SHOP,
    "any of a range": RNG.choice(10**9, 300, replace=False)[SHOP - 5000],
    "with another for unknown": np.where(SHOP == 5000, 10**9, SHOP),
    "of two ranges": np.where(SHOP < 5240, SHOP, SHOP + 10**6),
    "missing": np.where(SHOP % 3, SHOP, np.nan),
}


BEGINNING = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers():
    """Whatever tests ran before in the process."""
    RNG.bit_generator.state = BEGINNING


def like_ids(*columns):
    return columns_like_ids(np.column_stack(columns).astype(float))


def share(column, target, scores=None, queries=QUERIES):
    scores = np.zeros(len(target)) if scores is None else scores
    return missed_effects(np.asarray(column, float)[:, None], target, scores, queries)[0]


@pytest.mark.parametrize("name", IDS)
def test_ids_of_any_range_are_spread_like_ids(name):
    assert like_ids(NUMBERS["views"], IDS[name], SHOP + 0.5) == [1]


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_and_counts_crowd_at_the_lower_end(name):
    assert like_ids(AMOUNTS[name], SHOP) == [1]


def test_columns_of_few_or_rare_values_are_not_spread_like_ids():
    """As the years of films: most are of the last ones, which differ without being ids."""
    year = 1998 - RNG.geometric(0.2, N_ROWS)
    nearly_unique = RNG.integers(0, N_ROWS, N_ROWS)
    assert like_ids(year, nearly_unique, SHOP % 7, np.full(N_ROWS, np.nan), np.ones(N_ROWS)) == []


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_the_share_of_an_id_is_that_of_the_best_shrunk_means(noise):
    """Means of the 33 rows of a value in half of the queries, of which noise is a known part."""
    known = SMOOTH["age"](NUMBERS["age"])
    rng = np.random.default_rng(9)
    targets = [known + EFFECT + noise * rng.normal(size=N_ROWS) for _ in range(20)]
    # The mean of the query, which is subtracted, has a twentieth of each effect.
    rest = 1 / PER_QUERY
    reliable = 1 / (1 + noise**2 / EFFECT.var() / (N_ROWS / 300 / 2))
    of_id, of_known = (1 - 2 * rest) * reliable * EFFECT.var(), (1 - rest) * known.var()
    found = np.mean([share(SHOP, target, known) for target in targets])
    assert found == pytest.approx(of_id / (of_id + of_known), abs=0.02)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_effects_are_not_those_of_single_values(name):
    effect = SMOOTH[name](NUMBERS[name].astype(float))
    for noise in (0.0, 0.5):
        assert share(NUMBERS[name], effect + noise * RNG.normal(size=N_ROWS)) == 0


def test_effects_that_scores_know_are_not_missed():
    noise = RNG.normal(size=N_ROWS)
    assert share(SHOP, EFFECT + noise, 3 * EFFECT + 7) == 0
    half = share(SHOP, EFFECT + noise, 3 * EFFECT + NUMBERS["age"] / 5)
    assert 0.1 < half < share(SHOP, EFFECT + noise, NUMBERS["age"] / 5)


def test_columns_that_say_nothing_have_no_share():
    target = EFFECT + RNG.normal(size=N_ROWS)
    shuffled = RNG.permutation(SHOP)
    assert share(shuffled, target) == 0
    # The same for all rows of a query: it says nothing about their order.
    of_query = np.repeat(RNG.integers(0, 100, QUERIES.n_queries), PER_QUERY)
    assert share(of_query, of_query + target) == 0
    assert share(SHOP, np.zeros(N_ROWS)) == 0


def test_chance_is_not_taken_for_an_effect():
    """Of small tables, in which values explain much of any target by chance."""
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        queries = Queries.from_sizes(np.full(20, 10))
        shares.append(share(rng.integers(0, 30, 200), rng.normal(size=200), queries=queries))
    assert np.mean(np.array(shares) > 0) < 0.02


def test_missing_numbers_and_targets_are_left_out():
    column, target = SHOP.astype(float), EFFECT + RNG.normal(size=N_ROWS)
    kept = np.arange(N_ROWS) % 3 != 0
    gap = np.arange(N_ROWS) % 3 == 1
    expected = share(column[kept & ~gap], target[kept & ~gap], queries=QUERIES.subset(kept & ~gap))
    target[gap] = np.nan
    column[~kept] = np.nan
    found = share(column, target)
    assert share(column, np.where(np.isfinite(column), np.nan, target)) == 0
    assert share(column, np.where(column < SHOP.min() + 4, target, np.nan)) == 0
    # Rows without a value are in the mean of their query.
    assert found == pytest.approx(expected, abs=0.05)
    assert found > 0.5


@pytest.mark.parametrize("queries", [Queries.single(N_ROWS), Queries.even(N_ROWS, 1)])
def test_rows_without_queries_are_compared_with_each_other(queries):
    clicks = (EFFECT + RNG.logistic(size=N_ROWS) > 1).astype(float)
    assert share(SHOP, clicks, queries=queries) > 0.5
    assert share(RNG.permutation(SHOP), clicks, queries=queries) == 0


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


@pytest.mark.parametrize("student", [MLPRanker, LinearRanker])
def test_a_student_warns_of_an_id_that_its_teacher_has_not_learnt(log, student):
    """Trees can tell few of so many values apart."""
    X, _, qid = log
    rng = np.random.default_rng(7)
    item = rng.integers(0, 1000, len(X))
    utility = X["a"] + 1.5 * rng.normal(size=1000)[item]
    X, y = X.assign(shop=item), np.digitize(utility, np.quantile(utility, [0.7, 0.9]))
    teacher = LGBMRanker(n_estimators=20, verbose=-1)
    with pytest.warns(UserWarning, match=r"\['shop'\].*seem to be ids"):
        DistilledRanker(teacher, student(), random_state=0).fit(X, y, qid=qid)


def test_a_student_of_clicks_without_queries_warns_too(log):
    X, y, _ = log
    student = MLPRanker((16,), loss="logistic", max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match=r"\['shop'\].*seem to be ids"):
        student.fit(X, (y > 0).astype(int))
    # A loss that compares rows takes them as one query, which is told instead.
    with pytest.warns(UserWarning, match="got no qid") as told:
        LinearRanker(max_iter=1).fit(X, y)
    assert len(told) == 1


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
    assert like_ids(X["price"]) == [0]
    assert share(X["price"], scores) > 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRanker(alpha=1.0 if alone else 0.5, random_state=0).fit(
            X, None if alone else y, teacher_scores=scores,
            qid=np.repeat(np.arange(N_ROWS // PER_QUERY), PER_QUERY),
        )  # fmt: skip


def test_a_price_as_prices_are_is_no_id_for_a_student_that_cannot_explain_it():
    """As in the first stage of a cascade, which learns from a teacher's scores alone."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, 400, N_ROWS)
    X = pandas.DataFrame({"price": np.exp(rng.normal(10, 0.8, 400)).astype(int)[item]})
    X["a"], X["number"] = rng.normal(size=400)[item], item + 7
    scores = np.maximum(X["a"], 0.5) - np.abs(np.log(X["price"]) - 10) + rng.normal(size=400)[item]
    assert share(X["price"], scores) > 0.08
    with pytest.warns(UserWarning, match=r"The columns \['number'\] of X .* seem to be ids"):
        LinearRanker(random_state=0).fit(
            X, teacher_scores=scores, qid=np.repeat(np.arange(N_ROWS // PER_QUERY), PER_QUERY)
        )


@pytest.mark.parametrize(
    ("of_labels", "is_told"), [(0.0, False), (0.3, True), (None, True)], ids=str
)
def test_labels_must_show_something_of_an_id_that_the_teacher_knows(of_labels, is_told):
    """A teacher remembers the noise of labels, value by value; without labels, it is trusted."""
    rng = np.random.default_rng(8)
    X = pandas.DataFrame({"a": rng.normal(size=N_ROWS), "shop": SHOP})
    scores = X["a"] + EFFECT
    labels = None
    if of_labels is not None:
        labels = X["a"] + of_labels * EFFECT + rng.normal(size=N_ROWS)
        labels = np.digitize(labels, np.quantile(labels, [0.7, 0.9]))
        assert share(SHOP, labels.astype(float), X["a"]) < 0.08
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        LinearRanker(random_state=0).fit(
            X, labels, teacher_scores=scores, qid=np.repeat(np.arange(N_ROWS // 20), 20)
        )
    assert ["['shop'] of X hold whole" in str(one.message) for one in told] == [True] * is_told


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
    assert like_ids(seconds) == [0]
    assert share(seconds, np.asarray(target)) > 0.5


def test_a_column_that_names_the_query_is_told():
    rng = np.random.default_rng(3)
    # Queries in any order, ids with gaps that float32 does not hold.
    qid = rng.permutation(np.repeat(1_700_000_001 + 7 * np.arange(100), 10))
    X = pandas.DataFrame({"request": qid, "a": rng.normal(size=len(qid))})
    X["of_query"] = rng.permutation(np.arange(100))[(qid - qid.min()) // 7]
    y = (X["a"] > 0).astype(int)
    student = MLPRanker((4,), max_iter=1)
    with pytest.warns(
        UserWarning, match=r"In X, the columns \['request'\] hold a different whole .* each query"
    ):
        student.fit(X, y, qid=qid)
    one_less = X.assign(request=X["request"].where(X["request"] != qid.max(), qid.min()))
    for table in (
        X.drop(columns="request"),
        X.assign(request=X["request"] / 3),
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
        with pytest.warns(
            UserWarning, match=r"In X, the columns \['position'\] number the rows of each query"
        ):
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
    message = (
        r"In X, the columns \['search'\] name the query: nearly every query has a value of its own"
    )
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


def test_users_of_whom_most_have_one_query_do_not_name_it():
    rng = np.random.default_rng(5)
    of_query = np.concatenate([np.arange(400), rng.integers(400, 500, 300)])
    qid = np.repeat(np.arange(700), 8)
    X = pandas.DataFrame({"user": [f"u{user}" for user in of_query[qid]]})
    X["a"] = rng.normal(size=len(qid))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRanker((4,), max_iter=1).fit(X, (X["a"] > 0).astype(int), qid=qid)


def test_the_time_of_the_request_is_told():
    """In any order of the queries, beside dates of the rows and of few queries."""
    rng = np.random.default_rng(12)
    qid = rng.permutation(np.repeat([f"s{query}" for query in range(60)], 12))
    start = pandas.Timestamp("2026-03-01")
    second = pandas.Series(rng.permutation(100_000)[:60], [f"s{query}" for query in range(60)])
    X = pandas.DataFrame({"a": rng.normal(size=len(qid))})
    X["listed_at"] = start - pandas.to_timedelta(rng.integers(0, 300, len(qid)), "D")
    X["day"] = start + pandas.to_timedelta(second[qid].to_numpy() % 7, "D")
    y = (X["a"] > 0).astype(int)
    student = MLPRanker((4,), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.fit(X, y, qid=qid)
    X["asked_at"] = start + pandas.to_timedelta(second[qid].to_numpy(), "s")
    message = (
        r"In X, the columns \['asked_at'\] hold a different time for each query, .* leave them out"
    )
    with pytest.warns(UserWarning, match=message):
        student.fit(X, y, qid=qid)
    text = X.assign(asked_at=X["asked_at"].dt.tz_localize("UTC"))
    with pytest.warns(UserWarning, match=message):
        student.fit(text, y, qid=qid)


def test_few_queries_do_not_tell_ids_from_other_columns():
    queries = Queries.from_sizes(np.full(19, 3))
    assert columns_like_query_ids(queries.segment[:, None] + 5.0, queries) == []
    queries = Queries.from_sizes(np.full(20, 3))
    assert columns_like_query_ids(queries.segment[:, None] + 5.0, queries) == [0]

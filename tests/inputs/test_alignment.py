"""Functions of the user's that get tables: row k of what they get and return belongs together."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMRegressor
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer

from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.inputs.alignment import call_aligned, check_index, warn_of_other_order
from skdistill.students import LinearRanker, MultiObjectiveRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble, pair_scores, score_rows

N_QUERIES, LENGTH = 20, 6
N_ROWS = N_QUERIES * LENGTH
QID = np.repeat(np.arange(N_QUERIES), LENGTH)
rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["age", "price", "size"])
X["age"] = X["age"].to_numpy()[QID * LENGTH]
Y = (X["age"] * X["price"] > 0.3).astype(float).to_numpy()
TEACHER = LGBMRegressor(n_estimators=5, min_child_samples=5, verbose=-1).fit(X, Y)
TEACHER_OF_PRODUCTS = LGBMRegressor(n_estimators=5, min_child_samples=5, verbose=-1).fit(
    X.assign(product=X["age"] * X["price"]), Y
)


# Indexes that pandas would align by.
INDEXES = {
    "permuted": lambda n, rng: rng.permutation(n),
    "repeated": lambda n, rng: rng.integers(0, 3, n),
    "foreign": lambda n, rng: [f"row {number}" for number in rng.permutation(n)],
    "dates": lambda n, rng: pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.permutation(n), "D"),
}
indexes, seeds = st.sampled_from(list(INDEXES)), st.integers(0, 1000)


def indexed(table, index, seed):
    return table.set_axis(INDEXES[index](len(table), np.random.default_rng(seed)), axis=0)


def towers(log=X, items=None, teacher=None, y=Y, **settings):
    fit = {name: settings.pop(name) for name in ("teacher_scores",) if name in settings}
    model = TwoTowerRetriever(
        teacher,
        query_columns=["age"],
        item_columns=["price", "size"],
        max_iter=2,
        teacher_check=False,
        random_state=0,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(log, y, qid=QID, items=items, **fit)


def product(queries, items):
    return queries["age"] * items["price"]


def with_product(queries, items):
    rows = queries.assign(**{name: items[name] for name in items})
    return rows.assign(product=queries["age"] * items["price"])


ITEMS = X[["price", "size"]]
# Each returns scores that depend on the user's function of these tables.
FUNCTIONS = {
    "teacher_scores": lambda log, items: towers(log, items, teacher_scores=product),
    "pair_features with a catalogue": lambda log, items: towers(
        log, items, teacher=TEACHER_OF_PRODUCTS.booster_, pair_features=with_product
    ),
    "pair_features of a log": lambda log, items: towers(
        log, teacher=TEACHER_OF_PRODUCTS.booster_, pair_features=with_product
    ),
    "default pair features": lambda log, items: towers(log, items, teacher=TEACHER.booster_),
}


@pytest.fixture(scope="module")
def right():
    models = {name: function(X, ITEMS) for name, function in FUNCTIONS.items()}
    scores = {name: model.predict(X) for name, model in models.items()}
    recall = {
        name: model.teacher_recall(X, qid=QID, k=2, m=3)
        for name, model in models.items()
        if model.teacher_ is not None
    }
    return scores, recall


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=4, deadline=None)
@given(log_index=indexes, item_index=indexes, seed=seeds)
def test_pandas_indexes_do_not_matter(name, log_index, item_index, seed, right):
    log, items = indexed(X, log_index, seed), indexed(ITEMS, item_index, seed + 1)
    model = FUNCTIONS[name](log, items)
    scores, recall = right
    assert_array_equal(model.predict(log), scores[name])
    if name in recall:
        assert model.teacher_recall(log, qid=QID, k=2, m=3) == recall[name]


def test_tables_of_other_libraries_give_the_same(right):
    log, items = pl.from_pandas(X), pl.from_pandas(ITEMS)
    model = FUNCTIONS["teacher_scores"](log, items)
    assert_array_equal(model.predict(log), right[0]["teacher_scores"])

    def joined(queries, items):
        rows = queries.with_columns(items.get_columns())
        return rows.with_columns(product=queries["age"] * items["price"])

    model = towers(log, items, teacher=TEACHER_OF_PRODUCTS.booster_, pair_features=joined)
    assert_array_equal(model.predict(log), right[0]["pair_features with a catalogue"])


def sort(answer):
    return answer.sort_values(ascending=False) if answer.ndim == 1 else answer.sort_values("age")


WRONG_ANSWERS = {
    "sorted": (sort, "index"),
    "filtered": (lambda answer: answer[answer.index % 2 == 0], "index"),
    "labelled": (lambda answer: answer.set_axis(range(1, len(answer) + 1)), "index"),
    "shorter": (lambda answer: answer.to_numpy()[1:], "one row per pair|one score per row"),
    "text": (lambda answer: "none", "one row per pair|could not convert"),
}


@pytest.mark.parametrize("wrong", WRONG_ANSWERS)
@pytest.mark.parametrize(
    ("function", "with_catalogue"), [(product, True), (with_product, True), (with_product, False)]
)
def test_answers_that_do_not_line_up_are_refused(function, wrong, with_catalogue):
    change, message = WRONG_ANSWERS[wrong]

    def changed(queries, items):
        return change(function(queries, items))

    items = ITEMS if with_catalogue else None
    if function is with_product:
        settings = {"teacher": TEACHER_OF_PRODUCTS.booster_, "pair_features": changed}
        message = message.replace("index", "pair_features must return .* index")
    else:
        settings = {"teacher_scores": changed}
        message = message.replace("index", "teacher_scores must return .* index")
    with pytest.raises(ValueError, match=message):
        towers(X, items, **settings)


def test_a_new_index_passes_and_the_index_of_the_input_too():
    table = X.set_axis(rng.permutation(N_ROWS), axis=0)
    for answer in (X["age"], table["age"], X, table, X["age"].to_numpy(), [1.0]):
        check_index(answer, table, "f")
    for wrong in (X["age"].iloc[::-1], table["age"].sort_index(), table["age"].iloc[1:]):
        with pytest.raises(ValueError, match=r"f must return one row per row .* got 1\d\d rows"):
            check_index(wrong, table, "f")
    check_index(X["age"], X.to_numpy(), "f")
    with pytest.raises(ValueError, match="is not that of the input"):
        check_index(table["age"], X.to_numpy(), "f")


def test_tables_are_not_changed_and_get_the_same_index():
    table, other = indexed(X, "repeated", 0), indexed(X, "foreign", 0)
    before = table.index.copy()
    tables = call_aligned(lambda *tables: tables, table, other, name="f")
    assert [list(t.index) == list(range(N_ROWS)) for t in tables] == [True, True]
    assert table.index.equals(before)


@settings(max_examples=10, deadline=None)
@given(index=indexes, seed=seeds)
def test_a_teacher_of_ones_own_answers_row_by_row(index, seed):
    class Rule:
        def __init__(self, answer):
            self.answer = answer

        def predict(self, table):
            return self.answer(table["age"] + table["price"])

    table = indexed(X, index, seed)
    expected = X["age"] + X["price"]
    assert_array_equal(score_rows(Rule(lambda scores: scores), table), expected)
    assert_array_equal(score_rows(Rule(lambda scores: scores.to_numpy()), table), expected)
    new = Rule(lambda scores: scores.reset_index(drop=True))
    assert_array_equal(score_rows(new, table), expected)
    with pytest.raises(ValueError, match="The teacher Rule must return one row per row"):
        score_rows(Rule(lambda scores: scores.sort_values()), table)


def test_a_transformer_answers_row_by_row():
    def of(change):
        transformer = FunctionTransformer(change)
        return towers(query_transformer=transformer, item_transformer=transformer)

    assert of(lambda table: table * 2).predict(X).std() > 0
    with pytest.raises(ValueError, match="query_transformer must return one row per row"):
        of(lambda table: table.sort_values(table.columns[0]))


@settings(max_examples=5, deadline=None)
@given(index=indexes, seed=seeds)
def test_a_formula_of_several_objectives(index, seed):
    def formula(outputs, table):
        return pd.Series(outputs["click"]) * table["price"]

    student = MultiObjectiveRanker(
        {"click": "listwise"}, (4,), combine=formula, max_iter=1, random_state=0
    ).fit(X, Y[:, None], qid=QID)
    expected = student.predict_objectives(X)["click"] * X["price"].to_numpy()
    assert_array_equal(student.predict(indexed(X, index, seed)), expected)
    student.combine = lambda outputs, table: formula(outputs, table).sort_values()
    with pytest.raises(ValueError, match="combine must return one row per row"):
        student.predict(X)


@pytest.mark.parametrize(
    "model",
    [
        LinearRanker(max_iter=2, random_state=0),
        DistilledRanker(TEACHER, LinearRanker(max_iter=2), random_state=0),
        RankEnsemble([("booster", TEACHER.booster_), ("student", LinearRanker(random_state=0))]),
        MLPEnsembleRanker(2, mlp_parameters={"max_iter": 1}, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@settings(max_examples=4, deadline=None)
@given(table_index=indexes, index=indexes, seed=seeds)
def test_what_comes_along_with_a_table_is_taken_by_position(model, table_index, index, seed):
    """scikit-learn's convention: y and metadata belong to the rows of X as they stand."""
    weight = 1 + QID % 3
    expected = model.fit(X, Y, qid=QID, sample_weight=weight).predict(X)
    along = [indexed(pd.Series(values), index, seed) for values in (Y, QID, weight)]
    table = indexed(X, table_index, seed + 1)
    model.fit(table, along[0], qid=along[1], sample_weight=along[2])
    assert_array_equal(model.predict(table), expected)
    assert model.score(table, along[0], qid=along[1]) == model.score(X, Y, qid=QID)


def test_an_error_names_the_pair_and_not_a_row_of_a_block(monkeypatch):
    monkeypatch.setattr(pair_scores, "BLOCK", 5)

    def logarithm(queries, items):
        with np.errstate(all="ignore"):
            return np.where((queries[:, 0] == 7) & (items[:, 0] == 3), np.nan, 0.0)

    numbers = np.arange(10.0)[:, None]
    query, item = np.divmod(np.arange(100), 10)
    checked = pair_scores.check_pair_scores(logarithm, 10, 10, numbers, numbers)
    with pytest.raises(ValueError, match=r"score of query 7 \(sorted by query id\) and item 3 is"):
        checked(query, item)

    class Rule:
        def predict(self, table):
            return logarithm(table[:, :1], table[:, 1:])

    asked = pair_scores.teacher_scores_of(
        Rule(), lambda *tables: np.hstack(tables), numbers, numbers
    )
    with pytest.raises(ValueError, match=r"The teacher Rule .* query 7 .* and item 3 is nan"):
        asked(query, item)


def test_labels_in_another_order_are_told():
    """A join or a sort of one of both leaves the index, by which nothing is aligned."""
    order = np.random.default_rng(1).permutation(N_ROWS)
    y, qid = pd.Series(Y), pd.Series(QID)
    student = LinearRanker(max_iter=1)
    ranker = DistilledRanker(FrozenEstimator(TEACHER), student, alpha=1.0)
    for model in (student, ranker):
        with pytest.warns(UserWarning, match=r"The index of y has .* pass y\.loc\[X\.index\]"):
            model.fit(X, y.iloc[order], qid=qid)
        with pytest.warns(UserWarning, match="The index of y and of qid has the labels"):
            model.fit(X.iloc[order], y, qid=qid)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X.iloc[order], y.iloc[order], qid=qid.iloc[order])
            model.fit(X.iloc[order], Y[order], qid=QID[order])
            # Another index says nothing.
            model.fit(X, y.set_axis(np.arange(N_ROWS) + 7), qid=qid.set_axis(["a"] * N_ROWS))
            model.fit(pl.from_pandas(X), y, qid=qid)
    with pytest.warns(UserWarning, match=r"pass teacher_scores\.loc\[X\.index\]"):
        DistilledRanker().fit(X, qid=QID, teacher_scores=y.iloc[order])


KINDS_OF_INDEX = {
    "range": pd.RangeIndex(3),
    "text": pd.Index(list("abc")),
    "mixed": pd.Index(["a", 1, None]),
    "dates": pd.date_range("2026-01-01", periods=3, tz="UTC"),
    "categories": pd.CategoricalIndex(list("cde")),
    "intervals": pd.interval_range(0, 3),
    "two levels": pd.MultiIndex.from_arrays([[1, 1, 2], [1, 2, 1]]),
    "three levels": pd.MultiIndex.from_arrays([[1, 1, 2], [1, 2, 1], [0, 0, 0]]),
}


@pytest.mark.parametrize("of_table", KINDS_OF_INDEX)
@pytest.mark.parametrize("of_labels", KINDS_OF_INDEX)
def test_indexes_of_all_kinds_are_compared(of_table, of_labels):
    table = pd.DataFrame({"a": [1, 2, 3]}, index=KINDS_OF_INDEX[of_table])
    labels = pd.Series([1, 2, 3], index=KINDS_OF_INDEX[of_labels])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_other_order(table, y=labels)
    if of_table == of_labels:
        with pytest.warns(UserWarning, match="in another order"):
            warn_of_other_order(table, y=labels[::-1])

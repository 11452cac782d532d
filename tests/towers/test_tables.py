"""Towers read tables of any library by the encoder of the students."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill import MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.inputs import TableEncoder
from skdistill.serving import compile_scorer, to_onnx

N_USERS, N_ITEMS = 60, 40
RNG = np.random.default_rng(0)


def make_users():
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 1000, N_USERS), "D")
    users = pd.DataFrame(
        {
            "user": pd.array(range(N_USERS), "Int64"),
            "age": RNG.normal(40, 10, N_USERS),
            "city": RNG.choice(["a", "b", "c"], N_USERS).astype(object),
            "since": days,
            "visits": pd.array(RNG.integers(0, 3, N_USERS), "Int64"),
        }
    )
    for row, column in enumerate(users.columns):
        users.loc[row + 3, column] = None
    return users


USERS = make_users()
ITEMS = pd.DataFrame(
    {
        "item": [f"i{number}" for number in range(N_ITEMS)],
        "price": RNG.lognormal(size=N_ITEMS),
        "kind": pd.Categorical(RNG.choice(["x", "y", None], N_ITEMS)),
        "new": RNG.random(N_ITEMS) < 0.5,
    }
)
USER, ITEM = RNG.integers(N_USERS, size=500), RNG.integers(N_ITEMS, size=500)
LABELS = (RNG.random(500) < 0.3).astype(float)
SCORES = RNG.normal(size=(N_USERS, N_ITEMS))[np.unique(USER)]
LIBRARIES = {
    "pandas": lambda frame: frame,
    "objects": lambda frame: frame.astype({c: object for c in frame if c in ("user", "item")}),
    "nullable": lambda frame: frame.convert_dtypes(),
    "Arrow-backed": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


def log_of(users=USERS, items=ITEMS):
    log = pd.concat(
        [users.iloc[USER].reset_index(drop=True), items.iloc[ITEM].reset_index(drop=True)], axis=1
    )
    first = ["item", "user", "page"]
    return log.assign(page="neither")[[*first, *(name for name in log if name not in first)]]


def make_towers(kind=TwoTowerRetriever, **parameters):
    settings = {"embedding_dim": 8, "max_iter": 3, "random_state": 0, "teacher_check": False}
    columns = {"query_columns": list(USERS), "item_columns": list(ITEMS)}
    return kind(**{**settings, **columns, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return make_towers().fit(log_of(), LABELS, qid=USER, items=ITEMS, teacher_scores=SCORES)


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables_of_every_library_give_the_same_embeddings(fitted, library):
    convert = LIBRARIES[library]
    tables = convert(log_of()), convert(ITEMS), convert(USERS)
    towers = make_towers()
    towers.fit(tables[0], LABELS, qid=USER, items=tables[1], teacher_scores=SCORES)
    assert isinstance(towers.query_transformer_, TableEncoder)
    expected = fitted.transform_queries(USERS)
    assert np.isfinite(expected).all()
    for one in (towers, fitted):
        assert_allclose(one.transform_queries(tables[2]), expected, atol=1e-5)
        assert_allclose(one.transform_items(tables[1]), fitted.index_.embeddings, atol=1e-5)
        assert_allclose(one.predict(tables[0]), fitted.predict(log_of()), atol=1e-5)
    assert_array_equal(towers.retrieve(tables[2], 5)[0], fitted.retrieve(USERS, 5)[0])


@pytest.mark.parametrize(
    "parameters", [{}, {"query_hidden": (4,)}, {"alpha": 0, "weight_decay": 1}]
)
def test_what_fit_did_not_see_adds_nothing(parameters):
    users = USERS.assign(user=range(N_USERS), city=RNG.choice(["a", "b"], N_USERS))
    towers = make_towers(**parameters)
    towers.fit(log_of(users), LABELS, qid=USER, items=ITEMS, teacher_scores=SCORES)
    # Neither an unknown id nor a missing one, nor a city besides these two, was ever trained.
    encoder, weights = towers.query_transformer_, towers.params_["query_weights_0"]
    rows = encoder.transform(users.assign(user=-1, city="d"))
    of_codes = weights[-rows.n_codes :]
    assert (of_codes[rows.codes[:, :2]] == 0).all()
    assert (of_codes[encoder.transform(users.assign(user=None, city=None)).codes[:, :2]] == 0).all()
    known = np.unique(encoder.transform(users.iloc[np.unique(USER)]).codes)
    assert (of_codes[known] != 0).any(axis=1).all()
    embedded = towers.transform_queries(users.assign(user=-1))
    assert_array_equal(embedded, towers.transform_queries(users.assign(user=10**12)))
    assert_array_equal(embedded, towers.transform_queries(users.assign(user=None)))
    assert not np.allclose(embedded, towers.transform_queries(users))


class Untouched:
    """A teacher that must not be fitted."""

    def fit(self, X, y):
        raise AssertionError("The teacher was fitted before the table was read.")

    def predict(self, X):
        raise AssertionError("The teacher was asked before the table was read.")


def test_errors_about_a_table_come_before_the_teacher_and_name_the_column():
    bad = {
        "queries contains infinity or a value too large.*column 'age'": (
            USERS.assign(age=np.where(USERS["age"] > 50, np.inf, USERS["age"])), ITEMS,
        ),
        "Column 'kind' of X holds lists": (USERS, ITEMS.assign(kind=[["x"]] * N_ITEMS)),
    }  # fmt: skip
    for message, (users, items) in bad.items():
        log = pl.from_pandas(log_of(users, items))
        with pytest.raises((TypeError, ValueError), match=message):
            make_towers(teacher=Untouched()).fit(log, LABELS, qid=USER, items=pl.from_pandas(items))


def test_numbers_may_be_missing_although_fit_saw_all():
    X = RNG.normal(size=(500, 6))
    towers = make_towers(query_columns=slice(0, 3), item_columns=slice(3, 6), alpha=0)
    towers.fit(X, LABELS, qid=np.arange(500))
    hole = X.copy()
    hole[:, 0] = np.nan
    assert np.isfinite(towers.predict(hole)).all()
    with pytest.raises(
        ValueError, match="queries contains infinity or a value too large.* column 1 holds inf"
    ):
        towers.transform_queries(np.array([[0.0, np.inf, 0.0]]))


@pytest.mark.parametrize("kind", [TwoTowerRetriever, MultiObjectiveRetriever])
@pytest.mark.parametrize("parameters", [{}, {"item_hidden": (4,), "similarity": "cosine"}])
def test_towers_with_categories_are_compiled_and_exported(kind, parameters):
    if kind is MultiObjectiveRetriever:
        parameters = {**parameters, "objectives": {"click": "listwise", "teacher": "listwise"}}
    towers = make_towers(kind, **parameters)
    towers.fit(log_of(), LABELS, qid=USER, items=ITEMS, teacher_scores=SCORES)
    log = log_of().drop(columns="page")
    log.loc[:9, "user"] = 10**6
    log.loc[5:15, "item"] = "never seen"
    expected = towers.predict(log.assign(page="")[list(log_of())])
    for engine in ("numpy", "onnxruntime"):
        scorer = compile_scorer(towers, engine)
        assert "page" not in scorer.feature_names
        assert_allclose(scorer(log), expected, atol=1e-5)
        assert_allclose(scorer(*scorer.encode(log)), expected, atol=1e-5)
        assert_allclose(scorer.rows(log.to_dict("records")), expected, atol=1e-5)
    types = {one.name: one.type.tensor_type.elem_type for one in to_onnx(towers).graph.input}
    assert set(types) == set(log.columns)

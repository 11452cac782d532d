"""Columns of which a model knows no category are told of; new categories among others are not."""

import warnings

import numpy as np
import pytest
from lightgbm import LGBMRanker
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skdistill import DistilledRanker
from skdistill.serving import compile_scorer, score_table
from skdistill.students import LinearRanker
from skdistill.teachers import score_rows

pandas = pytest.importorskip("pandas")

N_ROWS = 2000


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"age": rng.integers(18, 80, N_ROWS)})
    X["city"] = pandas.Categorical(np.array(["hamburg", "köln", None])[rng.integers(0, 3, N_ROWS)])
    X["device"] = pandas.Categorical(np.array(["phone", "desk"])[rng.integers(0, 2, N_ROWS)])
    y = (X["age"] + 20 * (X["city"] == "köln") > 60).astype(int)
    return X, y, np.arange(N_ROWS) // 20


@pytest.fixture(scope="module")
def booster(log):
    X, y, _ = log
    teacher = LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1)
    return teacher.fit(X, y, group=np.full(N_ROWS // 20, 20)).booster_


def spelt(X, column, form):
    text = X[column].astype(object).str.upper()
    return X.assign(**{column: text.astype("category") if form == "category" else text})


@pytest.mark.parametrize("form", ["category", "text"])
def test_a_teacher_that_knows_no_category(log, booster, form):
    X, y, qid = log
    other = spelt(X, "city", form)
    with pytest.warns(UserWarning, match=r"The teacher knows none of the.*\['city'\].*spelt"):
        score_rows(booster, other)
    with pytest.warns(UserWarning, match="The teacher knows none"):
        DistilledRanker(booster, LinearRanker(max_iter=1)).fit(other, y, qid=qid)


@pytest.mark.parametrize("form", ["category", "text"])
def test_a_student_that_knows_no_category(log, form):
    X, y, qid = log
    student = LinearRanker(max_iter=1).fit(X, y, qid=qid)
    with pytest.warns(UserWarning, match=r"The student knows none of the.*\['device'\]"):
        student.predict(spelt(X, "device", form))


def test_what_serves_a_student_that_knows_no_category(log, tmp_path):
    X, y, qid = log
    student = LinearRanker(max_iter=1).fit(X, y, qid=qid)
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["device"]), remainder="passthrough"
        ),
        LinearRanker(max_iter=1),
    ).fit(X[["age", "device"]], y, linearranker__qid=qid)
    other = spelt(X, "device", "text")
    other.to_parquet(tmp_path / "a.parquet")
    message = r"The model knows none of the.*\['device'\]"
    for model in (student, pipeline):
        scorer = compile_scorer(model)
        with pytest.warns(UserWarning, match=message):
            scorer(other)
        with pytest.warns(UserWarning, match=message):
            scorer.rows(other.to_dict("records"))
        with pytest.warns(UserWarning, match=message):
            score_table(model, tmp_path / "a.parquet", tmp_path / type(model).__name__)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scorer(X)
            scorer(other.head(500))  # as in a request, all may be new


def test_what_may_be_new_is_not_told(log, booster):
    X, y, qid = log
    student = LinearRanker(max_iter=1).fit(X, y, qid=qid)
    some = X.assign(city=X["city"].astype(object).where(X.index > 5, "PARIS"))
    missing = X.assign(city=pandas.Categorical([None] * N_ROWS, categories=["köln"]))
    few = spelt(X, "city", "text")[:100]
    rare = X.assign(session=[f"session {row}" for row in range(N_ROWS)])
    with_rare = LinearRanker(max_iter=1).fit(rare, y, qid=qid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for table in (some, missing, few):
            student.predict(table)
            score_rows(booster, table)
        # A column of which no category was frequent enough to be known says nothing anyway.
        with_rare.predict(rare.assign(session=rare["session"].str.upper()))

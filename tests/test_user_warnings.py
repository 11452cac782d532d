"""Warnings name the user's line, however many calls lie between it and their cause."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from lightgbm import LGBMRanker
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.metrics import ndcg_score
from skdistill.students import LinearRanker
from skdistill.teachers import MLPEnsembleRanker

TABLE = make_ranking(n_queries=20, n_features=4, random_state=0)
FITTED = LGBMRanker(n_estimators=2, verbose=-1).fit(
    TABLE.X, TABLE.y, group=np.unique(TABLE.qid, return_counts=True)[1]
)
STUDENT = LinearRanker(max_iter=2)


def fit_without_queries():
    STUDENT.fit(TABLE.X, TABLE.y)


def fit_in_a_pipeline():
    make_pipeline(StandardScaler(), STUDENT).fit(TABLE.X, TABLE.y)


def fit_a_ranker():
    DistilledRanker(LGBMRanker(n_estimators=2, verbose=-1), STUDENT).fit(TABLE.X, TABLE.y)


def fit_an_ensemble():
    MLPEnsembleRanker(2, mlp_parameters={"max_iter": 1}).fit(TABLE.X, TABLE.y)


def fit_in_a_search():
    GridSearchCV(STUDENT, {"alpha": [0.0]}, cv=2).fit(TABLE.X, TABLE.y)


def fit_with_a_fitted_teacher():
    DistilledRanker(FITTED, STUDENT).fit(TABLE.X, TABLE.y, qid=TABLE.qid)


def fit_towers_with_a_fitted_teacher():
    data = make_retrieval(n_queries=30, n_items=20, random_state=0)
    towers = TwoTowerRetriever(
        FITTED, query_columns=data.query_columns, item_columns=data.item_columns, max_iter=1,
        teacher_check=False,
    )  # fmt: skip
    with pytest.raises(ValueError):  # the teacher is fitted anew, on other columns
        towers.fit(data.X, None, qid=data.qid, items=data.items)


def fit_on_the_label():
    STUDENT.fit(np.column_stack([TABLE.X, TABLE.y]), TABLE.y, qid=TABLE.qid)


def measure_nothing():
    ndcg_score(np.zeros(4), np.zeros(4), np.zeros(4))


CASES = {
    fit_without_queries: "got no qid",
    fit_in_a_pipeline: "got no qid",
    fit_a_ranker: "got no qid",
    fit_an_ensemble: "got no qid",
    fit_in_a_search: "got no qid",
    fit_with_a_fitted_teacher: "is fitted already",
    fit_towers_with_a_fitted_teacher: "is fitted already",
    fit_on_the_label: "of X equal y, or follow",
    measure_nothing: "the metric is undefined",
}


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("call", CASES, ids=lambda call: call.__name__)
def test_a_warning_names_the_line_of_the_user(call, routing):
    with (
        sklearn.config_context(enable_metadata_routing=routing),
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")
        call()
    ours = [one for one in seen if CASES[call] in str(one.message)]
    assert ours
    assert {one.filename for one in ours} == {__file__}
    line = Path(__file__).read_text("utf-8").splitlines()[ours[0].lineno - 1]
    assert "fit(" in line or "ndcg_score(" in line


FRAME = pd.DataFrame(TABLE.X, columns=list("abcd"))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_column_that_holds_what_is_learnt_is_named(library):
    leaky = FRAME.assign(grade=TABLE.y, clicked=TABLE.y > 0, text="x", score=TABLE.X[:, 0] * 2)
    if library == "polars":
        leaky = pytest.importorskip("polars").from_pandas(leaky)
    elif library == "pyarrow":
        leaky = pytest.importorskip("pyarrow").Table.from_pandas(leaky)
    with pytest.warns(UserWarning, match=r"columns \['grade', 'clicked'\] of X equal y, or follow"):
        STUDENT.fit(leaky, TABLE.y, qid=TABLE.qid)
    with pytest.warns(UserWarning, match=r"columns \['score'\] of X equal teacher_scores"):
        DistilledRanker(student=STUDENT).fit(leaky, qid=TABLE.qid, teacher_scores=TABLE.X[:, 0] * 2)


def test_columns_that_hold_something_else_are_not_named():
    almost, labels = TABLE.y.astype(float), TABLE.y.astype(float)
    almost[-1] += 1
    labels[:5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        STUDENT.fit(np.column_stack([TABLE.X, almost]), TABLE.y, qid=TABLE.qid)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        # A constant says nothing: a column of zeros is no label.
        STUDENT.fit(np.column_stack([TABLE.X, 0 * almost]), 0 * labels, qid=TABLE.qid)
    assert not [one for one in seen if "of X equal" in str(one.message)]
    rare = TABLE.y > 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A few rows may agree by chance.
        STUDENT.fit(np.column_stack([TABLE.X[:9], rare[:9]]), TABLE.y[:9] > 1, qid=TABLE.qid[:9])
    with pytest.warns(UserWarning, match=r"columns \[4\] of X equal y"):
        STUDENT.fit(np.column_stack([TABLE.X, TABLE.y]), labels, qid=TABLE.qid)


def test_labels_that_are_all_missing_are_told():
    nothing = np.full(len(TABLE.y), np.nan)
    ranker = DistilledRanker(FITTED.booster_, STUDENT)
    with pytest.warns(UserWarning, match="y is NaN in every row: the student learns from the tea"):
        ranker.fit(TABLE.X, nothing, qid=TABLE.qid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranker.fit(TABLE.X, qid=TABLE.qid)
        DistilledRanker(FITTED.booster_, STUDENT, alpha=1.0).fit(TABLE.X, nothing, qid=TABLE.qid)

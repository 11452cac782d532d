"""Scorers find the queries inside Pipelines and searches, and leave out what has no label."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdistill.metrics import mrr_score, mrr_scorer, ndcg_score, ndcg_scorer, retrieval_scorer


class ByColumn(RegressorMixin, BaseEstimator):
    """Scores by its first column, and has its queries in the second."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return X[:, 0]

    def resolve_qid(self, X, qid):
        self.asked = X
        return X[:, 1] if qid is None else qid


# Columns are the query and the score. Relevant rows are first in query 0, second in query 1.
X = np.array([[0.0, 2], [0, 1], [1, 2], [1, 1]])
Y = np.array([1.0, 0, 0, 1])
OTHER_QID = np.array([0, 0, 0, 1])  # a relevant row tied with an irrelevant one, and one alone


def swap(table):
    return table[:, ::-1]


WRAPPED = {
    "pipeline": make_pipeline(FunctionTransformer(swap), ByColumn()),
    "longer pipeline": make_pipeline(
        FunctionTransformer(np.asarray), FunctionTransformer(swap), ByColumn()
    ),
    "nested pipeline": make_pipeline(FunctionTransformer(swap), make_pipeline(ByColumn())),
    "search": GridSearchCV(make_pipeline(FunctionTransformer(swap), ByColumn()), {}, cv=2),
    "pipeline of a search": make_pipeline(
        FunctionTransformer(swap), GridSearchCV(ByColumn(), {}, cv=2)
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_queries_come_from_the_column_that_the_last_step_sees(name):
    model = WRAPPED[name].fit(X, Y)
    assert mrr_scorer()(model, X, Y) == (1 + 1 / 2) / 2


@pytest.mark.parametrize("name", WRAPPED)
def test_queries_that_are_given_go_before_a_column(name):
    model = WRAPPED[name].fit(X, Y)
    assert mrr_scorer()(model, X, Y, qid=OTHER_QID) == (1 / 2 + 1) / 2


def test_no_step_is_run_for_queries_that_are_given():
    model = WRAPPED["pipeline"].fit(X, Y)
    mrr_scorer()(model, X, Y, qid=OTHER_QID)
    assert model[-1].asked is X


def test_rows_without_a_label_are_left_out_of_all_columns():
    model = ByColumn()
    table = swap(X)
    unlabelled = np.array([np.nan, 0, 0, 1])
    # Query 0 keeps an irrelevant row alone, and does not count.
    assert mrr_scorer()(model, table, unlabelled) == 1 / 2
    weight = [9.0, 1, 1, 3]
    assert mrr_scorer(empty="one")(model, table, unlabelled, sample_weight=weight) == pytest.approx(
        (1 * 1 + (1 + 3) / 2 * 1 / 2) / (1 + (1 + 3) / 2)
    )


def test_row_weights_reach_the_metric():
    found = mrr_scorer()(ByColumn(), swap(X), Y, sample_weight=[3, 3, 1, 1])
    assert found == pytest.approx((3 * 1 + 1 * 1 / 2) / (3 + 1))
    assert found == mrr_score(Y, X[:, 1], X[:, 0], sample_weight=[3, 3, 1, 1])


def test_labels_may_be_objects():
    assert mrr_scorer()(ByColumn(), swap(X), Y.astype(object)) == (1 + 1 / 2) / 2


def test_without_a_column_of_queries_all_rows_are_one():
    class Plain:
        def predict(self, table):
            return table[:, 0]

    assert mrr_scorer()(Plain(), swap(X), Y) == 1 / 2


def test_the_default_number_of_places_is_ten():
    y = np.arange(30.0)
    table = np.column_stack([np.sin(y), np.zeros(30)])
    found = ndcg_scorer()(ByColumn(), table, y)
    assert found == ndcg_score(y, table[:, 0], None, k=10)
    assert found != ndcg_score(y, table[:, 0], None, k=11)


def test_a_retrieval_scorer_asks_the_retriever_inside():
    class Retriever(BaseEstimator):
        def fit(self, table, y=None):
            return self

        def teacher_recall(self, table, *, qid, k, m):
            return table[0, 0], qid, k, m

    model = make_pipeline(FunctionTransformer(swap), Retriever())
    assert retrieval_scorer()(model, X, qid="ids") == (2, "ids", 10, 50)
    assert retrieval_scorer(k=3, m=7)(model, X) == (2, None, 3, 7)

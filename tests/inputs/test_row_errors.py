"""Messages name the row of the user's table, in whatever order the rows are trained on."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs.column_kinds import ColumnKindError
from skdistill.inputs.row_errors import RowError
from skdistill.students import LinearRanker

DATA = make_ranking(n_queries=30, n_features=4, random_state=0)
SHUFFLED = np.random.default_rng(0).permutation(len(DATA.y))
X = pd.DataFrame(DATA.X[SHUFFLED], columns=list("abcd"))
Y, QID = DATA.y[SHUFFLED], DATA.qid[SHUFFLED]
STUDENTS = {
    "student": LinearRanker(max_iter=1),
    "ranker": DistilledRanker(lambda table: table["a"], LinearRanker(max_iter=1)),
    "pipeline": DistilledRanker(
        lambda table: table["a"],
        make_pipeline(FunctionTransformer(), LinearRanker(max_iter=1)),
    ),
    "calibrated": DistilledRanker(
        lambda table: table["a"], LinearRanker(max_iter=1), calibrate="sigmoid"
    ),
}


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("row", [0, 17, 100, len(Y) - 1])
def test_an_infinite_number_is_found_in_its_row(name, row):
    wrong = X.copy()
    wrong.iloc[row, 2] = np.inf
    grades = (Y > 1).astype(float)
    with pytest.raises(ValueError, match=f"row {row} of column 'c' holds inf"):
        STUDENTS[name].fit(wrong, grades, qid=QID)
    with pytest.raises(ValueError, match=rf"validation table .* row {row} of column 'c' holds inf"):
        STUDENTS[name].fit(X, grades, qid=QID, X_val=wrong, y_val=grades, qid_val=QID)


def test_a_cell_of_another_kind_is_found_in_its_row():
    dated = X.assign(day=pd.to_datetime("2026-01-01"))
    wrong = dated.assign(day=dated["day"].astype(object))
    wrong.loc[33, "day"] = "some day"
    ranker = STUDENTS["ranker"]
    with pytest.raises(ValueError, match=r"row 33: column 'day' held values of type date"):
        ranker.fit(dated, Y, qid=QID, X_val=wrong, y_val=Y, qid_val=QID)


def test_errors_come_back_from_other_processes():
    for error in (
        RowError("X: ", 3, " is wrong."),
        ColumnKindError("X", 3, "day", "some day", "text", "date"),
    ):
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert vars(copied) == vars(error)
    assert_array_equal(copied.row, 3)


def test_dictionaries_in_place_of_a_table_are_named():
    X = np.random.default_rng(0).normal(size=(40, 2))
    student = LinearRanker(max_iter=1).fit(X, X[:, 0] > 0, qid=np.repeat(np.arange(4), 10))
    for rows in ([{"a": 1.0, "b": 2.0}], {"a": [1.0], "b": [2.0]}):
        with pytest.raises(TypeError, match=r"made of dictionaries\. Pass pandas"):
            student.predict(rows)

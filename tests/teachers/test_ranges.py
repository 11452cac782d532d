"""Columns in another unit than in a LightGBM model's training are told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from lightgbm import Booster, LGBMRanker, LGBMRegressor
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdistill.teachers import score_rows

N_ROWS = 2000
rng = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "price": rng.lognormal(3, 1, N_ROWS),
        "age": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.integers(0, 400, N_ROWS)),
        "constant": 1.0,
        "city": pd.Categorical(rng.choice(["köln", "paris"], N_ROWS)),
    }
)
Y = np.clip(np.round(np.log(X["price"]) - 2), 0, 3)
SECONDS = X.assign(age=X["age"] * 86_400)


@pytest.fixture(scope="module")
def ranker():
    return LGBMRanker(n_estimators=5, verbose=-1).fit(X, Y, group=[20] * (N_ROWS // 20))


@pytest.fixture(scope="module", params=["ranker", "booster", "file", "pipeline"])
def teacher(request, ranker):
    booster = ranker.booster_
    return {
        "ranker": ranker,
        "booster": booster,
        "file": Booster(model_str=booster.model_to_string()),
        "pipeline": make_pipeline(FunctionTransformer(), booster),
    }[request.param]


def warned(teacher, table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score_rows(teacher, table)
    return [str(warning.message) for warning in caught]


def test_another_unit_is_told(teacher):
    (message,) = warned(teacher, SECONDS)
    assert "'age' (0 to 399)" in message
    assert "price" not in message


def test_rows_like_those_of_the_training_are_not(teacher):
    assert warned(teacher, X) == []
    # A third of the rows is beyond the range, as after some months.
    assert warned(teacher, X.assign(age=X["age"] + 133)) == []


def test_a_column_that_is_missing_is_told(teacher):
    (message,) = warned(teacher, X.assign(age=np.nan))
    assert "['age'] hold no value in any row" in message


def test_what_is_not_judged(ranker):
    assert warned(ranker, SECONDS.head(500)) == []  # a request may be unlike the log
    assert warned(ranker, X.assign(constant=2.0)) == []  # the model has not read it
    numbers = X[["price", "age"]].fillna(0.0)
    model = LGBMRegressor(n_estimators=2, verbose=-1).fit(numbers.to_numpy(), Y)
    assert warned(model, sparse.csr_matrix(numbers.to_numpy() * 1e6)) == []
    assert warned(lambda table: table["age"].fillna(0).to_numpy(), SECONDS) == []
    assert "was trained on" in warned(model, numbers.to_numpy() * 1e6)[0]

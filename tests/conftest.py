"""Small tables for all tests, and MovieLens where the machine can fetch it."""

import pytest
import sklearn

from skdistill.datasets import load_movielens, make_ranking


@pytest.fixture(scope="session")
def table():
    return make_ranking(n_queries=60, n_features=8, random_state=0)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="session")
def movielens():
    try:
        return load_movielens("100k")
    except OSError as error:
        pytest.skip(f"MovieLens could not be fetched: {error}")

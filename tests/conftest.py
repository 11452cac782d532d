"""Small tables for all tests, and MovieLens where the machine can fetch it."""

import numpy as np
import pandas as pd
import pytest
import sklearn

from skdistill.datasets import load_movielens, make_ranking
from tests.clusters import NAMES


def pytest_collection_modifyitems(items):
    """Mark what needs MovieLens: ``-m "not network"`` leaves it out."""
    for item in items:
        if "movielens" in getattr(item, "fixturenames", ()):
            item.add_marker("network")


@pytest.fixture(scope="session")
def table():
    """60 queries of 8 columns, with labels and the utility that they come from."""
    return make_ranking(n_queries=60, n_features=8, random_state=0)


@pytest.fixture
def routing():
    """Metadata routing of scikit-learn, switched on."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="session")
def movielens():
    """Skips where there is no network; any other failure is an error."""
    try:
        return load_movielens("100k")
    except OSError as error:
        if "cannot be downloaded" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def frame():
    """240 queries as a data frame with the columns ``query``, ``label`` and ``row``."""
    data = make_ranking(n_queries=240, n_features=8, random_state=0)
    frame = pd.DataFrame(data.X.astype(np.float32), columns=NAMES)
    frame["query"] = data.qid
    frame["label"] = data.y
    frame["row"] = np.arange(len(frame))
    return frame.sort_values("query", kind="stable", ignore_index=True)


@pytest.fixture(scope="session")
def client():
    """A Dask cluster of two processes."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client

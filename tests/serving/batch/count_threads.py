"""Score files by a model whose scores are the BLAS threads of its process, in two processes."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_info

from skdistill.serving import score_table


class CountsThreads(BaseEstimator):
    """A fitted model of one column."""

    n_features_in_ = 1
    feature_names_in_ = np.array(["x"], dtype=object)

    def predict(self, X):
        libraries = threadpool_info()
        threads = [each["num_threads"] for each in libraries if each["user_api"] == "blas"]
        return np.full(len(X), max(threads), dtype=np.float32)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for part in range(4):
        pd.DataFrame({"x": [1.0, 2.0]}).to_parquet(folder / f"{part}.parquet")
    inputs = [folder / f"{part}.parquet" for part in range(4)]
    score_table(CountsThreads(), inputs, folder / "scores", n_jobs=2)

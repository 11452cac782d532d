"""Compare students that learn as one replica and as several on a Dask cluster, by NDCG@10.

    python -m benchmarks replicas

The table is cut into six partitions. A student of 16 units learns from the labels of 160 queries
for 25 rounds, and is measured on the other 80. Needs the extra ``dask``.
"""

import argparse
from itertools import pairwise

import numpy as np

from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_score
from skdistill.students import MLPRanker

REPLICAS = (1, 2, 6)
N_PARTS = 6
N_TRAIN = 160
NAMES = [f"f{number}" for number in range(8)]


def make_frame():
    """Return 240 queries as a data frame with the columns ``query`` and ``label``."""
    import pandas as pd

    data = make_ranking(n_queries=240, n_features=len(NAMES), random_state=0)
    frame = pd.DataFrame(data.X.astype(np.float32), columns=NAMES)
    return frame.assign(query=data.qid, label=data.y)


def partitioned(frame):
    """Return a Dask frame of whole queries."""
    import dask.dataframe as dd

    bounds = np.linspace(0, frame["query"].nunique(), N_PARTS + 1).astype(int)
    pieces = [frame[frame["query"].between(a, b - 1)] for a, b in pairwise(bounds)]
    return dd.from_map(lambda piece: piece, pieces, meta=frame[:0])


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args(arguments)
    import distributed

    from skdistill.dask_training import fit_student_dask

    frame = make_frame()
    test = frame[frame["query"] >= N_TRAIN]
    table = partitioned(frame[frame["query"] < N_TRAIN])
    print("| replicas | NDCG@10 | standard deviation over seeds |")
    print("|---|---|---|")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster),
    ):
        for n_replicas in REPLICAS:
            quality = []
            for seed in range(options.seeds):
                student = fit_student_dask(
                    MLPRanker((16,), batch_size=8, random_state=seed),
                    table,
                    features=NAMES,
                    label_column="label",
                    query_column="query",
                    n_rounds=options.rounds,
                    n_replicas=n_replicas,
                )
                scores = student.predict(test[NAMES])
                quality.append(ndcg_score(test["label"], scores, test["query"], k=10))
            print(f"| {n_replicas} | {np.mean(quality):.4f} | {np.std(quality, ddof=1):.4f} |")

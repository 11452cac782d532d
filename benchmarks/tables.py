"""Time and rate students on a table as people have it: numbers, categories, missing values.

    python benchmarks/tables.py                 # both parts
    python benchmarks/tables.py --part speed
    python benchmarks/tables.py --part quality --seeds 3

The table has 20 columns of numbers and 4 of categories, one of them of 10,000 values, and 5% of
its cells are missing. The teacher is a LightGBM LambdaRank of 300 trees with 31 leaves.

Speed: every face of the compiled scorer against LightGBM on the same rows, in one thread. The two
take turns of twenty different requests.
Quality: NDCG@10 of students on held-out queries, relative to the teacher's, for the default
settings and for others. No test query tunes anything: settings are compared, not chosen.
"""

import argparse

import lightgbm
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits
from timing import median_times

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_per_query
from skdistill.serving import compile_scorer
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

CATEGORIES = (20, 30, 300, 10_000)
N_TRAIN, QUERY_SIZE = 1400, 30
LARGE = "100,000 rows of a frame"
# Floors of the ratios of LightGBM's time to the scorer's.
FLOORS = {
    "300 rows of a frame": 14,
    "300 rows from codes": 30,
    "300 rows of dictionaries": 20,
    LARGE: 10,
    "1 row of dictionaries": 1,
}
# Requests that follow each other in a turn.
REQUESTS = 20


def make_table(truth, seed, n_queries=2000):
    return make_ranking(
        n_queries, QUERY_SIZE, 20, categories=CATEGORIES, missing=0.05, truth=truth,
        random_state=seed,
    )  # fmt: skip


def make_teacher(X, y, n_trees=300):
    teacher = lightgbm.LGBMRanker(
        n_estimators=n_trees, num_leaves=31, learning_rate=0.05, verbose=-1, n_jobs=1
    )
    return teacher.fit(X, y, group=np.full(len(y) // QUERY_SIZE, QUERY_SIZE))


def dictionaries(frame):
    """Rows as a service gets them, None where a value is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def over(call, requests):
    """Call once per request, one after the other."""

    def run():
        for request in requests:
            call(request)

    return run


def speed(short=False):
    """Print LightGBM's and the scorer's times side by side; name the ratios that are too low.

    In a short run a ratio is too low at half of what is wanted.
    """
    data = make_table("interactions", 0, 400 if short else N_TRAIN)
    teacher = make_teacher(data.X, data.y)
    student = MLPRanker(max_iter=3, random_state=0)
    student.fit(data.X, qid=data.qid, teacher_scores=teacher.predict(data.X))
    scorer, booster = compile_scorer(student), teacher.booster_
    types = data.X.dtypes
    as_codes = data.X.copy()
    for name in as_codes.select_dtypes("category"):
        as_codes[name] = as_codes[name].cat.codes.replace(-1, np.nan)
    array = np.ascontiguousarray(as_codes, dtype=np.float64)
    n_large = 10_000 if short else 100_000
    large = data.X.iloc[np.resize(np.arange(len(data.X)), n_large)].reset_index(drop=True)
    repeats, times = (5 if short else 21), {}
    with threadpool_limits(1):
        for n_rows in (300, 1):
            starts = range(0, REQUESTS * n_rows, n_rows)
            frames = [data.X[start : start + n_rows].copy() for start in starts]
            arrays = [np.ascontiguousarray(array[start : start + n_rows]) for start in starts]
            requests = [dictionaries(frame) for frame in frames]
            codes = [scorer.encode(frame) for frame in frames]

            def ask(X):
                return booster.predict(X, num_threads=1)

            def from_dictionaries(rows):
                return teacher.predict(pd.DataFrame(rows).astype(types))

            by_hand = {
                "of a frame": over(teacher.predict, frames),
                "from codes": over(ask, arrays),
                # One dictionary is compared with the least that LightGBM takes for one row.
                "of dictionaries": over(from_dictionaries, requests) if n_rows > 1 else
                over(ask, arrays),
            }  # fmt: skip
            ours = {
                "of a frame": over(scorer, frames),
                "from codes": over(lambda pair: scorer(*pair), codes),
                "of dictionaries": over(scorer.rows, requests),
            }
            for name in by_hand:
                pair = {"LightGBM": by_hand[name], "scorer": ours[name]}
                row = f"{n_rows} {'row' if n_rows == 1 else 'rows'} {name}"
                times[row] = {
                    who: seconds / REQUESTS for who, seconds in median_times(pair, repeats).items()
                }
        pair = {"LightGBM": lambda: teacher.predict(large), "scorer": lambda: scorer(large)}
        times[LARGE] = median_times(pair, 3)
    print(f"\n20 numbers, 4 categories, 5% missing; engine {scorer.engine}, one thread")
    print(f"{'':24s} {'LightGBM ms':>12s} {'scorer ms':>10s} {'ratio':>7s} {'wanted':>7s}")
    low = []
    for name, of in times.items():
        shown = name.replace("100,000", f"{n_large:,}")
        ratio, floor = of["LightGBM"] / of["scorer"], FLOORS.get(name)
        wanted = "" if floor is None else f"{floor}"
        print(
            f"{shown:24s} {1e3 * of['LightGBM']:12.3f} {1e3 * of['scorer']:10.3f} {ratio:7.1f} "
            f"{wanted:>7s}"
        )
        if floor is not None and ratio < (floor / 2 if short else floor):
            low.append(f"{name} of a table with categories: {ratio:.1f} times as fast as LightGBM")
    return low


def settings(seed):
    """Rankers to compare, by name; each gets the fitted teacher's scores."""
    mlp = MLPRanker()
    rare = MLPRanker(min_frequency=None)

    def ranker(student, **parameters):
        return DistilledRanker(None, student, random_state=seed, **parameters)

    return {
        "MLP, default": ranker(mlp),
        "MLP, default, teacher alone": ranker(mlp, alpha=1.0),
        "MLP, pointwise": ranker(mlp, loss="pointwise"),
        "MLP, pointwise, teacher alone": ranker(mlp, loss="pointwise", alpha=1.0),
        "MLP, weights for rare categories": ranker(rare),
        "FM, pointwise": ranker(FactorizationMachineRanker(), loss="pointwise"),
        "linear, default": ranker(LinearRanker()),
        "linear, 4 knots": ranker(LinearRanker(n_knots=4)),
    }


def quality(n_seeds):
    """Print the NDCG@10 of students on held-out queries, relative to the teacher's."""
    for truth in ("interactions", "nonlinear"):
        ratios = {}
        for seed in range(n_seeds):
            data = make_table(truth, seed)
            train = data.qid < N_TRAIN
            X, y, qid = data.X[train].reset_index(drop=True), data.y[train], data.qid[train]
            X_test, y_test, qid_test = data.X[~train], data.y[~train], data.qid[~train]
            teacher = make_teacher(X, y)
            scores = teacher.predict(X)

            def rate(scores, y=y_test, qid=qid_test):
                return np.nanmean(ndcg_per_query(y, scores, qid, k=10))

            best = rate(teacher.predict(X_test))
            small = make_teacher(X, y, n_trees=30)
            found = {"LightGBM of 30 trees": rate(small.predict(X_test))}
            for name, ranker in settings(seed).items():
                ranker.fit(X, y, qid=qid, teacher_scores=scores)
                found[name] = rate(ranker.predict(X_test))
            augmented = DistilledRanker(
                FrozenEstimator(teacher),
                MLPRanker(),
                loss="pointwise",
                augment=0.5,
                random_state=seed,
            ).fit(X, y, qid=qid)
            found["MLP, pointwise, augment 0.5"] = rate(augmented.predict(X_test))
            for name, value in found.items():
                ratios.setdefault(name, []).append(value / best)
        print(f"\nTruth {truth}: NDCG@10 relative to the teacher, {n_seeds} tables")
        for name, values in ratios.items():
            spread = f"{min(values):.3f} to {max(values):.3f}"
            print(f"{name:34s} {np.mean(values):7.3f}   {spread}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=["speed", "quality", "both"], default="both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    if arguments.part != "quality":
        low = speed(arguments.short)
        if low:
            raise SystemExit("\n".join(low))
    if arguments.part != "speed" and not arguments.short:
        quality(arguments.seeds)


if __name__ == "__main__":
    main()

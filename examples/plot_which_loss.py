"""
Which student, which loss?
==========================

This example trains every student with every loss: on labels, on a teacher, and on both. It uses
MovieLens 100k and two synthetic problems. One has a linear truth, which every student can learn,
and one a nonlinear truth, which only the network can learn. The teacher is LightGBM LambdaRank, and
its scores are out-of-fold.

The defaults of the package are chosen by these results, so that they are validation results: a
third of the training users is held out for them, and the 243 test users of the other examples are
not used. Intervals are for the ratio to ``listwise`` with the teacher alone, by paired bootstrap
over the queries of all seeds.

Run it with ``python examples/plot_which_loss.py``. It writes tables and a picture to ``out/``.
"""

import argparse
import time
from functools import cache
from itertools import product
from pathlib import Path

import lightgbm
import matplotlib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from skdistill.datasets import build_ranking_table, load_movielens, make_ranking
from skdistill.inputs.queries import Queries
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import fit_and_score

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Without the logistic loss, which needs a teacher of probabilities and serves calibration.
LOSSES = ["listwise", "pairwise", "lambda", "margin", "plackett_luce", "top_k", "pointwise"]
ALPHAS = {"labels": 0.0, "both": 0.5, "teacher": 1.0}
STUDENTS = {
    "linear": LinearRanker(),
    "factorization machine": FactorizationMachineRanker(),
    "MLP 64-32": MLPRanker((64, 32)),
}
BASELINE = ("listwise", "teacher")
TRAINING_USERS = 700


@cache
def movielens_table():
    return build_ranking_table(*load_movielens("100k"))


def movielens(seed):
    """The training users of the other examples."""
    table = movielens_table()
    users = np.random.default_rng(seed).permutation(np.unique(table.qid))
    kept = np.isin(table.qid, users[:TRAINING_USERS])
    return table.X.to_numpy()[kept], table.y[kept], table.qid[kept]


def synthetic(truth):
    """300 queries with 20 columns and noisy grades."""

    def make(seed):
        data = make_ranking(n_queries=300, truth=truth, noise=0.5, random_state=seed)
        return data.X, data.y, data.qid

    return make


PROBLEMS = {
    "MovieLens 100k": movielens,
    "synthetic, linear": synthetic("linear"),
    "synthetic, nonlinear": synthetic("nonlinear"),
}


def split(problem, seed):
    """Split into a training and a held-out table; the latter has a third of the queries."""
    X, y, qid = PROBLEMS[problem](seed)
    queries = np.random.default_rng(seed + 1000).permutation(np.unique(qid))
    held_out = np.isin(qid, queries[: len(queries) // 3])
    return tuple(tuple(a[rows] for a in (X, y, qid)) for rows in (~held_out, held_out))


def teach(train, test, seed, n_estimators):
    """Out-of-fold scores of the training rows, and the teacher's NDCG@10 per held-out query."""
    X, y, qid = train
    teacher = lightgbm.LGBMRanker(
        n_estimators=n_estimators,
        learning_rate=9 / n_estimators,
        min_child_samples=50,
        colsample_bytree=0.5,
        random_state=seed,
        verbose=-1,
        n_jobs=1,
    )
    queries = Queries.from_sizes(np.unique(qid, return_counts=True)[1])
    taught = fit_and_score(teacher, X, y, queries, cv=3, random_state=seed)
    return taught.scores, score(taught.teacher, test)


def score(model, test):
    """NDCG@10 of each held-out query."""
    X, y, qid = test
    return ndcg_per_query(y, model.predict(X), qid, k=10)


def fit(train, test, seed, scores, max_iter, student, loss, teaching):
    """Train a student; return its NDCG@10 of each held-out query."""
    X, y, qid = train
    fitted = clone(STUDENTS[student]).set_params(
        loss=loss, alpha=ALPHAS[teaching], max_iter=max_iter, random_state=seed
    )
    return score(fitted.fit(X, y, qid=qid, teacher_scores=scores), test)


def summarise(found, teachers):
    """Table with a row per problem, student, loss and weight of the teacher."""
    rows = []
    for (problem, student, loss, teaching), values in found.items():
        interval = bootstrap_ratio(values, found[problem, student, *BASELINE], random_state=0)
        rows.append(
            {
                "problem": problem,
                "student": student,
                "loss": loss,
                "taught by": teaching,
                "NDCG@10": np.nanmean(values),
                "of teacher": np.nanmean(values) / np.nanmean(teachers[problem]),
                "to listwise": interval.ratio,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pd.DataFrame(rows)


def draw(summary, path):
    """Draw an axis per problem and student, with an interval per loss and weight of the teacher."""
    plt.style.use("tableau-colorblind10")
    problems, students = list(PROBLEMS), list(STUDENTS)
    figure, axes = plt.subplots(
        len(problems), len(students), figsize=(9, 9), sharey=True, layout="constrained"
    )
    places = np.arange(len(LOSSES))
    for (i, problem), (j, student) in product(enumerate(problems), enumerate(students)):
        field = axes[i, j]
        rows = summary[(summary["problem"] == problem) & (summary["student"] == student)]
        for shift, marker, teaching in zip((-0.25, 0, 0.25), "os^", ALPHAS, strict=True):
            part = rows[rows["taught by"] == teaching].set_index("loss").loc[LOSSES]
            ratio = part["to listwise"]
            whiskers = [ratio - part["low"], part["high"] - ratio]
            field.errorbar(
                ratio, places + shift, xerr=whiskers, fmt=marker, ms=4, lw=1, label=teaching
            )
        field.axvline(1, color="grey", lw=0.8)
        field.set_title(f"{problem}\n{student}", fontsize=9)
        field.set_yticks(places, LOSSES)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("NDCG@10 on held-out queries relative to listwise with the teacher alone")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, title="taught by", loc="outside upper center", ncols=3, frameon=False
    )
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder")
    parser.add_argument("--seeds", type=int, default=5, help="number of random splits")
    parser.add_argument(
        "--n-estimators", type=int, default=150, help="number of trees of the teacher"
    )
    parser.add_argument("--max-iter", type=int, default=30, help="number of epochs of the students")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    runs = [(problem, seed) for problem in PROBLEMS for seed in range(arguments.seeds)]
    # Processes with one BLAS thread each, because small matrix products gain nothing from threads.
    parallel = Parallel(n_jobs=2)
    tables = {run: split(*run) for run in runs}
    by_teacher = parallel(delayed(teach)(*tables[r], r[1], arguments.n_estimators) for r in runs)
    taught = dict(zip(runs, by_teacher, strict=True))
    settings = [(s, loss, t) for s in STUDENTS for loss in LOSSES for t in ALPHAS]
    values = parallel(
        delayed(fit)(*tables[run], run[1], taught[run][0], arguments.max_iter, *setting)
        for run in runs
        for setting in settings
    )
    pieces = {}
    for (run, setting), value in zip(
        [(run, setting) for run in runs for setting in settings], values, strict=True
    ):
        pieces.setdefault((run[0], *setting), []).append(value)
    found = {key: np.concatenate(parts) for key, parts in pieces.items()}
    teachers = {
        problem: np.concatenate([taught[run][1] for run in runs if run[0] == problem])
        for problem in PROBLEMS
    }
    summary = summarise(found, teachers)
    summary.to_csv(arguments.out / "which_loss.csv", index=False)
    text = []
    for (problem, student), rows in summary.groupby(["problem", "student"], sort=False):
        table = rows.set_index(["loss", "taught by"])[["NDCG@10", "to listwise", "low", "high"]]
        text.append(
            f"{problem}, {student}; teacher {np.nanmean(teachers[problem]):.4f}\n"
            + table.to_string(float_format="{:.4f}".format)
        )
    overall = summary.groupby(["student", "loss", "taught by"], sort=False)["to listwise"].mean()
    text.append("mean ratio over the three problems\n" + overall.unstack().round(4).to_string())
    print("\n\n".join(text))
    (arguments.out / "which_loss.txt").write_text("\n\n".join(text) + "\n")
    draw(summary, arguments.out / "which_loss.png")
    print(f"\nWritten to {arguments.out}/ in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

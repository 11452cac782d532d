"""
Distil a LightGBM ranker into fast students
===========================================

This example makes a ranking problem of MovieLens 100k. Each user is a query. The candidates are the
films that the user rated later, and 100 films that the user never rated. All features are computed
from earlier ratings.

A LightGBM LambdaRank teacher is distilled into a linear student, a factorization machine and a
small MLP. A second MLP sees the columns of the user and of the film, but not the pair columns.
These are privileged: only the teacher sees them, like features that a service cannot compute in
time.

All numbers are means over random splits into 700 training users and 243 held-out users. The
``alpha`` of each distilled student is chosen by cross-validation on the training users.

Run it with ``make demo``. It prints a table, and writes the table, a picture and the best student
to ``out/``.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import joblib
import lightgbm
import matplotlib
import numpy as np
import pandas as pd
import sklearn
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.datasets.ranking_table import ITEM_COLUMNS, USER_COLUMNS
from skdistill.inputs.queries import Queries
from skdistill.metrics import ndcg_score
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import fit_and_score

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ALL = slice(None)
NO_PAIRS = slice(len(USER_COLUMNS) + len(ITEM_COLUMNS))
STUDENTS = {
    "linear": (LinearRanker(), ALL),
    "factorization machine": (FactorizationMachineRanker(), ALL),
    "MLP 64-32": (MLPRanker((64, 32)), ALL),
    "MLP, no pair columns": (MLPRanker((64, 32)), NO_PAIRS),
}


def make_teacher(seed, n_estimators):
    return lightgbm.LGBMRanker(
        n_estimators=n_estimators,
        learning_rate=9 / n_estimators,
        min_child_samples=50,
        colsample_bytree=0.5,
        subsample=0.5,
        subsample_freq=1,
        force_col_wise=True,
        random_state=seed,
        verbose=-1,
    )


def split_users(qid, seed):
    """Masks of the rows of 700 training users and of 243 held-out users."""
    users = np.random.default_rng(seed).permutation(np.unique(qid))
    held_out = np.isin(qid, users[700:])
    return ~held_out, held_out


def teach(table, seed, n_estimators):
    """Fit the teacher, and score the training users out-of-fold; also return its test NDCG@10."""
    train, test = split_users(table.qid, seed)
    queries = Queries.from_sizes(np.unique(table.qid[train], return_counts=True)[1])
    taught = fit_and_score(
        make_teacher(seed, n_estimators),
        table.X[train],
        table.y[train],
        queries,
        cv=3,
        random_state=seed,
    )
    score = ndcg_score(table.y[test], taught.teacher.predict(table.X[test]), table.qid[test], k=10)
    return taught, score


def compare(name, student, columns, table, seed, teacher_scores):
    """Train one student on labels alone, and distil it with alpha chosen by cross-validation."""
    train, test = split_users(table.qid, seed)
    X, y, qid = table.X[train], table.y[train], table.qid[train]
    student = sklearn.base.clone(student).set_params(random_state=seed)
    alone = sklearn.base.clone(student).fit(X[:, columns], y, qid=qid)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            DistilledRanker(None, student, student_columns=columns),
            {"alpha": [0.5, 1.0]},
            cv=RankingGroupKFold(2, shuffle=True, random_state=seed),
            error_score="raise",
        )
        search.fit(X, y, qid=qid, teacher_scores=teacher_scores)
    distilled = search.best_estimator_.export_student()
    held_out = table.X[test][:, columns], table.y[test]
    return {
        "name": name,
        "alpha": search.best_params_["alpha"],
        "labels": alone.score(*held_out, qid=table.qid[test]),
        "distilled": distilled.score(*held_out, qid=table.qid[test]),
        "student": distilled,
        "seed": seed,
    }


def rows_per_second(predict, X, repeats=5):
    """Median speed over the whole table."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        predict(X)
        times.append(time.perf_counter() - start)
    return len(X) / np.median(times[1:])


def measure(model, X, out):
    """Rows per second on one thread, and size of the joblib file in kB."""
    path = out / "size.joblib"
    joblib.dump(model, path)
    size = path.stat().st_size / 1000
    path.unlink()
    if isinstance(model, lightgbm.LGBMRanker):
        booster = model.booster_
        return rows_per_second(lambda X: booster.predict(X, num_threads=1), X, 2), size
    with threadpool_limits(1):
        return rows_per_second(model.predict, X), size


def draw(summary, teacher_score, teacher_speed, path):
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.scatter(
        [teacher_speed], [teacher_score], marker="s", s=70, color="black", label="LightGBM teacher"
    )
    for number, (name, row) in enumerate(summary.iterrows()):
        color = f"C{number}"
        speed = row["rows/s"]
        axes.plot([speed, speed], [row["labels"], row["distilled"]], color=color, lw=1)
        axes.scatter([speed], [row["labels"]], facecolors="white", edgecolors=color, s=60, zorder=3)
        axes.errorbar(
            [speed],
            [row["distilled"]],
            yerr=row["±"],
            color=color,
            marker="o",
            ms=8,
            capsize=3,
            zorder=3,
            label=name,
        )
    axes.set(
        xscale="log",
        xlabel="rows per second, one thread",
        ylabel="NDCG@10 on held-out users",
        title="MovieLens 100k: on labels alone (open circles) and distilled (filled circles)",
    )
    axes.legend(loc="lower left")
    axes.margins(x=0.1, y=0.15)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder")
    parser.add_argument("--seeds", type=int, default=5, help="number of random splits")
    parser.add_argument(
        "--n-estimators", type=int, default=150, help="number of trees of the teacher"
    )
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    table = build_ranking_table(*load_movielens("100k"))
    table.X = table.X.to_numpy()
    print(
        f"MovieLens 100k: {table.X.shape[0]:,} rows, {len(np.unique(table.qid))} users, "
        f"{table.X.shape[1]} features"
    )

    taught = []
    for seed in range(arguments.seeds):
        taught.append(teach(table, seed, arguments.n_estimators))
        print(f"seed {seed}: teacher's NDCG@10 {taught[-1][1]:.4f}")
    # Processes with one BLAS thread each, because small matrix products gain nothing from threads.
    results = joblib.Parallel(n_jobs=2)(
        joblib.delayed(compare)(name, student, columns, table, seed, by_teacher.scores)
        for seed, (by_teacher, _) in enumerate(taught)
        for name, (student, columns) in STUDENTS.items()
    )

    runs = pd.DataFrame(results)
    teacher_score = np.mean([score for _, score in taught])
    many_rows = np.ascontiguousarray(np.tile(table.X, (2, 1))[:200_000], dtype=np.float32)
    teacher_speed, teacher_size = measure(taught[0][0].teacher, many_rows, out)
    grouped = runs.groupby("name", sort=False)
    summary = pd.DataFrame(
        {
            "labels": grouped["labels"].mean(),
            "distilled": grouped["distilled"].mean(),
            "±": grouped["distilled"].std(),
        }
    )
    summary["gain"] = summary["distilled"] / summary["labels"]
    summary["of teacher"] = summary["distilled"] / teacher_score
    speeds = {
        name: measure(
            group["student"].iloc[0], np.ascontiguousarray(many_rows[:, STUDENTS[name][1]]), out
        )
        for name, group in grouped
    }
    summary["rows/s"] = [speeds[name][0] for name in summary.index]
    summary["speed-up"] = summary["rows/s"] / teacher_speed
    summary["kB"] = [speeds[name][1] for name in summary.index]

    formats = {
        "rows/s": "{:,.0f}".format,
        "kB": "{:,.0f}".format,
        "speed-up": "{:.0f}x".format,
    }
    text = (
        f"Teacher: LightGBM LambdaRank, {arguments.n_estimators} trees, NDCG@10 "
        f"{teacher_score:.4f}, {teacher_speed:,.0f} rows/s on one thread, {teacher_size:,.0f} kB\n"
        f"Students: NDCG@10 on held-out users, mean over {arguments.seeds} seeds\n\n"
        + summary.to_string(float_format="{:.4f}".format, formatters=formats)
    )
    print("\n" + text)
    (out / "distillation.txt").write_text(text + "\n")
    summary.to_csv(out / "distillation.csv")
    draw(summary, teacher_score, teacher_speed, out / "distillation.png")

    best = runs.loc[runs.loc[runs["name"] == "MLP 64-32", "distilled"].idxmax()]
    joblib.dump(best["student"], out / "student.joblib")
    np.save(out / "rows.npy", table.X[:1000])
    code = (
        "import joblib, numpy, sys; student = joblib.load('student.joblib'); "
        "scores = student.predict(numpy.load('rows.npy')); "
        "print(f'A fresh process scored {len(scores)} rows, lightgbm loaded: '"
        "f'{\"lightgbm\" in sys.modules}; mean score {scores.mean():.4f}')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=out, check=True)
    print(f"Expected here: mean score {best['student'].predict(table.X[:1000]).mean():.4f}")
    print(f"Written to {out}/ in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

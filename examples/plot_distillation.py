"""
Distil a LightGBM ranker into fast students
===========================================

This example makes a ranking problem of MovieLens 100k. Each user is a query. The candidates are the
films that the user rated later, and 100 films that the user never rated. All features are computed
from earlier ratings.

A LightGBM LambdaRank teacher is distilled into a linear student, a factorization machine and two
small MLPs. Another MLP sees the columns of the user and of the film, but not the pair columns.
These are privileged: only the teacher sees them, like features that a service cannot compute in
time.

What a student has to beat needs no distillation: the first trees of the teacher, LightGBM models of
a few small trees, each the best of a small search, and scikit-learn's MLPRegressor on labels and on
the teacher's scores.

All numbers are means over random splits into 700 training users and 243 held-out users. Students
have their default settings.

Run it with ``make demo``. It prints a table, and writes the table, a picture and the student
``MLP 16`` to ``out/``.
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
from rich.console import Console
from rich.progress import track
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.datasets.ranking_table import ITEM_COLUMNS, USER_COLUMNS
from skdistill.inputs.queries import Queries
from skdistill.inspection import ParetoDisplay, ParetoPoint, fit_small_trees, row_costs
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import first_trees, fit_and_score

matplotlib.use("Agg")

# Progress is shown beside what is printed.
BESIDE = Console(stderr=True)
ALL = slice(None)
NO_PAIRS = slice(len(USER_COLUMNS) + len(ITEM_COLUMNS))
STUDENTS = {
    "linear": (LinearRanker(), ALL),
    "factorization machine": (FactorizationMachineRanker(), ALL),
    "MLP 16": (MLPRanker((16,)), ALL),
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
        n_jobs=1,  # the splits share the cores
        verbose=-1,
    )


def split_users(qid, seed):
    """Masks of the rows of training users, 700 of all 943, and of held-out users."""
    users = np.random.default_rng(seed).permutation(np.unique(qid))
    held_out = np.isin(qid, users[round(700 / 943 * len(users)) :])
    return ~held_out, held_out


def teach(table, seed, n_estimators):
    """Fit the teacher, and score the training users out-of-fold."""
    train, _ = split_users(table.qid, seed)
    queries = Queries.from_sizes(np.unique(table.qid[train], return_counts=True)[1])
    return fit_and_score(
        make_teacher(seed, n_estimators),
        table.X[train],
        table.y[train],
        queries,
        cv=3,
        random_state=seed,
    )


def distil(name, table, seed, teacher_scores):
    """Train one student on labels alone, and distil it, both with default settings."""
    train, _ = split_users(table.qid, seed)
    student, columns = STUDENTS[name]
    X, y, qid = table.X[train], table.y[train], table.qid[train]
    student = sklearn.base.clone(student).set_params(random_state=seed)
    alone = sklearn.base.clone(student).fit(X[:, columns], y, qid=qid)
    distilled = DistilledRanker(None, student, student_columns=columns)
    distilled.fit(X, y, qid=qid, teacher_scores=teacher_scores)
    return alone, distilled


def fit_rivals(table, seed, teacher):
    """Fit what a student has to beat; return the models by name, and their kinds."""
    train, _ = split_users(table.qid, seed)
    X, y, qid = table.X[train], table.y[train], table.qid[train]
    models = {f"first {n} trees": first_trees(teacher, n) for n in (5, 10, 20, 50)}
    kinds = dict.fromkeys(models, "first trees of the teacher")
    small = fit_small_trees(
        X,
        y,
        qid=qid,
        template=make_teacher(seed, 150),
        n_trees=(5, 10, 20, 40),
        n_leaves=(4, 16),
        random_state=seed,
    )
    for name, trees in small.items():
        models[f"{name.split()[0]} small trees"] = trees
        kinds[f"{name.split()[0]} small trees"] = "small trees"
    for name, target in {"labels": y, "teacher": teacher.predict(X)}.items():
        net = MLPRegressor(hidden_layer_sizes=(64, 32), early_stopping=True, random_state=seed)
        models[f"MLPRegressor, {name}"] = make_pipeline(StandardScaler(), net).fit(X, target)
        kinds[f"MLPRegressor, {name}"] = "other model"
    return models, kinds


def run(task, table, seed, taught):
    """Fit one student, or the rivals; return them with their scores of the held-out users."""
    _, test = split_users(table.qid, seed)
    X, y, qid = table.X[test], table.y[test], table.qid[test]

    def values(scores):
        return ndcg_per_query(y, scores, qid, k=10)

    if task == "rivals":
        models, kinds = fit_rivals(table, seed, taught.teacher)
        models, kinds = {"teacher": taught.teacher} | models, {"teacher": "teacher"} | kinds
        found = {name: {"distilled": values(model.predict(X))} for name, model in models.items()}
    else:
        alone, distilled = distil(task, table, seed, taught.scores)
        models, kinds = {task: distilled}, {task: "student"}
        of_labels = values(alone.predict(X[:, STUDENTS[task][1]]))
        found = {
            task: {
                "labels": of_labels,
                "distilled": values(distilled.predict(X)),
            }
        }
    # Models are timed for one seed, and need not be sent back for the others.
    return found, kinds, models if seed == 0 else {}


def size_of(model, out):
    """Size of the joblib file in kB; of a distilled student, that of the student alone."""
    path = out / "size.joblib"
    student = model.export_student() if isinstance(model, DistilledRanker) else model
    joblib.dump(student, path)
    size = path.stat().st_size / 1000
    path.unlink()
    return size


def interval(ratio):
    return f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def table_of(points, values, sizes):
    """A row for each model: quality, quality relative to the teacher, speed and size."""
    teacher = points[0]
    rows = {}
    for point in points:
        of = values[point.name]
        on_labels = np.nanmean(of["labels"]) if "labels" in of else np.nan
        rows[point.name] = {
            "on labels": f"{on_labels:.4f}" if on_labels == on_labels else "",
            "NDCG@10": f"{point.quality:.4f}",
            "of teacher": interval(point.ratio),
            "rows/s": f"{1 / point.cost.seconds:,.0f}",
            "times": f"{teacher.cost.seconds / point.cost.seconds:.0f}x",
            "kB": f"{sizes[point.name]:,.0f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder")
    parser.add_argument("--seeds", type=int, default=3, help="number of random splits")
    parser.add_argument(
        "--n-estimators", type=int, default=150, help="number of trees of the teacher"
    )
    parser.add_argument("--users", type=int, help="number of users; all by default")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    table = build_ranking_table(*load_movielens("100k"))
    is_shown = np.isin(table.qid, np.unique(table.qid)[: arguments.users])
    table.X, table.y, table.qid = (
        table.X.to_numpy()[is_shown],
        table.y[is_shown],
        table.qid[is_shown],
    )
    print(
        f"MovieLens 100k: {table.X.shape[0]:,} rows, {len(np.unique(table.qid))} users, "
        f"{table.X.shape[1]} features"
    )
    # Processes with one thread each: small tables and products gain nothing from more.
    parallel = joblib.Parallel(n_jobs=2, return_as="generator")
    seeds, tasks = range(arguments.seeds), ("rivals", *STUDENTS)
    taught = parallel(joblib.delayed(teach)(table, seed, arguments.n_estimators) for seed in seeds)
    taught = list(track(taught, "teachers", len(seeds), console=BESIDE))
    results = parallel(
        joblib.delayed(run)(task, table, seed, taught[seed]) for task in tasks for seed in seeds
    )
    results = list(track(results, "students and rivals", len(seeds) * len(tasks), console=BESIDE))

    # A value for each held-out user of each split.
    values, kinds, models = {}, {}, {}
    for found, its_kinds, its_models in results:
        kinds |= its_kinds
        models |= its_models
        for name, of in found.items():
            for key, value in of.items():
                values.setdefault(name, {}).setdefault(key, []).append(value)
    values = {
        name: {key: np.concatenate(list(map(np.atleast_1d, of))) for key, of in its.items()}
        for name, its in values.items()
    }
    costs = row_costs(models, np.ascontiguousarray(table.X[:20_000], dtype=np.float32))
    points = [
        ParetoPoint(
            name,
            kinds[name],
            of["distilled"],
            bootstrap_ratio(of["distilled"], values["teacher"]["distilled"], random_state=0),
            costs[name],
        )
        for name, of in values.items()
    ]
    # The student without pair columns is another problem, far below the others.
    shown = [point for point in points if point.name != "MLP, no pair columns"]
    display = ParetoDisplay(shown, 10).plot()
    display.ax_.set_title("MovieLens 100k, held-out users")
    display.figure_.savefig(out / "distillation.png", dpi=150)
    beaten = display.beaten()

    sizes = {name: size_of(model, out) for name, model in models.items()}
    summary = table_of(points, values, sizes)
    text = "\n".join(
        [
            f"NDCG@10 on held-out users of {arguments.seeds} splits, and its ratio to that of the",
            "teacher with the 95% interval over users. Speed on one thread: students are compiled,",
            "and the others score as they are.",
            "",
            summary.to_string(),
            "",
            "Students that are beaten by trees of the same speed: "
            + (", ".join(f"{one} by {trees}" for one, trees in beaten.items()) or "none"),
        ]
    )
    print(f"\n{text}")
    (out / "distillation.txt").write_text(f"{text}\n")
    summary.to_csv(out / "distillation.csv")

    best = models["MLP 16"].export_student()
    joblib.dump(best, out / "student.joblib")
    np.save(out / "rows.npy", table.X[:1000])
    code = (
        "import joblib, numpy, sys; student = joblib.load('student.joblib'); "
        "scores = student.predict(numpy.load('rows.npy')); "
        "print(f'A fresh process scored {len(scores)} rows, lightgbm loaded: '"
        "f'{\"lightgbm\" in sys.modules}; mean score {scores.mean():.4f}')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=out, check=True)
    print(f"Expected here: mean score {best.predict(table.X[:1000]).mean():.4f}")
    print(f"Written to {out}/ in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""Hold suggest_student against the truth: predicted times, and the choice.

    python -m benchmarks budget                       # three tables, three seeds
    python -m benchmarks budget --tables nonlinear --seeds 1
    python -m benchmarks budget --short               # only check that it runs

The teacher is a LightGBM model. Every shape is distilled on all training and validation rows, and
is timed by its compiled scorer on requests of test rows, in turns with the others. The predictions
are made before, from untrained shapes. The budget is the median of the predictions. Test queries
choose nothing. They tell the NDCG@10 of every shape, and so what the choice has lost.
"""

import argparse
import time

import lightgbm
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from benchmarks.studies.pareto import STUDENTS
from benchmarks.studies.quality import fit_trees
from benchmarks.studies.quality_tables import Part, all_tables, mean_score
from skdistill import DistilledRanker
from skdistill.inspection import suggest_student
from skdistill.serving import compile_scorer
from skdistill.students import MLPRanker

TABLES = ("MovieLens 100k", "nonlinear", "ties")
SHAPES = STUDENTS | {"MLP 128-64": MLPRanker((128, 64))}
ROUNDS, REQUESTS, REQUEST_ROWS = 15, 8, 100


def joined(first, second):
    """Rows of two parts, with queries of their own."""
    import pandas as pd

    is_frame = isinstance(first.X, pd.DataFrame)
    X = pd.concat([first.X, second.X]) if is_frame else np.concatenate([first.X, second.X])
    return Part(X, np.concatenate([first.y, second.y]), np.concatenate([first.qid, second.qid]))


def arrays(scorer, X, part):
    """Rows as a service sends them: numbers, and codes if there are categories."""
    if isinstance(X, np.ndarray):
        return (np.ascontiguousarray(X[part], dtype=np.float32),)
    numbers, codes = scorer.encode(X.iloc[part])
    return (numbers, codes) if scorer.n_codes else (numbers,)


def measured(models, X):
    """Microseconds of a request, by model."""
    parts = np.split(np.arange(REQUESTS * REQUEST_ROWS) % len(X), REQUESTS)
    scorers = {name: compile_scorer(model) for name, model in models.items()}
    requests = {
        name: [arrays(scorer, X, part) for part in parts] for name, scorer in scorers.items()
    }
    times = {name: [] for name in scorers}
    for _ in range(ROUNDS + 1):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            for request in requests[name]:
                scorer(*request)
            times[name].append(1e6 * (time.perf_counter() - start) / REQUESTS)
    return {name: np.median(of[1:]) for name, of in times.items()}


def run(make, seed, students, latency_us=None):
    """Print what was predicted, what was measured, and what the choice has lost."""
    train, valid, test = make(seed)
    rows = joined(train, valid).labelled
    ranker = lightgbm.LGBMRanker(n_estimators=100, random_state=seed, verbose=-1, n_jobs=1)
    teacher = fit_trees(rows, ranker)

    def suggest(shapes, budget):
        return suggest_student(
            FrozenEstimator(teacher), rows.X, rows.y, qid=rows.qid, latency_us=budget,
            request_rows=REQUEST_ROWS, students=shapes, random_state=seed,
        )  # fmt: skip

    if latency_us is None:
        cheap = {name: clone(student).set_params(max_iter=1) for name, student in students.items()}
        latency_us = float(np.median([shape.microseconds for shape in suggest(cheap, 1e9).shapes]))
    suggestion = suggest(students, latency_us)
    models = {
        name: DistilledRanker(FrozenEstimator(teacher), student, random_state=seed).fit(
            rows.X, rows.y, qid=rows.qid
        )
        for name, student in students.items()
    }
    truth = measured(models, test.X)
    ndcg = {name: mean_score(model, test) for name, model in models.items()}
    errors = []
    print(f"| budget {latency_us:.1f} us | predicted | measured | error | NDCG@10 | |")
    print("|---|---:|---:|---:|---:|---|")
    for shape in suggestion.shapes:
        error = shape.microseconds / truth[shape.name] - 1
        errors.append(abs(error))
        note = "chosen" if shape.name == suggestion.best else "" if shape.fits else "too slow"
        print(
            f"| {shape.name} | {shape.microseconds:.1f} | {truth[shape.name]:.1f} | {error:+.1%} "
            f"| {ndcg[shape.name]:.4f} | {note} |"
        )
    fitting = [shape.name for shape in suggestion.shapes if shape.fits]
    lost = 1 - ndcg[suggestion.best] / max(ndcg[name] for name in fitting)
    return np.array(errors), lost


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=TABLES, help="names of tables")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--short", action="store_true", help="only check that it runs")
    options = parser.parse_args(arguments)
    makers, students, latency_us = all_tables(), SHAPES, None
    if options.short:
        makers, options.tables, options.seeds = all_tables(n_queries=60), ["nonlinear"], 1
        students = {"linear": STUDENTS["linear"], "MLP 8": STUDENTS["MLP 8"]}
        # On a shared machine, two shapes can both take longer than the median of a moment before.
        latency_us = 1e6
    errors, losses = [], []
    with threadpool_limits(1):
        for table in options.tables:
            for seed in range(options.seeds):
                print(f"\n{table}, seed {seed}\n")
                found, lost = run(makers[table], seed, students, latency_us)
                errors.append(found)
                losses.append(lost)
    of_all = np.concatenate(errors)
    print(
        f"\nError of the predicted time: median {np.median(of_all):.1%}, largest "
        f"{of_all.max():.1%}; within 15% in {(of_all <= 0.15).mean():.0%} of {len(of_all)}."
        f"\nNDCG@10 that the choice lost to the best shape that fits: mean {np.mean(losses):.2%}, "
        f"largest {np.max(losses):.2%}."
    )

"""Measure the gain of distillation, with intervals, on MovieLens 100k and optionally OHSUMED.

    python benchmarks/quality.py                          # MovieLens, downloaded once
    python benchmarks/quality.py --ohsumed FOLDER         # also OHSUMED: FOLDER/S1.txt.gz ... S5

Each student is trained in three ways: on labels alone; distilled with the same settings; and on
labels alone with a tuned weight decay, which is the harder baseline. ``alpha`` and the weight decay
are chosen by cross-validation on the training users, or on the validation part of OHSUMED; test
data tune nothing. Intervals are by paired bootstrap over test queries.
"""

import argparse
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import build_ranking_table, load_letor, load_movielens
from skdistill.inputs.queries import Queries
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import fit_and_score

STUDENTS = {
    "linear": LinearRanker(),
    "linear, pointwise": LinearRanker(loss="pointwise"),
    "FM": FactorizationMachineRanker(),
    "MLP 64-32": MLPRanker((64, 32)),
}
ALPHAS = (0.5, 1.0)
DECAYS = (0.1, 1.0, 3.0)


def per_query(scores, part):
    """NDCG@10 of each query; NaN if no row is relevant."""
    return ndcg_per_query(part[1], scores, part[2], k=10)


def mean_score(student, part):
    return np.nanmean(per_query(student.predict(part[0]), part))


def pick(candidates, score):
    """The candidate with the best validation score."""
    return max(candidates, key=score)


def compare(name, seed, train, teacher_scores, valid, test):
    """Train one student in three ways; return the test NDCG@10 of each query."""
    student = clone(STUDENTS[name]).set_params(random_state=seed)

    def fit(part, scores=None, **settings):
        X, y, qid = part
        fresh = clone(student).set_params(**settings)
        return fresh.fit(X, y, qid=qid, teacher_scores=scores)

    if valid is None:
        folds = list(RankingGroupKFold(3, shuffle=True, random_state=seed).split(*train))

        def validate(scores, **settings):
            return np.mean(
                [
                    mean_score(
                        fit(
                            tuple(a[inside] for a in train),
                            None if scores is None else scores[inside],
                            **settings,
                        ),
                        tuple(a[outside] for a in train),
                    )
                    for inside, outside in folds
                ]
            )
    else:

        def validate(scores, **settings):
            return mean_score(fit(train, scores, **settings), valid)

    # The default loss of DistilledRanker, except for the student that is named after its loss.
    loss = student.loss if student.loss == "pointwise" else DistilledRanker().loss
    alpha = pick(ALPHAS, lambda a: validate(teacher_scores, alpha=a, loss=loss))
    decay = pick(DECAYS, lambda d: validate(None, weight_decay=d))
    models = {
        "labels": fit(train),
        "distilled": fit(train, teacher_scores, alpha=alpha, loss=loss),
        "labels, own decay": fit(train, weight_decay=decay),
    }
    return name, {how: per_query(m.predict(test[0]), test) for how, m in models.items()}


def report(title, teacher, results):
    """Print means and ratios; ``teacher`` and each result have one value per test query."""
    keep = ~np.isnan(teacher)
    teacher = teacher[keep]
    rows = []
    for name, ways in results.items():
        values = {how: v[keep] for how, v in ways.items()}
        row = {"student": name} | {how: v.mean() for how, v in values.items()}
        for other, base in [
            ("vs labels", values["labels"]),
            ("vs own decay", values["labels, own decay"]),
            ("vs teacher", teacher),
        ]:
            ratio, low, high = bootstrap_ratio(values["distilled"], base, random_state=0)
            row[other] = f"{ratio:.3f} [{low:.3f}, {high:.3f}]"
        rows.append(row)
    print(f"\n{title}: teacher's NDCG@10 {teacher.mean():.4f}, {keep.sum()} test queries")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format), flush=True)


def collect(outcomes):
    """Concatenate the test values of all tasks: {student: {way: all queries of all tasks}}."""
    results = {}
    for name, ways in outcomes:
        for how, values in ways.items():
            results.setdefault(name, {}).setdefault(how, []).append(values)
    return {
        name: {how: np.concatenate(parts) for how, parts in ways.items()}
        for name, ways in results.items()
    }


def sorted_part(X, y, qid):
    order = np.argsort(qid, kind="stable")
    return X[order], y[order], qid[order]


def sizes_of(qid):
    return np.unique(qid, return_counts=True)[1]


def movielens(n_seeds):
    table = build_ranking_table(*load_movielens("100k"))
    X = table.X.to_numpy()
    users = np.unique(table.qid)
    tasks, teachers = [], []
    for seed in range(n_seeds):
        held_out = np.isin(table.qid, np.random.default_rng(seed).permutation(users)[700:])
        train, test = ((X[mask], table.y[mask], table.qid[mask]) for mask in (~held_out, held_out))
        teacher = lightgbm.LGBMRanker(
            n_estimators=300,
            learning_rate=0.03,
            min_child_samples=50,
            colsample_bytree=0.5,
            subsample=0.8,
            subsample_freq=1,
            random_state=seed,
            verbose=-1,
        )
        queries = Queries.from_sizes(sizes_of(train[2]))
        taught = fit_and_score(teacher, train[0], train[1], queries, cv=5, random_state=seed)
        teachers.append(per_query(taught.teacher.predict(test[0]), test))
        tasks += [(name, seed, train, taught.scores, None, test) for name in STUDENTS]
    outcomes = Parallel(n_jobs=2)(delayed(compare)(*task) for task in tasks)
    report(
        f"MovieLens 100k, held-out users, {n_seeds} seeds",
        np.concatenate(teachers),
        collect(outcomes),
    )


def ohsumed(folder, n_seeds):
    """Compare on five folds. NDCG is averaged over seeds first, so that each query counts once."""
    parts = [load_letor(folder / f"S{i}.txt.gz") for i in range(1, 6)]

    def stack(*indices):
        chosen = [parts[i % 5] for i in indices]
        return sorted_part(*(np.concatenate([p[key] for p in chosen]) for key in ("X", "y", "qid")))

    grid = [
        {"n_estimators": trees, "num_leaves": leaves, "learning_rate": rate, "min_child_samples": m}
        for trees, leaves, rate, m in [
            (100, 7, 0.05, 20),
            (200, 7, 0.05, 20),
            (100, 15, 0.05, 20),
            (200, 15, 0.05, 50),
            (100, 31, 0.05, 50),
            (200, 31, 0.03, 100),
            (300, 7, 0.03, 100),
        ]
    ]
    tasks, teachers = [], []
    for fold in range(5):
        train, valid, test = stack(fold, fold + 1, fold + 2), stack(fold + 3), stack(fold + 4)

        def fitted(settings, train=train):
            teacher = lightgbm.LGBMRanker(
                **settings,
                colsample_bytree=0.5,
                subsample=0.7,
                subsample_freq=1,
                random_state=0,
                verbose=-1,
            )
            return teacher.fit(train[0], train[1], group=sizes_of(train[2]))

        teacher = pick([fitted(s) for s in grid], lambda t, valid=valid: mean_score(t, valid))
        teachers.append(per_query(teacher.predict(test[0]), test))
        queries = Queries.from_sizes(sizes_of(train[2]))
        taught = fit_and_score(teacher, train[0], train[1], queries, cv=5, random_state=0)
        tasks += [
            (name, seed, train, taught.scores, valid, test)
            for name in STUDENTS
            for seed in range(n_seeds)
        ]
    outcomes = Parallel(n_jobs=2)(delayed(compare)(*task) for task in tasks)
    averaged = []
    for start in range(0, len(outcomes), n_seeds):
        group = outcomes[start : start + n_seeds]
        ways = group[0][1]
        averaged.append((group[0][0], {h: np.mean([g[1][h] for g in group], axis=0) for h in ways}))
    report(f"OHSUMED, five folds, {n_seeds} seeds", np.concatenate(teachers), collect(averaged))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ohsumed", type=Path, help="folder with S1.txt.gz to S5.txt.gz")
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of seeds for MovieLens; OHSUMED takes 3"
    )
    arguments = parser.parse_args()
    if arguments.ohsumed is not None:
        ohsumed(arguments.ohsumed, 3)
    movielens(arguments.seeds)


if __name__ == "__main__":
    main()

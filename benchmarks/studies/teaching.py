"""Compare ways to teach a student on MovieLens 100k: by teachers, columns, queries and objectives.

1. Teachers: LightGBM, an ensemble of MLPs, and both together, each with its MLP student.
2. Privileged columns: only the teacher sees pair features; the student sees user and item columns.
3. Unlabelled queries: a hundred labelled users, and an increasing number of unlabelled users.
4. Tree augmentation: a fraction of each step's rows is synthetic.
5. Two objectives, rated later and liked, with and without the teacher as a third.
6. Probabilities of a like: a logistic student of a LightGBM classifier.

There are five splits into 700 training and 243 held-out users. ``alpha`` is chosen by
cross-validation on the training users in 1 and 2. Intervals are by paired bootstrap over the
held-out users. ``--seeds 1`` gives a first impression.
"""

import argparse

import lightgbm
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import log_loss

from benchmarks.studies.quality_tables import mean_score, per_query, sizes_of
from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.inputs import Queries
from skdistill.metrics import bootstrap_ratio, expected_calibration_error
from skdistill.students import MLPRanker, MultiObjectiveRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble, fit_and_score

ALPHAS = (0.5, 1.0)
LABELLED = 100
UNLABELLED = (0, 100, 300, 600)
AUGMENT = (0.0, 0.1, 0.3)


def trees(seed):
    return lightgbm.LGBMRanker(
        n_estimators=300,
        learning_rate=0.03,
        min_child_samples=50,
        colsample_bytree=0.5,
        subsample=0.8,
        subsample_freq=1,
        random_state=seed,
        verbose=-1,
        n_jobs=1,
    )


def nets(seed):
    return MLPEnsembleRanker(
        6,
        hidden_layer_sizes=[(64, 32), (128, 64)],
        loss=["listwise", "lambda", "pairwise"],
        mlp_parameters={"weight_decay": 1.0},
        random_state=seed,
    )


def student(seed, **parameters):
    return MLPRanker((64, 32), random_state=seed, **parameters)


def best_alpha(fit, train, seed):
    """Choose alpha by cross-validation on the training users."""
    folds = list(RankingGroupKFold(3, shuffle=True, random_state=seed).split(*train))

    def validate(alpha):
        return np.mean(
            [
                mean_score(fit(inside, alpha), tuple(a[outside] for a in train))
                for inside, outside in folds
            ]
        )

    return max(ALPHAS, key=validate)


def distil(train, scores, seed, columns=slice(None)):
    """Distil teacher scores into a student, with alpha chosen on the training users."""
    X, y, qid = train[0][:, columns], train[1], train[2]

    def fit(rows, alpha):
        return student(seed, loss="plackett_luce", alpha=alpha).fit(
            X[rows], y[rows], qid=qid[rows], teacher_scores=scores[rows]
        )

    alpha = best_alpha(fit, (X, y, qid), seed)
    return fit(np.arange(len(y)), alpha)


def one_split(X, y, qid, n_cheap, seed):
    """Fit everything on one split; return the NDCG@10 of each held-out user by name.

    The first ``n_cheap`` columns are known without the pair.
    """
    users = np.random.default_rng(seed).permutation(np.unique(qid))
    held_out = np.isin(qid, users[700:])
    train = X[~held_out], y[~held_out], qid[~held_out]
    test = X[held_out], y[held_out], qid[held_out]
    queries = Queries.from_sizes(sizes_of(train[2]))
    found = {}

    teachers = {
        "LightGBM": trees(seed),
        "MLP ensemble": nets(seed),
        "both": RankEnsemble([("trees", trees(seed)), ("nets", nets(seed))]),
    }
    scores = {}
    found["MLP on labels"] = per_query(
        student(seed).fit(train[0], train[1], qid=train[2]).predict(test[0]), test
    )
    for name, teacher in teachers.items():
        taught = fit_and_score(teacher, train[0], train[1], queries, cv=3, random_state=seed)
        scores[name] = taught.scores
        by_query = {} if name == "LightGBM" else {"qid": test[2]}
        found[f"teacher {name}"] = per_query(taught.teacher.predict(test[0], **by_query), test)
        distilled = distil(train, taught.scores, seed)
        found[f"MLP of {name}"] = per_query(distilled.predict(test[0]), test)

    cheap = np.arange(n_cheap)
    part = test[0][:, cheap], test[1], test[2]
    alone = student(seed).fit(train[0][:, cheap], train[1], qid=train[2])
    found["cheap columns, labels"] = per_query(alone.predict(part[0]), part)
    distilled = distil(train, scores["LightGBM"], seed, cheap)
    found["cheap columns, privileged teacher"] = per_query(distilled.predict(part[0]), part)

    order = np.random.default_rng(seed + 100).permutation(np.unique(train[2]))
    for extra in UNLABELLED:
        seen = np.isin(train[2], order[: LABELLED + extra])
        labelled = np.isin(train[2], order[:LABELLED])[seen]
        rows = tuple(a[seen] for a in train)
        labels = np.where(labelled, rows[1], np.nan)
        if not extra:
            few = student(seed).fit(rows[0], labels, qid=rows[2])
            found[f"{LABELLED} labelled users, labels"] = per_query(few.predict(test[0]), test)
        ranker = DistilledRanker(trees(seed), student(None), teacher_cv=3, random_state=seed)
        ranker.fit(rows[0], labels, qid=rows[2])
        found[f"{LABELLED} labelled + {extra} unlabelled"] = per_query(
            ranker.predict(test[0]), test
        )

    for fraction in AUGMENT:
        ranker = DistilledRanker(
            trees(seed),
            student(None),
            teacher_cv=3,
            augment=fraction,
            augmentation="thresholds",
            random_state=seed,
        )
        ranker.fit(train[0], train[1], qid=train[2])
        found[f"augment {fraction}"] = per_query(ranker.predict(test[0]), test)
    found |= objectives(train, test, scores["both"], seed)
    return found, probabilities(train, test, seed)


def objectives(train, test, teacher_scores, seed):
    """Compare heads and combined scores of two objectives with students of one objective."""
    y = np.column_stack([train[1] > 0, train[1] > 1]).astype(float)
    goals = {"rated": 1.0 * (test[1] > 0), "liked": 1.0 * (test[1] > 1)}
    found = {}
    for column, (name, goal) in enumerate(goals.items()):
        single = student(seed).fit(train[0], y[:, column], qid=train[2])
        found[f"{name}, student for it alone"] = per_query(
            single.predict(test[0]), (test[0], goal, test[2])
        )
    losses = dict.fromkeys(goals, "listwise")
    for how, teacher in {"labels": {}, "teacher": {"teacher": "listwise"}}.items():
        both = MultiObjectiveRanker(losses | teacher, (64, 32), random_state=seed).fit(
            train[0], y, qid=train[2], teacher_scores=teacher_scores if teacher else None
        )
        heads = both.predict_objectives(test[0])
        for name, goal in goals.items():
            found[f"{name}, head, with {how}"] = per_query(heads[name], (test[0], goal, test[2]))
        found[f"combined, with {how}"] = per_query(both.predict(test[0]), test)
    return found


def probabilities(train, test, seed):
    """Calibration error and log-loss on held-out users, for the teacher and for students."""
    liked, goal = 1.0 * (train[1] > 1), 1.0 * (test[1] > 1)
    trees = lightgbm.LGBMClassifier(
        n_estimators=150, learning_rate=0.04, min_child_samples=50, verbose=-1, n_jobs=1
    )
    found = {}
    for name, calibrate in {"logistic": None, "logistic, sigmoid": "sigmoid"}.items():
        ranker = DistilledRanker(
            trees,
            student(None, max_iter=60),
            loss="logistic",
            calibrate=calibrate,
            random_state=seed,
        ).fit(train[0], liked, qid=train[2])
        found[name] = ranker.predict_proba(test[0])[:, 1]
    found["teacher"] = ranker.teacher_.predict_proba(test[0])[:, 1]
    return {
        name: (expected_calibration_error(goal, p), log_loss(goal, np.clip(p, 1e-6, 1 - 1e-6)))
        for name, p in found.items()
    }


COMPARISONS = [
    ("MLP of LightGBM", "teacher LightGBM"),
    ("MLP of LightGBM", "MLP on labels"),
    ("MLP of both", "teacher LightGBM"),
    ("MLP of both", "MLP on labels"),
    ("MLP of both", "MLP of LightGBM"),
    ("cheap columns, privileged teacher", "cheap columns, labels"),
    *(
        (f"{LABELLED} labelled + {extra} unlabelled", f"{LABELLED} labelled + 0 unlabelled")
        for extra in UNLABELLED[1:]
    ),
    *((f"augment {fraction}", "augment 0.0") for fraction in AUGMENT[1:]),
    *(
        (f"{name}, head, with teacher", f"{name}, student for it alone")
        for name in ("rated", "liked")
    ),
    ("combined, with teacher", "combined, with labels"),
]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of random splits")
    n_seeds = parser.parse_args(arguments).seeds
    table = build_ranking_table(*load_movielens("100k"))
    X = table.X.to_numpy()
    n_cheap = sum(not name.startswith("pair_") for name in table.X)
    outcomes = Parallel(n_jobs=2)(
        delayed(one_split)(X, table.y, table.qid, n_cheap, seed) for seed in range(n_seeds)
    )
    outcomes, chances = zip(*outcomes, strict=True)
    found = {name: np.concatenate([o[name] for o in outcomes]) for name in outcomes[0]}
    keep = ~np.isnan(found["MLP on labels"])
    # NDCG is NaN for users without a relevant film.
    found = {name: values[keep] for name, values in found.items()}
    print(f"MovieLens 100k, {n_seeds} seeds, {keep.sum()} held-out users: NDCG@10")
    means = pd.Series({name: np.nanmean(values) for name, values in found.items()})
    print(means.to_string(float_format="{:.4f}".format))
    print("\nratios, with 95% intervals by paired bootstrap over users")
    for one, other in COMPARISONS:
        ratio, low, high = bootstrap_ratio(found[one], found[other], random_state=0)
        print(f"{one} / {other}: {ratio:.3f} [{low:.3f}, {high:.3f}]")
    print(
        "\nprobabilities of a like: expected calibration error, log-loss; both relative to the "
        "teacher"
    )
    means = {name: np.mean([c[name] for c in chances], axis=0) for name in chances[0]}
    for name, (error, loss) in means.items():
        ratios = means[name] / means["teacher"]
        print(f"{name}: {error:.4f}, {loss:.4f}; {ratios[0]:.3f}, {ratios[1]:.4f}")

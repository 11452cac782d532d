"""Compare distilled students with their teachers and with rivals, on seven tables.

    python -m benchmarks quality                                     # all but OHSUMED, five seeds
    python -m benchmarks quality --ohsumed FOLDER                    # S1.txt.gz to S5.txt.gz in it
    python -m benchmarks quality --tables ties "few labels" --seeds 2
    python -m benchmarks quality --short                             # only check that it runs

Every table and seed takes a minute or two, or ten for MovieLens 1M. Its results are stored in
``--results``, and a run does what is not stored yet. MovieLens is downloaded once.

"tuned" settings are chosen among twelve, six for LightGBM, by NDCG@10 on validation queries. A
student on labels and a distilled one have equally many. Test queries choose nothing. The numbers
are NDCG@10 on test queries, relative to tuned LightGBM, with 95% intervals by paired bootstrap over
queries. PyTorch is a rival if it is installed.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from benchmarks.studies.quality_rivals import mlp_regressor, small_trees, torch_listwise
from benchmarks.studies.quality_tables import (
    FIXED_TESTS,
    all_tables,
    mean_score,
    per_query,
    sizes_of,
)
from skdistill import DistilledRanker
from skdistill.metrics import bootstrap_ratio
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble, first_trees

SIZES = (64, 32)
DECAYS = ("auto", 0.1, 1.0, 3.0)
ON_LABELS = [
    {"loss": loss, "weight_decay": decay}
    for loss in ("listwise", "pairwise", "plackett_luce")
    for decay in DECAYS
]
DISTILLED = [
    {"loss": loss, "alpha": alpha, "student__weight_decay": decay}
    for loss, alpha, decay in [
        ("plackett_luce", 0.5, "auto"), ("plackett_luce", 0.25, "auto"),
        ("plackett_luce", 0.75, "auto"), ("plackett_luce", 0.5, 3.0),
        ("pairwise", 0.5, "auto"), ("pairwise", 0.25, "auto"),
        ("pairwise", 0.75, "auto"), ("pairwise", 0.5, 3.0),
        ("pointwise", 0.5, "auto"), ("pointwise", 0.25, "auto"),
        ("pointwise", 0.75, "auto"), ("pointwise", 0.5, 3.0),
    ]
]  # fmt: skip
TREES = [
    {"n_estimators": 100},
    {"n_estimators": 100, "num_leaves": 7},
    {"n_estimators": 300, "learning_rate": 0.05, "num_leaves": 7, "colsample_bytree": 0.5},
    *(
        {"n_estimators": 300, "learning_rate": 0.03, "num_leaves": leaves, "colsample_bytree": 0.5,
         "min_child_samples": 50}
        for leaves in (7, 15, 31)
    ),
]  # fmt: skip
BEST = "tuned LightGBM"
FAIR, DEFAULT = "tuned MLP on labels", f"MLP, student of {BEST}"
VALIDATED, WEIGHED = f"tuned {DEFAULT}", f'{DEFAULT}, alpha="auto"'
SMALL_TREES, OTHER_MLP = "20 trees of 8 leaves", "MLPRegressor on labels"
TAUGHT_MLP = f"MLPRegressor on the scores of {BEST}"
# What the first table shows; the second has all the others.
MAIN = (DEFAULT, WEIGHED, VALIDATED, "MLP on labels", FAIR, SMALL_TREES, OTHER_MLP, TAUGHT_MLP)


def boosted(seed, **settings):
    sampling = {"subsample": 0.8, "subsample_freq": 1} if settings else {}
    return lightgbm.LGBMRanker(**settings, **sampling, random_state=seed, verbose=-1, n_jobs=1)


def fit_trees(part, ranker):
    labelled = part.labelled
    return ranker.fit(labelled.X, labelled.y, group=sizes_of(labelled.qid))


def best_of(fitted, valid):
    """The model with the best NDCG@10 on validation queries."""
    return max(fitted, key=lambda model: mean_score(model, valid))


def fit_teachers(train, valid, seed):
    """Fit all teachers, by name."""
    import xgboost

    labelled = train.labelled
    tuned = best_of([fit_trees(train, boosted(seed, **settings)) for settings in TREES], valid)
    nets = MLPEnsembleRanker(random_state=seed)
    other = xgboost.XGBRanker(enable_categorical=True, random_state=seed, n_jobs=1)
    nets.fit(labelled.X, labelled.y, qid=labelled.qid)
    both = RankEnsemble([("trees", FrozenEstimator(tuned)), ("nets", FrozenEstimator(nets))])
    return {
        BEST: tuned,
        "LightGBM": fit_trees(train, boosted(seed)),
        "XGBoost": other.fit(labelled.X, labelled.y, qid=labelled.qid),
        "MLP ensemble": nets,
        f"{BEST} and MLP ensemble": both.fit(labelled.X, labelled.y, qid=labelled.qid),
    }


def fit_students(train, valid, seed, teachers, n_candidates):
    """Fit all students, by name."""
    found = {}

    def fit(ranker, **settings):
        ranker = clone(ranker).set_params(random_state=seed, **settings)
        return ranker.fit(train.X, train.y, qid=train.qid)

    def distil(teacher, student):
        return DistilledRanker(FrozenEstimator(teacher), student, random_state=seed)

    kinds = {"MLP": MLPRanker(SIZES), "FM": FactorizationMachineRanker(), "linear": LinearRanker()}
    for kind, student in kinds.items():
        found[f"{kind} on labels"] = fit(student)
        found[f"{kind}, student of {BEST}"] = fit(distil(teachers[BEST], student))
    net = kinds["MLP"]
    for name, teacher in teachers.items():
        found.setdefault(f"MLP, student of {name}", fit(distil(teacher, net)))
    found[FAIR] = best_of([fit(net, **chosen) for chosen in ON_LABELS[:n_candidates]], valid)
    five_lines = distil(teachers[BEST], net)
    found[WEIGHED] = fit(five_lines, alpha="auto")
    candidates = [fit(five_lines, **chosen) for chosen in DISTILLED[:n_candidates]]
    found[VALIDATED] = best_of(candidates, valid)
    return found


def fit_rivals(train, seed, teacher):
    """Fit what a user has without this package, by name."""
    labelled = train.labelled
    found = {
        f"first 10 trees of {BEST}": first_trees(teacher, 10),
        SMALL_TREES: fit_trees(train, small_trees(seed)),
        OTHER_MLP: mlp_regressor(SIZES, seed, train.X).fit(labelled.X, labelled.y),
        TAUGHT_MLP: mlp_regressor(SIZES, seed, train.X).fit(train.X, teacher.predict(train.X)),
    }
    if find_spec("torch"):
        found["PyTorch on labels"] = torch_listwise(SIZES, seed, labelled)
    return found


def run(split, seed, n_candidates):
    """Return the NDCG@10 of each test query, by model."""
    train, valid, test = split
    teachers = fit_teachers(train, valid, seed)
    students = fit_students(train, valid, seed, teachers, n_candidates)
    models = teachers | students | fit_rivals(train, seed, teachers[BEST])
    return {name: per_query(model.predict(test.X), test) for name, model in models.items()}


def joined(results, table):
    """Return the values of all seeds: one per query of a fixed test part, otherwise all of them."""
    names = [name for name in results[0] if all(name in one for one in results)]
    join = (lambda values: np.mean(values, axis=0)) if table in FIXED_TESTS else np.concatenate
    return {name: join([one[name] for one in results]) for name in names}


def report(found):
    """Print tables of the ratio of each model to tuned LightGBM on each data set."""
    tables = {table: joined(results, table) for table, results in found.items()}

    def line(name, base):
        ratios = [bootstrap_ratio(of[name], of[base], random_state=0) for of in tables.values()]
        cells = [f"{ratio:.3f} [{low:.3f}, {high:.3f}]" for ratio, low, high in ratios]
        return [*cells, f"{np.mean([ratio for ratio, *_ in ratios]):.3f}"]

    def start_table():
        print("\n| | " + " | ".join([*tables, "mean"]) + " |")
        print("|---" * (len(tables) + 2) + "|")

    start_table()
    counts = [
        f"{len(found[table])} / {(~np.isnan(of[BEST])).sum()}" for table, of in tables.items()
    ]
    print("| seeds / test queries | " + " | ".join(counts) + " | |")
    levels = [f"{np.nanmean(of[BEST]):.4f}" for of in tables.values()]
    print(f"| {BEST}: NDCG@10 | " + " | ".join(levels) + " | |")
    for name in MAIN:
        print(f"| {name} | " + " | ".join(line(name, BEST)) + " |")
    for name in (DEFAULT, WEIGHED, VALIDATED):
        print(f"| *{name}, relative to {FAIR}* | " + " | ".join(line(name, FAIR)) + " |")
    start_table()
    for name in next(iter(tables.values())):
        if name not in (BEST, *MAIN) and all(name in of for of in tables.values()):
            print(f"| {name} | " + " | ".join(line(name, BEST)) + " |")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ohsumed", type=Path, help="folder with S1.txt.gz to S5.txt.gz")
    parser.add_argument("--tables", nargs="+", help="names of tables; all by default")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--results", type=Path, default=Path("quality-results"), help="folder")
    parser.add_argument("--short", action="store_true", help="only check that it runs")
    options = parser.parse_args(arguments)
    if find_spec("torch") is None:
        print("PyTorch is not installed and left out.")
    if options.short:
        makers = all_tables(n_queries=60)
        with threadpool_limits(1):
            found = {name: [run(makers[name](0), 0, 2)] for name in ("nonlinear", "ties")}
        return report(found)
    makers = all_tables(options.ohsumed)
    unknown = sorted(set(options.tables or []) - set(makers))
    if unknown:
        parser.error(f"there are no tables {unknown}, but {list(makers)}; OHSUMED needs --ohsumed")
    options.results.mkdir(exist_ok=True)
    found = {}
    for seed in range(options.seeds):
        for table in options.tables or makers:
            path = options.results / f"{table} {seed}.npz"
            if not path.exists():
                with threadpool_limits(1):
                    np.savez(path, **run(makers[table](seed), seed, None))
                print(f"{table}, seed {seed}: done", flush=True)
            found.setdefault(table, []).append(dict(np.load(path)))
    return report(found)

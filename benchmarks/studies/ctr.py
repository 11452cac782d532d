"""Predict clicks without queries: students, their teacher, and what else has their cost.

    python -m benchmarks ctr                # two synthetic logs, and MovieLens 1M, downloaded once
    python -m benchmarks ctr --short        # only check that it runs

Each table is split by time: models are fitted on the first 80% of its rows and measured on the
rest. A click on MovieLens is a rating of 4 or 5. The settings of LightGBM are chosen on the last
tenth of the training rows. All students have their defaults, but for AdaGrad where the name says
so, and hold out rows of their own to stop by. Intervals are by paired bootstrap over blocks of test
rows, with the seeds averaged.
"""

import argparse

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.studies.timing import median_times
from skdistill import DistilledRanker
from skdistill.datasets import load_movielens, make_clicks
from skdistill.metrics import bootstrap_ratio, expected_calibration_error
from skdistill.serving import compile_scorer
from skdistill.students import FactorizationMachineRanker, MLPRanker
from skdistill.teachers import first_trees

GENTLE = {"cat_smooth": 50, "min_data_per_group": 50, "cat_l2": 20}
LIGHTGBM = (
    {},
    {"n_estimators": 300, "learning_rate": 0.05},
    GENTLE,
    {"n_estimators": 300, "learning_rate": 0.05, **GENTLE},
)
STUDENTS = {
    "FM": (FactorizationMachineRanker(), "as they are"),
    "FM, numbers cut into categories": (FactorizationMachineRanker(), "cut"),
    "MLP 64-32": (MLPRanker((64, 32)), "as they are"),
    "MLP 64-32, AdaGrad": (
        MLPRanker((64, 32), optimizer="adagrad", learning_rate_init=0.03),
        "as they are",
    ),
}
FRESH_RATE = 0.3
N_BINS = 16
N_RATINGS = 300_000  # the last ones
N_BLOCKS = 50
TIMED_ROWS = 5000


def movielens():
    """Ratings in the order of time; a rating of 4 or 5 is a click."""
    data = load_movielens("1m")
    ratings = data.ratings.sort_values(["timestamp", "user_id", "item_id"])[-N_RATINGS:]
    users = data.users.iloc[ratings["user_id"]].reset_index(drop=True)
    films = data.items.iloc[ratings["item_id"]].reset_index(drop=True)
    time = pd.to_datetime(ratings["timestamp"].to_numpy(), unit="s")
    X = pd.DataFrame(
        {
            "user": pd.Categorical(ratings["user_id"].to_numpy()),
            "film": pd.Categorical(ratings["item_id"].to_numpy()),
            "gender": users["gender"].astype("category"),
            "occupation": users["occupation"].astype("category"),
            "genres": films["genres"].astype("category"),
            "age": users["age"].astype(float),
            "year": films["year"].astype(float),
            "hour": time.hour.astype(float),
        }
    )
    return X, (ratings["rating"].to_numpy() >= 4).astype(float)


def clicks(**settings):
    log = make_clicks(**settings)
    return log.X, log.y


def tables(short):
    """Name and rows of each table."""
    size = 20_000 if short else 60_000
    few = {"n_users": 500, "n_ads": 200, "n_sites": 50, "spread": 3.0, "numbers_fraction": 0.5}
    yield "few ids", clicks(n_rows=size, click_rate=0.08, random_state=1, **few)
    if not short:
        many = {"n_users": 20_000, "n_ads": 2000, "n_sites": 500}
        yield "many ids", clicks(n_rows=200_000, random_state=0, **many)
        yield "MovieLens 1M", movielens()


def cut_numbers(X, train):
    """Columns of numbers as categories: 16 quantiles of the training rows, and missing values."""
    X = X.copy()
    for name in X.select_dtypes("number"):
        edges = np.nanquantile(train[name], np.linspace(0, 1, N_BINS + 1)[1:-1])
        codes = np.searchsorted(np.unique(edges), X[name])
        X[name] = pd.Categorical(np.where(X[name].isna(), -1, codes).astype(str))
    return X


def tuned_lightgbm(X, y):
    """Fit LightGBM with the settings that are best on the last tenth of the rows."""
    cut = int(0.9 * len(y))

    def loss(settings):
        model = LGBMClassifier(verbose=-1, n_jobs=1, random_state=0, **settings)
        model.fit(X[:cut], y[:cut])
        return log_loss(y[cut:], model.predict_proba(X[cut:])[:, 1])

    best = min(LIGHTGBM, key=loss)
    return LGBMClassifier(verbose=-1, n_jobs=1, random_state=0, **best).fit(X, y)


def one_hot(model):
    """A model of scikit-learn behind one-hot columns."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)
    columns = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("categories", encoder, make_column_selector(dtype_include="category")),
        ]
    )
    return make_pipeline(columns, model)


def seconds_per_row(score, X):
    return median_times({"score": lambda: score(X[:TIMED_ROWS])}, 21)["score"] / len(X[:TIMED_ROWS])


class Table:
    """The models of one table, and a line of the report for each."""

    def __init__(self, X, y, y_test):
        self.y_test = y_test
        self.blocks = np.array_split(np.random.default_rng(0).permutation(len(y_test)), N_BLOCKS)
        self.teacher_loss = None

    def losses(self, probabilities):
        """Log-loss of each block of test rows, the seeds averaged."""
        y = self.y_test
        values = [
            [log_loss(y[rows], p[rows], labels=[0, 1]) for rows in self.blocks]
            for p in probabilities
        ]
        return np.mean(values, axis=0)

    def report(self, name, probabilities, seconds):
        y, losses = self.y_test, self.losses(probabilities)
        if self.teacher_loss is None:
            self.teacher_loss = losses
        mean = {
            "auc": np.mean([roc_auc_score(y, p) for p in probabilities]),
            "loss": np.mean([log_loss(y, p) for p in probabilities]),
            "error": np.mean(
                [expected_calibration_error(y, p, strategy="quantile") for p in probabilities]
            ),
        }
        ratio, low, high = bootstrap_ratio(losses, self.teacher_loss, random_state=0)
        print(
            f"| {name} | {mean['auc']:.4f} | {mean['loss']:.4f} | {ratio:.3f} "
            f"[{low:.3f}, {high:.3f}] | {mean['error']:.4f} | {1e6 * seconds:.2f} |",
            flush=True,
        )


def cut_and_fresh(table, teacher, n_trees, train, y_train, test):
    """Report LightGBM of a few trees: the teacher's first, and as many of a higher rate."""
    cut = first_trees(teacher, n_trees)
    name = f"the teacher's first {n_trees} trees"
    table.report(name, [cut.predict(test)], seconds_per_row(cut.predict, test))
    settings = {"n_estimators": n_trees, "learning_rate": FRESH_RATE}
    fresh = clone(teacher).set_params(**settings).fit(train, y_train)
    found = [fresh.predict_proba(test)[:, 1]]
    name = f"LightGBM of {n_trees} trees, rate {FRESH_RATE}"
    table.report(name, found, seconds_per_row(fresh.predict_proba, test))


def measure(name, X, y, seeds):
    cut = int(0.8 * len(y))
    train, test = X[:cut].reset_index(drop=True), X[cut:].reset_index(drop=True)
    y_train = y[:cut]
    parts = {
        "as they are": (train, test),
        "cut": (cut_numbers(train, train), cut_numbers(test, train)),
    }
    print(f"\n{name}: {cut} training rows, {len(y) - cut} test rows, {y.mean():.1%} clicks\n")
    print("| model | AUC | log-loss | log-loss / teacher's | calibration error | us per row |")
    print("|---|---|---|---|---|---|")
    table = Table(train, y_train, y[cut:])
    teacher = tuned_lightgbm(train, y_train)
    seconds = seconds_per_row(teacher.predict_proba, test)
    table.report("LightGBM, tuned (the teacher)", [teacher.predict_proba(test)[:, 1]], seconds)
    scores = teacher.predict_proba(train)[:, 1]
    student_seconds = None
    for name_of_student, (student, form) in STUDENTS.items():
        seen, unseen = parts[form]
        for way, alpha in (("labels alone", 0.0), ("distilled", 0.5), ("distilled, alpha=1", 1.0)):
            rankers = [
                DistilledRanker(
                    FrozenEstimator(teacher),
                    student,
                    loss="logistic",
                    alpha=alpha,
                    random_state=seed,
                ).fit(seen, y_train, teacher_scores=scores)
                for seed in range(seeds)
            ]
            scorer = compile_scorer(rankers[0].export_student())
            student_seconds = seconds_per_row(scorer, unseen)
            found = [ranker.predict_proba(unseen)[:, 1] for ranker in rankers]
            table.report(f"{name_of_student}, {way}", found, student_seconds)
    n_trees = max(round(teacher.n_estimators * student_seconds / seconds), 1)
    cut_and_fresh(table, teacher, n_trees, train, y_train, test)
    rivals = {
        "LogisticRegression, one-hot": [LogisticRegression(max_iter=300)],
        "MLPClassifier 64-32, one-hot": [
            MLPClassifier(hidden_layer_sizes=(64, 32), early_stopping=True, random_state=seed)
            for seed in range(seeds)
        ],
    }
    for rival, models in rivals.items():
        fitted = [one_hot(model).fit(train, y_train) for model in models]
        found = [model.predict_proba(test)[:, 1] for model in fitted]
        table.report(rival, found, seconds_per_row(fitted[0].predict_proba, test))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", help="only the table of this name")
    parser.add_argument("--short", action="store_true", help="only check that it runs")
    options = parser.parse_args(arguments)
    for name, (X, y) in tables(options.short):
        if options.table in (None, name):
            measure(name, X, y, 1 if options.short else options.seeds)

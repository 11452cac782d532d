"""The whole of scikit-learn's machinery: checks, pipelines, searches, callbacks, files."""

import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import skdistill
from skdistill import (
    DistilledRanker,
    RankingCascade,
    RankingGroupKFold,
    TwoTowerRetriever,
)
from skdistill._sklearn_compat import DOCUMENTATION
from skdistill.cascade import PopularityRetriever
from skdistill.inputs.columns import as_table, take_columns
from skdistill.metrics import mrr_scorer, ndcg_scorer
from skdistill.multi_objective import WithObjectives
from skdistill.students import STUDENTS, LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker, QidAdapter, RankEnsemble
from skdistill.towers import RETRIEVERS

WEIGHTS = (
    "a row's weight multiplies its term of a ranking loss, as an inverse propensity does; it is "
    "no multiplicity, so a repeated row changes its query's list, and training is stochastic"
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}
# Parameters without which an estimator of a registry cannot be tested.
OBJECTIVES = {"objectives": {"label": "listwise"}}
TOWERS = {"query_columns": [0], "item_columns": slice(1, None), "embedding_dim": 4}
REQUIRED = {"MultiObjectiveRanker": OBJECTIVES, "MultiObjectiveRetriever": OBJECTIVES}
ESTIMATORS = [
    *(kind(**REQUIRED.get(name, {})) for name, kind in STUDENTS.items()),
    *(kind(**TOWERS, **REQUIRED.get(name, {})) for name, kind in RETRIEVERS.items()),
    DistilledRanker(
        lightgbm.LGBMRegressor(verbose=-1, n_jobs=1, min_child_samples=1), LinearRanker()
    ),
    MLPEnsembleRanker(2, hidden_layer_sizes=(8,), mlp_parameters={"max_iter": 3}),
    RankEnsemble([("one", LinearRanker()), ("two", LinearRanker(loss="pointwise"))]),
]
TEACHER = lightgbm.LGBMRanker(n_estimators=10, min_child_samples=5, verbose=-1, n_jobs=1)


def small_ranker(**kwargs):
    return DistilledRanker(
        TEACHER, MLPRanker((8,), max_iter=12, learning_rate_init=0.02), random_state=0, **kwargs
    )


@pytest.mark.filterwarnings("ignore:.*got no qid:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_scikit_learns_checks_pass(estimator):
    results = check_estimator(
        estimator, expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail="raise"
    )
    status = Counter(result["status"] for result in results)
    # The battery can shrink without a word: this many really ran and passed.
    at_least = 46 if isinstance(estimator, WithObjectives) else 56
    assert status["passed"] >= at_least
    assert status["xfail"] == len(EXPECTED_FAILURES)
    assert status["skipped"] <= 1


class CascadeOfItsLog(RankingCascade):
    """A cascade whose catalogue is its log: the checks of scikit-learn pass no ``items``."""

    def fit(self, X, y=None, *, qid=None, sample_weight=None):
        return super().fit(X, y, qid=qid, items=items_of(X), sample_weight=sample_weight)


class PopularityOfItsLog(PopularityRetriever):
    """Likewise."""

    def fit(self, X, y=None, *, qid=None):
        return super().fit(X, y, qid=qid, items=items_of(X))


def items_of(log):
    table = as_table(log)
    return take_columns(table, list(range(1, table.shape[1])) or [0])


SMALL_TOWERS = TwoTowerRetriever(**TOWERS, max_iter=2)
OTHERS = [
    # Estimator, number of checks that pass at least, checks that are expected to fail.
    (
        CascadeOfItsLog(
            [("retrieve", SMALL_TOWERS, 5), ("rank", LinearRanker(max_iter=2), 3)],
            teacher=lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=1, verbose=-1),
        ),
        48,
        {},
    ),
    (PopularityOfItsLog(slice(1, None)), 39, {}),
    (
        QidAdapter(LinearRegression()),
        59,
        {"check_estimators_overwrite_params": "it fits its ranker in place, as a Pipeline does"},
    ),
]


@pytest.mark.filterwarnings("ignore:.*got no qid:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
@pytest.mark.filterwarnings("ignore:LinearRanker learns no order:UserWarning")
@pytest.mark.parametrize(
    ("estimator", "at_least", "expected"), OTHERS, ids=lambda value: type(value).__name__
)
def test_scikit_learns_checks_pass_for_what_is_no_student_or_tower(estimator, at_least, expected):
    results = check_estimator(
        estimator, expected_failed_checks=expected, on_skip=None, on_fail="raise"
    )
    status = Counter(result["status"] for result in results)
    assert status["passed"] >= at_least
    assert status["xfail"] == len(expected)
    assert status["skipped"] <= 1


def test_scikit_learn_has_checked_every_public_estimator():
    """A new estimator has to be added to one of the lists."""
    checked = {kind for one in ESTIMATORS for kind in type(one).__mro__}
    checked |= {kind for one, *_ in OTHERS for kind in type(one).__mro__}
    names = [module.name for module in pkgutil.iter_modules(skdistill.__path__)]
    modules = [importlib.import_module(f"skdistill.{name}") for name in names if name[0] != "_"]
    public = {
        value
        for module in [skdistill, *modules]
        for name in getattr(module, "__all__", ())
        if isinstance(value := getattr(module, name), type)
        and issubclass(value, BaseEstimator)
        and hasattr(value, "fit")
    }
    assert len(public) > 12
    assert {kind.__name__ for kind in public - checked} == set()


GRID = {
    "teacher__num_leaves": [7, 15],
    "student__hidden_layer_sizes": [(8,), (16, 8)],
    "temperature": [0.5, 2.0],
    "alpha": [0.5, 1.0],
}


def test_grid_search_over_everything_with_routing(routing, table):
    cv = GroupKFold(2).set_split_request(groups="qid")
    search = GridSearchCV(small_ranker(), GRID, cv=cv, n_jobs=2, error_score="raise")
    search.fit(table.X, table.y, qid=table.qid)
    assert len(search.cv_results_["params"]) == 16
    assert search.best_score_ > 0.55
    assert search.score(table.X, table.y, qid=table.qid) > 0.6


def test_grid_search_over_everything_without_routing(table):
    X = np.column_stack([table.qid, table.X])
    search = GridSearchCV(
        small_ranker(query_column=0),
        GRID,
        cv=RankingGroupKFold(2, query_column=0),
        n_jobs=2,
        error_score="raise",
    )
    search.fit(X, table.y)
    assert search.best_score_ > 0.55
    assert search.score(X, table.y) > 0.6


def test_grid_search_needs_no_group_aware_splitter(table):
    X = np.column_stack([table.qid, table.X])
    search = GridSearchCV(small_ranker(query_column=0), {"alpha": [1.0]}, error_score="raise")
    assert search.fit(X, table.y).best_score_ > 0.55


def test_randomized_search_through_a_pipeline(routing, table):
    pipeline = make_pipeline(StandardScaler(), small_ranker())
    search = RandomizedSearchCV(
        pipeline,
        {"distilledranker__temperature": [0.5, 1.0, 2.0]},
        n_iter=2,
        cv=RankingGroupKFold(3, shuffle=True, random_state=0),
        random_state=0,
        scoring={"ndcg": ndcg_scorer(k=5), "mrr": mrr_scorer()},
        refit="ndcg",
        error_score="raise",
    )
    search.fit(table.X, table.y, qid=table.qid)
    assert (search.cv_results_["mean_test_mrr"] > 0.5).all()


def test_cross_validate_with_and_without_routing(table):
    X = np.column_stack([table.qid, table.X])
    column = cross_validate(
        small_ranker(query_column=0),
        X,
        table.y,
        cv=RankingGroupKFold(3, query_column=0),
        scoring=ndcg_scorer(k=10),
        error_score="raise",
    )
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_val_score(
            small_ranker(),
            table.X,
            table.y,
            params={"qid": table.qid},
            cv=RankingGroupKFold(3),
            error_score="raise",
        )
    np.testing.assert_allclose(column["test_score"], routed, atol=1e-6)


def test_a_query_column_goes_through_a_pipeline(table):
    """The scaler bends the ids too, which leaves them ids."""
    X = np.column_stack([table.qid, table.X])
    pipeline = make_pipeline(StandardScaler(), small_ranker(query_column=0)).fit(X, table.y)
    expected = pipeline.score(X, table.y)
    assert ndcg_scorer(k=10)(pipeline, X, table.y) == pytest.approx(expected)
    search = GridSearchCV(
        pipeline,
        {"distilledranker__alpha": [1.0]},
        cv=2,
        scoring=ndcg_scorer(),
        error_score="raise",
    ).fit(X, table.y)
    assert ndcg_scorer(k=10)(search, X, table.y) == pytest.approx(search.score(X, table.y))


def test_teacher_scores_are_sliced_by_cross_validation(routing, table):
    search = GridSearchCV(
        DistilledRanker(None, LinearRanker(max_iter=3)),
        {"alpha": [0.5, 1.0]},
        cv=RankingGroupKFold(3),
        error_score="raise",
    )
    search.fit(table.X, table.y, qid=table.qid, teacher_scores=table.utility)
    assert search.best_score_ > 0.55


def test_score_without_queries_is_refused_in_a_search(table):
    """One silent query is worse than an error."""
    with pytest.raises(ValueError, match="fitted with qid, so scoring needs qid too"):
        GridSearchCV(small_ranker(), {"alpha": [1.0]}, cv=2, error_score="raise").fit(
            table.X, table.y, qid=table.qid
        )


def test_ranking_group_k_fold_needs_queries(table):
    with pytest.raises(ValueError, match="needs the query of each row"):
        next(RankingGroupKFold(2).split(table.X))


def test_folds_are_shuffled_by_the_seed_where_asked_for(table):
    def held_out(**parameters):
        folds = RankingGroupKFold(3, **parameters).split(table.X, groups=table.qid)
        return [frozenset(table.qid[test]) for _, test in folds]

    shuffled = [held_out(shuffle=True, random_state=seed) for seed in (0, 1)]
    assert held_out(shuffle=True, random_state=0) == shuffled[0]
    assert len({frozenset(folds) for folds in (*shuffled, held_out())}) == 3
    for folds in shuffled:
        assert [len(queries) for queries in folds] == [60 / 3] * 3
        assert frozenset().union(*folds) == frozenset(table.qid)


def test_callbacks_see_every_epoch_of_a_student(table, capsys):
    monitor = ScoringMonitor(scoring=ndcg_scorer(k=10))
    student = MLPRanker((8,), max_iter=4, early_stopping=True, random_state=0)
    student.set_callbacks(monitor, ProgressBar())
    student.fit(table.X, table.y, qid=table.qid)
    logged = [row["score"] for row in monitor.get_logs().data if row["task_name"] != "fit"]
    # With early stopping the monitor sees the held-out queries: the validation score.
    np.testing.assert_allclose(logged, student.validation_scores_, atol=1e-6)
    assert "MLPRanker" in capsys.readouterr().out


def test_callbacks_see_every_epoch_of_a_distilled_ranker(table, capsys):
    monitor = ScoringMonitor(scoring={"ndcg": ndcg_scorer(k=10)})
    ranker = small_ranker().set_callbacks(monitor, ProgressBar())
    ranker.fit(table.X, table.y, qid=table.qid)
    rows = monitor.get_logs().data
    epochs = [row for row in rows if row["task_name"].startswith("epoch")]
    assert [row["task_name"] for row in epochs] == [f"epoch {i}" for i in range(1, 13)]
    assert epochs[-1]["ndcg"] == pytest.approx(ranker.score(table.X, table.y, qid=table.qid))
    shown = capsys.readouterr().out
    assert "MLPRanker" in shown
    assert not hasattr(ranker.student_, "_skl_callbacks")


def test_callback_may_stop_the_training(table):
    from sklearn.callback import FitCallback

    class StopAtSecond(FitCallback):
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch 2"

    student = LinearRanker(max_iter=9).set_callbacks(StopAtSecond())
    assert student.fit(table.X, table.y, qid=table.qid).n_iter_ == 2


def test_a_joblib_file_loads_in_a_fresh_process(table, tmp_path):
    ranker = small_ranker().fit(table.X, table.y, qid=table.qid)
    joblib.dump(ranker, tmp_path / "ranker.joblib")
    joblib.dump(ranker.export_student(), tmp_path / "student.joblib")
    np.save(tmp_path / "X.npy", table.X)
    code = """
import joblib, numpy as np, sys
X = np.load("X.npy")
np.save("student.npy", joblib.load("student.joblib").predict(X))
assert "lightgbm" not in sys.modules
np.save("ranker.npy", joblib.load("ranker.joblib").predict(X))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for name in ("student", "ranker"):
        assert_array_equal(np.load(tmp_path / f"{name}.npy"), ranker.predict(table.X))


def test_importing_the_package_loads_nothing_heavy():
    code = """
import sys
import skdistill
heavy = {"lightgbm", "matplotlib", "pandas", "sklearn", "scipy"} & set(sys.modules)
assert not heavy, heavy
from skdistill import DistilledRanker
assert not {"lightgbm", "matplotlib", "xgboost"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_html_diagram_shows_teacher_and_student(table):
    shown = small_ranker()._repr_html_()
    assert "LGBMRanker" in shown
    assert "MLPRanker" in shown


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_html_diagram_links_to_the_reference(estimator):
    public = f"{type(estimator).__module__}.{type(estimator).__name__}"
    assert f'href="{DOCUMENTATION}reference/{public}.html"' in estimator._repr_html_()
    root = Path(__file__).parents[1]
    # tests/test_reference.py holds the pages against what is public.
    assert f'"{public}"' in (root / "docs" / "reference_pages.py").read_text("utf-8")
    assert f"Documentation = {DOCUMENTATION}" in (root / "setup.cfg").read_text()


def test_an_estimator_of_a_user_links_to_nothing_of_ours():
    class Mine(LinearRanker):
        pass

    assert DOCUMENTATION not in Mine()._repr_html_()

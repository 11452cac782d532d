"""A fit that fails or is interrupted leaves every estimator as it was."""

import pickle

import numpy as np
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdistill import DistilledRanker
from skdistill.serving import compile_scorer, save
from skdistill.students import STUDENTS, LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble
from skdistill.towers import RETRIEVERS
from skdistill.training.schedules import SCHEDULES

OBJECTIVES = {"click": "listwise"}
RANKERS = {
    **{
        name: kind(objectives=OBJECTIVES) if "Objective" in name else kind()
        for name, kind in STUDENTS.items()
    },
    "DistilledRanker": DistilledRanker(LGBMRanker(n_estimators=3, verbose=-1), MLPRanker((4,))),
    "MLPEnsembleRanker": MLPEnsembleRanker(2, hidden_layer_sizes=[(4,)]),
    "RankEnsemble": RankEnsemble(
        [("trees", LGBMRanker(n_estimators=3, verbose=-1))], weights="learn"
    ),
}
COLUMNS = {"query_columns": [0, 1], "item_columns": [2, 3], "max_iter": 3}
TOWERS = {
    name: kind(objectives=OBJECTIVES, **COLUMNS) if "Objective" in name else kind(**COLUMNS)
    for name, kind in RETRIEVERS.items()
}


@pytest.fixture(params=[*RANKERS, *TOWERS])
def estimator(request):
    return clone({**RANKERS, **TOWERS}[request.param])


def fit(estimator, table, X=None, **params):
    X = table.X if X is None else X
    rows = slice(0, 300)
    if estimator in TOWERS.values() or hasattr(estimator, "query_columns"):
        # The query columns do not differ within a query.
        X = np.column_stack([table.qid, table.qid % 7, X[:, 2:4]])
        params["items"] = X[:40, 2:]
    return estimator.fit(X[rows], table.y[rows], qid=table.qid[rows], **params)


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupts training in the middle of its first epoch, as Ctrl-C does."""

    def start():
        steps = iter(range(2))

        def rate(progress):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return 1.0

        for name in SCHEDULES:
            monkeypatch.setitem(SCHEDULES, name, rate)

    return start


def state_of(estimator):
    return {name: pickle.dumps(value) for name, value in vars(estimator).items()}


def test_an_interrupted_refit_leaves_the_former_model(estimator, table, interrupt, tmp_path):
    fitted = fit(estimator, table)
    before, attributes = state_of(fitted), dict(vars(fitted))
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        fit(fitted, table, X=table.X[::-1] + 1)
    assert state_of(fitted) == before
    assert all(vars(fitted)[name] is value for name, value in attributes.items())


def test_an_interrupted_first_fit_leaves_nothing(estimator, table, interrupt, tmp_path):
    before = state_of(estimator)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        fit(estimator, table)
    assert state_of(estimator) == before
    with pytest.raises(NotFittedError):
        estimator.predict(table.X[:, :4])
    if not isinstance(estimator, MLPEnsembleRanker | RankEnsemble):
        with pytest.raises(NotFittedError):
            save(estimator, tmp_path / "model.skd")
        with pytest.raises(NotFittedError):
            compile_scorer(estimator)


def test_a_fit_that_diverges_leaves_nothing(table):
    student = MLPRanker((16,), learning_rate_init=1e30, random_state=0)
    with pytest.raises(ValueError, match="diverged"):
        fit(student, table)
    with pytest.raises(NotFittedError):
        student.predict(table.X)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_shard_that_is_refused_or_interrupted_leaves_no_trace(name, table, interrupt):
    student, other = clone(RANKERS[name]), clone(RANKERS[name])
    for one in (student, other):
        one.set_params(random_state=0).partial_fit(table.X, table.y, qid=table.qid)
    before = state_of(student)
    poisoned = table.X.copy()
    poisoned[::7] = 9e37
    with pytest.raises(ValueError, match="diverged|not finite"):
        student.partial_fit(poisoned, table.y, qid=table.qid)
    assert state_of(student) == before
    for one in (student, other):
        one.partial_fit(table.X, table.y, qid=table.qid)
    assert_array_equal(student.predict(table.X), other.predict(table.X))
    before = state_of(student)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        student.partial_fit(table.X, table.y, qid=table.qid)
    assert state_of(student) == before


def test_a_failed_warm_start_changes_no_arrays(table, interrupt):
    student = fit(LinearRanker(warm_start=True, random_state=0), table)
    before = state_of(student)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        fit(student, table)
    assert state_of(student) == before


def test_other_threads_see_the_former_model_until_the_end(table, monkeypatch):
    """A service may refit the model that it serves."""
    student = fit(LinearRanker(random_state=0, max_iter=3), table)
    expected, seen = student.predict(table.X), []

    def rate(progress):
        seen.append(np.array_equal(student.predict(table.X), expected))
        return 1.0

    monkeypatch.setitem(SCHEDULES, "cosine", rate)
    fit(student, table, X=table.X[::-1])
    assert seen
    assert all(seen)
    assert not np.array_equal(student.predict(table.X), expected)

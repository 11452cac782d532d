"""A compiled cascade ranks as the cascade does, from any number of threads."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import joblib
import lightgbm
import numpy as np
import polars
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, RankingCascade, TwoTowerRetriever
from skdistill.cascade import DeadlineWarning
from skdistill.datasets import make_retrieval
from skdistill.serving import compile_cascade, save
from skdistill.serving.compiled_cascade import BoosterModel, CompiledModel
from skdistill.students import LinearRanker, MLPRanker
from tests.small_cascade import (
    DATA,
    NUMBERS,
    QUERIES,
    ends_in_teacher,
    fit_cascade,
    products,
    students,
)


def on_arrays(**parameters):
    """A cascade over arrays of numbers."""
    retriever = TwoTowerRetriever(
        query_columns=DATA.query_columns, item_columns=DATA.item_columns, max_iter=1,
        teacher_check=False,
    )  # fmt: skip
    settings = {"retrieve": retriever, "log": DATA.X, "items": DATA.items, "features": None}
    return fit_cascade(**(settings | parameters))


def on_sparse():
    data = make_retrieval(80, 60, n_features=3, query_ids=(80,), item_ids=(60,), random_state=0)
    retriever = TwoTowerRetriever(
        query_columns=data.query_columns, item_columns=data.item_columns, max_iter=1,
        teacher_check=False,
    )  # fmt: skip
    stages = [("retrieve", retriever, 20), ("rank", LinearRanker(max_iter=2), 5)]
    cascade = RankingCascade(stages, teacher=Ridge(), random_state=0, sources=("logged",))
    return cascade.fit(data.X, data.y, qid=data.qid, items=data.items), data.queries


CASCADES = {
    "students": (students, QUERIES, 2),
    "categories": (lambda: fit_cascade(features=None), QUERIES, 2),
    "function": (lambda: fit_cascade(features=products), QUERIES, 2),
    "ends in the teacher": (ends_in_teacher, QUERIES, 1),
    "pipelines": (
        lambda: fit_cascade(
            prerank=make_pipeline(StandardScaler(), LinearRanker(max_iter=2)),
            rank=DistilledRanker(None, MLPRanker((4,), max_iter=2), alpha=1.0),
        ),
        QUERIES,
        2,
    ),
    "arrays": (on_arrays, DATA.queries, 2),
    "no student": (lambda: on_arrays(prerank=Ridge(), rank="teacher"), DATA.queries, 0),
}


@pytest.mark.parametrize("name", CASCADES)
@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_a_compiled_cascade_ranks_the_same(name, engine):
    fit, queries, n_compiled = CASCADES[name]
    cascade = fit()
    compiled = compile_cascade(cascade, engine)
    models = [stage.model for stage in compiled.funnel_.stages]
    assert sum(isinstance(model, CompiledModel) for model in models) == n_compiled
    seen = sparse.random_array((80, 60), density=0.5, rng=0).tocsr()
    for options in ({}, {"k": 30}, {"exclude": seen}, {"mask": seen}):
        expected, answer = cascade.rank(queries, **options), compiled.rank(queries, **options)
        assert_array_equal(answer[0], expected[0])
        assert_allclose(answer[1], expected[1], rtol=1e-5, atol=1e-5)
    trace = compiled.rank(queries, return_stages=True)[2]
    assert trace.seconds.keys() == {"retrieve", "prerank", "rank"}
    with pytest.warns(DeadlineWarning):
        assert not compiled.rank(queries, return_stages=True, deadline_ms=0)[2].is_complete.any()
    # The cascade itself is as it was.
    assert not any(isinstance(stage.model, CompiledModel) for stage in cascade.funnel_.stages)
    again = compile_cascade(compiled, engine)
    assert_array_equal(again.rank(queries)[1], compiled.rank(queries)[1])


LIGHTGBM = [
    (lightgbm.LGBMRanker, {"n_jobs": 1}, True),
    (lightgbm.LGBMRegressor, {"n_jobs": -1}, True),
    (lightgbm.LGBMRegressor, {"n_jobs": None, "objective": "poisson"}, True),
    # Parameters of prediction, and scores that are no predictions.
    (lightgbm.LGBMRanker, {"n_jobs": 1, "pred_early_stop": True}, False),
    (lightgbm.LGBMRanker, {"num_threads": 1}, False),
    (lightgbm.LGBMClassifier, {"n_jobs": 1}, False),
]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("kind", "parameters", "by_booster"), LIGHTGBM)
def test_lightgbm_scores_by_its_booster_with_the_same_bits(kind, parameters, by_booster, frozen):
    model = kind(n_estimators=5, min_child_samples=5, verbose=-1, **parameters)
    labels, sizes = DATA.y > np.median(DATA.y), np.unique(DATA.qid, return_counts=True)[1]
    fit_options = {"group": sizes} if kind is lightgbm.LGBMRanker else {}
    model.fit(DATA.X, labels.astype(float), **fit_options)
    cascade = on_arrays(prerank=LinearRanker(max_iter=2), rank=FrozenEstimator(model))
    stages = cascade.funnel_.stages
    if not frozen:  # as a teacher that the cascade has fitted itself
        stages = (*stages[:-1], replace(stages[-1], model=model))
        cascade.funnel_ = replace(cascade.funnel_, stages=stages)
    compiled = compile_cascade(cascade, "numpy")
    last = compiled.funnel_.stages[-1].model
    assert isinstance(last, BoosterModel) == by_booster
    expected, answer = cascade.rank(DATA.queries), compiled.rank(DATA.queries)
    assert_array_equal(answer[0], expected[0])
    assert_array_equal(answer[1], expected[1])
    assert len(np.unique(expected[1])) > 5
    assert_array_equal(compile_cascade(compiled).rank(DATA.queries)[1], expected[1])


def test_rows_that_a_scorer_does_not_take_are_left_to_the_student():
    cascade, queries = on_sparse()
    compiled = compile_cascade(cascade)
    assert isinstance(compiled.funnel_.stages[0].model, CompiledModel)
    assert_array_equal(compiled.rank(queries)[0], cascade.rank(queries)[0])
    # NaN that the student does not impute is an error, as ever.
    items = DATA.items.copy()
    cascade = on_arrays()
    items[:, 0] = np.nan
    broken = compile_cascade(joblib_copy(cascade).index(items))
    with pytest.raises(ValueError, match="The stage 'prerank' cannot score its rows: .*NaN"):
        broken.rank(DATA.queries)


def joblib_copy(cascade):
    import io

    buffer = io.BytesIO()
    joblib.dump(cascade, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("name", ["students", "arrays", "ends in the teacher"])
def test_thirty_two_threads_get_the_same_bits(name, is_compiled):
    fit, queries, _ = CASCADES[name]
    cascade = compile_cascade(fit()) if is_compiled else fit()
    start = Barrier(32)
    blocks = [queries[first : first + 1 + first % 3] for first in range(32)]
    expected = [cascade.rank(block) for block in blocks]

    def rank(number):
        start.wait()
        return [cascade.rank(blocks[(number + turn) % 32]) for turn in range(8)]

    with ThreadPoolExecutor(32) as pool:
        for number, answers in enumerate(pool.map(rank, range(32))):
            for turn, (ids, scores) in enumerate(answers):
                assert_array_equal(ids, expected[(number + turn) % 32][0])
                assert_array_equal(scores, expected[(number + turn) % 32][1])


def test_a_compiled_cascade_can_be_pickled_and_indexes_another_catalogue():
    cascade, compiled = on_arrays(), compile_cascade(on_arrays())
    again = joblib_copy(compiled)
    assert_array_equal(again.rank(DATA.queries)[1], compiled.rank(DATA.queries)[1])
    half = DATA.items[30:]
    expected = cascade.index(half).rank(DATA.queries)
    assert_array_equal(again.index(half).rank(DATA.queries)[0], expected[0])


def test_what_cannot_be_compiled_is_refused(tmp_path):
    with pytest.raises(TypeError, match="takes a RankingCascade, got LinearRanker"):
        compile_cascade(LinearRanker())
    with pytest.raises(NotFittedError):
        compile_cascade(RankingCascade([]))
    with pytest.raises(ValueError, match="engine must be one of"):
        compile_cascade(students(), "fast")
    with pytest.raises(TypeError, match="Save the cascade itself, and compile it when it is"):
        save(compile_cascade(students()), tmp_path / "cascade.skd")


def test_frames_of_other_libraries_rank_the_same():
    cascade = fit_cascade(features=NUMBERS)
    compiled = compile_cascade(cascade)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = compiled.rank(QUERIES)[0]
    frame = polars.from_pandas(QUERIES)
    items = polars.from_pandas(cascade.funnel_.items)
    assert_array_equal(compile_cascade(cascade.index(items)).rank(frame)[0], ids)

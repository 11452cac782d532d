"""The student that is suggested fits the budget, and is the best of those that do."""

import lightgbm
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.inspection import suggest_student, suggestion
from skdistill.inspection.request_times import request_times
from skdistill.inspection.sampling import some_queries
from skdistill.inspection.suggestion import default_students
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

DATA = make_ranking(n_queries=80, n_features=6, random_state=0)
SHAPES = {
    "linear": LinearRanker(max_iter=5),
    "small": MLPRanker((8,), max_iter=5),
    "large": MLPRanker((512, 512), max_iter=2),
}


def trees():
    return lightgbm.LGBMRanker(n_estimators=20, verbose=-1, n_jobs=1, random_state=0)


def suggest(teacher=None, shapes=SHAPES, **options):
    settings = {"qid": DATA.qid, "latency_us": 1e6, "students": shapes} | options
    return suggest_student(trees() if teacher is None else teacher, DATA.X, DATA.y, **settings)


@pytest.fixture(scope="module")
def suggested():
    return suggest()


def test_the_best_on_held_out_queries_is_suggested(suggested):
    found = {shape.name: shape.ndcg for shape in suggested.shapes}
    assert set(found) == set(SHAPES)
    assert suggested.best == max(found, key=found.get)
    assert suggested.ranker.student.get_params() == SHAPES[suggested.best].get_params()
    for shape in suggested.shapes:
        assert shape.ratio.ratio == pytest.approx(shape.ndcg / suggested.teacher_ndcg)
        assert shape.fits
    times = [shape.microseconds for shape in suggested.shapes]
    assert times == sorted(times)
    assert suggested.shapes[-1].name == "large"


def test_the_ranker_that_is_suggested_can_be_fitted(suggested):
    ranker = clone(suggested.ranker).set_params(teacher=trees())
    ranker.fit(DATA.X, DATA.y, qid=DATA.qid)
    assert ranker.score(DATA.X, DATA.y, qid=DATA.qid) > 0.7


def test_what_is_too_slow_is_not_trained():
    everything = {shape.name: shape.microseconds for shape in suggest().shapes}
    limit = np.sqrt(everything["large"] * max(everything["linear"], everything["small"]))
    found = suggest(latency_us=limit)
    large = next(shape for shape in found.shapes if shape.name == "large")
    assert not large.fits
    assert np.isnan(large.ndcg)
    assert found.best != "large"
    assert "too slow" in str(found)
    with pytest.raises(ValueError, match="No student answers 100 rows within latency_us=0.001"):
        suggest(latency_us=0.001)


def test_only_finalists_are_trained_on_all_rows(monkeypatch):
    monkeypatch.setattr(suggestion, "SMALL_ROWS", 300)
    monkeypatch.setattr(suggestion, "N_FINALISTS", 2)
    found = suggest()
    trained = [shape.name for shape in found.shapes if not np.isnan(shape.ndcg)]
    assert len(trained) == 2
    assert found.best in trained


def test_teachers_of_every_kind():
    sizes = np.unique(DATA.qid, return_counts=True)[1]
    fitted = trees().fit(DATA.X, DATA.y, group=sizes)
    one = {"linear": SHAPES["linear"]}
    frozen = suggest(FrozenEstimator(fitted), one)
    scored = suggest(None, one, teacher_scores=fitted.predict(DATA.X))
    assert frozen.teacher_ndcg == pytest.approx(scored.teacher_ndcg)
    assert frozen.shapes[0].ndcg == pytest.approx(scored.shapes[0].ndcg)
    unlabelled = np.where(DATA.qid % 2, DATA.y, np.nan)
    half = suggest_student(
        fitted.booster_, DATA.X, unlabelled, qid=DATA.qid, latency_us=1e6, students=one
    )
    assert 0 < half.teacher_ndcg <= 1


def test_parameters_of_the_distillation_are_kept():
    ranker = DistilledRanker(alpha=0.3, loss="pairwise", teacher_cv=2, random_state=5)
    found = suggest(shapes={"linear": SHAPES["linear"]}, ranker=ranker)
    wanted = ranker.get_params(deep=False) | {"student": found.ranker.student}
    assert found.ranker.get_params(deep=False) == wanted


def test_default_shapes_take_over_the_settings_of_the_rankers_student():
    student = MLPRanker((7,), min_frequency=3, n_knots=2, optimizer="adagrad")
    student.set_params(categorical_features=[2])
    shapes = suggestion._with_settings_of(DistilledRanker(student=student), DATA.X)
    for name, shape in shapes.items():
        assert shape.categorical_features == [2]
        assert shape.min_frequency == 3
        assert shape.optimizer == "adagrad"
        assert (getattr(shape, "n_knots", 0) > 0) == ("knots" in name)
    assert shapes["MLP 64-32"].hidden_layer_sizes == (64, 32)
    pipeline = make_pipeline(StandardScaler(), MLPRanker())
    with pytest.raises(ValueError, match="student is a Pipeline"):
        suggest(shapes=None, ranker=DistilledRanker(student=pipeline))


def test_what_is_suggested_is_reproducible(suggested):
    assert suggested.ranker.random_state is not None


def test_teacher_and_students_see_their_columns(monkeypatch):
    timed = []

    def times(shapes, data, *rest):
        timed.append(data.X.shape[1])
        return request_times(shapes, data, *rest)

    monkeypatch.setattr(suggestion, "request_times", times)
    taught_by = []

    def teacher(X):
        taught_by.append(X.shape[1])
        return X[:, 0]

    ranker = DistilledRanker(teacher_columns=[0, 1, 2], student_columns=[0, 4])
    found = suggest(teacher, {"linear": SHAPES["linear"]}, ranker=ranker)
    assert set(timed) == {2}
    assert set(taught_by) == {3}
    assert found.ranker.student_columns == [0, 4]


def test_the_queries_may_stand_in_a_column():
    table = np.column_stack([DATA.qid, DATA.X])
    ranker = DistilledRanker(query_column=0)
    options = {"latency_us": 1e6, "students": {"linear": SHAPES["linear"]}, "random_state": 0}
    found = suggest_student(trees(), table, DATA.y, ranker=ranker, **options)
    plain = suggest_student(trees(), DATA.X, DATA.y, qid=DATA.qid, **options)
    assert found.shapes[0].ndcg == pytest.approx(plain.shapes[0].ndcg)
    assert found.ranker.query_column == 0
    with pytest.raises(ValueError, match="given twice"):
        suggest_student(trees(), table, DATA.y, qid=DATA.qid, ranker=ranker, **options)


def test_it_is_shown_as_text_markdown_html_and_frame(suggested):
    assert str(suggested).startswith(f"Take {suggested.best!r}: ")
    assert repr(suggested) == str(suggested)
    assert "| --- |" in suggested.to_markdown()
    assert "<table>" in suggested._repr_html_()
    assert list(suggested.frame().index) == [shape.name for shape in suggested.shapes]


def test_tables_with_categories_are_timed_and_searched():
    data = make_ranking(n_queries=60, n_features=3, categories=(5, 40), missing=0.1, random_state=0)
    shapes = {"linear": LinearRanker(max_iter=2), "FM": FactorizationMachineRanker(4, max_iter=2)}
    found = suggest_student(trees(), data.X, data.y, qid=data.qid, latency_us=1e6, students=shapes)
    assert found.best in shapes
    assert found.reading_us > 0
    assert "Reading a data frame" in found.summary()
    assert suggest(shapes={"linear": SHAPES["linear"]}).reading_us == 0


def test_times_grow_with_the_work():
    data = RankingData.sort(DATA.qid, DATA.X, DATA.y)
    wide = {"narrow": MLPRanker((8,)), "wide": MLPRanker((1024, 1024))}
    times, reading = request_times(wide, data, 100, 0)
    assert reading == 0
    assert times["wide"] > 5 * times["narrow"]
    assert request_times(wide, data, 1, 0)[0]["wide"] < times["wide"]


def test_shapes_with_knots_are_tried_on_dense_tables_alone():
    shapes = {"linear", "FM 16", "MLP 64-32", "linear, 8 knots", "MLP 16, 4 knots"}
    assert shapes < set(default_students(DATA.X))
    rows = slice(0, 300)
    found = suggest_student(
        None, sparse.csr_array(DATA.X[rows]), DATA.y[rows], qid=DATA.qid[rows],
        teacher_scores=DATA.utility[rows], latency_us=1e6,
    )  # fmt: skip
    tried = {shape.name for shape in found.shapes}
    assert tried >= {"linear", "MLP 64-32"}
    assert not any("knots" in name for name in tried)


def test_some_queries_are_whole():
    queries = Queries.from_sizes([5, 3, 4, 8])
    data = RankingData(np.arange(20)[:, None], queries)
    some = some_queries(data, 8, 0)
    assert 8 <= some.n_rows < 20
    assert set(some.queries.sizes.tolist()) <= {5, 3, 4, 8}
    assert some_queries(data, 20, 0) is data


def test_what_cannot_be_searched_is_refused_before_the_clock_starts(monkeypatch):
    monkeypatch.setattr(suggestion, "request_times", None)
    for labels in (0 * DATA.y, np.nan * DATA.y):
        with pytest.raises(ValueError, match="but 0 of 20 have one"):
            suggest_student(trees(), DATA.X, labels, qid=DATA.qid, latency_us=1, students=SHAPES)
    for students in ({}, [LinearRanker()]):
        with pytest.raises(TypeError, match="students must be a dict of students by name"):
            suggest(shapes=students)
    with pytest.raises(TypeError, match="ranker must be a DistilledRanker, got LinearRanker"):
        suggest(ranker=LinearRanker())
    with pytest.raises(ValueError, match=r"augment=0.5 asks the teacher"):
        suggest(ranker=DistilledRanker(augment=0.5))


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match="latency_us must be a number above 0"):
        suggest(latency_us=0)
    with pytest.raises(ValueError, match="request_rows"):
        suggest(request_rows=0)
    with pytest.raises(ValueError, match="only 1"):
        suggest(qid=np.zeros(len(DATA.y)))
    with pytest.raises(TypeError, match=r"students\['trees'\] must be one of skdistill.students"):
        suggest(shapes={"trees": trees()})
    with pytest.raises(TypeError, match="teacher must be an estimator instance"):
        suggest("ranker.txt")
    fitted = trees().fit(DATA.X, DATA.y, group=np.unique(DATA.qid, return_counts=True)[1])
    with pytest.warns(UserWarning, match="fitted already, but will be fitted again"):
        suggest(fitted, {"linear": SHAPES["linear"]})
    with pytest.raises(ValueError, match="needs a teacher, or teacher_scores"):
        suggest_student(None, DATA.X, DATA.y, qid=DATA.qid, latency_us=1e6, students=SHAPES)

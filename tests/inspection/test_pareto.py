"""Quality versus speed: the numbers, who beats whom, and names that cover nothing."""

import time

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LinearRegression

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inspection import (
    ParetoDisplay,
    RowCost,
    distillation_report,
    fit_small_trees,
    pareto,
    row_costs,
)
from skdistill.inspection.models import BEGINNING, OTHER, STUDENT, TEACHER, TREES
from skdistill.inspection.small_trees import beginnings
from skdistill.metrics import ndcg_per_query, ndcg_score
from skdistill.serving import compile_scorer
from skdistill.students import LinearRanker

pyplot = pytest.importorskip("matplotlib.pyplot")

DATA = make_ranking(n_queries=90, n_features=6, random_state=0)
TRAIN, TEST = DATA.qid < 60, DATA.qid >= 60
X, y, qid = DATA.X[TEST], DATA.y[TEST], DATA.qid[TEST]


def trees(n_trees, **settings):
    ranker = lightgbm.LGBMRanker(n_estimators=n_trees, verbose=-1, **settings)
    sizes = np.unique(DATA.qid[TRAIN], return_counts=True)[1]
    return ranker.fit(DATA.X[TRAIN], DATA.y[TRAIN], group=sizes)


@pytest.fixture(scope="module")
def teacher():
    return trees(40)


@pytest.fixture(scope="module")
def student(teacher):
    student = LinearRanker(random_state=0)
    taught = teacher.predict(DATA.X[TRAIN])
    return student.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN], teacher_scores=taught)


@pytest.fixture(scope="module")
def display(teacher, student):
    net = LinearRegression().fit(DATA.X[TRAIN], DATA.y[TRAIN])
    models = {"linear": student, "few": trees(4), "regression": net}
    display = ParetoDisplay.from_estimator(models, X, y, qid=qid, teacher=teacher)
    yield display
    pyplot.close(display.figure_)


def test_the_points_are_what_the_metric_says(display, teacher, student):
    points = {point.name: point for point in display.points}
    assert points["teacher"].quality == pytest.approx(ndcg_score(y, teacher.predict(X), qid, k=10))
    assert points["linear"].quality == pytest.approx(ndcg_score(y, student.predict(X), qid, k=10))
    np.testing.assert_allclose(
        points["first 10 trees"].values,
        ndcg_per_query(y, teacher.predict(X, num_iteration=10), qid, k=10),
    )
    level = points["teacher"].quality
    assert points["linear"].ratio.ratio == pytest.approx(points["linear"].quality / level)
    low, high = points["linear"].interval
    assert low == pytest.approx(points["linear"].ratio.low * level)
    assert low < points["linear"].quality < high


def test_kinds_are_told_by_type(display):
    kinds = {point.name: point.kind for point in display.points}
    assert kinds == {
        "teacher": TEACHER,
        **dict.fromkeys(["first 5 trees", "first 10 trees", "first 20 trees"], BEGINNING),
        "linear": STUDENT,
        "few": TREES,
        "regression": OTHER,
    }


def test_the_picture_has_the_points(display):
    legend = {text.get_text() for text in display.ax_.get_legend().get_texts()}
    assert legend == {
        "teacher", "first trees of the teacher: how many", "small trees",
        "student", "other model",
    }  # fmt: skip
    containers = {c.get_label(): c.lines[0].get_xydata() for c in display.ax_.containers}
    for point in display.points:
        place = next(xy for label, xy in containers.items() if label.startswith(point.kind))
        wanted = [1 / point.cost.seconds, point.quality]
        assert np.isclose(place, wanted).all(axis=1).any(), point.name


def test_a_report_is_drawn_without_what_has_no_cost(student):
    report = distillation_report(student, X, y, qid=qid, teacher_scores=y)
    display = ParetoDisplay.from_report(report)
    assert [point.name for point in display.points] == ["student"]
    pyplot.close(display.figure_)


def cost(nanoseconds):
    return RowCost(*(1e-9 * nanoseconds * np.array([1, 0.98, 1.03])))


def drawn(scores, costs, kinds, labels=y, ids=qid):
    return ParetoDisplay.from_predictions(labels, scores, costs, qid=ids, kinds=kinds)


def test_a_tree_that_is_faster_and_better_beats_a_student():
    good, bad = y + 0.0, -y + 0.0
    kinds = {"teacher": TEACHER, "tree": TREES, "student": STUDENT}
    scores = {"teacher": good, "tree": good, "student": bad}
    faster = drawn(scores, {"teacher": cost(900), "tree": cost(50), "student": cost(60)}, kinds)
    assert faster.beaten() == {"student": "tree"}
    slower = drawn(scores, {"teacher": cost(900), "tree": cost(70), "student": cost(60)}, kinds)
    assert slower.beaten() == {}
    equal = drawn(
        {"teacher": good, "tree": good, "student": good},
        {"teacher": cost(900), "tree": cost(50), "student": cost(60)},
        kinds,
    )
    assert equal.beaten() == {}
    pyplot.close("all")


@pytest.mark.parametrize("width", [3.0, 3.4, 5.0, 8.0, 12.0])
def test_no_name_covers_another_or_a_point(width):
    rng = np.random.default_rng(0)
    names = [f"{n} trees of 8 leaves" for n in (5, 10, 20, 40, 80)]
    names += ["linear", "factorization machine", "MLP 64-32", "MLP 16", "MLP 8", "teacher"]
    names[6:8] = ["factorization machine with pairs of all columns", "MLP of 64, 32 and 16 units"]
    speeds = np.concatenate([[900, 1000, 1100, 1500, 2500], [12, 40, 99, 45, 30, 6000]])
    quality = np.linspace(0, 3, len(names))
    scores = {name: y + rng.normal(size=len(y)) * q for name, q in zip(names, quality, strict=True)}
    costs = {name: cost(s) for name, s in zip(names, speeds, strict=True)}
    kinds = dict.fromkeys(names[:5], TREES) | {"teacher": TEACHER}
    display = drawn(scores, costs, kinds)
    figure = display.figure_
    figure.set_size_inches(width, 4.4)
    figure.canvas.draw()
    boxes = display.labels_.places(figure.canvas.get_renderer())
    axis = display.ax_.xaxis
    assert display.ax_.get_legend().get_window_extent().y1 < axis.label.get_window_extent().y0
    frame = display.ax_.get_window_extent().extents
    assert (boxes[:, :2] >= frame[:2] - 1).all()
    assert (boxes[:, 2:] <= frame[2:] + 1).all()
    for number, (left, bottom, right, top) in enumerate(boxes):
        for other in boxes[:number]:
            assert right <= other[0] or left >= other[2] or top <= other[1] or bottom >= other[3]
    points = display.ax_.transData.transform(display.labels_.points)
    inside = (points[:, None] > boxes[:, :2]).all(2) & (points[:, None] < boxes[:, 2:]).all(2)
    assert not inside.any()
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("names", "legend"),
    [
        (["20 small trees", "10 small trees"], "small trees: how many"),
        (["20 small trees", "10 trees of 8 leaves"], "small trees: trees × leaves"),
        (["few", "no more"], "small trees"),
        (["v2, run 7, 10 trees of 8 leaves", "few"], "small trees"),
    ],
)
def test_the_legend_says_what_the_numbers_are(names, legend):
    scores = dict.fromkeys(names, y)
    display = drawn(scores, dict.fromkeys(names, cost(90)), dict.fromkeys(names, TREES))
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [legend]
    pyplot.close(display.figure_)


def test_models_of_one_speed_have_an_axis_that_can_be_read():
    display = drawn({"a": y, "b": y}, {"a": cost(90), "b": cost(91)}, {})
    display.figure_.set_size_inches(3.3, 3.3)
    display.figure_.canvas.draw()
    axis = display.ax_.xaxis
    low, high = display.ax_.get_xlim()
    labels = [tick.label1 for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())]
    boxes = [
        label.get_window_extent()
        for label in labels
        if label.get_text() and low <= label.get_position()[0] <= high
    ]
    assert boxes
    assert all(not one.overlaps(other) for one in boxes for other in boxes if one is not other)
    pyplot.close(display.figure_)


def test_it_refuses_what_does_not_match():
    with pytest.raises(ValueError, match="models is empty"):
        ParetoDisplay.from_estimator({}, X, y, qid=qid)
    with pytest.raises(ValueError, match="kinds must be among"):
        drawn({"a": y}, {"a": cost(1)}, {"a": "pupil"})
    with pytest.raises(ValueError, match="of the same models"):
        drawn({"a": y}, {"b": cost(1)}, {})
    with pytest.raises(ValueError, match=r"kinds names \['b'\], but the models are \['a'\]"):
        drawn({"a": y}, {"a": cost(1)}, {"b": STUDENT})


def test_it_refuses_before_anything_is_timed(monkeypatch, teacher, student):
    monkeypatch.setattr(pareto, "row_costs", None)
    models = {"linear": student}
    with pytest.raises(TypeError, match="models must be a dict of fitted models by name"):
        ParetoDisplay.from_estimator([student], X, y, qid=qid)
    with pytest.raises(TypeError, match=r"models\['teacher'\] must be a fitted model"):
        ParetoDisplay.from_estimator(models, X, y, qid=qid, teacher="ranker.txt")
    with pytest.raises(ValueError, match="models names a model 'teacher'"):
        ParetoDisplay.from_estimator({"teacher": student}, X, y, qid=qid, teacher=teacher)
    for labels, ids in ((0 * y, qid), (y, 0 * qid)):
        with pytest.raises(ValueError, match="ParetoDisplay needs 2 queries or more"):
            ParetoDisplay.from_estimator(models, X, labels, qid=ids)


def test_costs_are_of_compiled_students_and_boosters(teacher, student):
    scorer = compile_scorer(student)
    frozen = DistilledRanker(teacher, student)
    costs = row_costs(
        {"teacher": teacher, "student": student, "compiled": scorer, "function": lambda X: X[:, 0]},
        X,
    )
    assert frozen.teacher is teacher
    assert costs["student"].seconds < costs["teacher"].seconds
    assert costs["compiled"].seconds == pytest.approx(costs["student"].seconds, rel=2)
    for each in costs.values():
        assert 0 < each.low <= each.seconds <= each.high < 1e-3
    with pytest.raises(ValueError, match="models is empty"):
        row_costs({}, X)
    with pytest.raises(TypeError, match=r"models\['a'\] must be a fitted model with predict"):
        row_costs({"a": "student.skd"}, X)
    with pytest.raises(ValueError, match="rounds"):
        row_costs({"student": student}, X, rounds=0)


def test_a_slow_first_call_does_not_decide_how_many_rows_are_scored():
    """The first call of a process may load libraries, or be interrupted."""
    sizes = []

    def scorer(X):
        if len(sizes) in (0, 4):
            time.sleep(0.2)
        sizes.append(len(X))
        return np.zeros(len(X))

    row_costs({"scorer": scorer}, np.zeros((50, 2)), rounds=2)
    assert sizes[0] == 100
    assert sizes[-1] == 10_000


def test_a_costly_model_is_timed_on_few_rows():
    asked = []

    def slow(table):
        asked.append(len(table))
        sum(range(20_000 * len(table)))  # about half a millisecond a row
        return table[:, 0]

    costs = row_costs({"slow": slow}, X, rounds=2)
    assert max(asked) <= 1000
    assert costs["slow"].seconds > 1e-5


def test_small_trees_are_the_best_of_their_size():
    rows, labels, ids = DATA.X[TRAIN], DATA.y[TRAIN], DATA.qid[TRAIN]
    sizes = {"n_trees": [3, 6], "n_leaves": [4, 8], "learning_rates": [0.1, 0.4]}
    models = fit_small_trees(rows, labels, qid=ids, random_state=0, **sizes)
    assert [name.split()[0] for name in models] == ["3", "6"]
    for name, model in models.items():
        n_trees, _, _, n_leaves, _ = name.split()
        assert model.n_estimators == int(n_trees) == model.booster_.num_trees()
        assert model.num_leaves == int(n_leaves)
        assert model.learning_rate in (0.1, 0.4)
    again = fit_small_trees(rows, labels, qid=ids, random_state=0, **sizes)
    for name, model in models.items():
        np.testing.assert_array_equal(model.predict(X), again[name].predict(X))


def test_small_trees_keep_the_parameters_of_a_template():
    rows, labels, ids = DATA.X[TRAIN], np.where(DATA.y[TRAIN] > 2, 1, 0), DATA.qid[TRAIN]
    template = lightgbm.LGBMClassifier(min_child_samples=7, verbose=-1, random_state=3)
    sizes = {"n_trees": [3], "n_leaves": [4], "learning_rates": [0.2]}
    (model,) = fit_small_trees(rows, labels, qid=ids, template=template, **sizes).values()
    assert isinstance(model, lightgbm.LGBMClassifier)
    assert (model.min_child_samples, model.random_state) == (7, 3)
    with pytest.raises(ValueError, match="all rows are one query"):
        fit_small_trees(rows, labels)
    stopping = template.set_params(early_stopping_round=5)
    (model,) = fit_small_trees(rows, labels, qid=ids, template=stopping, **sizes).values()
    assert model.booster_.num_trees() == 3
    (model,) = fit_small_trees(rows, labels + 0.5, qid=ids, **sizes).values()
    assert isinstance(model, lightgbm.LGBMRegressor)
    other = xgboost.XGBRanker()  # would take num_leaves, and ignore it
    with pytest.raises(TypeError, match="must be an estimator of LightGBM.*got XGBRanker"):
        fit_small_trees(rows, labels, qid=ids, template=other)


@pytest.mark.parametrize(
    "sizes", [{"n_trees": []}, {"n_trees": [0]}, {"n_leaves": [1]}, {"learning_rates": [0.1, 0]}]
)
def test_sizes_that_no_tree_has_are_refused(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))} must list"):
        fit_small_trees(DATA.X, DATA.y, qid=DATA.qid, **sizes)


def test_beginnings_halve_a_model(teacher):
    cut = beginnings(teacher)
    assert list(cut) == ["first 5 trees", "first 10 trees", "first 20 trees"]
    assert [booster.num_trees() for booster in cut.values()] == [5, 10, 20]
    assert beginnings(LinearRegression()) == {}
    assert beginnings(lambda X: X[:, 0]) == {}


def test_a_line_goes_from_tree_to_tree_also_where_times_cross():
    rng = np.random.default_rng(0)
    names = [f"{number} small trees" for number in (20, 5, 10)]
    scores = {name: y + rng.standard_normal(len(y)) for name in names}
    costs = dict(zip(names, map(cost, (40, 30, 20)), strict=True))
    display = drawn({"teacher": y, **scores}, costs | {"teacher": cost(900)},
                    dict.fromkeys(names, TREES) | {"teacher": TEACHER})  # fmt: skip
    line = next(c for c in display.ax_.containers if c.get_label().startswith(TREES)).lines[0]
    np.testing.assert_allclose(line.get_xdata(), 1e9 / np.array([30, 20, 40]))  # 5, 10, 20
    pyplot.close(display.figure_)

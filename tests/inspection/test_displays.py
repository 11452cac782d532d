"""Pictures of agreement, of retrieval and of training show what was computed."""

import lightgbm
import numpy as np
import pytest

from skdistill import DistilledRanker, TwoTowerRetriever
from skdistill.datasets import make_ranking, make_retrieval
from skdistill.inspection import AgreementDisplay, LossCurveDisplay, RetrievalCurveDisplay
from skdistill.inspection.pictures import COLOURS, NEUTRAL, colour_of_letters, places_to_mark
from skdistill.inspection.point_labels import add_point_labels
from skdistill.metrics import kendall_tau, retrieval_curve
from skdistill.students import MLPRanker

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data():
    return make_ranking(n_queries=40, n_features=5, random_state=0)


@pytest.fixture(scope="module")
def ranker(data):
    teacher = lightgbm.LGBMRanker(n_estimators=10, verbose=-1)
    student = MLPRanker((8,), early_stopping=True)
    ranker = DistilledRanker(teacher, student, random_state=0, teacher_columns=[0, 1, 2, 3])
    return ranker.fit(data.X, data.y, qid=data.qid)


def places_by_hand(scores):
    """Place of each row of a query, 1 for the largest score."""
    places = np.empty(len(scores))
    places[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return places


def test_agreement_is_that_of_places(ranker, data):
    display = AgreementDisplay.from_estimator(ranker, data.X, qid=data.qid, n_places=8)
    taught = ranker.teacher_.predict(data.X[:, :4])
    learnt = ranker.predict(data.X)
    found = [[] for _ in range(8)]
    for query in np.unique(data.qid):
        rows = data.qid == query
        for its, ours in zip(
            places_by_hand(taught[rows]), places_by_hand(learnt[rows]), strict=True
        ):
            if its <= 8:
                found[int(its) - 1].append(ours)
    wanted = [np.quantile(places, [0.1, 0.25, 0.5, 0.75, 0.9]) for places in found]
    np.testing.assert_allclose(display.quantiles, wanted)
    assert display.tau == pytest.approx(kendall_tau(taught, learnt, data.qid))
    median = next(line for line in display.ax_.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), np.array(wanted)[:, 2])


def test_equal_scores_agree_in_every_place(data):
    display = AgreementDisplay.from_predictions(data.y, data.y, qid=data.qid, n_places=4)
    np.testing.assert_array_equal(display.quantiles, np.arange(1, 5)[:, None] * np.ones(5))
    assert display.tau == pytest.approx(1)


def test_rows_may_stand_in_any_order(ranker, data):
    order = np.random.default_rng(0).permutation(len(data.y))
    taught, learnt = ranker.teacher_.predict(data.X[:, :4]), ranker.predict(data.X)
    one = AgreementDisplay.from_predictions(taught, learnt, qid=data.qid)
    other = AgreementDisplay.from_predictions(taught[order], learnt[order], qid=data.qid[order])
    assert other.tau == pytest.approx(one.tau)
    assert other.quantiles.shape == one.quantiles.shape


def test_agreement_needs_a_teacher(ranker, data):
    student = ranker.export_student()
    with pytest.raises(ValueError, match="There is no teacher to compare MLPRanker with"):
        AgreementDisplay.from_estimator(student, data.X, qid=data.qid)
    display = AgreementDisplay.from_estimator(
        student, data.X, qid=data.qid, teacher=lambda X: X[:, 0], ax=pyplot.figure().subplots()
    )
    assert display.figure_ is display.ax_.figure
    with pytest.raises(ValueError, match="student_scores"):
        AgreementDisplay.from_predictions([1.0, 2.0], [1.0])


def test_the_retrieval_curve_marks_what_is_needed():
    data = make_retrieval(n_queries=40, n_items=60, n_features=4, random_state=0)
    retriever = TwoTowerRetriever(
        query_columns=slice(0, 4), item_columns=slice(4, 8), max_iter=3, embedding_dim=8,
        random_state=0, teacher_check=False,
    )  # fmt: skip
    pairs = np.hstack([data.queries[data.qid], data.items[data.item]])
    retriever.fit(pairs, data.y, qid=data.qid, items=data.items)
    wanted = np.argsort(-(data.queries @ data.items.T), axis=1)[:, :3]
    display = RetrievalCurveDisplay.from_estimator(retriever, data.queries, wanted, m=60)
    curve = retrieval_curve(wanted, retriever.retrieve(data.queries, 60)[0])
    np.testing.assert_allclose(display.line_.get_ydata(), curve.recall)
    marks = [line.get_xdata()[0] for line in display.ax_.lines if line.get_gid() == "target"]
    assert marks == [curve.items_needed(0.9), curve.items_needed(0.99)]
    assert display.line_.get_label() == "TwoTowerRetriever"


def test_curves_share_axes_in_colours_of_their_own():
    one = RetrievalCurveDisplay.from_predictions([[1, 2]], [[1, 3, 2]], name="one", targets=[0.5])
    two = RetrievalCurveDisplay.from_predictions([[1, 2]], [[3, 4, 2]], name="two", ax=one.ax_)
    assert one.line_.get_color() != two.line_.get_color()
    assert [text.get_text() for text in one.ax_.get_legend().get_texts()] == ["one", "two"]
    assert [text.get_text() for text in two.labels_.texts] == ["1 item: 0.5"]


@pytest.mark.parametrize("width", [3.3, 5.0])
def test_the_numbers_of_several_curves_cover_nothing_and_stay_inside(width):
    rng = np.random.default_rng(0)
    axis = pyplot.subplots(figsize=(width, 2.6), layout="constrained")[1]
    wanted = np.tile(np.arange(10), (30, 1))
    for name, gain in {"two towers": 1.5, "two towers, negatives of the batch": 2.5}.items():
        scores = rng.normal(size=(30, 300)) + gain * (np.arange(300) < 10)
        found = np.argsort(-scores, axis=1)
        display = RetrievalCurveDisplay.from_predictions(wanted, found, name=name, ax=axis)
    axis.figure.canvas.draw()
    boxes = display.labels_.places(axis.figure.canvas.get_renderer())
    assert len(boxes) == 4
    assert sum(artist.get_gid() == "point labels" for artist in axis.artists) == 1
    frame = axis.get_window_extent().extents
    legend = axis.get_legend().get_window_extent().extents
    figure = axis.figure.get_window_extent().extents
    assert legend[1] >= frame[3] - 1, "the legend stands above the curves"
    assert (legend[:2] >= figure[:2]).all()
    assert (legend[2:] <= figure[2:]).all()
    for number, box in enumerate(boxes):
        assert (box[:2] >= frame[:2] - 1).all()
        assert (box[2:] <= frame[2:] + 1).all()
        for other in boxes[:number]:
            assert (box[2:] <= other[:2]).any() or (box[:2] >= other[2:]).any()


def test_places_and_epochs_are_whole_numbers():
    places = AgreementDisplay.from_predictions([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]).ax_
    epochs = LossCurveDisplay.from_predictions([3.0, 2.0, 1.5]).ax_
    for axis in (places.xaxis, places.yaxis, epochs.xaxis):
        assert (axis.get_majorticklocs() % 1 == 0).all()


def test_the_loss_curve_is_that_of_the_student(ranker):
    display = LossCurveDisplay.from_estimator(ranker)
    np.testing.assert_array_equal(display.line_.get_ydata(), ranker.loss_curve_)
    student = ranker.export_student()
    assert len(display.validation_scores) == len(student.validation_scores_) > 0
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["loss", "validation score", "best epoch"]
    alone = LossCurveDisplay.from_predictions([3.0, 2.0])
    assert alone.ax_.get_legend() is None
    with pytest.raises(TypeError, match="has no loss_curve_"):
        LossCurveDisplay.from_estimator(lightgbm.LGBMRanker())


def luminance(colour):
    """Relative luminance of a colour within 0 and 1 (WCAG 2.2)."""
    colour = np.array(colour)
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("colour", [*COLOURS, NEUTRAL])
def test_letters_can_be_read_on_white_and_on_black(colour):
    light = luminance(colour_of_letters(colour))
    assert min(1.05 / (light + 0.05), (light + 0.05) / 0.05) > 4.5


@pytest.mark.parametrize(
    ("n_places", "marked"),
    [(1, [1]), (2, [1, 2]), (8, list(range(1, 9))), (10, [1, 2, 4, 6, 8, 10]),
     (20, [1, 5, 10, 15, 20]), (100, [1, 20, 40, 60, 80, 100])],
)  # fmt: skip
def test_the_first_place_and_round_ones_are_marked(n_places, marked):
    assert places_to_mark(n_places) == marked


def test_a_place_nearer_to_its_own_point_is_preferred():
    figure, axis = pyplot.subplots(figsize=(6, 4), dpi=100)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    points = np.array([[0.5, 0.5], [0.58, 0.5]])
    labels = add_point_labels(axis, points, ["left", "right"])
    pixels = axis.transData.transform(points)
    for number, box in enumerate(labels.places(figure.canvas.get_renderer())):
        distances = np.hypot(*(np.clip(pixels, box[:2], box[2:]) - pixels).T)
        assert np.argmin(distances) == number
    pyplot.close(figure)

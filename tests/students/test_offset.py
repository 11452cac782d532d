"""A bid of each row: students learn the order of bid x probability and predict the probability."""

import lightgbm
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.callbacks import data_for_callbacks
from skdistill.datasets import make_auction
from skdistill.losses import Pointwise
from skdistill.metrics import ndcg_score
from skdistill.students import STUDENTS, BaseStudent, LinearRanker, MLPRanker, MultiObjectiveRanker

DATA = make_auction(n_queries=60, n_ads=100, query_size=20, click_rate=0.1, random_state=0)
LATER = DATA.qid >= 40
X, Y, QID = DATA.X[~LATER], DATA.y[~LATER], DATA.qid[~LATER]
OFFSET = np.log(DATA.bid)[~LATER]
LOG_P = np.log(DATA.probability)[~LATER]
WEEK = {"X_val": DATA.X[LATER], "y_val": DATA.y[LATER], "qid_val": DATA.qid[LATER]}
OFFSET_VAL = np.log(DATA.bid)[LATER]
TEACHER = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1)
SHORT = {"max_iter": 4, "random_state": 0}

EXAMPLES = {
    name: kind(**SHORT)
    if issubclass(kind, BaseStudent)
    else kind({"click": "logistic", "teacher": "listwise"}, **SHORT)
    for name, kind in STUDENTS.items()
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_offset_of_zero_gives_the_bits_of_none(name):
    fits = [
        sklearn.clone(EXAMPLES[name]).fit(X, Y, qid=QID, teacher_scores=LOG_P, offset=offset)
        for offset in (None, np.zeros(len(Y)), OFFSET)
    ]
    none, zero, bids = (one.predict(X) for one in fits)
    assert_array_equal(none, zero)
    assert not np.array_equal(none, bids)


@pytest.mark.parametrize("name", EXAMPLES)
def test_probabilities_teach_what_their_logarithms_teach(name):
    fits = [
        sklearn.clone(EXAMPLES[name]).fit(X, Y, qid=QID, teacher_scores=scores, offset=OFFSET)
        for scores in (LOG_P, np.exp(LOG_P))
    ]
    assert_allclose(*(one.predict(X) for one in fits), atol=1e-5)


@pytest.mark.parametrize("loss", ["listwise", "pairwise", "lambda"])
def test_the_student_learns_the_log_probability_and_not_the_bid(loss):
    """A truth that a linear student can express: differences of scores are those of log p."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((2000, 3))
    log_p, offset = -4 + table @ [1.0, -0.5, 0.25], 2 * rng.standard_normal(2000)
    qid = np.repeat(np.arange(100), 20)
    student = LinearRanker(loss=loss, max_iter=150, learning_rate_init=0.05, weight_decay=0)
    student.fit(table, qid=qid, teacher_scores=log_p, offset=offset)
    assert_allclose(student.coef_, [1.0, -0.5, 0.25], atol=0.02)


@pytest.mark.parametrize("loss", ["plackett_luce", "top_k"])
def test_bids_give_a_scale_to_a_loss_of_the_order(loss):
    """Without them, a score that is added to a log bid may have any scale."""
    student = LinearRanker(loss=loss, max_iter=100, learning_rate_init=0.05, random_state=0)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((2000, 3))
    log_p, offset = -4 + table @ [0.2, -0.1, 0.05], 2 * rng.standard_normal(2000)
    qid = np.repeat(np.arange(100), 20)
    scale = [
        np.linalg.norm(student.fit(table, qid=qid, teacher_scores=log_p, offset=given).coef_)
        / np.linalg.norm([0.2, -0.1, 0.05])
        for given in (None, offset)
    ]
    assert scale[0] > 5
    assert 0.3 < scale[1] < 3


def test_the_offset_of_a_shuffled_table_goes_with_its_rows():
    order = np.random.default_rng(0).permutation(len(Y))
    student = LinearRanker(**SHORT)
    one = student.fit(X, qid=QID, teacher_scores=LOG_P, offset=OFFSET).predict(X)
    given = {"qid": QID[order], "teacher_scores": LOG_P[order], "offset": OFFSET[order]}
    assert_array_equal(student.fit(X[order], **given).predict(X), one)


def test_the_score_counts_clicks_with_their_bids():
    student = LinearRanker(**SHORT).fit(X, Y, qid=QID, teacher_scores=LOG_P, offset=OFFSET)
    expected = ndcg_score(Y * np.exp(OFFSET), student.predict(X) + OFFSET, QID, k=10, gain="linear")
    assert student.score(X, Y, qid=QID, offset=OFFSET) == pytest.approx(expected)
    with pytest.raises(ValueError, match="LinearRanker was fitted with an offset, so scoring"):
        student.score(X, Y, qid=QID)
    zeros = np.zeros(len(Y))
    alone = ndcg_score(Y, student.predict(X), QID, k=10)
    assert student.score(X, Y, qid=QID, offset=zeros) == pytest.approx(alone)
    student.fit(X, Y, qid=QID)
    assert student.score(X, Y, qid=QID) > 0


def test_several_objectives_are_scored_with_bids_and_their_teacher_learns_them():
    student = sklearn.clone(EXAMPLES["MultiObjectiveRanker"])
    student.fit(X, Y, qid=QID, teacher_scores=LOG_P, offset=OFFSET)
    expected = ndcg_score(Y, student.predict(X), QID, k=10, offset=OFFSET)
    assert student.score(X, Y, qid=QID, offset=OFFSET) == pytest.approx(expected)
    with pytest.raises(ValueError, match="scoring needs offset"):
        student.score(X, Y, qid=QID)
    only_labels = MultiObjectiveRanker({"click": "logistic"})
    with pytest.raises(ValueError, match="teacher's scores have no weight here"):
        only_labels.fit(X, Y, qid=QID, offset=OFFSET)


def test_an_offset_that_would_change_nothing_is_refused():
    student = LinearRanker()
    with pytest.raises(ValueError, match="Labels contain no bid"):
        student.fit(X, Y, qid=QID, offset=OFFSET)
    known = {"qid": QID, "teacher_scores": np.exp(LOG_P), "offset": OFFSET}
    with pytest.raises(ValueError, match="Labels contain no bid"):
        student.set_params(alpha=0.0).fit(X, Y, **known)
    with pytest.raises(ValueError, match="Logistic, looks at single rows"):
        LinearRanker(loss="logistic").fit(X, Y, **known)
    for loss in ("pointwise", Pointwise(), "margin"):
        with pytest.raises(ValueError, match="divides scores by their standard deviation"):
            LinearRanker(loss=loss).fit(X, Y, **known)
    # Beside a loss that compares rows, the log-loss keeps to the probability of the click.
    both = LinearRanker(hard_loss="logistic", alpha=0.5, max_iter=200, learning_rate_init=0.02)
    both.fit(X, Y, **known)
    assert both.predict_proba(X)[:, 1].mean() == pytest.approx(Y.mean(), rel=0.2)
    with pytest.raises(ValueError, match="A bid of 0 has no logarithm"):
        LinearRanker().fit(X, Y, **known | {"offset": np.full(len(Y), -np.inf)})


class CountedClassifier(lightgbm.LGBMClassifier):
    n_fits = 0

    def fit(self, *args, **kwargs):
        CountedClassifier.n_fits += 1
        return super().fit(*args, **kwargs)


@pytest.mark.parametrize("change", [{"loss": "logistic"}, {"alpha": 0.0}, {"augment": 0.5}])
def test_a_distillation_refuses_it_before_the_teacher_is_fitted(change):
    teacher = CountedClassifier(n_estimators=2, verbose=-1)
    ranker = DistilledRanker(teacher, LinearRanker(), **change)
    with pytest.raises(ValueError, match="offset"):
        ranker.fit(X, Y, qid=QID, offset=OFFSET)
    assert CountedClassifier.n_fits == 0


@pytest.mark.parametrize("teacher_cv", [None, 3])
def test_a_distillation_adds_bids_to_the_logarithm_of_its_teacher(teacher_cv):
    """The teacher, also out of fold, is fitted on clicks; the student sees log p + log bid."""
    ranker = DistilledRanker(
        TEACHER, LinearRanker(max_iter=4), alpha=1.0, teacher_cv=teacher_cv, random_state=0
    )
    ranker.fit(X, Y, qid=QID, offset=OFFSET)
    if teacher_cv is None:
        logarithm = np.log(ranker.teacher_.predict_proba(X)[:, 1])
        logged = DistilledRanker(student=LinearRanker(max_iter=4), alpha=1.0, random_state=0)
        logged.fit(X, Y, qid=QID, teacher_scores=logarithm, offset=OFFSET)
        assert_allclose(logged.predict(X), ranker.predict(X), atol=1e-5)
    without = sklearn.clone(ranker).fit(X, Y, qid=QID)
    assert_array_equal(without.teacher_.predict_proba(X), ranker.teacher_.predict_proba(X))
    assert not np.array_equal(without.predict(X), ranker.predict(X))
    assert ranker.export_student().fitted_with_offset_
    expected = ndcg_score(Y, ranker.predict(X), QID, k=10, offset=OFFSET)
    assert ranker.score(X, Y, qid=QID, offset=OFFSET) == pytest.approx(expected)


def test_a_ranker_as_teacher_has_no_unit_for_a_bid():
    ranker = DistilledRanker(lightgbm.LGBMRanker(n_estimators=20, verbose=-1), LinearRanker())
    with pytest.warns(UserWarning, match="The teacher LGBMRanker gives scores from -") as seen:
        ranker.fit(X, Y, qid=QID, offset=OFFSET)
    assert [warning.filename for warning in seen] == [__file__]


def test_training_stops_by_the_order_that_is_learnt():
    student = MLPRanker((8,), max_iter=40, n_iter_no_change=3, random_state=0)
    known = {"qid": QID, "teacher_scores": LOG_P, "offset": OFFSET}
    student.fit(X, **known, **WEEK, offset_val=OFFSET_VAL)
    best = max(student.validation_scores_)
    found = student.score(WEEK["X_val"], WEEK["y_val"], qid=WEEK["qid_val"], offset=OFFSET_VAL)
    assert found == pytest.approx(best, abs=student.tol)
    # Without labels, the order of the teacher with its bids is the measure.
    scores = np.log(DATA.probability)[LATER]
    without_labels = {name: given for name, given in WEEK.items() if name != "y_val"}
    student.fit(X, **known, **without_labels, teacher_scores_val=scores, offset_val=OFFSET_VAL)
    queries = WEEK["qid_val"]
    rank = np.empty(len(queries))
    for query in np.unique(queries):
        rows = np.flatnonzero(queries == query)
        rank[rows] = np.argsort(np.argsort(-(scores + OFFSET_VAL)[rows]))
    predicted = student.predict(WEEK["X_val"]) + OFFSET_VAL
    found = ndcg_score(np.maximum(1 - rank / 10, 0), predicted, queries, k=10)
    assert found == pytest.approx(max(student.validation_scores_), abs=student.tol)


def test_held_out_queries_are_ordered_with_their_offset():
    known = {"qid": QID, "teacher_scores": LOG_P}
    student = LinearRanker(early_stopping=True, validation_fraction=0.3, **SHORT)
    curves = [
        student.fit(X, Y, **known, offset=offset).validation_scores_
        for offset in (np.zeros(len(Y)), OFFSET)
    ]
    assert curves[0] != pytest.approx(curves[1])


def test_both_tables_have_an_offset_or_neither():
    known = {"qid": QID, "teacher_scores": LOG_P}
    student = LinearRanker(**SHORT)
    with pytest.raises(ValueError, match="there is no offset_val, but the training rows have one"):
        student.fit(X, **known, offset=OFFSET, **WEEK)
    with pytest.raises(ValueError, match="there is an offset_val, but the training rows have none"):
        student.fit(X, **known, **WEEK, offset_val=OFFSET_VAL)
    with pytest.raises(ValueError, match="offset_val describe the rows"):
        student.fit(X, **known, offset=OFFSET, offset_val=OFFSET_VAL)
    ranker = DistilledRanker(TEACHER, student)
    with pytest.raises(ValueError, match="there is no offset_val"):
        ranker.fit(X, Y, qid=QID, offset=OFFSET, **WEEK)
    ranker.fit(X, Y, qid=QID, offset=OFFSET, **WEEK, offset_val=OFFSET_VAL)
    assert len(ranker.student_.validation_scores_) == ranker.n_iter_


def test_shards_of_a_log_have_bids():
    student = LinearRanker(random_state=0)
    for offset in (np.zeros(len(Y)), OFFSET, OFFSET):
        student.partial_fit(X, qid=QID, teacher_scores=LOG_P, offset=offset)
    without = LinearRanker(random_state=0)
    for _ in range(3):
        without.partial_fit(X, qid=QID, teacher_scores=LOG_P)
    assert not np.array_equal(student.predict(X), without.predict(X))
    assert student.score(X, Y, qid=QID, offset=OFFSET) > 0
    with pytest.raises(ValueError, match="Labels contain no bid"):
        student.partial_fit(X, Y, qid=QID, offset=OFFSET)


class Recorder(LinearRanker):
    """Keeps what reached its fit; ``seen`` is shared by its clones."""

    seen = []

    def fit(self, X, y=None, *, qid=None, teacher_scores=None, offset=None, **further):
        self.seen.append((X, offset))
        return super().fit(X, y, qid=qid, teacher_scores=teacher_scores, offset=offset, **further)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: make_pipeline(StandardScaler(), s)])
def test_cross_validation_cuts_offsets_with_their_rows(routing, wrap):
    table = np.column_stack([X, np.arange(len(Y))])
    Recorder.seen.clear()
    search = GridSearchCV(
        wrap(Recorder(loss="listwise", max_iter=1, random_state=0)),
        {},
        cv=RankingGroupKFold(3),
        error_score="raise",
        refit=False,
    )
    # The last column numbers the rows; the offset of a row is its number.
    numbers = np.arange(len(Y)) / 100
    search.fit(table, Y, qid=QID, teacher_scores=LOG_P, offset=numbers)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(Recorder.seen) == 3
    for fold, offset in Recorder.seen:
        assert len(offset) < len(Y)
        assert np.corrcoef(fold[:, -1], offset)[0, 1] == pytest.approx(1)


def test_scores_of_folds_count_bids(routing):
    """The score of a fold is that of the rows and offsets of the fold."""
    folds = list(RankingGroupKFold(3).split(X, Y, QID))
    found = cross_validate(
        DistilledRanker(TEACHER, LinearRanker(max_iter=1), random_state=0),
        X,
        Y,
        params={"qid": QID, "offset": OFFSET},
        cv=RankingGroupKFold(3),
        error_score="raise",
        return_estimator=True,
    )
    for (_, test), ranker, score in zip(
        folds, found["estimator"], found["test_score"], strict=True
    ):
        expected = ndcg_score(
            Y[test], ranker.predict(X[test]), QID[test], k=10, offset=OFFSET[test]
        )
        assert score == pytest.approx(expected)


def test_without_routing_the_offset_reaches_fit_and_the_scorer_says_what_it_lacks():
    table = np.column_stack([X, QID])
    search = GridSearchCV(
        Recorder(query_column=X.shape[1], **SHORT),
        {},
        cv=RankingGroupKFold(3, query_column=X.shape[1]),
        error_score="raise",
    )
    with pytest.raises(ValueError, match="scoring needs offset too"):
        search.fit(table, Y, teacher_scores=LOG_P, offset=OFFSET)
    Recorder.seen.clear()
    # A scorer of one's own sees no metadata, and is asked for none.
    search.set_params(scoring=lambda model, X, y: float(model.predict(X).std()))
    search.fit(table, Y, teacher_scores=LOG_P, offset=OFFSET)
    folds = list(RankingGroupKFold(3).split(X, Y, QID))
    for (train, _), (_, offset) in zip(folds, Recorder.seen, strict=False):
        assert_array_equal(offset, OFFSET[train])


def test_callbacks_see_the_offset():
    assert data_for_callbacks(X, Y, None)["metadata"] is None
    metadata = data_for_callbacks(X, Y, QID, OFFSET)["metadata"]
    assert_array_equal(metadata["offset"], OFFSET)
    from sklearn.callback import ScoringMonitor

    from skdistill.metrics import ndcg_scorer

    student = LinearRanker(early_stopping=True, **SHORT)
    student.set_callbacks(ScoringMonitor(scoring=ndcg_scorer(k=10)))
    student.fit(X, Y, qid=QID, teacher_scores=LOG_P, offset=OFFSET)
    assert student.n_iter_ > 0


def revenue_kept(scores, value, size):
    """Share of the expected revenue of each query's best ten ads that the chosen ten keep."""
    scores, value = scores.reshape(-1, size), value.reshape(-1, size)
    chosen = np.take_along_axis(value, np.argsort(-scores, axis=1)[:, :10], axis=1)
    return chosen.sum() / -np.sort(-value, axis=1)[:, :10].sum()


@pytest.mark.parametrize(("loss", "least_gain"), [("plackett_luce", 0.015), ("listwise", -0.005)])
def test_bids_in_training_keep_more_revenue_if_the_loss_is_one_of_the_order(loss, least_gain):
    """Paired over seeds; a loss of log-probabilities needs no bids, and does not lose by them."""
    gains = []
    for seed in range(3):
        data = make_auction(400, 300, 40, random_state=seed)
        train = data.qid < 250
        log_p, offset = np.log(data.probability), np.log(data.bid)
        value = (data.probability * data.bid)[~train]
        kept = []
        for given in (None, offset[train]):
            student = MLPRanker(
                (16,), loss=loss, max_iter=30, learning_rate_init=0.02, random_state=seed
            )
            student.fit(
                data.X[train], qid=data.qid[train], teacher_scores=log_p[train], offset=given
            )
            scores = student.predict(data.X[~train]) + offset[~train]
            kept.append(revenue_kept(scores, value, 40))
        gains.append(kept[1] - kept[0])
        assert kept[1] > 0.93
    assert np.mean(gains) > least_gain

"""Teacher's scores that contradict the labels are told, and weak teachers are not accused."""

import warnings

import numpy as np
import pytest

from skdistill.inputs.contradictions import warn_of_contradiction
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.students import LinearRanker, MultiObjectiveRanker

N_QUERIES, WIDTH = 400, 12
N_ROWS = N_QUERIES * WIDTH
OBJECTIVES = {"clicks": "listwise", "teacher": "listwise"}
QID = np.repeat(np.arange(N_QUERIES), WIDTH)


def rows(slope, seed=0, n_queries=N_QUERIES):
    """Draw labels, and scores that explain the fraction slope**2 / (1 + slope**2) of a utility."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(n_queries * WIDTH)
    utility = slope * scores + rng.standard_normal(len(scores))
    return np.clip(np.round(utility), 0, 3), scores


def warned(labels, scores, queries=None, compares_rows=True, uses_labels=True, **given):
    queries = Queries.even(len(scores) // WIDTH, WIDTH) if queries is None else queries
    X = np.zeros((len(scores), 1))
    data = RankingData(X, queries, labels=labels, teacher_scores=scores, **given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_contradiction(data, compares_rows, uses_labels)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("compares_rows", [True, False])
def test_scores_against_the_labels(compares_rows):
    labels, scores = rows(1.0)
    (message,) = warned(labels, -scores, compares_rows=compares_rows)
    shown = float(message.split("correlation of ")[1].split(". ")[0])
    assert shown == pytest.approx(-np.corrcoef(labels, scores)[0, 1], abs=0.05)


@pytest.mark.parametrize("compares_rows", [True, False])
def test_scores_in_another_order(compares_rows):
    labels, scores = rows(1.0)
    shuffled = np.random.default_rng(1).permutation(scores)
    assert "no better than chance" in warned(labels, shuffled, compares_rows=compares_rows)[0]


def test_the_order_within_queries_counts():
    """Scores that know the query, but not the order of its rows, agree no more than chance."""
    labels, _ = rows(1.0)
    level = np.repeat(np.random.default_rng(1).standard_normal(N_QUERIES), WIDTH)
    noise = np.random.default_rng(2).standard_normal(N_ROWS)
    assert warned(np.maximum(labels + np.round(3 * level), 0), 3 * level + noise)


@pytest.mark.parametrize("seed", range(20))
def test_a_weak_teacher_is_not_accused(seed):
    """A correlation of a tenth is that of many models of clicks."""
    labels, scores = rows(0.12, seed)
    assert warned(labels, scores) == []


@pytest.mark.parametrize("seed", range(20))
def test_few_rows_say_nothing(seed):
    labels, scores = rows(0.0, seed, n_queries=100)
    assert warned(labels, scores) == []


@pytest.mark.parametrize("case", ["no labels", "all unknown", "constant scores", "offset"])
def test_what_cannot_be_compared(case):
    labels, scores = rows(1.0)
    given = {"offset": np.zeros(N_ROWS)} if case == "offset" else {}
    if case == "no labels":
        labels = None
    elif case == "all unknown":
        labels = np.full(N_ROWS, np.nan)
    elif case == "constant scores":
        scores = np.zeros(N_ROWS)
    assert warned(labels, scores if labels is None else -scores, **given) == []


def test_rows_without_labels_are_left_out():
    labels, scores = rows(1.0)
    is_known = np.random.default_rng(1).random(N_ROWS) < 0.5
    # Where there is no label, scores are what would contradict it.
    mixed = np.where(is_known, scores, -scores)
    assert warned(np.where(is_known, labels, np.nan), mixed) == []
    assert warned(np.where(is_known, labels, np.nan), -mixed)


@pytest.mark.parametrize(
    "labels",
    [np.zeros(N_ROWS), QID % 3.0, 0.1 * (QID % 7)],
    ids=["zeros", "one a query", "a fraction a query"],
)
def test_labels_without_an_order_are_told_if_they_are_used(labels):
    scores = rows(1.0)[1]
    assert "from the teacher alone" in warned(labels, scores)[0]
    assert warned(labels, scores, uses_labels=False) == []
    # A student of single rows learns from labels that are all the same.
    assert warned(np.ones(N_ROWS), scores, compares_rows=False) == []


def test_fit_warns():
    labels, scores = rows(1.0)
    X = np.random.default_rng(2).standard_normal((N_ROWS, 2))
    student = LinearRanker(max_iter=1, random_state=0)
    with pytest.warns(UserWarning, match="against the labels"):
        student.fit(X, labels, qid=QID, teacher_scores=-scores)


def test_labels_of_several_objectives_are_not_compared():
    labels, scores = rows(1.0)
    X = np.random.default_rng(2).standard_normal((N_ROWS, 2))
    student = MultiObjectiveRanker(OBJECTIVES, (8,), max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        student.fit(X, labels, qid=QID, teacher_scores=-scores)

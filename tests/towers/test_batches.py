"""Lists of a catalogue: candidates, corrections, targets, and what a step is worth, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import get_loss
from skdistill.models import TwoTower
from skdistill.teachers.pair_scores import DenseScores
from skdistill.towers.batches import CatalogueBatches
from skdistill.towers.in_batch_negatives import InBatchNegatives, LabelledPairs
from skdistill.towers.teacher_lists import SampledCatalogue, TeacherLists, WholeCatalogue

N_QUERIES, N_ITEMS = 6, 9


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    model = TwoTower(4)
    query_rows = Rows(rng.standard_normal((N_QUERIES, 3)).astype(np.float32))
    item_rows = Rows(rng.standard_normal((N_ITEMS, 5)).astype(np.float32))
    params = model.initialize((3, 5), rng)
    scores = rng.standard_normal((N_QUERIES, N_ITEMS)).astype(np.float32)
    left = model.query_tower.forward(
        {"weights_0": params["query_weights_0"], "bias_0": params["query_bias_0"]}, query_rows
    )[0]
    right = model.item_tower.forward(
        {"weights_0": params["item_weights_0"], "bias_0": params["item_bias_0"]}, item_rows
    )[0]
    student = left @ right[:, :-1].T + right[:, -1]
    return model, query_rows, item_rows, params, scores, student


def steps_of(batches, problem):
    model, _, _, params, _, _ = problem
    for inputs, evaluate in batches.epoch(0, params, np.random.default_rng(1)):
        yield evaluate(model.forward(params, inputs)[0])


def logged_lists(log, loss, share):
    return InBatchNegatives(log, loss, share, N_ITEMS, np.arange(N_QUERIES), N_QUERIES)


def test_whole_catalogue_and_labels_in_one_step_by_hand(problem):
    """alpha of the teacher's divergence, the rest the labels' softmax over the batch's items."""
    _, query_rows, item_rows, _, scores, student = problem
    soft, hard = get_loss("listwise", 2.0), get_loss("listwise")
    log = LabelledPairs(
        Queries.from_sizes([2, 1, 3]),
        np.array([0, 2, 5]),
        np.array([1, 4, 4, 0, 1, 8]),
        np.array([1.0, 1, 1, 0, 2, 1]),
    )
    whole = WholeCatalogue(scores, soft)
    batches = CatalogueBatches(
        *(query_rows, item_rows, N_ITEMS, N_QUERIES, np.arange(N_QUERIES)),
        (TeacherLists(whole, soft, 0.3), logged_lists(log, hard, 0.7)),
    )
    ((value, gradient),) = steps_of(batches, problem)
    p = softmax(scores / 2, axis=1)
    kl = (p * (np.log(p) - log_softmax(student / 2, axis=1))).sum(axis=1) * 4
    items = np.array([0, 1, 4, 8])
    counts = np.array([1, 2, 2, 1])
    logits = student[[0, 2, 5]][:, items] + np.log(6 / counts)
    target = np.array([[0, 1 / 2, 1 / 2, 0], [0, 0, 1, 0], [0, 3 / 4, 0, 1 / 4]])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(target > 0, target * np.log(target), 0)
    labelled = (terms - target * log_softmax(logits, axis=1)).sum(axis=1)
    assert value == pytest.approx(0.3 * kl.mean() + 0.7 * labelled.mean(), rel=1e-5)
    assert len(gradient) == N_QUERIES * N_ITEMS + 3 * 4


def test_the_mean_over_batches_is_the_mean_over_queries(problem):
    _, query_rows, item_rows, _, scores, _ = problem
    soft = get_loss("listwise")
    log = LabelledPairs(Queries.from_sizes([1, 1]), np.array([1, 4]), np.array([3, 3]), np.ones(2))

    def mean(batch_size, alpha):
        batches = CatalogueBatches(
            *(query_rows, item_rows, N_ITEMS, batch_size, np.arange(N_QUERIES)),
            (
                TeacherLists(WholeCatalogue(scores, soft), soft, alpha),
                logged_lists(log, soft, 1 - alpha),
            ),
        )
        values = [value for value, _ in steps_of(batches, problem)]
        assert len(values) == batches.n_steps
        return np.mean(values)

    assert mean(2, 1.0) == pytest.approx(mean(6, 1.0), rel=1e-5)
    # One item alone is certain: labels that share it teach nothing, whatever their batch.
    assert mean(3, 0.5) == pytest.approx(mean(6, 0.5), rel=1e-5)


def test_a_fully_corrected_sample_estimates_the_whole(problem):
    """Of many draws the partition function's mean is that of the catalogue."""
    model, query_rows, item_rows, params, scores, student = problem
    totals = []
    for seed in range(3000):
        sampled = SampledCatalogue(
            *(model, query_rows, item_rows, DenseScores(scores), get_loss("listwise"), 8, 1.0, 10),
            *((np.array([0]), np.array([2])), np.random.default_rng(seed), slice(None)),
        )
        sampled.begin_epoch(0, params, np.random.default_rng(0))
        item, queries, _, shift, _ = sampled.lists(np.arange(N_QUERIES))
        totals.append(queries.sum(np.exp(student[queries.segment, item] + shift)))
    assert_allclose(np.mean(totals, axis=0), np.exp(student).sum(axis=1), rtol=0.03)


def test_lists_grow_by_the_students_highest(problem):
    model, query_rows, item_rows, params, scores, student = problem
    sampled = SampledCatalogue(
        *(model, query_rows, item_rows, DenseScores(scores), get_loss("listwise"), 8, 0.5, 10),
        *((np.empty(0, int), np.empty(0, int)), np.random.default_rng(0), slice(None)),
    )
    before = sampled.candidates.item.copy()
    sampled.begin_epoch(1, params, np.random.default_rng(0))
    for query in range(N_QUERIES):
        known = before[query][before[query] >= 0]
        order = [i for i in np.argsort(-student[query]) if i not in known]
        grown = sampled.candidates.item[query][len(known) : sampled.candidates.count[query]]
        assert_array_equal(grown, order[: len(grown)])
        assert len(grown) > 0
    stored = sampled.candidates
    filled = stored.item >= 0
    row = np.nonzero(filled)[0]
    assert_array_equal(stored.score[filled], scores[row, stored.item[filled]])

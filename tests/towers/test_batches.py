"""Lists of a catalogue: candidates, corrections, targets, and what a step is worth, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax, softmax

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import LOSSES, get_loss
from skdistill.models import TwoTower
from skdistill.teachers.pair_scores import DenseScores, IndexedScores
from skdistill.towers.batches import CatalogueBatches
from skdistill.towers.block_loss import BlockLoss, logq_correction, soft_targets
from skdistill.towers.in_batch_negatives import InBatchNegatives, LabelledPairs
from skdistill.towers.teacher_lists import SampledCatalogue, TeacherLists, WholeCatalogue

N_QUERIES, N_ITEMS = 6, 9
NOTHING = sparse.csr_array((N_QUERIES, N_ITEMS), dtype=bool)


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


def logged_lists(log, loss, share, n_catalogue=0, batch_size=N_QUERIES):
    """Labels among the items of a step; without a catalogue, there are no uniform draws."""
    return InBatchNegatives(
        *(log, loss, share, N_ITEMS, np.arange(N_QUERIES), N_QUERIES, n_catalogue, batch_size)
    )


def function_of(scores):
    """The scores of a teacher that has to be asked for each pair."""
    return IndexedScores(lambda query, item: scores[query, item], "teacher")


def sampled_lists(problem, n_candidates=8, seed=0, logged=(), kind=function_of, left_out=None):
    """Candidates of a catalogue of nine items, some of which each query has in the log."""
    model, query_rows, item_rows, _, scores, _ = problem
    query = np.repeat(np.arange(N_QUERIES), len(logged))
    item = np.tile(np.array(logged, dtype=np.int64), N_QUERIES)
    loss = get_loss("listwise")
    positives = sparse.csr_array((np.ones(len(query), bool), (query, item)), (N_QUERIES, N_ITEMS))
    return SampledCatalogue(
        *(model, query_rows, item_rows, kind(scores), loss, n_candidates, 0.5, 10),
        *((query, item), np.random.default_rng(seed), slice(None), positives, left_out),
    )


def grown(problem, **options):
    """Lists after ten epochs."""
    sampled = sampled_lists(problem, **options)
    for epoch in range(10):
        before = sampled.candidates.count.copy()
        sampled.begin_epoch(epoch, problem[3], np.random.default_rng(epoch))
        has_grown = sampled.candidates.count > before
        # The lists grow in the first half of the training alone.
        assert not (has_grown.any() and (epoch == 0 or epoch > 5))
    return sampled.candidates


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


def test_labels_among_a_small_catalogue_by_hand(problem):
    """The softmax is over all items, without any correction."""
    _, query_rows, item_rows, _, _, student = problem
    log = LabelledPairs(
        Queries.from_sizes([2, 1]), np.array([0, 2]), np.array([1, 4, 4]), np.ones(3)
    )
    labels = logged_lists(log, get_loss("listwise"), 1.0, n_catalogue=N_ITEMS)
    batches = CatalogueBatches(
        *(query_rows, item_rows, N_ITEMS, N_QUERIES, np.arange(N_QUERIES)), (labels,)
    )
    ((value, gradient),) = steps_of(batches, problem)
    log_q = log_softmax(student[[0, 2]], axis=1)
    divergences = np.log(1 / 2) - log_q[0, [1, 4]].mean(), -log_q[1, 4]
    assert value == pytest.approx(np.mean(divergences), rel=1e-5)
    assert len(gradient) == 2 * N_ITEMS


def test_draws_estimate_the_softmax_over_the_catalogue(problem, monkeypatch):
    """Of many steps, the partition function's mean is that of the catalogue."""
    monkeypatch.setattr("skdistill.towers.in_batch_negatives.MOST_UNIFORM", 4)
    student, rng = problem[5], np.random.default_rng(0)
    query = np.repeat(np.arange(N_QUERIES), 2)
    item = np.concatenate([rng.choice(N_ITEMS, 2, replace=False) for _ in range(N_QUERIES)])
    log = LabelledPairs(Queries.even(N_QUERIES, 2), np.arange(N_QUERIES), item, np.ones(len(query)))
    labels = logged_lists(log, get_loss("listwise"), 1.0, n_catalogue=N_ITEMS, batch_size=2)
    labels.begin_epoch(0, {}, rng)
    totals = np.zeros((N_QUERIES, 2))
    for _ in range(4000):
        chosen = rng.choice(N_QUERIES, 2, replace=False)
        block = labels.block_loss(chosen)
        logits = student[chosen][:, block.item] + block.shift
        totals[chosen, 0] += np.exp(logits).sum(axis=1)
        totals[chosen, 1] += 1
    assert_allclose(totals[:, 0] / totals[:, 1], np.exp(student).sum(axis=1), rtol=0.15)


def test_a_loss_of_single_pairs_has_in_batch_negatives_alone(problem):
    log = LabelledPairs(Queries.single(1), np.array([0]), np.array([3]), np.ones(1))
    labels = logged_lists(log, get_loss("logistic"), 1.0, n_catalogue=N_ITEMS)
    labels.begin_epoch(0, {}, np.random.default_rng(0))
    assert_array_equal(labels.block_loss(np.arange(N_QUERIES)).item, [3])


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
            *(model, query_rows, item_rows, function_of(scores), get_loss("listwise"), 8, 1.0, 10),
            *((np.array([0]), np.array([2])), np.random.default_rng(seed), slice(None), NOTHING),
        )
        sampled.begin_epoch(0, params, np.random.default_rng(0))
        lists = sampled.of_queries(np.arange(N_QUERIES))
        shifted = student[lists.queries.segment, lists.item] + lists.shift
        totals.append(lists.queries.sum(np.exp(shifted)))
    assert_allclose(np.mean(totals, axis=0), np.exp(student).sum(axis=1), rtol=0.03)


def test_lists_grow_by_the_students_highest(problem):
    model, query_rows, item_rows, params, scores, student = problem
    sampled = SampledCatalogue(
        *(model, query_rows, item_rows, function_of(scores), get_loss("listwise"), 8, 0.5, 10),
        *((np.empty(0, int), np.empty(0, int)), np.random.default_rng(0), slice(None), NOTHING),
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


@pytest.mark.parametrize(
    ("n_candidates", "logged", "count"),
    [(4, (), 4), (7, (), 7), (8, (3, 5), 8), (8, (3,), 8), (8, (), 8)],
)
def test_a_query_costs_as_many_teacher_scores_as_candidates(problem, n_candidates, logged, count):
    """What grows in five steps makes up for what is not in the log."""
    lists = grown(problem, n_candidates=n_candidates, logged=logged)
    scores = problem[4]
    assert_array_equal(lists.count, count)
    for query in range(N_QUERIES):
        items = lists.item[query, :count]
        assert len(np.unique(items)) == count
        assert set(logged) <= set(items)
        assert_array_equal(lists.score[query, :count], scores[query, items])


def test_half_of_a_list_are_the_best_items_of_a_matrix(problem):
    """Those that are left out are in no list, and neither are logged items for their own sake."""
    scores = problem[4].copy()
    hidden = np.zeros((N_QUERIES, N_ITEMS), dtype=bool)
    hidden[:, 4] = True
    scores[:, 4] = 10.0
    changed = (*problem[:4], scores, problem[5])
    left_out = sparse.csr_array(hidden)
    sampled = sampled_lists(changed, kind=DenseScores, left_out=left_out)
    scores[:, 4] = -10.0
    best = np.argsort(-scores, axis=1)[:, :4]
    assert_array_equal(np.sort(sampled.candidates.item[:, :4]), np.sort(best))
    assert_array_equal(sampled.candidates.importance[:, :4], 1)
    assert (sampled.candidates.item != 4).all()
    lists = grown(problem, kind=DenseScores, logged=(3, 5))
    assert_array_equal(lists.count, 8)


def test_lists_of_a_function_hold_what_is_logged_together(problem, monkeypatch):
    """Query 0 logged items 1 and 2 with the others, which logged 3 too; 2 is left out."""
    monkeypatch.setattr("skdistill.towers.teacher_lists.QUERY_CHUNK", 4)
    log = np.zeros((N_QUERIES, N_ITEMS), dtype=bool)
    log[:, [1, 2]] = log[1:, 3] = True
    hidden = np.zeros_like(log)
    hidden[:, 2] = True
    model, query_rows, item_rows, _, scores, _ = problem
    sampled = SampledCatalogue(
        *(model, query_rows, item_rows, function_of(scores), get_loss("listwise"), 8, 0.5, 10),
        *((np.zeros(1, int), np.ones(1, int)), np.random.default_rng(0), slice(None)),
        *(sparse.csr_array(log), sparse.csr_array(hidden)),
    )
    lists = sampled.candidates
    together = [set(row[lists.importance[q] == 1]) - {-1} for q, row in enumerate(lists.item)]
    assert all(found <= {1, 3} for found in together)
    assert together[0] == {1, 3}
    assert any(3 in found for found in together[4:])
    filled = lists.item >= 0
    assert_array_equal(lists.score[filled], scores[np.nonzero(filled)[0], lists.item[filled]])
    for row in lists.item:
        assert len(np.unique(row[row >= 0])) == (row >= 0).sum()


def test_lists_do_not_depend_on_the_chunks_of_queries(problem, monkeypatch):
    whole = grown(problem)
    monkeypatch.setattr("skdistill.towers.teacher_lists.QUERY_CHUNK", 4)
    chunked = grown(problem)
    assert_array_equal(chunked.item, whole.item)
    assert_array_equal(chunked.score, whole.score)
    assert_array_equal(chunked.importance, whole.importance)


def test_lists_of_a_large_catalogue_grow_out_of_a_pool(problem, monkeypatch):
    monkeypatch.setattr("skdistill.towers.candidates.POOL", 4)
    sampled, scores = sampled_lists(problem), problem[4]
    first = sampled.candidates.count.copy()
    sampled.begin_epoch(1, problem[3], np.random.default_rng(0))
    lists = sampled.candidates
    for query in range(N_QUERIES):
        items = lists.item[query, : lists.count[query]]
        assert len(np.unique(items)) == len(items)
        assert_array_equal(lists.score[query, : len(items)], scores[query, items])
        # A pool of four stands for nine items.
        assert_allclose(lists.importance[query, first[query] : len(items)], N_ITEMS / 4)


@pytest.mark.parametrize("is_grid", [True, False])
def test_a_block_loss_shifts_scores_and_weighs_rows(is_grid):
    """By hand: the loss of the shifted scores; its gradient overwrites the scores."""
    rng = np.random.default_rng(0)
    queries, loss = Queries.even(3, 4), get_loss("listwise")
    scores, weight = rng.standard_normal(12), rng.uniform(0.5, 2, 12)
    target = loss.soft_target(rng.standard_normal(12), queries)
    shift = rng.standard_normal(4 if is_grid else 12)
    block = BlockLoss(
        is_grid=is_grid,
        query=None,
        item=None,
        queries=queries,
        loss=loss,
        weight=0.3,
        target=target,
        shift=shift,
        row_weight=weight,
    )
    shifted = scores + (np.tile(shift, 3) if is_grid else shift)
    value, gradient = loss.value_and_gradient(shifted, target, queries, weight)
    found = block.value_and_gradient(scores)
    assert found == pytest.approx(0.3 * value)
    assert_allclose(scores, 0.3 * gradient)


def test_a_block_loss_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    queries, loss = Queries.from_sizes([3, 4, 1, 4]), get_loss("pairwise")
    target = loss.soft_target(rng.standard_normal(12), queries)
    shift, weight = rng.standard_normal(12), rng.uniform(0.5, 2, 12)
    given = rng.standard_normal(12)
    found = []
    for pairs in (1000, 5):
        monkeypatch.setattr("skdistill.towers.block_loss.CACHED_PAIRS", pairs)
        scores = given.copy()
        block = BlockLoss(False, None, None, queries, loss, 1.0, target, shift, weight)
        found.append((block.value_and_gradient(scores), scores))
    assert found[1][0] == pytest.approx(found[0][0])
    assert_allclose(found[1][1], found[0][1])


@pytest.mark.parametrize("pairs_at_once", [1000, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_pairs_that_are_left_out_are_no_part_of_their_lists(name, pairs_at_once, monkeypatch):
    """Value and gradient are those of shorter lists; an empty list teaches nothing."""
    monkeypatch.setattr("skdistill.towers.block_loss.CACHED_PAIRS", pairs_at_once)
    rng, loss, lists = np.random.default_rng(0), get_loss(name), Queries.even(4, 5)
    teacher, scores, weight = rng.uniform(0, 1, (3, 20))
    left_out = np.array([1, 3, *range(5, 10), 19])
    kept = np.setdiff1d(np.arange(20), left_out)
    shorter = Queries.from_sizes([3, 5, 4])
    expected = loss.soft_target(teacher[kept], shorter)
    target = soft_targets(loss, teacher, lists, left_out=left_out)
    assert_allclose(target[kept], expected, rtol=1e-6)
    value, gradient = loss.value_and_gradient(
        scores[kept], target[kept].astype(float), shorter, weight[kept]
    )
    block = BlockLoss(
        *(True, None, None, lists, loss, 1.0, target.astype(float), None, weight),
        left_out=left_out,
    )
    found = block.value_and_gradient(scores)
    assert found == pytest.approx(value * 3 / 4)
    assert_allclose(scores[kept], gradient * 3 / 4)
    assert_array_equal(scores[left_out], 0)


def test_importance_shifts_a_softmax_and_weighs_other_losses():
    queries = Queries.from_sizes([2, 2])
    importance = np.log([1.0, 3, 5, 15])
    shift, weight = logq_correction(get_loss("listwise", 2.0), importance, queries)
    assert_allclose(shift, 2 * importance, rtol=1e-6)
    assert weight is None
    shift, weight = logq_correction(get_loss("pairwise"), importance, queries)
    assert shift is None
    assert_allclose(weight, [1 / 2, 3 / 2, 5 / 10, 15 / 10])  # of mean 1 in each list


@pytest.mark.parametrize("name", ["pointwise", "margin", "listwise", "plackett_luce"])
@pytest.mark.parametrize("masked", [False, True])
def test_targets_do_not_depend_on_how_many_lists_are_converted_at_once(name, masked, monkeypatch):
    rng = np.random.default_rng(0)
    lists = Queries.even(8, 30)
    # The scale differs between lists, as it does between a teacher's light and heavy users.
    teacher = (rng.standard_normal(240) * np.repeat(np.arange(1, 9), 30)).astype(np.float32)
    left_out = np.arange(0, 240, 7) if masked else None
    loss = get_loss(name)
    whole = soft_targets(loss, teacher, lists, left_out=left_out)
    kept = np.delete(np.arange(240), left_out) if masked else np.arange(240)
    is_kept = np.isin(np.arange(240), kept)
    expected = loss.soft_target(teacher[kept].astype(np.float64), lists.subset(is_kept))
    assert_allclose(whole[kept], expected, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr("skdistill.towers.block_loss.TARGET_PAIRS", 60)
    assert_allclose(soft_targets(loss, teacher, lists, left_out=left_out), whole, atol=1e-6)

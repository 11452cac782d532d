"""cascade_report against naive code: what is lost where, and what a swap would bring."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.stats import kendalltau
from sklearn.exceptions import NotFittedError

from skdistill import TwoTowerRetriever
from skdistill.cascade import FirstTrees, cascade_report, fit_rivals, plan_cascade
from skdistill.cascade.gains import ceilings, ndcg_of_lists
from skdistill.cascade.wanted import teacher_grid, teachers_best
from skdistill.datasets import make_retrieval
from skdistill.metrics import retrieval_ndcg
from skdistill.students import LinearRanker, MLPRanker
from tests.cascade.conftest import fitted, make_cascade, make_towers
from tests.cascade.test_planning import copy_of


@pytest.fixture(scope="module")
def student_cascade(data):
    """A cascade whose last stage is a student, which loses items too."""
    stages = [
        ("retrieve", make_towers(data), 40),
        ("prerank", MLPRanker((4,), max_iter=4), 15),
        ("rank", MLPRanker((8,), max_iter=8), 5),
    ]
    return fitted(make_cascade(data, stages), data)


@pytest.fixture(scope="module")
def report(student_cascade, data):
    return cascade_report(student_cascade, data.queries)


def naive_lists(cascade, queries, exclude=None):
    """Per query: what each stage passes on, and the scores of all stages of all items."""
    funnel, cuts = cascade.funnel_, cascade.stage_cuts()
    for number in range(len(queries)):
        everything = np.zeros(120, dtype=int), np.arange(120)
        scores = funnel.score_pairs(queries.iloc[[number]], funnel.items, *everything)
        items = [i for i in range(120) if exclude is None or not exclude[number, i]]
        passed = []
        for column, cut in zip(funnel.columns, cuts, strict=True):
            items = sorted(items, key=lambda i: -np.float32(scores[column][i]))
            items = items[: cut.size]
            passed.append(items)
        yield passed, scores


def test_each_wanted_item_is_lost_at_the_first_stage_that_drops_it(student_cascade, data, report):
    wanted = teachers_best(student_cascade, data.queries, 5)
    lost = np.zeros(3)
    left = np.zeros(3)
    for number, (passed, _) in enumerate(naive_lists(student_cascade, data.queries)):
        for item in wanted[number]:
            dropped = [item not in items for items in passed]
            if any(dropped):
                lost[dropped.index(True)] += 1
            left += np.logical_not(np.maximum.accumulate(dropped))
    n_wanted = 5 * len(data.queries)
    assert_allclose([stage.lost for stage in report.stages], lost / n_wanted)
    assert_allclose([stage.recall for stage in report.stages], left / n_wanted)
    assert sum(stage.lost for stage in report.stages) + report.recall == pytest.approx(1)
    assert report.stages[-1].recall == pytest.approx(report.recall)
    before = 1.0
    for stage in report.stages:
        assert stage.recall_of_input == pytest.approx(stage.recall / before)
        before = stage.recall


def test_ndcg_and_ceilings(student_cascade, data, report):
    """Gains fall evenly from 1 for the teacher's best item to 0 after the fifth."""
    wanted = teachers_best(student_cascade, data.queries, 5)
    discount = 1 / np.log2(np.arange(2, 7))
    ideal = np.array([1, 0.8, 0.6, 0.4, 0.2]) @ discount
    ndcg, best = [], []
    for number, (passed, _) in enumerate(naive_lists(student_cascade, data.queries)):
        gain = dict(zip(wanted[number].tolist(), [1, 0.8, 0.6, 0.4, 0.2], strict=True))
        got = [[gain.get(item, 0.0) for item in items] for items in passed]
        ndcg.append(np.array(got[-1][:5]) @ discount / ideal)
        best.append([np.sort(of)[::-1][:5] @ discount / ideal for of in got])
    assert report.ndcg == pytest.approx(np.mean(ndcg))
    assert_allclose([stage.ceiling for stage in report.stages], np.mean(best, axis=0))
    assert report.teacher_ndcg == pytest.approx(1)


def test_a_swapped_stage_ranks_by_the_teacher(student_cascade, data, report):
    """Later stages keep their scores: only the order of the swapped one is the teacher's."""
    wanted = teachers_best(student_cascade, data.queries, 5)
    grid = teacher_grid(student_cascade, data.queries)
    discount = 1 / np.log2(np.arange(2, 7))
    gains = np.array([1, 0.8, 0.6, 0.4, 0.2])
    columns, cuts = student_cascade.funnel_.columns, student_cascade.stage_cuts()
    values = np.zeros((len(data.queries), 3))
    for number, (_, scores) in enumerate(naive_lists(student_cascade, data.queries)):
        for swapped in range(3):
            items = list(range(120))
            for stage, (column, cut) in enumerate(zip(columns, cuts, strict=True)):
                by = grid[number] if stage == swapped else np.float32(scores[column])
                items = sorted(items, key=lambda i: -by[i])[: cut.size]
            gain = dict(zip(wanted[number].tolist(), gains, strict=True))
            got = np.array([gain.get(item, 0.0) for item in items])
            values[number, swapped] = got @ discount / (gains @ discount)
    assert_allclose(
        [stage.as_teacher for stage in report.stages], values.mean(axis=0), atol=2e-3
    )  # ties of the teacher are broken by the order of the stage before


def test_agreement_is_measured_on_what_the_next_stage_gets(student_cascade, data, report):
    taus, fractions = [], []
    for passed, scores in naive_lists(student_cascade, data.queries):
        first, second, last = (scores[name] for name in student_cascade.funnel_.columns)
        got = passed[0]
        taus.append(kendalltau(first[got], second[got]).statistic)
        got = passed[1]
        tau = kendalltau(first[got], last[got]).statistic
        fractions.append((1 + tau) / 2)
    assert report.stages[0].tau == pytest.approx(np.nanmean(taus), abs=1e-6)
    assert report.stages[0].agreement == pytest.approx(np.nanmean(fractions), abs=1e-6)
    assert report.stages[-1].agreement == 1
    assert all(0 <= stage.overlap <= 1 for stage in report.stages)


def test_a_last_stage_that_is_the_teacher_loses_nothing_it_should_return(cascade, data):
    report = cascade_report(cascade, data.queries)
    assert report.stages[-1].lost == 0
    assert report.stages[-1].tau == pytest.approx(1)
    assert report.stages[-1].ceiling == pytest.approx(report.ndcg)


def test_curves_are_the_recall_by_size(student_cascade, data, report):
    wanted = teachers_best(student_cascade, data.queries, 5)
    towers = student_cascade.funnel_.retrieval.retrievers["retrieve"]
    ids, _ = towers.retrieve(data.queries, 40)
    found = np.mean(
        [len(set(a[:7]) & set(b)) / 5 for a, b in zip(ids.tolist(), wanted.tolist(), strict=True)]
    )
    assert report.stages[0].curve[6] == pytest.approx(found)
    for stage in report.stages:
        assert stage.curve[stage.size - 1] == pytest.approx(stage.recall)


def test_labels_are_the_truth_if_there_are_any(student_cascade, data):
    seen = sparse.csr_array(np.random.default_rng(0).random((160, 120)) < 0.2)
    report = cascade_report(student_cascade, data.X, data.y, qid=data.qid, exclude=seen)
    assert report.truth == "labels"
    item_of = {tuple(row): n for n, row in enumerate(data.items.to_numpy().tolist())}
    rows = data.X[data.item_columns].to_numpy().tolist()
    relevant = sparse.lil_array((160, 120))
    for query, row, label in zip(data.qid, rows, data.y, strict=True):
        if label > 0:
            relevant[int(query), item_of[tuple(row)]] = label
    ids, _ = student_cascade.rank(data.queries, exclude=seen)
    expected = retrieval_ndcg(relevant.tocsr(), ids, k=5, gain="exponential")
    assert report.ndcg == pytest.approx(expected)
    assert "by labels" in str(report)


def test_gains_of_lists_and_their_ceilings():
    gains = sparse.csr_array([[3.0, 0, 1.0, 0], [0, 0, 0, 0]])
    lists = np.array([[1, 2, 0], [0, 1, 2]])
    discount = 1 / np.log2([2, 3, 4])
    ndcg = ndcg_of_lists(lists, gains, 3)
    ideal = 3 * discount[0] + discount[1]
    assert ndcg[0] == pytest.approx((discount[1] + 3 * discount[2]) / ideal)
    assert np.isnan(ndcg[1])
    assert ceilings(lists, gains, 3)[0] == pytest.approx(1)
    assert ceilings(lists[:, :2], gains, 3)[0] == pytest.approx(discount[0] / ideal)


def test_rivals_have_the_same_teacher_and_are_compared_query_by_query(data):
    cascade = fitted(make_cascade(data), data)
    rivals = fit_rivals(cascade, data.X, data.y, qid=data.qid, items=data.items)
    assert list(rivals) == ["trained on labels", "logged rows only", "popularity", "first trees"]
    for rival in rivals.values():
        assert rival.teacher_ is cascade.teacher_ or rival.teacher_.estimator is cascade.teacher_
    assert isinstance(rivals["first trees"].stages[1][1], FirstTrees)
    towers = rivals["trained on labels"].funnel_.retrieval.retrievers["retrieve"]
    assert towers.alpha == 0
    report = cascade_report(
        cascade, data.X, data.y, qid=data.qid, rivals={"itself": copy_of(cascade), **rivals}
    )
    itself, *others = report.rivals
    assert itself.ndcg_ratio == (1, 1, 1)
    assert itself.recall_ratio == (1, 1, 1)
    for rival in others:
        assert rival.ndcg_ratio.low <= rival.ndcg_ratio.ratio <= rival.ndcg_ratio.high
        assert rival.ndcg_ratio.ratio == pytest.approx(report.ndcg / rival.ndcg)
        assert set(rival.agreement) == {"retrieve", "prerank"}
    for rival in report.rivals:
        told = f"The rival {rival.name!r} ranks better" in report.summary()
        assert told == (rival.ndcg_ratio.high < 1)
    # One objective: what learnt the teacher's order prefers what the last stage prefers.
    on_labels = report.rivals[1]
    assert report.stages[0].agreement > on_labels.agreement["retrieve"]


def test_rivals_of_several_processes_are_the_same(data):
    cascade = fitted(make_cascade(data), data)
    arguments = {"qid": data.qid, "items": data.items}
    one, two = (
        fit_rivals(cascade, data.X, data.y, **arguments, n_jobs=n_jobs) for n_jobs in (None, 2)
    )
    # How many first trees cost as much as a student is measured.
    for name in ("trained on labels", "logged rows only", "popularity"):
        for expected, found in zip(
            one[name].rank(data.queries[:5]), two[name].rank(data.queries[:5]), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_the_report_in_all_its_forms(report):
    frame = report.frame()
    assert list(frame.index) == ["retrieve", "prerank", "rank"]
    assert isinstance(frame, pd.DataFrame)
    assert frame.loc["rank", "recall"] == pytest.approx(report.recall)
    markdown = report.to_markdown()
    assert markdown.count("\n| ") == 5  # heading, line and three stages
    assert "<table>" in report._repr_html_()
    assert "NDCG@5" in str(report)
    assert repr(report) == str(report)
    assert all(stage.p50 <= stage.p99 for stage in report.stages)


def test_a_report_needs_a_teacher_and_queries(cascade, data):
    with pytest.raises(ValueError, match="no queries"):
        cascade_report(cascade, data.queries[:0])
    orphan = copy_of(cascade)
    orphan.teacher_ = None
    assert cascade_report(orphan, data.queries[:20]).stages  # its last stage is the teacher
    orphan.stages[-1] = ("rank", LinearRanker(), 5)
    with pytest.raises(ValueError, match="save it with keep_teacher=True. plan_cascade also"):
        cascade_report(orphan, data.queries)
    with pytest.raises(ValueError, match="takes wanted="):
        plan_cascade(orphan, data.queries, budget=1e9)


def test_padding_hides_no_item(cascade, data):
    """The order of the catalogue, and which item stands first in it, do not matter."""
    seen = np.ones((20, 120), dtype=bool)
    seen[:, :6] = False
    seen[:5, 5] = True  # shorter lists, with padding
    one = cascade_report(cascade, data.queries[:20], exclude=sparse.csr_array(seen))
    turned = copy_of(cascade).index(data.items[::-1])
    other = cascade_report(turned, data.queries[:20], exclude=sparse.csr_array(seen[:, ::-1]))
    for stage, again in zip(one.stages, other.stages, strict=True):
        assert stage.tau == pytest.approx(again.tau)
        assert stage.overlap == pytest.approx(again.overlap)
        assert stage.agreement == pytest.approx(again.agreement)


def test_queries_without_a_wanted_item_do_not_count(cascade, data):
    everything = np.zeros((20, 120), dtype=bool)
    everything[:10] = True
    report = cascade_report(cascade, data.queries[:20], exclude=sparse.csr_array(everything))
    alone = cascade_report(cascade, data.queries[10:20])
    assert report.recall == pytest.approx(alone.recall)
    assert report.stages[-1].recall == pytest.approx(report.recall)
    with pytest.raises(ValueError, match="Every item is excluded"):
        cascade_report(cascade, data.queries[:10], exclude=sparse.csr_array(everything[:10]))


def test_a_rival_must_rank_the_same_catalogue(cascade, data):
    for items in (data.items[::-1], data.items[:40]):
        other = copy_of(cascade).index(items)
        with pytest.raises(ValueError, match="The rival 'theirs' ranks another catalogue"):
            cascade_report(cascade, data.queries[:5], rivals={"theirs": other})


def test_arguments_of_reports_are_checked(cascade, data):
    with pytest.raises(ValueError, match="k=16 items cannot come through: the stage 'prerank'"):
        cascade_report(cascade, data.queries[:5], k=16)
    with pytest.raises(ValueError, match=r"exclude must be a sparse matrix of shape \(5, 120\)"):
        cascade_report(cascade, data.queries[:5], exclude=sparse.csr_array((4, 120)))
    changed = copy_of(cascade).set_params(stages=cascade.stages[:2])
    with pytest.raises(ValueError, match="but those of fit were"):
        cascade_report(changed, data.queries[:5])
    with pytest.raises(NotFittedError):
        cascade_report(make_cascade(data), data.queries[:5])
    with pytest.raises(NotFittedError):
        fit_rivals(make_cascade(data), data.X, data.y, qid=data.qid, items=data.items)


def test_rivals_of_arrays(data):
    made = make_retrieval(n_queries=40, n_items=30, random_state=0)
    towers = TwoTowerRetriever(
        query_columns=made.query_columns,
        item_columns=made.item_columns,
        max_iter=2,
        teacher_check=False,
    )
    cascade = make_cascade(data, [("retrieve", towers, 10), ("rank", "teacher", 3)])
    given = {"qid": made.qid, "items": made.items}
    cascade.fit(made.X, made.y, **given)
    rivals = fit_rivals(cascade, made.X, made.y, **given)
    popular = rivals["popularity"].funnel_.retrieval.retrievers["retrieve"]
    assert popular.counts_.sum() == made.y.sum()

"""RankingCascade.rank against naive code, and what fit promises."""

import pickle
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

from skdistill import DistilledRanker, RankingCascade, RankingGroupKFold
from skdistill.cascade import Cut, DeadlineWarning, FirstTrees, PopularityRetriever
from skdistill.students import LinearRanker, MLPRanker
from tests.cascade.conftest import fitted, make_cascade, make_towers
from tests.cascade.test_planning import copy_of


def naive_rank(cascade, queries, k, cuts, exclude, mask, offset=None, probabilities=()):
    """One query, one stage, one item after the other."""
    funnel = cascade.funnel_
    n_items = cascade.n_items
    answers = []
    for number in range(len(queries)):
        query = queries.iloc[[number]]
        everything = np.zeros(n_items, dtype=np.int64), np.arange(n_items)
        scores = funnel.score_pairs(query, funnel.items, *everything)
        if offset is not None:
            scores = {
                name: (np.log(one) if name in probabilities else one) + offset
                for name, one in scores.items()
            }
        allowed = [
            item
            for item in range(n_items)
            if (exclude is None or not exclude[number, item])
            and (mask is None or (mask[item] if mask.ndim == 1 else mask[number, item]))
        ]
        order = sorted(allowed, key=lambda i: -np.float32(scores[funnel.columns[0]][i]))
        placed = []
        order = limited(order[: cuts[0].size], scores[funnel.columns[0]], cuts[0])
        for stage, before, after in zip(funnel.stages, cuts, cuts[1:], strict=False):
            head, tail = order[: before.size], order[before.size :]
            placed = tail + placed
            order = sorted(head, key=lambda i: -scores[stage.column][i])
            order = limited(order, scores[stage.column], after)
        answer = (order + placed)[:k]
        answers.append(answer + [-1] * (k - len(answer)))
    return np.array(answers)


def limited(order, scores, cut):
    if cut.min_score is not None:
        order = [i for i in order if scores[i] >= cut.min_score]
    if cut.max_drop is not None and order:
        order = [i for i in order if scores[i] >= scores[order[0]] - cut.max_drop]
    return order


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.tuples(st.integers(1, 130), st.integers(1, 130), st.integers(1, 130)),
    limits=st.booleans(),
    excluded=st.sampled_from([0.0, 0.3, 0.97]),
    masked=st.sampled_from([None, "items", "pairs"]),
)
def test_rank_is_what_naive_code_ranks(cascade, data, seed, sizes, limits, excluded, masked):
    rng = np.random.default_rng(seed)
    queries = data.queries.iloc[rng.permutation(len(data.queries))[:4]]
    sizes = sorted(sizes, reverse=True)
    cuts = [Cut(size) for size in sizes]
    if limits:
        cuts[0] = Cut(sizes[0], min_score=-0.5)
        cuts[1] = Cut(sizes[1], max_drop=2.0)
        cuts[2] = Cut(sizes[2], min_score=0.0)
    names = [name for name, _, _ in cascade.stages]
    cut_cascade = copy_of(cascade)
    cut_cascade.stages = [
        (name, model, cut) for (name, model, _), cut in zip(cascade.stages, cuts, strict=True)
    ]
    assert [name for name, _, _ in cut_cascade.stages] == names
    k = min(int(rng.integers(1, sizes[0] + 1)), 120)
    exclude = rng.random((4, 120)) < excluded
    mask = {"items": rng.random(120) < 0.5, "pairs": rng.random((4, 120)) < 0.2}.get(masked)
    ids, scores = cut_cascade.rank(
        queries,
        k,
        exclude=sparse.csr_array(exclude),
        mask=sparse.csr_array(mask) if masked == "pairs" else mask,
    )
    assert_array_equal(ids, naive_rank(cut_cascade, queries, k, cuts, exclude, mask))
    assert_array_equal(ids == -1, np.isneginf(scores))


def test_places_behind_the_last_stage_are_of_the_stage_before(cascade, data):
    ids, _, trace = cascade.rank(data.queries[:3], k=40, return_stages=True)
    assert_array_equal(trace.stage, np.repeat([[2] * 15 + [1] * 25], 3, axis=0))
    assert all(len(set(row)) == 40 for row in ids.tolist())
    first, _ = cascade.rank(data.queries[:3], k=5)
    assert_array_equal(ids[:, :5], first)
    assert set(trace.seconds) == {"retrieve", "prerank", "rank"}
    assert trace.is_complete.all()
    assert trace.source is None


def test_many_queries_are_ranked_as_each_alone(cascade, data, monkeypatch):
    monkeypatch.setattr("skdistill.cascade.fitted.QUERY_BLOCK", 7)
    together, scores = cascade.rank(data.queries)
    for number in (0, 6, 7, 159):
        alone, of_alone = cascade.rank(data.queries[number : number + 1])
        assert_array_equal(together[number], alone[0])
        np.testing.assert_allclose(scores[number], of_alone[0], rtol=1e-6)
    none, _ = cascade.rank(data.queries[:0])
    assert none.shape == (0, 5)


def test_a_deadline_returns_the_last_finished_stage(cascade, data):
    with pytest.warns(DeadlineWarning, match="2 of 2 queries .* 0 ms were over"):
        ids, _, trace = cascade.rank(data.queries[:2], deadline_ms=0, return_stages=True)
    assert not trace.is_complete.any()
    assert (trace.stage == 0).all()
    towers = cascade.funnel_.retrieval.retrievers["retrieve"]
    assert_array_equal(ids, towers.retrieve(data.queries[:2], 5)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_time, _ = cascade.rank(data.queries[:2], deadline_ms=60_000)
    assert_array_equal(in_time, cascade.rank(data.queries[:2])[0])


class Slow:
    """A stage that takes its time."""

    def predict(self, X):
        time.sleep(0.05)
        return np.arange(X.shape[0])


def test_a_deadline_is_asked_for_before_every_stage(data):
    stages = [("retrieve", make_towers(data), 20), ("slow", Slow(), 10), ("rank", "teacher", 5)]
    cascade = fitted(make_cascade(data, stages), data)
    with pytest.warns(DeadlineWarning):
        _, _, trace = cascade.rank(data.queries[:1], deadline_ms=40, return_stages=True)
    assert (trace.stage == 1).all()
    assert trace.seconds["slow"] >= 0.05
    assert trace.seconds["rank"] == 0


def test_threads_get_the_same_bits(cascade, data):
    expected = [cascade.rank(data.queries[q : q + 1]) for q in range(40)]

    def ask(number):
        return cascade.rank(data.queries[number % 40 : number % 40 + 1])

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(320)))
    for number, (ids, scores) in enumerate(answers):
        assert_array_equal(ids, expected[number % 40][0])
        assert_array_equal(scores, expected[number % 40][1])


def test_ids_of_another_catalogue(cascade, data):
    copied = copy_of(cascade)
    chosen = data.items.iloc[20:70]
    names = [f"film {number}" for number in range(20, 70)]
    copied.index(chosen, names)
    ids, _ = copied.rank(data.queries[:5], k=30)
    mask = np.zeros(120, dtype=bool)
    mask[20:70] = True
    expected, _ = cascade.rank(data.queries[:5], k=30, mask=mask)
    assert ids.tolist() == [[f"film {item}" for item in row] for row in expected]
    nobody, _ = copied.rank(data.queries[:1], exclude=sparse.csr_array(np.ones((1, 50))))
    assert nobody.tolist() == [[None] * 5]
    # The original cascade still ranks its own catalogue.
    assert cascade.n_items == 120
    copied.index(chosen, engine="exact")
    assert copied.rank(data.queries[:1])[0].dtype.kind == "i"


def test_several_retrievers_are_united(data):
    stages = [
        (
            "retrieve",
            [("towers", make_towers(data), 30), ("popular", PopularityRetriever(), 10)],
            40,
        ),
        ("prerank", LinearRanker(max_iter=5), 15),
        ("rank", "teacher", 5),
    ]
    cascade = fitted(make_cascade(data, stages), data)
    ids, _, trace = cascade.rank(data.queries[:6], k=40, return_stages=True)
    assert set(np.unique(trace.source)) == {0, 1}
    assert all(len(set(row)) == 40 for row in ids.tolist())
    retrievers = cascade.funnel_.retrieval.retrievers
    towers, popular = (
        retrievers[name].retrieve(data.queries[:6], 120)[0] for name in ("towers", "popular")
    )
    for row in range(6):
        of_popular = set(ids[row, trace.source[row] == 1].tolist())
        assert of_popular <= set(popular[row, :20].tolist())
        assert set(ids[row, trace.source[row] == 0].tolist()) <= set(towers[row, :40].tolist())
    # Items that only popularity found have a score of the towers all the same.
    assert cascade.funnel_.columns == (
        *("towers_score", "popular_score"),
        *("prerank_score", "rank_score"),
    )


class ListsOnly:
    """A retriever that returns lists and can do nothing else."""

    def retrieve(self, queries, k=10, *, exclude=None, mask=None):
        ids = np.tile(np.arange(k), (len(queries), 1))
        return ids, -ids.astype(np.float32)


def test_a_retriever_may_only_return_lists(data):
    stages = [
        ("retrieve", [("towers", make_towers(data), 1), ("lists", ListsOnly(), 1)], 40),
        ("prerank", MLPRanker((4,), max_iter=3), 5),
    ]
    cascade = fitted(make_cascade(data, stages, sources=("passed", "logged")), data)
    assert cascade.rank(data.queries[:3])[0].shape == (3, 5)


def test_the_order_of_the_rows_does_not_matter(data):
    # Equal rows with different labels are the one thing that the order tells apart.
    distinct = ~data.X.assign(qid=data.qid).duplicated().to_numpy()
    X, y, qid = data.X[distinct], data.y[distinct], np.asarray(data.qid)[distinct]
    order = np.random.default_rng(1).permutation(len(y))
    in_order = make_cascade(data).fit(X, y, qid=qid, items=data.items)
    shuffled = make_cascade(data).fit(X.iloc[order], y[order], qid=qid[order], items=data.items)
    assert_array_equal(shuffled.rank(data.queries)[1], in_order.rank(data.queries)[1])


@pytest.mark.parametrize(
    "stage",
    [
        DistilledRanker(student=MLPRanker((4,), max_iter=3), loss="listwise", alpha=0.5),
        HistGradientBoostingRegressor(max_iter=5),
        lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, n_jobs=1),
        FirstTrees(3),
        lambda table: table[table.columns[0]],
    ],
    ids=["DistilledRanker", "HistGradientBoosting", "LGBMRegressor", "FirstTrees", "function"],
)
def test_a_stage_may_be_any_model(data, stage):
    stages = [("retrieve", make_towers(data), 30), ("prerank", stage, 10), ("rank", "teacher", 5)]
    cascade = fitted(make_cascade(data, stages), data)
    assert cascade.rank(data.queries[:4])[0].shape == (4, 5)
    if isinstance(stage, FirstTrees):
        model = cascade.funnel_.stages[0].model
        assert model.num_trees() == 3
        booster = cascade.teacher_.booster_
        rows = data.X[booster.feature_name()][:50]
        np.testing.assert_allclose(model.predict(rows), booster.predict(rows, num_iteration=3))


def test_fitted_parts_are_used_as_they_are(cascade, data):
    towers = cascade.funnel_.retrieval.retrievers["retrieve"]
    student = LinearRanker(max_iter=3).fit(data.X, data.y, qid=data.qid)
    stages = [
        ("retrieve", FrozenEstimator(towers), 30),
        ("prerank", FrozenEstimator(student), 10),
        ("rank", "teacher", 5),
    ]
    again = make_cascade(data, stages, teacher=FrozenEstimator(cascade.teacher_))
    again.fit(data.X, qid=data.qid, items=data.items)
    ids, _ = again.rank(data.queries, k=30)
    expected, _ = towers.retrieve(data.queries, 30)
    assert_array_equal(np.sort(ids, axis=1), np.sort(expected, axis=1))
    of_booster = make_cascade(data, stages, teacher=cascade.teacher_.booster_)
    of_booster.fit(data.X, qid=data.qid, items=data.items)
    assert_array_equal(of_booster.rank(data.queries)[0], again.rank(data.queries)[0])
    stages[1] = ("prerank", student, 10)
    with pytest.warns(UserWarning, match="The stage LinearRanker is fitted already"):
        fitted(make_cascade(data, stages), data)


def test_targets_may_be_the_next_stage(data, cascade):
    following = fitted(make_cascade(data, targets="next"), data)
    before = cascade.funnel_.retrieval.retrievers["retrieve"].retrieve(data.queries, 10)
    after = following.funnel_.retrieval.retrievers["retrieve"].retrieve(data.queries, 10)
    assert not np.array_equal(before[1], after[1])
    # The towers agree more with the pre-ranker than those that never saw its scores.
    taught = following.funnel_.stages[0].column
    everything = np.repeat(np.arange(20), 120), np.tile(np.arange(120), 20)
    scores = following.funnel_.score_pairs(data.queries[:20], data.items, *everything)
    by_towers, by_student = (scores[name].reshape(20, 120) for name in ("retrieve_score", taught))
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(by_towers, by_student, strict=True)]
    assert np.mean(agreement) > 0.8


def test_out_of_fold_teachers_label_the_rows(data):
    cascade = fitted(make_cascade(data, teacher_cv=3), data)
    plain = fitted(make_cascade(data), data)
    assert not np.array_equal(cascade.rank(data.queries)[1], plain.rank(data.queries)[1])


def test_sources_are_compared_on_held_out_queries(cascade, data):
    (measures,) = cascade.source_scores_.values()
    assert len(measures) == 6
    assert all(0 <= value <= 1 for value in measures.values())
    chosen = fitted(make_cascade(data, sources={"prerank": ("logged",)}), data)
    assert chosen.source_scores_ == {}
    unexplored = fitted(make_cascade(data, exploration=0.0), data)
    assert len(unexplored.source_scores_["prerank"]) == 3


class TellsOfItsFit(LinearRegression):
    def fit(self, X, y):
        warnings.warn(f"fitted on {len(y)} rows", UserWarning, stacklevel=2)
        return super().fit(X, y)


def test_the_comparison_of_sources_does_not_repeat_warnings(data):
    first, _, last = make_cascade(data).stages
    told = make_cascade(data, [first, ("prerank", TellsOfItsFit(), 15), last])
    with pytest.warns(UserWarning, match="fitted on") as caught:
        compared = fitted(told, data)
    assert len(compared.source_scores_["prerank"]) == 6
    assert sum("fitted on" in str(one.message) for one in caught) == 1


def test_labels_are_mixed_in_by_alpha(data):
    assert not np.array_equal(
        fitted(make_cascade(data, alpha=0.2), data).rank(data.queries)[0],
        fitted(make_cascade(data, alpha=1.0), data).rank(data.queries)[0],
    )


def test_score_is_the_ndcg_of_the_ranked_catalogue(cascade, data):
    ids, _ = cascade.rank(data.queries)
    qid = np.asarray(data.qid)
    order = {name: row for row, name in enumerate(np.unique(qid))}
    gains = []
    item_of = {tuple(row): n for n, row in enumerate(data.items.to_numpy().tolist())}
    columns = list(data.items.columns)
    labels = {}
    for row, name, label in zip(data.X[columns].to_numpy().tolist(), qid, data.y, strict=True):
        of_query = labels.setdefault(order[name], {})
        item = item_of[tuple(row)]
        of_query[item] = max(label, of_query.get(item, 0.0))
    for query, of_query in labels.items():
        discount = 1 / np.log2(np.arange(2, 7))
        got = np.array([2.0 ** of_query.get(item, 0) - 1 for item in ids[query].tolist()])
        ideal = np.sort([2.0**label - 1 for label in of_query.values()])[::-1][:5]
        if ideal.sum():
            gains.append((got @ discount) / (ideal @ discount[: len(ideal)]))
    assert cascade.score(data.X, data.y, qid=data.qid) == pytest.approx(np.mean(gains))


def test_pickles_and_clones(cascade, data, tmp_path):
    expected, _ = cascade.rank(data.queries)
    joblib.dump(cascade, tmp_path / "cascade.joblib")
    assert_array_equal(joblib.load(tmp_path / "cascade.joblib").rank(data.queries)[0], expected)
    assert_array_equal(pickle.loads(pickle.dumps(cascade)).rank(data.queries)[0], expected)
    again = fitted(clone(cascade), data)
    assert_array_equal(again.rank(data.queries)[1], cascade.rank(data.queries)[1])


def test_parameters_of_stages(data):
    cascade = make_cascade(data)
    params = cascade.get_params()
    assert params["prerank__size"] == 15
    assert params["retrieve__embedding_dim"] == 8
    cascade.set_params(prerank__size=9, prerank__max_iter=2, retrieve__size=20)
    assert cascade.stages[1][2] == 9
    assert cascade.stages[1][1].max_iter == 2
    assert cascade.stages[0][2] == 20
    cascade.set_params(prerank=MLPRanker((3,)), rank__min_score=0.5)
    assert isinstance(cascade.stages[1][1], MLPRanker)
    assert cascade.stages[2][2] == Cut(5, min_score=0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        cascade.set_params(nothing=1)
    united = make_cascade(
        data,
        [
            ("r", [("towers", make_towers(data), 3), ("popular", PopularityRetriever(), 1)], 4),
            ("rank", "teacher", 2),
        ],
    )
    united.set_params(towers__size=5, towers__max_iter=1)
    assert united.stages[0][1][0][2] == 5
    assert united.stages[0][1][0][1].max_iter == 1


def test_a_grid_search_over_sizes_and_stages(data):
    search = GridSearchCV(
        make_cascade(data, sources=("passed", "logged")),
        {"prerank__size": [5, 15], "prerank__max_iter": [1, 3]},
        cv=RankingGroupKFold(2),
        error_score="raise",
        n_jobs=2,
    )
    with pytest.MonkeyPatch.context():
        import sklearn

        with sklearn.config_context(enable_metadata_routing=True):
            search.fit(data.X, data.y, qid=data.qid, items=data.items)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_estimator_.rank(data.queries[:2])[0].shape == (2, 5)


def test_arrays_and_features_by_column(data):
    """A log without names: columns are positions."""
    X = data.X.to_numpy(dtype=float)
    names = list(data.X.columns)
    query = [names.index(name) for name in data.query_columns]
    item = [names.index(name) for name in data.item_columns]
    from skdistill import TwoTowerRetriever

    towers = TwoTowerRetriever(
        query_columns=query, item_columns=item, max_iter=3, teacher_check=False
    )
    cascade = make_cascade(
        data,
        [("retrieve", towers, 30), ("prerank", LinearRanker(max_iter=3), 10), ("r", "teacher", 5)],
        features={"prerank": [item[0], query[0]]},
    )
    items = data.items.to_numpy(dtype=float)
    cascade.fit(X, data.y, qid=data.qid, items=items)
    prerank = cascade.funnel_.stages[0]
    queries = data.queries[data.query_columns].to_numpy(dtype=float)
    rows = prerank.table.rows(
        queries, items, np.array([0, 1]), np.array([3, 4]), {"retrieve_score": np.array([7.0, 8])}
    )
    expected = [[items[3, 0], queries[0, 0], 7.0], [items[4, 0], queries[1, 0], 8.0]]
    np.testing.assert_allclose(rows, expected)
    assert cascade.rank(queries[:2])[0].shape == (2, 5)


def test_integer_names_are_positions(data):
    """Columns of scores get the next integers: scikit-learn takes no mixed names."""
    names = list(data.X.columns)
    query = [names.index(name) for name in data.query_columns]
    item = [names.index(name) for name in data.item_columns]
    X = data.X.to_numpy(dtype=float)
    items = data.items.to_numpy(dtype=float)
    queries = data.queries[data.query_columns].to_numpy(dtype=float)[:3]
    towers = make_towers(data).set_params(query_columns=query, item_columns=item)
    cascade = make_cascade(data, [("retrieve", towers, 30), ("rank", LinearRanker(max_iter=3), 5)])
    by_position = clone(cascade).fit(X, data.y, qid=data.qid, items=items)
    framed = clone(cascade).fit(
        pd.DataFrame(X), data.y, qid=data.qid, items=pd.DataFrame(items, columns=item)
    )
    ids, scores = framed.rank(pd.DataFrame(queries, columns=query))
    expected, expected_scores = by_position.rank(queries)
    assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_features_by_function_see_survivors_only(data):
    seen = []

    def features(queries, items):
        seen.append(len(items))
        return pd.concat([queries, items], axis=1)[list(data.X.columns)]

    cascade = fitted(make_cascade(data, features={"rank": features}), data)
    seen.clear()
    cascade.rank(data.queries[:2])
    assert seen == [30]


def test_refusals(data):
    towers, student = make_towers(data), LinearRanker()
    good = [("retrieve", towers, 40), ("prerank", student, 15), ("rank", "teacher", 5)]

    def refused(message, stages=good, error=ValueError, fit=None, **parameters):
        cascade = make_cascade(data, stages, **parameters)
        given = {"X": data.X, "y": data.y, "qid": data.qid, "items": data.items, **(fit or {})}
        with pytest.raises(error, match=message):
            cascade.fit(**given)

    refused("at least two", [good[0]])
    refused("tuple .name, estimator, size.", [good[0], ("rank", "teacher")])
    refused("'prerank' would return 50 items, but the stage 'retrieve' before it passes 40",
            [good[0], ("prerank", student, 50)])  # fmt: skip
    refused("positive number of items", [good[0], ("prerank", student, 0)])
    refused("positive number of items", [good[0], ("prerank", student, 2.5)])
    refused("min_score .* must be finite", [good[0], ("p", student, Cut(5, min_score=np.nan))])
    refused("max_drop .* must be 0 or more", [good[0], ("p", student, Cut(5, max_drop=-1.0))])
    refused("needs a method retrieve", [("retrieve", student, 9), good[2]], TypeError)
    refused('must be "teacher", a student', [good[0], ("rank", "the teacher", 5)], TypeError)
    refused("must be .*a class", [good[0], ("rank", LinearRanker, 5)], TypeError)
    refused("learns from whole numbers", [good[0], ("r", lightgbm.LGBMRanker(), 5)], TypeError)
    refused("used twice", [good[0], ("retrieve", student, 5)])
    refused("double underscores", [good[0], ("pre__rank", student, 5)])
    refused("empty list of retrievers", [("retrieve", [], 9), good[2]])
    refused("quota of 'a' must be", [("retrieve", [("a", towers, 0)], 9), good[2]])
    refused("unites several retrievers",
            [("r", [("a", towers, 1)], Cut(9, min_score=1.0)), good[2]])  # fmt: skip
    refused("needs a teacher", teacher=None)
    refused("needs the catalogue", fit={"items": None})
    refused("catalogue items= is empty", fit={"items": data.items[:0]})
    refused("requires y to be passed", fit={"y": None})
    refused(r"features names \['retrieve'\]", features={"retrieve": [0]})
    refused(r"features\['prerank'\].* names a column that is not in X",
            features={"prerank": ["nothing"]})  # fmt: skip
    refused("neither query columns nor item columns",
            fit={"X": data.X.assign(price=1.0)}, features={"prerank": ["price"]})  # fmt: skip
    refused("sources must be", sources=("passed", "clicked"))
    refused(r"sources names \['retrieve'\]", sources={"retrieve": "auto"})
    refused("'exploration' parameter", exploration=1.0)
    refused("'targets' parameter", targets="last")
    refused("lacks the columns", fit={"items": data.items.iloc[:, 1:]})
    refused("No retriever .* has query_columns", [("r", ListsOnly(), 9), good[2]])


def test_refusals_of_rank(cascade, data):
    queries = data.queries[:2]
    for arguments, message in [
        ({"k": 41}, "the first stage 'retrieve' returns 40. Raise its size"),
        ({"k": 0}, "k must be an integer"),
        ({"exclude": np.ones((2, 120))}, r"exclude must be a sparse matrix of shape \(2, 120\)"),
        ({"mask": sparse.csr_array((3, 120))}, r"mask must be a sparse matrix of shape \(2, 120\)"),
        ({"mask": np.ones(3, bool)}, "mask must be bool"),
    ]:
        with pytest.raises(ValueError, match=message):
            cascade.rank(queries, **arguments)
    with pytest.raises(ValueError, match="lacks the columns"):
        cascade.rank(queries.iloc[:, 1:])
    bad = copy_of(cascade)
    with pytest.raises(ValueError, match=r"ids must hold one id per item"):
        bad.index(data.items, ["a"])


def test_features_without_a_number_name_the_stage(data):
    def features(queries, items):
        table = pd.concat([queries, items], axis=1)
        return table.assign(broken=np.where(is_broken[0], np.nan, 1.0))

    is_broken = [False]
    cascade = fitted(make_cascade(data, features={"prerank": features}), data)
    is_broken[0] = True
    with pytest.raises(ValueError, match=r"stage 'prerank' cannot score .*broken"):
        cascade.rank(data.queries[:1])


@pytest.mark.parametrize("stage", ["teacher", "prerank"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("as_array", [False, True])
def test_a_model_that_takes_no_missing_features_names_stage_and_columns(
    data, stage, value, as_array
):
    def features(queries, items):
        table = pd.concat([queries, items], axis=1).assign(gap=value)
        return table.to_numpy() if as_array else table

    model = LinearRegression()
    cascade = make_cascade(
        data,
        [("retrieve", make_towers(data), 40), ("prerank", model, 20), ("rank", "teacher", 10)],
        features={stage: features},
    )
    if stage == "teacher":
        cascade.set_params(teacher=model)
    column = len(data.query_columns) + len(data.item_columns) if as_array else "'gap'"
    message = rf"stage '{stage}' cannot be fitted: columns \[{column}\] hold missing or infinite"
    with pytest.raises(ValueError, match=message):
        fitted(cascade, data)


def test_features_are_built_before_anything_is_fitted(data, cascade):
    """A model that is fitted already is asked for its columns, a function for its rows."""
    frozen = FrozenEstimator(cascade.teacher_)
    for parameters, message in [
        ({"teacher": frozen, "features": {"teacher": data.query_columns}},
         r"The stage 'teacher' has no table: .*fitted on columns that the table lacks.*'i0'"),
        ({"features": {"prerank": lambda queries, items: items[:1]}},
         r"The stage 'prerank' has no table: features\['prerank'\] must return a table with one"),
        ({"features": {"prerank": lambda queries, items: items[["price"]]}},
         r"'prerank' has no table: its features ask for .*'price'.* gets the query columns "
         r"\['q0'.* and the item columns \['i0'.*Name all that it needs in query_columns= and"),
    ]:  # fmt: skip
        unfitted = make_cascade(data, [("retrieve", Untouched(), 40), *cascade.stages[1:]],
                                query_columns=data.query_columns,
                                item_columns=data.item_columns, **parameters)  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fitted(unfitted, data)


class Untouched:
    """A retriever that must not be fitted."""

    def fit(self, X, y=None):
        raise AssertionError("the tables were not checked before the fit")

    def retrieve(self, queries, k=10, *, exclude=None, mask=None):
        raise AssertionError("the tables were not checked before the fit")


def test_the_front_page_has_the_cascade():
    import skdistill

    assert skdistill.RankingCascade is RankingCascade


def test_weights_of_pairs_that_were_logged_twice_do_not_depend_on_the_order(data):
    again = np.arange(0, len(data.y), 3)
    rows = np.concatenate([np.arange(len(data.y)), again])
    X, y, qid = data.X.iloc[rows], data.y[rows], np.asarray(data.qid)[rows]
    weight = np.random.default_rng(0).random(len(rows)) + 0.5
    fits = []
    for order in (np.arange(len(rows)), np.random.default_rng(1).permutation(len(rows))):
        towers = FrozenEstimator(fitted_towers(data))
        cascade = make_cascade(
            data, [("retrieve", towers, 30), ("rank", LinearRanker(max_iter=3), 5)],
            teacher=lambda table: table["i0"], alpha=0.5, sources=("logged",),
        )  # fmt: skip
        cascade.fit(
            X.iloc[order], y[order], qid=qid[order], items=data.items, sample_weight=weight[order]
        )
        fits.append(cascade.rank(data.queries)[1])
    np.testing.assert_allclose(*fits, rtol=1e-5)


def fitted_towers(data):
    return make_towers(data, random_state=0).fit(data.X, data.y, qid=data.qid, items=data.items)


def test_a_log_without_a_catalogued_item_and_one_query(data):
    with pytest.raises(ValueError, match=r"No item of the log is in the catalogue"):
        fitted(make_cascade(data), SimpleNamespace(**vars(data) | {"items": data.items + 1000}))
    one = np.asarray(data.qid) == np.asarray(data.qid)[0]
    cascade = make_cascade(data, teacher=lambda table: table["i0"] * table["q0"])
    cascade.fit(data.X[one], data.y[one], qid=np.asarray(data.qid)[one], items=data.items)
    assert cascade.rank(data.queries[:2])[0].shape == (2, 5)
    nothing = make_cascade(data).set_params(retrieve__min_score=1e9).set_params(
        sources=("passed",)
    )  # fmt: skip
    with pytest.raises(ValueError, match="stage 'prerank' has no rows to learn from"):
        fitted(nothing, data)

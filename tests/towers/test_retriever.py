"""TwoTowerRetriever as its users meet it: sources of teaching, tables of any kind, the index."""

import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdistill import RankingGroupKFold, TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.inputs.ranking_data import RankingData
from skdistill.losses import get_loss
from skdistill.metrics import (
    ndcg_scorer,
    retrieval_curve,
    retrieval_recall,
    retrieval_scorer,
    teacher_recall,
)
from skdistill.towers.teacher_check import TeacherWarning
from skdistill.training.early_stopping import EarlyStopping

FORMS = {
    "dense": {},
    "csr": {"query_ids": (30, 10), "item_ids": (50, 20)},
}


@pytest.fixture(scope="module", params=FORMS)
def data(request):
    return make_retrieval(n_queries=200, n_items=400, random_state=0, **FORMS[request.param])


@pytest.fixture(scope="module")
def dense():
    return make_retrieval(n_queries=200, n_items=400, random_state=0)


def towers(data, **parameters):
    defaults = {"embedding_dim": 16, "random_state": 0, "teacher_check": False}
    return TwoTowerRetriever(
        query_columns=data.query_columns,
        item_columns=data.item_columns,
        **{**defaults, **parameters},
    )


def share_of_best(data, retriever, k=10, m=20):
    ids, _ = retriever.retrieve(data.queries, m)
    return retrieval_curve(data.utility.best(data.queries, data.items, k), ids).recall[-1]


def frame_of(data, library="pandas"):
    """The log and the catalogue as data frames with names, an id and a string column."""
    kinds = np.array(["a", "b", "c"])
    n_items, width = data.items.shape[0], data.queries.shape[1]

    def queries(q):
        columns = {f"q{j}": data.queries[q, j] for j in range(width)}
        return {"user": q.astype(np.int64), **columns}

    def items(i):
        columns = {f"i{j}": data.items[i, j] for j in range(width)}
        return {"item": i.astype(np.int64), "kind": kinds[i % 3], **columns}

    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library]
    log = make({**queries(data.qid), **items(data.item)})
    users = make(queries(np.arange(data.queries.shape[0])))
    catalogue = make(items(np.arange(n_items)))
    return log, users, catalogue


SOURCES = {
    "whole catalogue": ({}, 0.99),
    "sampled catalogue": ({"n_candidates": 120}, 0.85),
    "with labels": ({"alpha": 0.5}, 0.7),
    "labels alone": ({"alpha": 0.0, "max_iter": 30}, 0.5),
    "cosine": ({"similarity": "cosine"}, 0.85),
    "hidden layers": ({"query_hidden": (32,), "item_hidden": (32,), "max_iter": 40}, 0.85),
    "from random weights": ({"spectral_start": False, "max_iter": 40}, 0.97),
    "adagrad": ({"optimizer": "adagrad", "learning_rate_init": 0.1}, 0.97),
    "pairwise": ({"loss": "pairwise", "max_iter": 5}, 0.9),
    "pointwise": ({"loss": "pointwise"}, 0.9),
}


@pytest.mark.parametrize("source", SOURCES)
def test_towers_learn_the_teachers_order(data, source):
    """Top 10 within 20 of 400; a constant scorer has 0.05."""
    parameters, least = SOURCES[source]
    retriever = towers(data, **parameters).fit(
        data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility
    )
    assert share_of_best(data, retriever) > least
    if source != "pairwise":  # there the spectrum is already the optimum, but for noise
        assert retriever.loss_curve_[-1] < retriever.loss_curve_[0]


def test_without_a_catalogue_the_lists_are_the_log(dense):
    scores = dense.utility(dense.queries[dense.qid], dense.items[dense.item])
    retriever = towers(dense).fit(dense.X, qid=dense.qid, teacher_scores=scores)
    predicted = retriever.predict(dense.X)
    assert teacher_recall(scores, predicted, dense.qid, k=3, m=3) > 0.85
    with pytest.raises(ValueError, match="no index"):
        retriever.retrieve(dense.queries)
    retriever.index(dense.items)
    ids, found = retriever.retrieve(dense.queries[:3], 5)
    pairs = np.hstack([np.repeat(dense.queries[:3], 5, axis=0), dense.items[ids.ravel()]])
    assert_allclose(retriever.predict(pairs).reshape(3, 5), found, rtol=1e-4)


def test_matrix_csr_and_callable_are_the_same_teacher(dense):
    matrix = np.array([dense.utility(np.tile(q, (400, 1)), dense.items) for q in dense.queries])
    kept = {}
    for name, scores in {
        "callable": dense.utility,
        "matrix": matrix,
        "csr of everything": sparse.csr_array(matrix),
    }.items():
        retriever = towers(dense, max_iter=3, learning_rate_init=0.02)
        retriever.fit(dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=scores)
        kept[name] = retriever.retrieve(dense.queries, 10)
    for ids, _ in kept.values():
        # Not bit by bit: float32 sums in another order, and Adam's first steps look at signs.
        assert retrieval_curve(kept["matrix"][0], ids).recall[-1] > 0.98


def test_csr_of_the_best_is_enough(dense):
    best = dense.utility.best(dense.queries, dense.items, 40)
    query = np.repeat(np.arange(200), 40)
    stored = dense.utility(dense.queries[query], dense.items[best.ravel()])
    scores = sparse.csr_array((stored, (query, best.ravel())), shape=(200, 400))
    retriever = towers(dense, max_iter=40)
    retriever.fit(dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=scores)
    assert share_of_best(dense, retriever) > 0.9


def test_sampled_pairs_are_asked_for_once_and_bounded(dense):
    asked = []

    def teacher(queries, items):
        asked.append(np.hstack([queries[:, :2], items[:, :2]]))
        return dense.utility(queries, items)

    towers(dense, n_candidates=60).fit(
        dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=teacher
    )
    pairs = np.concatenate(asked)
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert 0.9 * 60 * 200 < len(pairs) <= 60 * 200


def test_a_fitted_teacher_labels_the_catalogue(dense):
    """LambdaRank on the log, through pair features; privileged pair columns without a catalogue."""

    def products(queries, items):
        return np.hstack([queries, items, queries * items])

    teacher = LGBMRanker(n_estimators=20, min_child_samples=5, verbose=-1)
    retriever = towers(dense, teacher=teacher, pair_features=products, teacher_check=True)
    with pytest.warns(TeacherWarning):  # twenty trees on two thousand rows are no guide
        retriever.fit(dense.X, dense.y, qid=dense.qid, items=dense.items)
    assert retriever.teacher_.n_features_in_ == 24
    assert 0 < retriever.teacher_check_.teacher < 1
    held = retriever.teacher_recall(dense.X, qid=dense.qid, k=10, m=50)
    grid = np.array(
        [
            retriever.teacher_.predict(products(np.tile(q, (400, 1)), dense.items))
            for q in dense.queries
        ]
    )
    towers_grid = retriever.transform_queries(dense.queries) @ retriever.index_.embeddings.T
    by_hand = teacher_recall(
        grid.ravel(), towers_grid.ravel(), np.repeat(np.arange(200), 400), k=10, m=50
    )
    assert held == pytest.approx(by_hand)
    assert held > 0.7

    with_pairs = np.hstack([dense.X, dense.X[:, :8] * dense.X[:, 8:]])
    retriever = towers(dense, teacher=teacher).fit(with_pairs, dense.y, qid=dense.qid)
    assert retriever.teacher_.n_features_in_ == 24
    assert retriever.teacher_recall(with_pairs, qid=dense.qid, k=3, m=5) > 0.7


def test_default_pair_features_keep_the_order_of_the_log(dense):
    """Item columns first in X: the frozen teacher was fitted on that order."""
    X = np.hstack([dense.X[:, 8:], dense.X[:, :8]])
    teacher = FrozenEstimator(Ridge().fit(X, dense.y))
    retriever = TwoTowerRetriever(
        teacher,
        query_columns=slice(8, 16),
        item_columns=slice(0, 8),
        teacher_check=False,
        random_state=0,
    ).fit(X, dense.y, qid=dense.qid, items=dense.items)
    assert retriever.teacher_recall(X, qid=dense.qid, k=5, m=6) > 0.99


def test_an_unfit_teacher_is_called_out(dense):
    def upside_down(queries, items):
        return -dense.utility(queries, items)

    with pytest.warns(TeacherWarning, match=r"popularity finds .* alpha < 1"):
        retriever = towers(dense, teacher_check=True, max_iter=2).fit(
            dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=upside_down
        )
    check = retriever.teacher_check_
    assert not check.is_fit
    assert check.teacher < check.popularity < check.label_towers
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        retriever = towers(dense, teacher_check=True, max_iter=2).fit(
            dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=dense.utility
        )
    assert retriever.teacher_check_.is_fit
    assert retriever.teacher_check_.m == 40


def test_a_refitted_teacher_keeps_labels_although_all_queries_could_be_asked(dense):
    """60 labelled queries are fewer than the check may ask: half of them stay for the teacher."""
    few = dense.qid < 60
    fitted_on = []

    class Recording(Ridge):
        def fit(self, X, y, sample_weight=None):
            fitted_on.append(len(y))
            return super().fit(X, y, sample_weight)

    retriever = towers(dense, teacher=Recording(), teacher_check=True, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeacherWarning)
        retriever.fit(dense.X[few], dense.y[few], qid=dense.qid[few], items=dense.items)
    assert fitted_on[0] == few.sum()
    assert few.sum() / 3 < fitted_on[1] < few.sum()
    assert retriever.teacher_check_.n_queries <= 30


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_with_ids_and_categories(dense, library):
    log, users, catalogue = frame_of(dense, library)
    query_columns = [c for c in log.columns if c.startswith("q") or c == "user"]
    item_columns = [c for c in log.columns if c not in query_columns]

    def teacher(queries, items):
        names = [f"q{j}" for j in range(8)], [f"i{j}" for j in range(8)]
        return dense.utility(np.asarray(queries[names[0]]), np.asarray(items[names[1]]))

    retriever = TwoTowerRetriever(
        query_columns=query_columns, item_columns=item_columns, random_state=0
    ).fit(log, dense.y, qid=dense.qid, items=catalogue, teacher_scores=teacher)
    ids, _ = retriever.retrieve(users, 20)
    best = dense.utility.best(dense.queries, dense.items, 10)
    assert retrieval_curve(best, ids).recall[-1] > 0.99
    assert retriever.predict(log).shape == (len(log),)
    assert_array_equal(retriever.retrieve(log[query_columns][:1], 5)[0], ids[dense.qid[:1], :5])

    # Cold start: a new id, a new category; only the other columns speak.
    new = catalogue.to_pandas() if library == "polars" else catalogue.copy()
    new["item"] += 10_000
    new["kind"] = "never seen"
    new = pl.DataFrame(new) if library == "polars" else new
    retriever.index(new)
    ids, _ = retriever.retrieve(users, 50)
    assert retrieval_curve(best, ids).recall[-1] > 0.6


def test_missing_numbers_are_imputed_or_named(dense):
    X, items = dense.X.copy(), dense.items.copy()
    X[:, 8][dense.item == 3] = np.nan
    items[3, 0] = np.nan
    scores = np.random.default_rng(0).standard_normal((200, 400))
    fit = {"qid": dense.qid, "items": items, "teacher_scores": scores}
    assert np.isfinite(towers(dense).fit(X, dense.y, **fit).index_.embeddings).all()
    unchanged = towers(dense, item_transformer=FunctionTransformer())
    with pytest.raises(ValueError, match="item_transformer must return finite.*column 0"):
        unchanged.fit(X, dense.y, **fit)


def test_scikit_learn_searches_over_towers(dense, routing):
    """Pipeline, grid search and cross-validation by query, on the pair table, qid routed."""
    teacher = FrozenEstimator(
        LGBMRanker(n_estimators=10, verbose=-1).fit(dense.X, dense.y, group=np.full(200, 10))
    )
    pipeline = Pipeline(
        [
            ("same", FunctionTransformer()),
            ("towers", towers(dense, teacher=teacher, max_iter=3)),
        ]
    )
    for scoring in (None, ndcg_scorer(k=5), retrieval_scorer(3, 5)):
        search = GridSearchCV(
            pipeline,
            {"towers__embedding_dim": [2, 8]},
            cv=RankingGroupKFold(3),
            scoring=scoring,
            error_score="raise",
        ).fit(dense.X, dense.y, qid=dense.qid)
        assert (search.cv_results_["mean_test_score"] > 0.3).all()
    assert "TwoTowerRetriever" in pipeline._repr_html_()


def test_query_column_without_routing(dense):
    X = np.column_stack([dense.qid, dense.X])
    retriever = TwoTowerRetriever(
        query_columns=slice(1, 9), item_columns=slice(9, 17), query_column=0, max_iter=3
    )
    search = GridSearchCV(
        retriever, {"embedding_dim": [4, 8]}, cv=GroupKFold(3), error_score="raise"
    ).fit(X, dense.y, groups=dense.qid)
    assert search.best_score_ > 0.7
    # Without any ids, rows of equal query columns are one query.
    plain = towers(dense, max_iter=3).fit(dense.X, dense.y)
    assert plain.score(dense.X, dense.y) == plain.score(dense.X, dense.y, qid=dense.qid)


def test_a_fit_repeats_and_ignores_the_order_of_rows(dense):
    fit = {"items": dense.items, "teacher_scores": dense.utility}
    first = towers(dense, alpha=0.5, n_candidates=80)
    second = clone(first)
    first.fit(dense.X, dense.y, qid=dense.qid, **fit)
    shuffled = np.random.default_rng(1).permutation(len(dense.y))
    second.fit(dense.X[shuffled], dense.y[shuffled], qid=dense.qid[shuffled], **fit)
    for name, array in first.params_.items():
        assert_array_equal(array, second.params_[name])


def test_a_joblib_file_retrieves_the_same_in_a_fresh_process(dense, tmp_path):
    retriever = towers(dense).fit(
        dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=dense.utility
    )
    ids, scores = retriever.retrieve(dense.queries[:20], 10)
    joblib.dump(retriever, tmp_path / "towers.joblib")
    np.save(tmp_path / "queries.npy", dense.queries[:20])
    code = (
        "import joblib, numpy as np, sys; towers = joblib.load('towers.joblib');"
        "ids, scores = towers.retrieve(np.load('queries.npy'), 10);"
        "np.savez('found.npz', ids=ids, scores=scores); print('lightgbm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
    found = np.load(tmp_path / "found.npz")
    assert_array_equal(found["ids"], ids)
    assert_array_equal(found["scores"], scores)
    # Memory-mapped embeddings are searched where they lie.
    mapped = joblib.load(tmp_path / "towers.joblib", mmap_mode="r")
    assert isinstance(mapped.index_.embeddings, np.memmap)
    assert_array_equal(mapped.retrieve(dense.queries[:20], 10)[0], ids)


def test_excluded_and_masked_items_are_not_retrieved(dense):
    retriever = towers(dense).fit(
        dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=dense.utility
    )
    seen = sparse.csr_array((np.ones(len(dense.y)), (dense.qid, dense.item)), shape=(200, 400))
    ids, _ = retriever.retrieve(dense.queries, 390, exclude=seen, n_jobs=2)
    assert not seen[np.repeat(np.arange(200), 390), np.maximum(ids, 0).ravel()][
        ids.ravel() >= 0
    ].any()
    left_over = 400 - np.bincount(seen.tocoo().row, minlength=200)
    assert_array_equal((ids >= 0).sum(axis=1), np.minimum(left_over, 390))
    mask = np.arange(400) % 2 == 0
    ids, _ = retriever.retrieve(dense.queries, 5, mask=mask)
    assert (ids % 2 == 0).all()

    names = np.array([f"item {i}" for i in range(400)])
    plain, _ = retriever.retrieve(dense.queries, 5)
    order = np.random.default_rng(0).permutation(400)
    retriever.index(dense.items[order], ids=names[order])
    named, _ = retriever.retrieve(dense.queries, 5)
    assert_array_equal(named, names[plain])
    none, scores = retriever.retrieve(dense.queries[:0], 5)
    assert none.shape == scores.shape == (0, 5)
    one = retriever.index(dense.items[:1], ids=["only"]).retrieve(dense.queries[:2], 3)
    assert one[0].tolist() == [["only"]] * 2  # no more places than items


def test_items_are_retrieved_by_their_score_and_their_bid(dense):
    """An engine with one more dimension, and bids that change without another embedding."""
    retriever = towers(dense, max_iter=1).fit(
        dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=dense.utility
    )
    scores = retriever.transform_queries(dense.queries) @ retriever.transform_items(dense.items).T
    rng = np.random.default_rng(0)
    names = np.array([f"item {i}" for i in range(400)])
    log_bids = 2 * scores.std() * rng.standard_normal(400)
    for engine in ({}, {"engine": "faiss", "factory": "Flat"}):
        retriever.index(dense.items, names, offset=log_bids, **engine)
        ids, found = retriever.retrieve(dense.queries, 10)
        best = np.argsort(-(scores + log_bids), axis=1)[:, :10]
        assert (ids == names[best]).mean() > 0.99  # but for scores that are equal but for rounding
        assert_allclose(found, np.take_along_axis(scores + log_bids, best, axis=1), atol=1e-4)
    retriever.index(dense.items, names, offset=log_bids)
    retriever.index_.set_offset(names[best[:, 0]][:1], [-1000.0])
    assert names[best[0, 0]] not in retriever.retrieve(dense.queries, 399)[0]
    retriever.index(dense.items, names)
    plain = names[np.argsort(-scores, axis=1)[:, :10]]
    assert (retriever.retrieve(dense.queries, 10)[0] == plain).mean() > 0.99


def test_items_of_the_log_that_are_not_in_the_catalogue(dense):
    """Half of the catalogue is gone: those items teach as logged ones, and are not returned."""
    retriever = towers(dense, alpha=0.5)
    retriever.fit(
        dense.X, dense.y, qid=dense.qid, items=dense.items[:200], teacher_scores=dense.utility
    )
    assert retriever.index_.n_items == 200
    relevant = sparse.csr_array((dense.y, (dense.qid, dense.item)), shape=(200, 400))[:, :200]
    ids, _ = retriever.retrieve(dense.queries, 20)
    assert retrieval_recall(relevant, ids, k=20) > 0.5


def test_weight_0_and_unknown_labels_do_not_teach(dense):
    """A query of weight 0 does not teach; rows without a label teach through the teacher alone."""
    weight = np.where(dense.qid < 100, 1.0, 0.0)
    fit = {"qid": dense.qid, "items": dense.items, "teacher_scores": dense.utility}
    ids = {}
    for name, y in {
        "all": dense.y,
        "half": np.where(dense.qid < 100, dense.y, 1 - dense.y),
    }.items():
        retriever = towers(dense, alpha=0, max_iter=5)
        ids[name] = retriever.fit(dense.X, y, sample_weight=weight, **fit).params_
    for name, array in ids["all"].items():
        assert_allclose(array, ids["half"][name], rtol=1e-4, atol=1e-6)
    unknown = np.where(dense.qid < 100, dense.y, np.nan)
    retriever = towers(dense, alpha=0.5).fit(dense.X, unknown, **fit)
    assert share_of_best(dense, retriever) > 0.7


ERRORS = {
    "both sides": ({"item_columns": slice(7, 16)}, {}, "both select"),
    "no column": ({"query_columns": []}, {}, "query_columns selects no column"),
    "missing column": ({"query_columns": [99]}, {}, "query_columns"),
    "two queries": ({}, {"qid": np.repeat(np.arange(1000), 2) % 100}, "must be the same in all"),
    "matrix": ({}, {"teacher_scores": np.zeros((3, 400))}, r"expected shape \(200, 400\), got"),
    "nan": ({}, {"teacher_scores": np.full((200, 400), np.nan)}, "must be finite"),
    "function": ({}, {"teacher_scores": lambda q, i: np.zeros(3)}, "one score per row"),
    "nothing": ({"alpha": 0.5}, {"y": None, "teacher_scores": np.zeros((200, 400))}, "no row has"),
    "catalogue": ({}, {"items": np.zeros((5, 3))}, "items must have 8 columns"),
    "similarity": ({"similarity": "euclid"}, {}, "similarity"),
    "loss": ({"loss": "best"}, {}, "loss must be one of"),
    "early": ({"early_stopping": True}, {"qid": np.zeros(2000)}, "must be the same"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_of_fit_name_what_is_wrong(dense, case):
    parameters, arguments, message = ERRORS[case]
    columns = {"query_columns": slice(0, 8), "item_columns": slice(8, 16), "max_iter": 1}
    retriever = TwoTowerRetriever(**{**columns, **parameters})
    fit = {"y": dense.y, "qid": dense.qid, "items": dense.items, "teacher_scores": dense.utility}
    with pytest.raises(ValueError, match=message):
        retriever.fit(dense.X, **{**fit, **arguments})


def test_errors_of_fitted_towers_name_what_is_wrong(dense):
    log, users, catalogue = frame_of(dense)
    columns = {"query_columns": ["user", "q0"], "item_columns": ["item", "kind"]}
    retriever = TwoTowerRetriever(**columns, max_iter=1).fit(
        log, dense.y, qid=dense.qid, items=catalogue
    )
    with pytest.raises(ValueError, match=r"queries lacks the columns \['q0'\]"):
        retriever.retrieve(users[["user"]])
    with pytest.raises(ValueError, match="items must be a data frame"):
        retriever.index(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="none was kept"):
        retriever.teacher_recall(log, qid=dense.qid)
    with pytest.raises(ValueError, match="k must be an integer"):
        retriever.retrieve(users, 0)
    with pytest.raises(ValueError, match="engine must be one of"):
        retriever.index(catalogue, engine="fast")


def test_the_catalogue_is_metadata_of_a_grid_search(dense, routing):
    """Neither sliced with the rows nor lost: every fold's towers know all of it."""
    teacher = FrozenEstimator(
        LGBMRanker(n_estimators=10, verbose=-1).fit(dense.X, dense.y, group=np.full(200, 10))
    )
    search = GridSearchCV(
        towers(dense, teacher=teacher, max_iter=3),
        {"embedding_dim": [4, 16]},
        cv=RankingGroupKFold(2),
        scoring=retrieval_scorer(10, 50),
        error_score="raise",
    ).fit(dense.X, dense.y, qid=dense.qid, items=dense.items)
    assert search.best_estimator_.index_.n_items == 400
    assert search.best_score_ > 0.5


def test_queries_behind_a_pipeline_that_moves_columns(dense):
    """Without any ids the towers' own columns say which rows are a query: those they were given."""
    pipeline = Pipeline(
        [
            ("reverse", FunctionTransformer(lambda X: X[:, ::-1])),
            ("towers", towers(dense, max_iter=2)),
        ]
    ).fit(dense.X[:, ::-1], dense.y)
    found = ndcg_scorer(k=10)(pipeline, dense.X[:, ::-1], dense.y)
    told = ndcg_scorer(k=10)(pipeline, dense.X[:, ::-1], dense.y, qid=dense.qid)
    assert found == pytest.approx(told, rel=1e-12)


EARLY = {"early_stopping": True, "max_iter": 60, "tol": 0.0, "learning_rate": "constant"}
STOPPED_BY = {
    "the teacher": {"spectral_start": False},
    "labels": {"alpha": 0.0},
    "both": {"alpha": 0.5, "spectral_start": False},
}


@pytest.mark.parametrize("kind", STOPPED_BY)
def test_early_stopping_ends_with_the_best_epoch(dense, kind, monkeypatch):
    stoppers = []
    update = EarlyStopping.update

    def watched(self, params):
        stoppers.append(self)
        return update(self, params)

    monkeypatch.setattr(EarlyStopping, "update", watched)
    # Noise that no towers can learn keeps the scores away from 1.
    noise = np.random.default_rng(0).normal(0, 3, (200, 400))
    pairs = np.repeat(dense.queries, 400, axis=0), np.tile(dense.items, (200, 1))
    noisy = dense.utility(*pairs).reshape(200, 400) + noise
    retriever = towers(dense, learning_rate_init=0.05, **EARLY, **STOPPED_BY[kind])
    retriever.fit(dense.X, dense.y, qid=dense.qid, items=dense.items, teacher_scores=noisy)
    scores = retriever.validation_scores_
    assert len(scores) == retriever.n_iter_ == np.argmax(scores) + 1 + 5 < 60
    assert stoppers[-1].validate(retriever.params_) == max(scores) > scores[-1]


def test_early_stopping_on_a_log_without_a_catalogue(dense):
    scores = dense.utility(dense.queries[dense.qid], dense.items[dense.item])
    pairs = towers(dense, early_stopping=True).fit(dense.X, qid=dense.qid, teacher_scores=scores)
    assert max(pairs.validation_scores_) > 0.9


def test_a_progress_bar_shows_the_towers(dense, capsys):
    retriever = towers(dense, max_iter=2).set_callbacks(ProgressBar())
    retriever.fit(dense.X, dense.y, qid=dense.qid, items=dense.items)
    assert "TwoTowerRetriever" in capsys.readouterr().out


@pytest.mark.parametrize("with_catalogue", [True, False])
def test_the_teacher_gets_the_pairs_with_their_queries_and_weights(dense, with_catalogue):
    weight = np.random.default_rng(0).uniform(0.1, 10, len(dense.y))
    settings = {"n_estimators": 5, "min_child_samples": 5, "verbose": -1}
    retriever = towers(dense, teacher=LGBMRanker(**settings), max_iter=1)
    items = dense.items if with_catalogue else None
    retriever.fit(dense.X, dense.y, qid=dense.qid, items=items, sample_weight=weight)
    data = RankingData.sort(dense.qid, dense.X, dense.y, sample_weight=weight)
    by_hand = LGBMRanker(**settings).fit(
        data.X, data.labels, group=data.queries.sizes, sample_weight=data.sample_weight
    )
    assert_array_equal(retriever.teacher_.predict(dense.X), by_hand.predict(dense.X))


def utilities(data):
    """The true utility of every pair of a logged query and an item."""
    queries = data.queries[np.unique(data.qid)]
    n_queries, n_items = len(queries), len(data.items)
    pairs = np.repeat(np.arange(n_queries), n_items), np.tile(np.arange(n_items), n_queries)
    return data.utility(queries[pairs[0]], data.items[pairs[1]]).reshape(n_queries, n_items)


@pytest.mark.parametrize("n_candidates", [None, 60])
def test_known_items_are_masked(dense, n_candidates):
    """The teacher's scores of known pairs do not matter then; those of rows of label 0 do."""
    query, item = np.searchsorted(np.unique(dense.qid), dense.qid), dense.item
    rows = {"known": dense.y != 0, "others": dense.y == 0}
    found = {}
    for name in ("unchanged", *rows):
        scores = utilities(dense)
        if name in rows:
            scores[query[rows[name]], item[rows[name]]] += 3.0
        model = towers(
            dense, known_items="mask", n_candidates=n_candidates, spectral_start=False, max_iter=3
        )
        given = {"qid": dense.qid, "items": dense.items, "teacher_scores": scores}
        found[name] = model.fit(dense.X, dense.y, **given).params_["item_weights_0"]
    assert_array_equal(found["known"], found["unchanged"])
    assert np.abs(found["others"] - found["unchanged"]).max() > 0.01


def test_early_stopping_does_not_look_at_masked_items(dense):
    """Neither the teacher's best known items nor the towers' take places in the lists."""
    model = towers(dense, known_items="mask", early_stopping=True, max_iter=3)
    given = {"qid": dense.qid, "items": dense.items}
    query, item = np.searchsorted(np.unique(dense.qid), dense.qid), dense.item
    known, scores = dense.y != 0, utilities(dense)
    model.fit(dense.X, dense.y, teacher_scores=scores, **given)
    found = model.validation_scores_
    scores[query[known], item[known]] += 100.0
    model.set_params(spectral_start=False).fit(dense.X, dense.y, teacher_scores=scores, **given)
    high = model.validation_scores_
    scores[query[known], item[known]] -= 200.0
    model.fit(dense.X, dense.y, teacher_scores=scores, **given)
    assert high == model.validation_scores_
    assert max(found) > 0.5


def test_masking_all_items_is_an_error():
    queries, items = np.divmod(np.arange(12.0), 4)
    model = TwoTowerRetriever(
        query_columns=[0], item_columns=[1], known_items="mask", teacher_check=False
    )
    scores = np.random.default_rng(0).standard_normal((3, 4))
    with pytest.raises(ValueError, match="leaves nothing to learn"):
        model.fit(
            np.column_stack([queries, items]),
            qid=queries,
            items=np.arange(4.0)[:, None],
            teacher_scores=scores,
        )


def test_the_default_loss_depends_on_what_is_learnt():
    """Ranks of a catalogue, scores of logged rows; a temperature belongs to a loss of scores."""
    made = {}
    for name, parameters in {
        "default": {},
        "temperature": {"temperature": 0.5},
        "named": {"loss": "plackett_luce", "hard_loss": "logistic"},
    }.items():
        model = TwoTowerRetriever(query_columns=[0], item_columns=[1], **parameters)
        objective = model.make_pair_objective()
        made[name] = objective.soft, objective.soft_on_log, objective.hard
    scores, labels = get_loss("listwise"), get_loss("listwise")
    assert made["default"] == (get_loss("rank_listwise"), scores, labels)
    assert made["temperature"] == (get_loss("listwise", 0.5), get_loss("listwise", 0.5), labels)
    ranks = get_loss("plackett_luce")
    assert made["named"] == (ranks, ranks, get_loss("logistic"))


@pytest.mark.parametrize(
    ("parameters", "ids", "learns_from", "settings"),
    [
        ({}, (60,), "catalogue", (40, 0.05)),
        ({"n_candidates": 50}, (60,), "catalogue", (40, 0.05)),
        ({"query_hidden": (4,)}, (60,), "catalogue", (40, 0.02)),
        ({"alpha": 0.5}, (60,), "catalogue", (20, 0.02)),
        ({"alpha": 0.0}, (60,), "catalogue", (20, 0.02)),
        ({}, (60,), "log", (20, 0.02)),
        ({}, (20,), "catalogue", (20, 0.02)),
    ],
)
def test_towers_of_ids_that_a_teacher_alone_teaches_train_longer(
    parameters, ids, learns_from, settings
):
    data = make_retrieval(60, 80, query_ids=ids, random_state=0)
    arguments = {"qid": data.qid, "teacher_scores": data.utility, "items": data.items}
    if learns_from == "log":
        scores = data.utility(data.queries[data.qid], data.items[data.item])
        arguments = {"qid": data.qid, "teacher_scores": scores}
    curves = [
        towers(data, max_iter=n_epochs, learning_rate_init=rate, **parameters)
        .fit(data.X, data.y, **arguments)
        .loss_curve_
        for n_epochs, rate in (("auto", "auto"), settings)
    ]
    assert len(curves[0]) == settings[0]
    assert curves[0] == curves[1]

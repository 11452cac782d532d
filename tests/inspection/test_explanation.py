"""Contributions of columns sum to the differences of scores, and are what the models compute."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inspection import explain
from skdistill.inspection.explanation import contributions as mathematics
from skdistill.students import (
    FactorizationMachineRanker,
    LinearRanker,
    MLPRanker,
    MultiObjectiveRanker,
)

PLAIN = make_ranking(n_queries=40, n_features=5, random_state=0)
MIXED = make_ranking(n_queries=60, n_features=4, categories=(4, 12), missing=0.1, random_state=0)
MIXED.X["day"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(
    np.random.default_rng(0).integers(0, 24 * 60, len(MIXED.y)), unit="h"
)
HEAVY = make_ranking(n_queries=40, n_features=5, random_state=1)
HEAVY.X[:, [1, 3]] = np.exp(2 * HEAVY.X[:, [1, 3]])  # two inputs of the model each
STUDENTS = {
    "linear": LinearRanker(max_iter=3),
    "knots": LinearRanker(max_iter=3, n_knots=4),
    "FM": FactorizationMachineRanker(4, max_iter=3),
    "MLP": MLPRanker((8,), max_iter=3),
    "deep MLP": MLPRanker((16, 8), max_iter=3),
    "MLP with knots": MLPRanker((8,), max_iter=3, n_knots=3),
}


def centred(values, qid):
    return values - pd.Series(values).groupby(np.asarray(qid)).transform("mean").to_numpy()


@pytest.fixture(scope="module", params=STUDENTS)
def name(request):
    return request.param


def fit(name, data):
    student = clone(STUDENTS[name]).set_params(random_state=0)
    return student.fit(data.X, data.y, qid=data.qid)


@pytest.mark.parametrize("data", [PLAIN, MIXED, HEAVY], ids=["numbers", "mixed", "heavy tails"])
def test_contributions_sum_to_differences_of_scores(name, data):
    student = fit(name, data)
    order = np.random.default_rng(0).permutation(len(data.y))
    X = data.X.iloc[order] if isinstance(data.X, pd.DataFrame) else data.X[order]
    found = explain(student, X, qid=data.qid[order])
    wanted = centred(student.predict(X).astype(np.float64), data.qid[order])
    np.testing.assert_allclose(found.scores, wanted, atol=1e-6)
    spread = wanted.std()
    # Differences of maxima cost an MLP with knots a digit of float32.
    limit = spread * (1e-4 if name == "MLP with knots" else 1e-5)
    np.testing.assert_allclose(found.contributions.sum(axis=1), wanted, atol=limit)
    assert found.error == pytest.approx(
        np.abs(found.contributions.sum(axis=1) - found.scores).max()
    )
    assert found.error <= limit
    assert found.contributions.shape == X.shape


def test_a_linear_contribution_is_the_term():
    student = LinearRanker(max_iter=3, squash=False, random_state=0)
    student.fit(PLAIN.X, PLAIN.y, qid=PLAIN.qid)
    found = explain(student, PLAIN.X, qid=PLAIN.qid)
    for column in range(5):
        term = PLAIN.X[:, column] * student.coef_[column]
        np.testing.assert_allclose(
            found.contributions[:, column], centred(term, PLAIN.qid), atol=1e-5
        )


def without(student, X, column):
    """Change of the score if a column of additive effect is set to one value everywhere."""
    fixed = X.copy()
    if isinstance(X, pd.DataFrame):
        fixed[X.columns[column]] = X.iloc[:, column].mode().iloc[0]
        fixed = fixed.astype(X.dtypes.to_dict())
    else:
        fixed[:, column] = 0.0
    return student.predict(X).astype(np.float64) - student.predict(fixed)


@pytest.mark.parametrize("data", [PLAIN, MIXED, HEAVY], ids=["numbers", "mixed", "heavy tails"])
@pytest.mark.parametrize("additive", ["linear", "knots"])
def test_an_additive_contribution_is_what_the_column_changes(additive, data):
    student = fit(additive, data)
    found = explain(student, data.X, qid=data.qid)
    for column in range(data.X.shape[1]):
        change = centred(without(student, data.X, column), data.qid)
        np.testing.assert_allclose(found.contributions[:, column], change, atol=1e-5)


def test_pairs_of_a_factorization_machine_are_its_formula():
    student = FactorizationMachineRanker(4, max_iter=3, squash=False, random_state=0)
    student.fit(PLAIN.X, PLAIN.y, qid=PLAIN.qid)
    found = explain(student, PLAIN.X, qid=PLAIN.qid)
    z = student.scaler_.transform(PLAIN.X.astype(np.float32)).astype(np.float64)
    factors, linear = student.params_["factors"], student.params_["linear"]
    for i in range(5):
        own = centred(z[:, i] * linear[i], PLAIN.qid)
        np.testing.assert_allclose(found.pairs[:, i, i], own, atol=1e-5)
        for j in range(i):
            both = centred(z[:, i] * z[:, j] * float(factors[i] @ factors[j]), PLAIN.qid)
            np.testing.assert_allclose(2 * found.pairs[:, i, j], both, atol=1e-5)
            np.testing.assert_allclose(found.pairs[:, i, j], found.pairs[:, j, i])
    np.testing.assert_allclose(found.pairs.sum(axis=2), found.contributions, atol=1e-12)


def test_the_views_of_a_column_are_explained_as_one():
    student = fit("FM", HEAVY)
    assert list(student.scaler_.sources) == [0, 1, 2, 3, 4, 1, 3]
    found = explain(student, HEAVY.X, qid=HEAVY.qid)
    z = student.scaler_.transform(HEAVY.X.astype(np.float32)).astype(np.float64)
    factors, linear = student.params_["factors"].astype(np.float64), student.params_["linear"]
    one, other = z[:, [1, 5]] @ factors[[1, 5]], z[:, [3, 6]] @ factors[[3, 6]]
    both = centred(np.einsum("nf,nf->n", one, other), HEAVY.qid)
    np.testing.assert_allclose(2 * found.pairs[:, 1, 3], both, atol=1e-6)
    own = z[:, [1, 5]] @ linear[[1, 5]] + z[:, 1] * z[:, 5] * (factors[1] @ factors[5])
    np.testing.assert_allclose(found.pairs[:, 1, 1], centred(own, HEAVY.qid), atol=1e-6)


def test_large_tables_of_pairs_are_left_out(monkeypatch):
    student = fit("FM", PLAIN)
    whole = explain(student, PLAIN.X, qid=PLAIN.qid)
    monkeypatch.setattr(mathematics, "MOST_PAIRS", 100)
    found = explain(student, PLAIN.X, qid=PLAIN.qid)
    assert found.pairs is None
    np.testing.assert_allclose(found.contributions, whole.contributions, atol=1e-12)


def test_a_network_agrees_with_ablation():
    student = MLPRanker((16,), random_state=0).fit(PLAIN.X, PLAIN.y, qid=PLAIN.qid)
    found = explain(student, PLAIN.X, qid=PLAIN.qid)
    for column in range(5):
        table = PLAIN.X.copy()
        means = pd.Series(table[:, column]).groupby(PLAIN.qid).transform("mean")
        table[:, column] = means
        change = student.predict(PLAIN.X) - student.predict(table)
        change = centred(change.astype(np.float64), PLAIN.qid)
        assert spearmanr(found.contributions[:, column], change).statistic > 0.9


def test_blocks_of_queries_change_nothing(monkeypatch):
    student = fit("deep MLP", MIXED)
    whole = explain(student, MIXED.X, qid=MIXED.qid)
    monkeypatch.setattr(mathematics, "BLOCK_NUMBERS", 16 * 7 * 50)
    parts = explain(student, MIXED.X, qid=MIXED.qid)
    np.testing.assert_allclose(parts.contributions, whole.contributions, atol=1e-10)


def test_more_steps_change_little(monkeypatch):
    student = MLPRanker((16, 8), random_state=0).fit(PLAIN.X, PLAIN.y, qid=PLAIN.qid)
    few = explain(student, PLAIN.X, qid=PLAIN.qid).contributions
    monkeypatch.setattr(mathematics, "STEPS", 1024)
    many = explain(student, PLAIN.X, qid=PLAIN.qid).contributions
    assert np.abs(few - many).max() < 0.02 * many.std()


def test_distilled_rankers_pipelines_and_query_columns():
    frame = pd.DataFrame(PLAIN.X, columns=[*"abcde"]).assign(query=PLAIN.qid)
    teacher = lightgbm.LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1)
    ranker = DistilledRanker(
        teacher, LinearRanker(max_iter=2), student_columns=["a", "c"], query_column="query",
        random_state=0,
    ).fit(frame, PLAIN.y)  # fmt: skip
    found = explain(ranker, frame)
    assert found.names == ["a", "c"]
    assert found.error < 1e-5
    student = LinearRanker(max_iter=2, query_column="query", random_state=0).fit(frame, PLAIN.y)
    assert explain(student, frame).names == [*"abcde"]
    pipeline = make_pipeline(StandardScaler(), LinearRanker(max_iter=2, random_state=0))
    pipeline.fit(frame[[*"abcde"]], PLAIN.y, linearranker__qid=PLAIN.qid)
    found = explain(pipeline, frame[[*"abcde"]], qid=PLAIN.qid)
    assert found.names == [*"abcde"]
    assert found.error < 1e-5


def test_sparse_tables():
    X = sparse.random_array((len(PLAIN.y), 30), density=0.2, rng=0, format="csr")
    student = LinearRanker(max_iter=2, random_state=0).fit(X, PLAIN.y, qid=PLAIN.qid)
    assert explain(student, X, qid=PLAIN.qid).error < 1e-5
    wide = sparse.random_array((len(PLAIN.y), 2000), density=0.01, rng=0, format="csr")
    student.fit(wide, PLAIN.y, qid=PLAIN.qid)
    with pytest.raises(TypeError, match=r"up to 1024 columns, got 2000"):
        explain(student, wide, qid=PLAIN.qid)


def test_a_row_is_explained_against_the_mean_or_another_row():
    student = fit("linear", MIXED)
    found = explain(student, MIXED.X, qid=MIXED.qid)
    table = found.rows(3, n_columns=2)
    assert table[0] == ["column", "contribution"]
    assert table[3][0] == "5 others"
    assert table[-1][1] == pytest.approx(found.scores[3])
    assert sum(row[1] for row in table[1:-1]) == pytest.approx(found.scores[3], abs=1e-5)
    scores = student.predict(MIXED.X.iloc[:6])
    assert found.rows(0, than=1)[-1][1] == pytest.approx(float(scores[0] - scores[1]), abs=1e-5)
    largest = np.abs(found.contributions[3]).argmax()
    assert table[1][0] == MIXED.X.columns[largest]
    assert list(found.frame().columns) == list(MIXED.X.columns)
    assert "mean size" in str(found)
    assert repr(found) == str(found)
    assert "<table>" in found._repr_html_()
    order = np.random.default_rng(0).permutation(len(MIXED.y))
    found = explain(student, MIXED.X.iloc[order], qid=MIXED.qid[order])
    np.testing.assert_array_equal(found.queries, MIXED.qid[order])
    other = int(np.flatnonzero(found.queries != found.queries[0])[0])
    with pytest.raises(ValueError, match=f"Rows 0 and {other} are of different queries"):
        found.rows(0, than=other)


def test_what_cannot_be_explained_is_refused():
    teacher = lightgbm.LGBMRanker(n_estimators=2, verbose=-1).fit(
        PLAIN.X, PLAIN.y, group=np.unique(PLAIN.qid, return_counts=True)[1]
    )
    with pytest.raises(TypeError, match="explain takes students"):
        explain(teacher, PLAIN.X, qid=PLAIN.qid)
    student = MultiObjectiveRanker({"a": "listwise", "b": "listwise"}, max_iter=1)
    both = np.column_stack([PLAIN.y, PLAIN.y])
    student.fit(PLAIN.X, both, qid=PLAIN.qid)
    assert explain(student, PLAIN.X, qid=PLAIN.qid).error < 1e-5

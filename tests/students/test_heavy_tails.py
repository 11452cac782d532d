"""Students on columns of very heavy tails, which trees split as well as any other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker

N_TRAINING = 300


def split(X, utility, qid):
    """Labels from 0 to 4 by the rank in the query, and what of the table is for training."""
    order = np.lexsort((utility, qid))
    rank = np.empty(len(qid))
    rank[order] = np.arange(len(qid)) % 20
    return X, np.clip((rank - 12) // 2 + 1, 0, 4), utility, qid, qid < N_TRAINING


def ndcg(student, table):
    X, y, utility, qid, is_training = table
    student = clone(student).set_params(random_state=0)
    student.fit(
        *(X[is_training], y[is_training]),
        qid=qid[is_training],
        teacher_scores=utility[is_training],
    )
    rest = ~is_training
    return student.score(X[rest], y[rest], qid=qid[rest]), student


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("tail", "kept"), [(lambda z: np.exp(2 * z), 0.945), (lambda z: np.sinh(3 * z), 0.91)]
)
def test_a_truth_in_the_logarithm_is_learnt_almost_as_from_logarithms(seed, tail, kept):
    """With the first view alone, students kept 0.92 of the first and 0.82 of the second."""
    data = make_ranking(N_TRAINING + 150, 20, 8, truth="nonlinear", random_state=seed)
    plain, _ = ndcg(MLPRanker((32, 16)), split(data.X, data.utility, data.qid))
    heavy, student = ndcg(MLPRanker((32, 16)), split(tail(data.X), data.utility, data.qid))
    assert student.scaler_.n_outputs == 16
    assert heavy > kept * plain


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("student", [LinearRanker(), MLPRanker((32, 16))], ids=["linear", "mlp"])
def test_a_truth_in_the_numbers_themselves_is_still_learnt(student, seed):
    """With a view that bends at the median alone, students reached 0.74 and 0.85."""
    rng = np.random.default_rng(seed)
    qid = np.repeat(np.arange(N_TRAINING + 150), 20)
    X = np.exp(2 * rng.standard_normal((len(qid), 8)))
    reached, fitted = ndcg(student, split(X, X @ rng.standard_normal(8), qid))
    assert fitted.scaler_.n_outputs == 16
    assert reached > 0.95


@pytest.mark.parametrize(
    "student", [LinearRanker(), FactorizationMachineRanker(4), MLPRanker((8,))], ids=str
)
def test_fitting_goes_on_with_the_views_of_the_first_table(student):
    data = make_ranking(60, 20, 3, random_state=0)
    X = np.exp(2 * data.X)
    student = clone(student).set_params(max_iter=2, random_state=0, warm_start=True)
    student.fit(X, data.y, qid=data.qid)
    scaler = student.scaler_
    assert scaler.n_outputs == 6
    # Later tables have other tails.
    student.fit(data.X, data.y, qid=data.qid)
    assert student.scaler_ is scaler
    streamed = clone(student).set_params(warm_start=False)
    for table in (X, data.X, sparse.csr_array(data.X)):
        streamed.partial_fit(table, data.y, qid=data.qid)
    assert_array_equal(streamed.scaler_.half, scaler.half)
    rows = X[:50]
    expected = streamed.predict(rows)
    assert_allclose(streamed.predict(sparse.csr_array(rows)), expected, atol=1e-5)
    assert_allclose([streamed.predict(row[None])[0] for row in rows], expected, atol=1e-5)


def test_a_csr_table_keeps_one_input_per_column():
    data = make_ranking(60, 20, 3, random_state=0)
    X = sparse.csr_array(np.exp(2 * data.X))
    student = LinearRanker(max_iter=1, random_state=0).fit(X, data.y, qid=data.qid)
    assert student.scaler_.has_softsign.all()
    assert student.scaler_.n_outputs == 3

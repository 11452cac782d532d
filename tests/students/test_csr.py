"""Scores of CSR matrices: the same in any form, and refused where they were before."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skdistill.inputs.products import BLOCK_ROWS
from skdistill.models.scoring import MOST_BLOCKS
from skdistill.students import STUDENTS, LinearRanker

N_ROWS, N_COLUMNS = 240, 8


@pytest.fixture(scope="module", params=["LinearRanker", "FactorizationMachineRanker", "MLPRanker"])
def student(request):
    X = table(N_ROWS)
    options = {"max_iter": 3, "early_stopping": False, "random_state": 0}
    return STUDENTS[request.param](**options).fit(X, labels(X), qid=np.arange(N_ROWS) // 6)


def table(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, N_COLUMNS)) * (rng.random((n_rows, N_COLUMNS)) < 0.4)
    return sparse.csr_array(X.astype(np.float32))


def labels(X):
    return (X[:, [0]].toarray()[:, 0] > 0).astype(float)


def test_a_row_scores_the_same_in_any_table(student):
    # Several blocks, more than are scored at once, and a rest.
    X = table(BLOCK_ROWS * MOST_BLOCKS + BLOCK_ROWS + 5)
    scores = student.predict(X)
    rows = np.arange(0, X.shape[0], 997)
    one_by_one = [student.predict(X[[row]])[0] for row in rows]
    assert_allclose(scores[rows], one_by_one, rtol=1e-5, atol=1e-6)
    assert_allclose(student.predict(X.toarray()[rows]), scores[rows], rtol=1e-4, atol=1e-5)


def test_forms_of_the_same_matrix_have_the_same_scores(student):
    X = table(50)
    expected = student.predict(X)
    spare = sparse.csr_array(X)
    # SciPy allows more room than there are cells.
    spare.data, spare.indices = np.append(X.data, np.nan), np.append(X.indices, 7)
    long = sparse.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)))
    long.resize(X.shape)
    forms = [X.tocsc(), X.tocoo(), X.astype(np.float64), sparse.csr_matrix(X), spare, long]
    for form in forms:
        assert_array_equal(student.predict(form), expected)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN, in column"), (np.inf, "infinity"), (2e38, "too large")]
)
def test_bad_cells_are_refused(student, value, message):
    X = table(BLOCK_ROWS + 3)
    X.data[-1] = value
    with pytest.raises(ValueError, match=message):
        student.predict(X)


def test_cells_that_float32_can_hold_are_taken():
    X = table(N_ROWS)
    fitted = LinearRanker(max_iter=1, random_state=0).fit(X, labels(X), qid=np.arange(N_ROWS) // 6)
    X.data[-1] = 1e20
    assert_allclose(fitted.predict(X)[:-1], fitted.predict(X[:-1]), rtol=1e-6)
    assert abs(fitted.predict(X)[-1]) > 1e6


def test_other_columns_are_refused(student):
    with pytest.raises(ValueError, match="features"):
        student.predict(table(5)[:, :3])
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        student.predict(table(5)[:0])


def test_a_dense_model_refuses_a_csr_matrix():
    X = table(N_ROWS).toarray()
    options = {"max_iter": 1, "random_state": 0}
    kinked = LinearRanker(n_knots=2, **options).fit(X, X[:, 0] > 0, qid=np.arange(N_ROWS) // 6)
    with pytest.raises(ValueError, match="n_knots=2 needs a dense table"):
        kinked.predict(table(5))
    X[:, 1] = np.arange(N_ROWS) % 3
    coded = LinearRanker(categorical_features=[1], **options)
    coded.fit(X, X[:, 0] > 0, qid=np.arange(N_ROWS) // 6)
    with pytest.raises(ValueError, match="fit saw columns of categories"):
        coded.predict(sparse.csr_array(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_categories_in_an_array_of_floats_are_encoded(dtype):
    X = table(N_ROWS).toarray().astype(dtype)
    X[:, 1] = np.arange(N_ROWS) % 3
    coded = LinearRanker(categorical_features=[1], max_iter=50, random_state=0)
    coded.fit(X, X[:, 1] == 1, qid=np.arange(N_ROWS) // 6)
    assert coded.score(X, X[:, 1] == 1, qid=np.arange(N_ROWS) // 6) > 0.99
    assert_allclose(coded.predict(X), coded.predict(X.astype(object)), rtol=1e-6)


def test_a_student_of_a_dense_table_with_gaps_takes_no_csr_matrix():
    X = table(N_ROWS).toarray()
    X[::7, 2] = np.nan
    y, qid = np.nan_to_num(X[:, 0]) > 0, np.arange(N_ROWS) // 6
    rows, message = table(5), "fit saw a dense table with missing values. Pass a dense table"
    for name in ("LinearRanker", "FactorizationMachineRanker", "MLPRanker"):
        student = STUDENTS[name](max_iter=1, warm_start=True).fit(X, y, qid=qid)
        with pytest.raises(ValueError, match=message):
            student.predict(rows)
        with pytest.raises(ValueError, match=message):
            student.partial_fit(rows, y[:5])
        with pytest.raises(ValueError, match=message):
            student.fit(rows, y[:5])
        assert np.isfinite(student.predict(rows.toarray())).all()
    # A new fit on CSR forgets the gaps.
    student.set_params(warm_start=False).fit(table(N_ROWS), y, qid=qid)
    assert_allclose(student.predict(rows), student.predict(rows.toarray()), rtol=1e-4, atol=1e-5)


def test_gaps_of_the_training_table_refuse_a_validation_table_of_csr():
    X = table(N_ROWS).toarray()
    X[::7, 2] = np.nan
    y, qid = X[:, 0] > 0, np.arange(N_ROWS) // 6
    with pytest.raises(ValueError, match="validation table.*fit saw a dense table with missing"):
        LinearRanker().fit(X, y, qid=qid, X_val=table(30), y_val=y[:30], qid_val=qid[:30])

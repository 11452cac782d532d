"""Ids of users: students learn what their queries agree on, and nothing of them by heart."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skdistill import DistilledRanker
from skdistill.inputs.rows import WIDE
from skdistill.metrics import ndcg_per_query
from skdistill.students import (
    FactorizationMachineRanker,
    MLPRanker,
    MultiObjectiveRanker,
)

N_QUERIES, SIZE, N_USERS = 700, 12, 140
STUDENTS = {
    "MLP": MLPRanker(random_state=0),
    "pieces": MLPRanker((32,), n_knots=8, random_state=0),
    "factorization machine": FactorizationMachineRanker(random_state=0),
}


def lists_of_users(taste, noise, seed=0, n_users=N_USERS):
    """Return a table with a user of each query, labels, queries, and the rows to train on."""
    rng = np.random.default_rng(seed)
    qid = np.repeat(np.arange(N_QUERIES), SIZE)
    user = rng.integers(0, n_users, N_QUERIES)[qid]
    X = rng.normal(size=(len(qid), 6))
    tastes = taste * rng.normal(size=(n_users, 6))
    utility = X @ [1, 0.8, 0.6, 0, 0, 0] + np.einsum("ij,ij->i", X, tastes[user])
    utility += noise * rng.normal(size=len(qid))
    y = np.digitize(utility, np.quantile(utility, [0.7, 0.9])).astype(float)
    table = pd.DataFrame(X).add_prefix("x").assign(user=np.char.add("u", user.astype(str)))
    return table, y, qid, qid < 500


def gain_of_user(student, X, y, qid, is_training):
    """NDCG@10 of held-out queries if the student reads the user, minus that if it does not."""
    scores = []
    for table in (X, X.drop(columns="user")):
        fitted = student.fit(table[is_training], y[is_training], qid=qid[is_training])
        found = ndcg_per_query(y[~is_training], fitted.predict(table[~is_training]),
                               qid[~is_training], k=10)  # fmt: skip
        scores.append(np.nanmean(found))
    return scores[0] - scores[1]


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("n_users", [30, 140, 500])
def test_an_id_that_means_nothing_costs_nothing(name, n_users):
    """The loss was 0.02 to 0.06 here, for all students."""
    data = lists_of_users(0.0, 3.0, n_users=n_users)
    assert abs(gain_of_user(STUDENTS[name], *data)) < 0.012


@pytest.mark.parametrize("name", STUDENTS)
def test_an_id_that_means_much_is_learnt(name):
    data = lists_of_users(1.0, 0.3, n_users=60)
    assert gain_of_user(STUDENTS[name], *data) > 0.05


def test_users_of_a_wide_table_are_shrunk_too():
    data = lists_of_users(0.0, 3.0)
    rng = np.random.default_rng(0)
    item = np.char.add("i", rng.integers(0, WIDE, len(data[0])).astype(str))
    X = data[0].assign(item=item)
    student = MLPRanker(min_frequency=1, max_iter=1, random_state=0).fit(X, *data[1:2], qid=data[2])
    of_user = weights_of(student, "user")
    assert np.abs(of_user).max() < 0.02
    assert np.abs(weights_of(student, "item")).max() > 0.1


def weights_of(student, column):
    """Weights of the categories of a column in the first layer."""
    encoder = student.encoder_
    place = encoder.category_names.index(column)
    return student.params_["weights_0"][-encoder.n_codes :][encoder.columns_of_codes == place]


def test_users_without_a_query_are_average_users():
    X, y, qid, _ = lists_of_users(1.0, 0.3, n_users=60)
    student = MLPRanker(max_iter=2, random_state=0).fit(X, y, qid=qid)
    known = weights_of(student, "user")[2:]
    assert np.abs(known).max(axis=1).min() > 0.02
    assert_array_equal(weights_of(student, "user")[:2], 0)  # missing, and unknown
    unknown = student.predict(X.assign(user="somebody else"))
    assert_array_equal(student.predict(X.assign(user=None)), unknown)


@pytest.mark.parametrize(
    "student",
    [
        MLPRanker((8,), loss="logistic", max_iter=1, random_state=0),
        MLPRanker((8,), hard_loss="pointwise", alpha=0.5, max_iter=1, random_state=0),
    ],
)
def test_losses_on_single_rows_learn_of_users_themselves(student):
    """The level of a user's clicks is of no use for an order, but for probabilities."""
    X, y, qid, _ = lists_of_users(0.0, 3.0)
    y = np.minimum(y, 1)
    weights = weights_of(student.fit(X, y, qid=qid, teacher_scores=0.2 + 0.6 * y), "user")
    assert np.abs(weights).max(axis=1).min() > 0.01


def test_labels_tell_before_a_teacher_that_knows_its_rows_by_heart():
    X, y, qid, _ = lists_of_users(0.0, 3.0)
    rng = np.random.default_rng(0)
    memory = rng.normal(size=(N_USERS, 6))[X["user"].str[1:].astype(int)]
    scores = (X.drop(columns="user").to_numpy() * memory).sum(axis=1)
    student = MLPRanker(max_iter=1, random_state=0)
    with_labels = weights_of(student.fit(X, y, qid=qid, teacher_scores=scores), "user")
    assert np.abs(with_labels).max() < 0.02
    few = np.where(rng.random(len(y)) < 0.3, y, np.nan)
    for labels in (None, few):
        alone = weights_of(student.fit(X, labels, qid=qid, teacher_scores=scores), "user")
        assert np.abs(alone[2:]).max(axis=1).min() > 0.03


def test_students_of_several_objectives_ask_all_labels():
    X, y, qid, _ = lists_of_users(1.0, 0.3, n_users=60)
    noise = np.random.default_rng(0).integers(0, 2, len(y)).astype(float)
    student = MultiObjectiveRanker(
        objectives={"a": "listwise", "b": "listwise"}, max_iter=1, random_state=0
    )
    both = np.stack([y, noise], axis=1)
    largest = {
        name: np.abs(weights_of(student.fit(X, labels, qid=qid), "user")).mean()
        for name, labels in {"both": both, "noise": np.stack([noise, noise], axis=1)}.items()
    }
    assert largest["both"] > 0.02 > 0.005 > largest["noise"]


def test_a_warm_start_goes_on_from_the_weights_of_before():
    X, y, qid, _ = lists_of_users(1.0, 0.3, n_users=60)
    student = MLPRanker((8,), warm_start=True, max_iter=3, random_state=0).fit(X, y, qid=qid)
    before = weights_of(student, "user").copy()
    student.set_params(max_iter=1, learning_rate_init=1e-9, weight_decay=0.0).fit(X, y, qid=qid)
    np.testing.assert_allclose(weights_of(student, "user"), before, atol=1e-6)


def test_a_distilled_student_ranks_with_its_users():
    data = lists_of_users(1.0, 0.3, n_users=60)
    teacher = lightgbm.LGBMRanker(n_estimators=50, verbose=-1)
    typed = data[0].astype({"user": "category"}), *data[1:]
    student = DistilledRanker(teacher, random_state=0)
    assert gain_of_user(student, *typed) > 0.05

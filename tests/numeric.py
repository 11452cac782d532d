"""Slow oracles and random examples that several tests share: derivatives, queries, models."""

import numpy as np
from hypothesis import strategies as st

from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import RowGradient
from skdistill.losses import get_loss
from skdistill.students import STUDENTS, BaseStudent
from skdistill.training.loop import TrainingSettings


def central_differences(function, x, step=1e-3):
    """Gradient of a function of an array by central differences of fourth order."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):

        def at(offset, i=i):
            moved = x.copy()
            moved[i] += offset * step
            return function(moved)

        gradient[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    return gradient


@st.composite
def ragged(draw, min_size=1):
    """Draw labels, scores with many ties, and query ids, the rows in random order."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    sizes = rng.integers(min_size, 12, size=draw(st.integers(1, 6)))
    qid = np.repeat(rng.permutation(100)[: len(sizes)], sizes)
    n = len(qid)
    y = rng.integers(0, draw(st.integers(2, 5)), n).astype(float)
    score = rng.integers(0, draw(st.integers(1, 8)), n).astype(float)
    order = rng.permutation(n)
    return y[order], score[order], qid[order]


def by_query(y, score, qid):
    """Labels and scores of one query after the other."""
    for query in np.unique(qid):
        yield y[qid == query], score[qid == query]


def worst_order(y, score):
    """Rows by descending score; of equal scores the least relevant row comes first."""
    return sorted(range(len(y)), key=lambda i: (-score[i], y[i]))


def example_targets(loss, kind, rng, sizes=(1, 2, 5, 17, 3, 1, 30)):
    """Queries of these sizes, and labels or teacher scores that the loss accepts."""
    queries = Queries.from_sizes(sizes)
    if kind == "hard":
        n_grades = 2 if get_loss(loss).is_log_odds else 4
        return queries, rng.integers(0, n_grades, queries.n_rows).astype(float)
    teacher = rng.standard_normal(queries.n_rows)
    if get_loss(loss).is_log_odds:
        teacher = 1 / (1 + np.exp(-teacher))
    return queries, teacher


SIZES_OF_MODELS = {
    "FactorizationMachineRanker": {"n_factors": 3},
    "MLPRanker": {"hidden_layer_sizes": (6, 4)},
}


def small_models():
    """The model of every student with one objective, by the student's name."""
    return {
        name: kind(**SIZES_OF_MODELS.get(name, {})).make_model()
        for name, kind in STUDENTS.items()
        if issubclass(kind, BaseStudent)
    }


def random_parameters(model, n_features, rng, dtype=np.float64):
    """Draw parameters away from 0, so that no gradient vanishes by accident."""
    params = model.initialize(n_features, np.random.default_rng(0))
    return {
        name: (array + 0.5 * rng.standard_normal(array.shape)).astype(dtype)
        for name, array in params.items()
    }


def numeric_gradients(value, params, step=1e-3):
    """Derivatives of ``value(params)`` by central differences, parameter by parameter."""
    return {
        name: central_differences(
            lambda moved, name=name: value({**params, name: moved}), array, step
        )
        for name, array in params.items()
    }


def spread_rows(gradient, parameter):
    """A gradient as an array of the parameter's shape; 0 in rows that were not touched."""
    if not isinstance(gradient, RowGradient):
        return gradient
    full = np.zeros_like(parameter)
    full[gradient.rows] = gradient.values
    return full


def training_settings(**changes):
    """Settings of a short training, some of them changed."""
    defaults = {
        "max_iter": 1,
        "batch_size": 3,
        "max_batch_rows": 10,
        "optimizer": "adam",
        "learning_rate_init": 0.5,
        "learning_rate": "constant",
        "weight_decay": 0.0,
        "n_iter_no_change": 5,
        "tol": 0.0,
    }
    return TrainingSettings(**{**defaults, **changes})

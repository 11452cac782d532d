"""Checks for losses, models and students of your own; the package's own pass them too.

Each check raises an ``AssertionError`` that says what does not hold.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone

from skdistill.datasets import make_ranking
from skdistill.inputs import ColumnScaler, MixedTable, Queries, RowGradient, Rows
from skdistill.inputs.rows import WIDE
from skdistill.models.scoring import Scorer
from skdistill.protocols import Loss, Parameters, StudentModel
from skdistill.serving import compile_scorer, load, save, to_onnx
from skdistill.serving.served import Net, ServedStudent
from skdistill.students import STUDENTS

__all__ = ["central_differences", "check_loss", "check_model", "check_student"]

# Ragged lists, with lists of one row.
SIZES = (1, 2, 5, 17, 3, 1, 30)


def central_differences(
    function: Callable[[NDArray[np.float64]], float], x: NDArray[np.float64], step: float = 1e-4
) -> NDArray[np.float64]:
    """Gradient of a function by fourth-order central differences.

    Parameters
    ----------
    function : callable
        Returns a float for an array of the shape of ``x``.
    x : ndarray of float64
        Where to differentiate.
    step : float, default=1e-4
        Distance between the points at which the function is evaluated.

    Returns
    -------
    ndarray of the shape of ``x``, float64
    """
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        values = []
        for offset in (-2, -1, 1, 2):
            moved = x.copy()
            moved[place] += offset * step
            values.append(function(moved))
        gradient[place] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient


def check_loss(loss: Loss, *, random_state: int = 0) -> None:
    """Check that a loss keeps the contract :class:`skdistill.protocols.Loss`.

    The gradient agrees with central differences, from a teacher's scores and from labels, with and
    without weights; the value is a mean over queries that do not see each other; a constant weight
    multiplies it; large scores and ties stay finite; and the dtype of the scores is kept.

    Parameters
    ----------
    loss : Loss
        The loss to check.
    random_state : int, default=0
        Seed of the example.

    Raises
    ------
    AssertionError
        If something does not hold.
    """
    assert isinstance(loss, Loss), f"{loss!r} lacks a member of skdistill.protocols.Loss"
    assert is_dataclass(loss), "a loss is a frozen dataclass, so that files can hold it"
    rng = np.random.default_rng(random_state)
    queries = Queries.from_sizes(SIZES)
    n_rows = queries.n_rows
    teacher, labels = rng.standard_normal(n_rows), rng.integers(0, 4, n_rows).astype(float)
    if loss.is_log_odds:
        teacher, labels = 1 / (1 + np.exp(-teacher)), np.minimum(labels, 1.0)
    assert loss.score_unit(teacher) > 0, "score_unit must be positive"
    assert loss.logit_scale is None or loss.logit_scale > 0, "logit_scale must be positive"
    _check_parts(loss, teacher, queries)
    targets = {
        "soft_target": (loss.soft_target, teacher),
        "hard_target": (loss.hard_target, labels),
    }
    for kind, (make, values) in targets.items():
        target = np.asarray(make(values, queries))
        assert target.shape[:1] == (n_rows,), f"{kind} must have a row per row, got {target.shape}"
        # Evenly spaced, so that no difference quotient crosses a change of rank.
        scores = (rng.permutation(n_rows) - n_rows / 2) * 0.1
        for weight in (None, rng.uniform(0.2, 3, n_rows)):
            _check_gradient_of_loss(loss, scores, target, queries, weight, kind)
        _check_mean_over_queries(loss, scores, target, queries, kind)
        _check_extremes(loss, make, values, queries, kind, rng)


def _check_parts(loss: Loss, teacher: Any, queries: Queries) -> None:
    """If a loss can take its unit from all scores, single queries have the targets of all."""
    if type(loss).scaled_to is Loss.scaled_to:
        return
    scaled = loss.scaled_to(teacher)
    parts = [
        scaled.soft_target(teacher[start:end], Queries.single(end - start))
        for start, end in pairwise(queries.offsets.tolist())
    ]
    assert_allclose(
        np.concatenate(parts),
        loss.soft_target(teacher, queries),
        rtol=1e-9,
        atol=1e-12,
        err_msg="scaled_to must give the targets of a query whatever queries come with it",
    )


def _check_gradient_of_loss(
    loss: Loss, scores: Any, target: Any, queries: Queries, weight: Any, kind: str
) -> None:
    value, gradient = loss.value_and_gradient(scores.copy(), target, queries, weight)
    numeric = central_differences(
        lambda moved: loss.value_and_gradient(moved, target, queries, weight)[0], scores
    )
    where = f"gradient from {kind}, {'with' if weight is not None else 'without'} weights"
    assert np.isfinite(value), f"the value from {kind} is {value}"
    assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8, err_msg=where)


def _check_mean_over_queries(
    loss: Loss, scores: Any, target: Any, queries: Queries, kind: str
) -> None:
    value, gradient = loss.value_and_gradient(scores.copy(), target, queries)
    values = []
    for query in range(queries.n_queries):
        rows = slice(*queries.offsets[query : query + 2])
        single = Queries.single(queries.sizes[query])
        alone = loss.value_and_gradient(scores[rows].copy(), target[rows], single)
        values.append(alone[0])
        expected = alone[1] / queries.n_queries
        message = f"from {kind}, query {query} depends on other queries"
        assert_allclose(gradient[rows], expected, atol=1e-10, err_msg=message)
    message = f"from {kind}, the value is not the mean over queries"
    assert_allclose(value, np.mean(values), rtol=1e-8, err_msg=message)
    weighted = loss.value_and_gradient(scores.copy(), target, queries, np.full(len(scores), 3.0))
    message = f"from {kind}, a constant weight does not multiply the value"
    assert_allclose(weighted[0], 3 * value, rtol=1e-8, err_msg=message)


def _check_extremes(
    loss: Loss, make: Any, values: Any, queries: Queries, kind: str, rng: np.random.Generator
) -> None:
    for target_values in (values, np.zeros_like(values)):
        for dtype in (np.float32, np.float64):
            target = np.asarray(make(target_values, queries), dtype=dtype)
            for scores in (np.zeros(len(values)), 1e4 * rng.standard_normal(len(values))):
                value, gradient = loss.value_and_gradient(scores.astype(dtype), target, queries)
                at = f"from {kind}, at scores up to {np.abs(scores).max():.0f}"
                assert np.isfinite(value), f"{at} the value is {value}"
                assert np.isfinite(gradient).all(), f"{at} the gradient is not finite"
                assert gradient.dtype == dtype, f"the gradient of {dtype} is {gradient.dtype}"


def check_model(model: StudentModel, n_features: int = 6, *, random_state: int = 0) -> None:
    """Check that a model keeps the contract :class:`skdistill.protocols.StudentModel`.

    ``adapt`` keeps the names and shapes of the parameters. Gradients, of all but fixed parameters,
    agree with central differences on dense and CSR rows, also those of the inputs if the model has
    them; on wide CSR rows those of ``row_parameters`` touch the batch's columns alone;
    folded scoring agrees with the forward pass, in blocks of any length; and so does ONNX, if the
    model has such a form and ONNX Runtime is installed.

    Parameters
    ----------
    model : StudentModel
        The model to check.
    n_features : int, default=6
        Columns of the example.
    random_state : int, default=0
        Seed of the example.

    Raises
    ------
    AssertionError
        If something does not hold.
    """
    assert isinstance(model, StudentModel), (
        f"{model!r} lacks a member of skdistill.protocols.StudentModel"
    )
    rng = np.random.default_rng(random_state)
    params = model.initialize(n_features, rng)
    for name, array in params.items():
        assert array.dtype == np.float32, f"{name} starts as {array.dtype}, not float32"
    moved = {
        name: array.astype(np.float64) + 0.5 * rng.standard_normal(array.shape)
        for name, array in params.items()
    }
    X = rng.standard_normal((14, n_features)) * (rng.random((14, n_features)) < 0.7)
    adapted = model.adapt(params, Rows(X.astype(np.float32)))
    forms = [{n: (a.shape, a.dtype) for n, a in of.items()} for of in (params, adapted)]
    assert forms[0] == forms[1], f"adapt must keep names, shapes and dtypes, {forms}"
    codes = rng.integers(0, 2, (14, 1)).astype(np.int32)
    mixed = MixedTable(np.ascontiguousarray(X[:, :-2]), codes, 2)
    for rows in (Rows(X), Rows(sparse.csr_array(X)), Rows(mixed)):
        _check_gradient_of_model(model, moved, rows, rng)
    _check_wide_rows(model, rng)
    _check_scoring(model, moved, n_features, rng)


def _check_gradient_of_model(
    model: StudentModel, params: Parameters, rows: Rows, rng: np.random.Generator
) -> None:
    outputs, cache = model.forward(params, rows)
    slope = rng.standard_normal(outputs.shape)
    grads = model.backward(params, cache, slope.copy())
    trained = {n: a for n, a in params.items() if n not in model.fixed_parameters(rows)}
    assert set(grads) == set(trained), f"gradients of {sorted(grads)} for {sorted(trained)}"
    for name, array in trained.items():

        def value(moved: Any, name: str = name) -> float:
            return float((model.forward({**params, name: moved}, rows)[0] * slope).sum())

        numeric = central_differences(value, array)
        gradient: Any = grads[name]
        assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7, err_msg=f"gradient of {name}")
    if not isinstance(rows.X, np.ndarray):
        return
    numeric = central_differences(
        lambda X: float((model.forward(params, Rows(X))[0] * slope).sum()), rows.X, step=1e-6
    )
    gradient = model.input_gradient(params, cache, slope.copy())
    if gradient is not None:
        assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7, err_msg="gradient of the inputs")


def _check_wide_rows(model: StudentModel, rng: np.random.Generator) -> None:
    X = sparse.random_array((5, WIDE), density=0.005, format="csr", rng=rng, dtype=np.float64)
    rows = Rows(X)
    params = {name: array.astype(np.float64) for name, array in model.initialize(WIDE, rng).items()}
    outputs, cache = model.forward(params, rows)
    grads = model.backward(params, cache, np.ones_like(outputs))
    for name in model.row_parameters(rows):
        gradient = grads[name]
        assert isinstance(gradient, RowGradient), f"{name} of wide rows must be a RowGradient"
        message = f"{name} changes rows that the batch does not touch"
        assert_array_equal(gradient.rows, np.unique(X.indices), err_msg=message)
    assert not model.row_parameters(Rows(X.toarray())), "dense rows have no row parameters"


def _check_scoring(
    model: StudentModel, params: Parameters, n_features: int, rng: np.random.Generator
) -> None:
    single = {name: array.astype(np.float32) for name, array in params.items()}
    for is_heavy in (False, True):
        X = rng.standard_normal((1000, n_features)).astype(np.float32)
        if is_heavy:
            X[7, 0] = 5000  # without crowding the others, so that there is one input per column
        scaler = ColumnScaler.fit(X, squash=True, standardize=True)
        expected, _ = model.forward(single, Rows(scaler.transform(X)))
        scorer = Scorer.fold(model, single, scaler)
        for n_rows in (1, 20, 449, 1000):
            message = f"folded scores of {n_rows} rows differ from the forward pass"
            assert_allclose(
                *(scorer(X[:n_rows]), expected[:n_rows]), rtol=1e-3, atol=1e-3, err_msg=message
            )
        _check_onnx(Net(n_features, (), scaler, model, single), X, expected)


def _check_onnx(net: Net, X: Any, expected: Any) -> None:
    if type(net.model).add_to_graph is StudentModel.add_to_graph or not find_spec("onnxruntime"):
        return
    from skdistill.serving.onnx_engine import OnnxEngine
    from skdistill.serving.onnx_graph import OUTPUTS

    engine = OnnxEngine(ServedStudent(net))
    outputs = engine.runs[X.dtype.char](OUTPUTS, {"X": X})[0]
    message = "ONNX differs from the forward pass"
    assert_allclose(outputs, expected.reshape(outputs.shape), rtol=1e-3, atol=1e-3, err_msg=message)


def check_student(student: Any, *, random_state: int = 0) -> None:
    """Check a student: its model, fitting, predicting, storing and serving it.

    ``clone`` and ``get_params`` work; it learns from labels and from a teacher; the same seed gives
    the same bits and another order of rows the same scores; ``partial_fit`` goes on; joblib and,
    for a student in ``STUDENTS``, ``save`` and ``load`` give it back; a compiled scorer and ONNX
    score alike.

    Parameters
    ----------
    student : estimator
        Not fitted. Its ``max_iter`` and ``random_state`` are set for the checks.
    random_state : int, default=0
        Seed of the example and the student.

    Raises
    ------
    AssertionError
        If something does not hold.
    """
    data = make_ranking(n_queries=40, n_features=6, random_state=random_state)
    student = clone(student).set_params(max_iter=5, random_state=random_state)
    assert clone(student).get_params() == student.get_params(), "clone changes the parameters"
    check_model(student.make_model(), random_state=random_state)
    fitted = clone(student).fit(data.X, data.y, qid=data.qid, teacher_scores=data.utility)
    scores = fitted.predict(data.X)
    assert scores.shape == data.y.shape, f"predict must return a score per row, got {scores.shape}"
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0], "training does not lower the objective"
    again = clone(student).fit(data.X, data.y, qid=data.qid, teacher_scores=data.utility)
    assert_array_equal(again.predict(data.X), scores, err_msg="the same seed gives other bits")
    order = np.random.default_rng(random_state).permutation(len(scores))
    shuffled = clone(student).fit(
        data.X[order], data.y[order], qid=data.qid[order], teacher_scores=data.utility[order]
    )
    message = "another order of rows gives another student"
    assert_allclose(shuffled.predict(data.X), scores, atol=1e-3, err_msg=message)
    _check_storing(fitted, data)
    _check_serving(fitted, data.X, scores)


def _check_storing(fitted: Any, data: Any) -> None:
    scores = fitted.predict(data.X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student"
        joblib.dump(fitted, path)
        loaded = joblib.load(path)
        assert_array_equal(loaded.predict(data.X), scores, err_msg="joblib changes the scores")
        if type(fitted) in STUDENTS.values() and find_spec("skops"):
            save(fitted, path)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                loaded = load(path)
            assert_array_equal(loaded.predict(data.X), scores, err_msg="load changes the scores")
    n_epochs = fitted.n_iter_
    loaded.partial_fit(data.X, data.y, qid=data.qid)
    assert loaded.n_iter_ == n_epochs + 1, "partial_fit does not go on"
    assert_array_equal(fitted.predict(data.X), scores, err_msg="a loaded student shares arrays")


def _check_serving(fitted: Any, X: Any, scores: Any) -> None:
    compiled = compile_scorer(fitted, "numpy")
    message = "a compiled scorer differs from predict"
    assert_allclose(compiled(X), scores, rtol=1e-4, atol=1e-4, err_msg=message)
    has_onnx = type(fitted.make_model()).add_to_graph is not StudentModel.add_to_graph
    if has_onnx and find_spec("skl2onnx") and find_spec("onnxruntime"):
        outputs = [output.name for output in to_onnx(fitted).graph.output]
        assert outputs == ["scores"], f"the ONNX model has the outputs {outputs}"
        assert_allclose(
            *(compile_scorer(fitted, "onnxruntime")(X), scores),
            rtol=1e-3,
            atol=1e-3,
            err_msg="ONNX Runtime differs from predict",
        )

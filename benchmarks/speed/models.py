"""The models of the benchmarks of scoring: a student, its teacher, and ways to score both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.declaring import Setting

N_FEATURES, N_TRUE, HIDDEN = 136, 20, (64, 32)
QUERY_SIZE, TEST_FRACTION = 50, 0.2
LEAVES, FEW, MANY = 64, 300, 1000
KINDS = ("no squash", "squash")
# Trees and leaves of smaller teachers, the cheapest first.
SMALLER = ((10, 8), (20, 8), (20, 16), (40, 16), (60, 31), (100, 31), (100, 64), (200, 64))
BLOCKS = (512, 2048, 8192, 32_768)


def parts(data: Any) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Yield rows, labels and queries for training, for choosing and for testing."""
    number = data.qid / (data.qid.max() + 1)
    edges = (0, 1 - 2 * TEST_FRACTION, 1 - TEST_FRACTION, 1)
    for low, high in pairwise(edges):
        mask = (number >= low) & (number < high)
        X = data.X[mask] if isinstance(data.X, np.ndarray) else data.X[mask].reset_index(drop=True)
        yield X, data.y[mask], data.qid[mask]


def ndcg(scores: np.ndarray, part: tuple[Any, np.ndarray, np.ndarray]) -> float:
    from skdistill.metrics import ndcg_per_query

    return float(np.nanmean(ndcg_per_query(part[1], scores, part[2], k=10)))


def fit_trees(part: tuple[Any, np.ndarray, np.ndarray], n_trees: int, n_leaves: int) -> Any:
    """Fit LightGBM; few trees learn faster."""
    import lightgbm

    ranker = lightgbm.LGBMRanker(
        n_estimators=n_trees,
        num_leaves=n_leaves,
        learning_rate=float(np.clip(10 / n_trees, 0.03, 0.3)),
        min_child_samples=5,
        verbose=-1,
        n_jobs=1,
        random_state=0,
    )
    X, y, qid = part
    return ranker.fit(X, y, group=np.unique(qid, return_counts=True)[1])


def smallest_equal(train: Any, valid: Any, wanted: float) -> Any:
    """Return the smallest LightGBM that is as good on validation queries, or else the best."""
    best = None
    for n_trees, n_leaves in SMALLER:
        ranker = fit_trees(train, n_trees, n_leaves)
        found = ndcg(ranker.predict(valid[0]), valid)
        if best is None or found > best[0]:
            best = found, ranker
        if found >= wanted:
            break
    assert best is not None
    return best[1]


def write_models(folder: Path, data: Any, names: tuple[str, ...]) -> tuple[Any, np.ndarray]:
    """Fit a teacher, a student and other trees, and store them with test rows.

    Parameters
    ----------
    folder : Path
    data : Bunch
    names : tuple of str
        Which other trees: "many", "equal".

    Returns
    -------
    train : tuple
        Rows, labels and queries for training.
    scores : ndarray
        The teacher's, from which the student learnt.
    """
    from skdistill.students import MLPRanker

    folder.mkdir()
    train, valid, test = parts(data)
    teacher = fit_trees(train, FEW, LEAVES)
    scores = teacher.predict(train[0])
    student = MLPRanker(HIDDEN, alpha=0.5, random_state=0)
    student.fit(train[0], train[1], qid=train[2], teacher_scores=scores)
    store(student, folder / "student")
    store(teacher, folder / f"trees {FEW}")
    if "many" in names:
        store(fit_trees(train, MANY, LEAVES), folder / f"trees {MANY}")
    if "equal" in names:
        wanted = ndcg(student.predict(valid[0]), valid)
        store(smallest_equal(train, valid, wanted), folder / "trees equal")
    store(test, folder / "test")
    return train, scores


def store(thing: Any, path: Path) -> None:
    import joblib

    joblib.dump(thing, path.with_suffix(".joblib"))


def stored(path: Path) -> Any:
    """Load what ``store`` has written."""
    import joblib

    return joblib.load(path.with_suffix(".joblib"))


def write_rows(folder: Path, n_rows: int, kind: str) -> None:
    """Store rows to score: a table that does not fit in the caches."""
    rng = np.random.default_rng(1)
    np.save(folder / "rows.npy", columns_of(rng.standard_normal((n_rows, N_TRUE)), kind, rng))


def columns_of(X: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Add noisy mixtures of the columns, as the features of a ranking log are related.

    With a squash all columns get a heavy tail: one row in a thousand is far out. The others keep
    their distances, so that each column remains one input of the student.
    """
    n_others = N_FEATURES - X.shape[1]
    mixtures = X @ (np.random.default_rng(0).standard_normal((X.shape[1], n_others)))
    mixtures /= np.sqrt(X.shape[1])
    mixtures += rng.standard_normal(mixtures.shape)
    whole = np.concatenate([X, mixtures], axis=1)
    if kind == "squash":
        whole[rng.random(len(whole)) < 0.001] *= 100
    return whole.astype(np.float32)


def numeric_data(n_queries: int, kind: str) -> Any:
    from skdistill.datasets import make_ranking

    data = make_ranking(n_queries, QUERY_SIZE, N_TRUE, random_state=0)
    data.X = columns_of(data.X, kind, np.random.default_rng(2))
    return data


def mixed_data(n_queries: int) -> Any:
    """Make 20 columns of numbers and 4 of categories, with missing values."""
    from skdistill.datasets import make_ranking

    return make_ranking(
        n_queries, 30, 20, categories=(20, 30, 300, 10_000), missing=0.05,
        truth="interactions", random_state=0,
    )  # fmt: skip


def load_rows(folder: Path, n_rows: int | None = None) -> np.ndarray:
    """Load the rows to score, or the first ones."""
    return np.array(np.load(folder / "rows.npy", mmap_mode="r")[:n_rows])


def in_blocks(call: Callable[[np.ndarray], Any], size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer that calls another once per block of rows."""

    def score(X: np.ndarray) -> np.ndarray:
        out = np.empty(len(X), dtype=np.float32)
        for start in range(0, len(X), size):
            out[start : start + size] = np.ravel(call(X[start : start + size]))
        return out

    return score


def in_best_blocks(call: Callable[[np.ndarray], Any], X: np.ndarray) -> Callable[..., np.ndarray]:
    """Return a scorer with the block size that is fastest for these rows."""

    def seconds(size: int) -> float:
        score, best = in_blocks(call, size), np.inf
        for _ in range(3):
            start = time.perf_counter()
            score(X[: BLOCKS[-1]])
            best = min(best, time.perf_counter() - start)
        return best

    return in_blocks(call, min(BLOCKS, key=seconds))


def onnx_by_hand(model: Any, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Score an exported model as a user of ONNX Runtime would, with one session."""
    import onnxruntime

    from skdistill.serving import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        to_onnx(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda X: session.run([output], {name: X})[0]


def torch_by_hand(student: Any, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Score the student's network in PyTorch, with its scaler folded as far as it can be."""
    import torch

    torch.set_num_threads(threads)
    params, scaler = student.params_, student.scaler_
    layers = []
    for number in range(len(HIDDEN) + 1):
        weights, bias = params[f"weights_{number}"], params[f"bias_{number}"]
        if not number:
            bias = bias - (scaler.shift * scaler.scale) @ weights
            weights = scaler.scale[:, None] * weights
        layer = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.T)))
            layer.bias.copy_(torch.from_numpy(bias))
        layers += [layer, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1]).eval()
    half = torch.from_numpy(scaler.half)
    if not scaler.has_softsign.any():
        front = net
    elif scaler.has_softsign.all():

        def front(X: Any) -> Any:
            return net(X / (half + X.abs()))

    else:
        has_softsign = torch.from_numpy(scaler.has_softsign)

        def front(X: Any) -> Any:
            return net(X / (1 + has_softsign * (half - 1 + X.abs())))

    def score(X: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return front(torch.from_numpy(X)).numpy()

    return score


def bare_products(block: int = 512) -> Callable[[np.ndarray], None]:
    """Return the matrix products of the network alone, in blocks that stay in the caches."""
    rng = np.random.default_rng(0)
    sizes = (N_FEATURES, *HIDDEN, 1)
    weights = [rng.standard_normal(shape, dtype=np.float32) for shape in pairwise(sizes)]
    buffers = [np.empty((block, each.shape[1]), dtype=np.float32) for each in weights]

    def products(X: np.ndarray) -> None:
        for start in range(0, len(X), block):
            output = X[start : start + block]
            for each, buffer in zip(weights, buffers, strict=True):
                output = np.matmul(output, each, out=buffer[: len(output)])

    return products


def folder_of(setting: Setting, kind: str) -> Path:
    return setting.folder / kind

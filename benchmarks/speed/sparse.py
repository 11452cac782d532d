"""Score rows of ids, dense and CSR, and train on them: against LightGBM and PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.agreement import Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed
from benchmarks.speed.epochs import CalledEpochs, FittedEpochs
from benchmarks.speed.models import store, stored

N_COLUMNS, PER_ROW, QUERY_SIZE, N_FACTORS = 1_000_000, 20, 20, 16
STUDENTS = {"linear": "LinearRanker", "FM": "FactorizationMachineRanker"}
SCORES = Close(1e-3, 1e-4)
PER_STEP, RATE = 16, 0.05
TREES = "LightGBM, 300 trees on the ids as categories"


def id_rows(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an id of each of the blocks of columns; some are far more frequent than others."""
    size = N_COLUMNS // PER_ROW
    ids = (size * rng.random((n_rows, PER_ROW)) ** 4).astype(np.int64)
    return ids + size * np.arange(PER_ROW)


def one_hot(ids: np.ndarray) -> Any:
    from scipy import sparse

    starts = np.arange(len(ids) + 1, dtype=np.int32) * PER_ROW
    ones = np.ones(ids.size, dtype=np.float32)
    indices = ids.ravel().astype(np.int32)
    return sparse.csr_array((ones, indices, starts), shape=(len(ids), N_COLUMNS))


def data(setting: Setting) -> None:
    """Draw rows of ids, and fit students and trees on some of them."""
    import lightgbm

    from skdistill import students

    rng = np.random.default_rng(0)
    weights = rng.standard_normal(N_COLUMNS)
    n_rows = QUERY_SIZE * setting.size(2000, 300)
    ids = id_rows(n_rows, rng)
    scores = weights[ids].sum(axis=1)
    qid = np.repeat(np.arange(n_rows // QUERY_SIZE), QUERY_SIZE)
    store((ids, scores, qid), setting.folder / "train")
    np.save(setting.folder / "rows.npy", id_rows(setting.size(500_000, 50_000), rng))
    for name, student in STUDENTS.items():
        ranker = getattr(students, student)(max_iter=2, early_stopping=False, random_state=0)
        store(ranker.fit(one_hot(ids), qid=qid, teacher_scores=scores), setting.folder / name)
    if not setting.short:
        codes = ids - N_COLUMNS // PER_ROW * np.arange(PER_ROW)
        trees = lightgbm.LGBMRegressor(n_estimators=300, num_leaves=64, verbose=-1, n_jobs=1)
        trees.fit(codes, scores, categorical_feature=list(range(PER_ROW)))
        store(trees.booster_, setting.folder / "trees")


def load_rows(setting: Setting, n_rows: int | None = None) -> np.ndarray:
    return np.load(setting.folder / "rows.npy")[:n_rows]


def ours(setting: Setting, kind: str) -> Run:
    student, rows = stored(setting.folder / kind), one_hot(load_rows(setting))
    return Timed(lambda: student.predict(rows), rows.shape[0])


def trees(setting: Setting) -> Run:
    booster = stored(setting.folder / "trees")
    rows = load_rows(setting, 20_000) - N_COLUMNS // PER_ROW * np.arange(PER_ROW)
    rows = rows.astype(np.float32)
    return Timed(lambda: booster.predict(rows, num_threads=setting.threads), len(rows))


def embedding_bag(setting: Setting, kind: str) -> Run:
    """The student in PyTorch: one EmbeddingBag, with the squared norms folded into a column.

    The rows are ids of a fixed number, the form that EmbeddingBag takes fastest.
    """
    import torch

    torch.set_num_threads(setting.threads)
    student, rows = stored(setting.folder / kind), torch.from_numpy(load_rows(setting))
    scaler = student.scaler_
    if kind == "linear":
        weights, constant = scaler.fold_layer(
            student.params_["weights_0"], student.params_["bias_0"]
        )
    else:
        factors = student.params_["factors"] * scaler.scale[:, None]
        linear = student.params_["linear"] * scaler.scale
        norms = np.einsum("ij,ij->i", factors, factors)
        weights = np.column_stack([factors, linear - norms / 2]).astype(np.float32)
        constant = student.params_["bias"]
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(weights), mode="sum")
    bias = float(np.ravel(constant)[0])

    def score(ids: Any) -> Any:
        sums = bag(ids)
        if kind == "linear":
            return sums[:, 0] + bias
        factors = sums[:, :N_FACTORS]
        return (factors * factors).sum(dim=1) / 2 + sums[:, N_FACTORS] + bias

    def call() -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([score(ids) for ids in rows.split(8192)]).numpy()

    return Timed(call, len(rows))


def lookups(setting: Setting, kind: str) -> Run:
    """The product of the CSR matrix alone."""
    rows = one_hot(load_rows(setting))
    width = 1 if kind == "linear" else N_FACTORS
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((N_COLUMNS, width), dtype=np.float32)
    return Timed(lambda: rows @ weights, rows.shape[0])


def trained(setting: Setting) -> Run:
    from skdistill.students import FactorizationMachineRanker

    ids, scores, qid = stored(setting.folder / "train")
    rows = one_hot(ids)

    def make(max_iter: int) -> Any:
        return FactorizationMachineRanker(
            N_FACTORS, max_iter=max_iter, batch_size=PER_STEP, optimizer="adagrad",
            learning_rate_init=RATE, learning_rate="constant", weight_decay=0.0,
            early_stopping=False, random_state=0,
        )  # fmt: skip

    return FittedEpochs(
        make, lambda student: student.fit(rows, qid=qid, teacher_scores=scores), len(ids)
    )


def trained_by_hand(setting: Setting) -> Run:
    """A factorization machine in PyTorch: EmbeddingBags, sparse gradients and AdaGrad."""
    import warnings

    import torch

    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message="Sparse invariant checks")
    ids, scores, _ = stored(setting.folder / "train")
    factors = torch.nn.Embedding(N_COLUMNS, N_FACTORS, sparse=True)
    torch.nn.init.normal_(factors.weight, std=0.01)
    linear = torch.nn.EmbeddingBag(N_COLUMNS, 1, mode="sum", sparse=True)
    torch.nn.init.zeros_(linear.weight)
    optimizer = torch.optim.Adagrad([factors.weight, linear.weight], lr=RATE)
    rows = torch.from_numpy(ids).view(-1, QUERY_SIZE, PER_ROW)
    targets = torch.from_numpy(scores.astype(np.float32)).view(-1, QUERY_SIZE)

    def epoch() -> None:
        for chosen in torch.randperm(len(rows)).split(PER_STEP):
            flat = rows[chosen].view(-1, PER_ROW)
            vectors = factors(flat)
            sums = vectors.sum(dim=1)
            interactions = (sums * sums).sum(dim=1) - (vectors * vectors).sum(dim=(1, 2))
            output = (interactions / 2 + linear(flat)[:, 0]).view(-1, QUERY_SIZE)
            wanted = torch.softmax(targets[chosen], dim=1)
            value = -(wanted * torch.log_softmax(output, dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return CalledEpochs(epoch, len(ids))


def scoring_of(kind: str, goal: float) -> Comparison:
    return Comparison(
        f"score CSR, {kind}",
        "row",
        Contender("predict", partial(ours, kind=kind)),
        [
            Contender(TREES, trees, goal=goal, in_short=False),
            Contender(
                "PyTorch EmbeddingBag", partial(embedding_bag, kind=kind), ("torch",), 2.0,
                agrees=SCORES,
            ),
            Contender("the product of the CSR matrix", partial(lookups, kind=kind), is_bound=True),
        ],
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="sparse",
    title="Score and train on ids",
    about=(
        f"Rows of {PER_ROW} ids among {N_COLUMNS:,} columns, as CSR for us and as ids for the "
        "others. Scores are computed by `predict`, checks included. An epoch of the FM has 16 "
        "lists of 20 rows per step, with AdaGrad; PyTorch has sparse gradients. Dense tables "
        "are in the benchmark of scoring."
    ),
    comparisons=[
        *(scoring_of(kind, 100) for kind in STUDENTS),
        Comparison(
            "train FM on CSR", "row", Contender("FactorizationMachineRanker", trained),
            [Contender("PyTorch, sparse gradients", trained_by_hand, ("torch",), goal=2.0)],
            rounds=3, in_short=False,
        ),
    ],
    data=data,
)  # fmt: skip

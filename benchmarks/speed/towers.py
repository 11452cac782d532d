"""Train two towers on id columns: against PyTorch's EmbeddingBag with sparse gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting
from benchmarks.speed.epochs import CalledEpochs, FittedEpochs
from benchmarks.speed.models import store, stored

STEP, DIMENSIONS, RATE = 1024, 32, 0.05
QUERY_IDS = (100_000, 1000, 100, 50, 20)
ITEM_IDS = (50_000, 1000, 200, 50, 10)
LOSSES = ("logistic", "listwise")
# With a softmax our towers draw so many items of the catalogue for each step.
DRAWN = 1 << 14


def data(setting: Setting) -> None:
    """Draw a log of pairs, each with a query of its own, and a catalogue."""
    rng = np.random.default_rng(1)
    n_rows, n_items = STEP * setting.size(40, 8), setting.size(50_000, 5000)
    queries = np.stack([rng.integers(0, size, n_rows) for size in QUERY_IDS], axis=1)
    items = np.stack([rng.integers(0, size, n_items) for size in ITEM_IDS], axis=1)
    items[:, 0] = np.arange(n_items)
    chosen = rng.integers(0, n_items, n_rows)
    store((queries, items, chosen, rng.integers(0, 2, n_rows)), setting.folder / "log")


def ours(setting: Setting, loss: str) -> Run:
    import pandas as pd

    from skdistill import TwoTowerRetriever

    queries, items, chosen, labels = stored(setting.folder / "log")
    names = [[f"{side}{n}" for n in range(5)] for side in ("query ", "item ")]
    left = pd.DataFrame(queries.astype(str), columns=names[0]).astype("category")
    catalogue = pd.DataFrame(items.astype(str), columns=names[1]).astype("category")
    log = pd.concat([left, catalogue.iloc[chosen].reset_index(drop=True)], axis=1)
    y = labels if loss == "logistic" else np.ones(len(labels))

    def make(max_iter: int) -> Any:
        return TwoTowerRetriever(
            query_columns=names[0], item_columns=names[1], embedding_dim=DIMENSIONS, alpha=0.0,
            hard_loss=loss, item_bias=False, spectral_start=False, teacher_check=False,
            max_iter=max_iter, batch_size=STEP, optimizer="adagrad", learning_rate_init=RATE,
            learning_rate="constant", early_stopping=False, random_state=0,
        )  # fmt: skip

    def fit(towers: Any) -> Any:
        return towers.fit(log, y, qid=np.arange(len(y)), items=catalogue)

    return FittedEpochs(make, fit, len(y))


def pytorch(setting: Setting, loss: str, deviation: float) -> Run:
    """Two EmbeddingBags, sparse gradients and AdaGrad; the softmax draws items as ours does."""
    import warnings

    import torch

    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message="Sparse invariant checks")
    queries, items, chosen, labels = stored(setting.folder / "log")
    towers = []
    for sizes in (QUERY_IDS, ITEM_IDS):
        tower = torch.nn.EmbeddingBag(sum(sizes), DIMENSIONS, mode="sum", sparse=True)
        torch.nn.init.normal_(tower.weight, std=deviation)
        towers.append(tower)
    optimizer = torch.optim.Adagrad([tower.weight for tower in towers], lr=RATE)
    left = torch.from_numpy(queries + np.cumsum((0, *QUERY_IDS[:-1])))
    right = torch.from_numpy(items + np.cumsum((0, *ITEM_IDS[:-1])))
    places = torch.from_numpy(chosen)
    wanted = torch.from_numpy(labels.astype(np.float32))
    n_drawn = min(DRAWN, len(items))

    def step(rows: Any) -> Any:
        vectors = towers[0](left[rows])
        if loss == "logistic":
            scores = vectors @ towers[1](right[places[rows]]).T
            targets = torch.diag(wanted[rows])
            return torch.nn.functional.binary_cross_entropy_with_logits(scores, targets)
        drawn = torch.randperm(len(right))[:n_drawn]
        candidates = torch.cat([places[rows], drawn])
        scores = vectors @ towers[1](right[candidates]).T
        return torch.nn.functional.cross_entropy(scores, torch.arange(len(rows)))

    def epoch() -> None:
        for rows in torch.randperm(len(wanted)).split(STEP):
            value = step(rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return CalledEpochs(epoch, len(wanted))


def products(setting: Setting) -> Run:
    """The scores of each step and the gradients of both sides."""
    _, items, chosen, _ = stored(setting.folder / "log")
    rng = np.random.default_rng(0)
    n_candidates = STEP + min(DRAWN, len(items))
    left = rng.standard_normal((STEP, DIMENSIONS), dtype=np.float32)
    right = rng.standard_normal((n_candidates, DIMENSIONS), dtype=np.float32)

    def epoch() -> None:
        for _ in range(0, len(chosen), STEP):
            scores = left @ right.T
            scores @ right
            scores.T @ left

    return CalledEpochs(epoch, len(chosen))


def comparison(loss: str) -> Comparison:
    goal = 2.0 if loss == "logistic" else 1.3
    theirs = [
        Contender(
            f"PyTorch, initial weights of {deviation}",
            partial(pytorch, loss=loss, deviation=deviation), ("torch",), goal=goal,
        )
        for deviation in (1.0, 0.05)
    ]  # fmt: skip
    if loss == "listwise":
        theirs.append(Contender("the three products alone", products, is_bound=True))
    name = "pointwise" if loss == "logistic" else "softmax"
    ours_here = Contender("TwoTowerRetriever", partial(ours, loss=loss))
    in_short = loss == "listwise"
    return Comparison(name, "pair", ours_here, theirs, in_short=in_short, rounds=3)


BENCHMARK = Benchmark(
    name="towers",
    title="Train two towers",
    about=(
        f"An epoch of two towers of {DIMENSIONS} dimensions on labelled pairs with five id "
        f"columns per side, {STEP} pairs per step, with AdaGrad. A query is compared with all "
        f"items of the step, and in the softmax also with {DRAWN:,} drawn ones. PyTorch has "
        "EmbeddingBags with sparse gradients, its faster form; its default initial weights have "
        "the standard deviation 1; ours are as small as 0.05."
    ),
    comparisons=[comparison(loss) for loss in LOSSES],
    data=data,
)

"""Teach two towers a teacher's order of a catalogue: against the same by hand in PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed

N_QUERIES, N_ITEMS, N_FACTORS = 5219, 25_181, 200
DIMENSIONS, STEP, RATE = 20, 64, 0.02
# By hand, embeddings start at random, and need more epochs to become as good.
EPOCHS, MORE_EPOCHS = 10, 30
# Ranks of the teacher over which the weight falls by a factor of e, and the ranks that count.
DECAY, RANKS = 10.0, 120
# Candidates of a sampled list: the first half are the teacher's best, the others are drawn.
N_CANDIDATES = 400
FOUND_IN = 50


def data(setting: Setting) -> None:
    """Draw a teacher's scores: factors of falling size, so that 20 dimensions keep most of them."""
    rng = np.random.default_rng(0)
    n_queries, n_items = setting.size(N_QUERIES, 300), setting.size(N_ITEMS, 2000)
    size = (np.arange(1, N_FACTORS + 1) ** -0.75).astype(np.float32)
    left = rng.standard_normal((n_queries, N_FACTORS), dtype=np.float32)
    right = rng.standard_normal((n_items, N_FACTORS), dtype=np.float32) * size
    np.save(setting.folder / "scores.npy", left @ right.T)


def scores_of(setting: Setting) -> np.ndarray:
    return np.asarray(np.load(setting.folder / "scores.npy"))


def top_kept(found: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return the fraction of the teacher's ten best items among those found."""
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    kept = [np.isin(own, some).mean() for own, some in zip(best, found, strict=True)]
    return {f"top 10 in {FOUND_IN}": float(np.mean(kept))}


def ours(setting: Setting, n_candidates: int | None) -> Run:
    import pandas as pd

    from skdistill import TwoTowerRetriever

    scores = scores_of(setting)
    n_queries, n_items = scores.shape
    users = pd.DataFrame({"user": np.arange(n_queries).astype(str)})
    catalogue = pd.DataFrame({"item": np.arange(n_items).astype(str)})
    log = users.assign(item=catalogue["item"].to_numpy()[np.arange(n_queries) % n_items])
    towers = TwoTowerRetriever(
        query_columns=["user"], item_columns=["item"], embedding_dim=DIMENSIONS,
        n_candidates=n_candidates, batch_size=STEP, max_iter=EPOCHS, learning_rate_init=RATE,
        teacher_check=False, random_state=0,
    )  # fmt: skip

    def call() -> None:
        towers.fit(log, qid=np.arange(n_queries), items=catalogue, teacher_scores=scores)

    call()
    return Timed(call, n_queries, top_kept(towers.retrieve(users, FOUND_IN)[0], scores))


def by_hand(setting: Setting, n_candidates: int | None, n_epochs: int) -> Run:
    """Embeddings with a bias per item, Adam, and the cross-entropy with weights by rank."""
    import torch

    torch.set_num_threads(setting.threads)
    scores = scores_of(setting)
    n_queries, n_items = scores.shape
    weight = torch.exp(-torch.arange(RANKS) / DECAY)
    weight /= weight.sum()

    def fit() -> Any:
        torch.manual_seed(0)
        n_best = RANKS if n_candidates is None else n_candidates // 2
        best = torch.topk(torch.from_numpy(scores), n_best).indices
        n_drawn = 0 if n_candidates is None else n_candidates - n_best
        log_importance = np.log((n_items - n_best) / max(n_drawn, 1))
        users = torch.nn.Embedding(n_queries, DIMENSIONS - 1)
        items = torch.nn.Embedding(n_items, DIMENSIONS)
        for table in (users, items):
            torch.nn.init.normal_(table.weight, std=0.3)
        parameters = [users.weight, items.weight]
        optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)
        n_steps = n_epochs * -(-n_queries // STEP)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(n_epochs):
            for chosen in torch.randperm(n_queries).split(STEP):
                left = users(chosen)
                if n_candidates is None:
                    output = left @ items.weight[:, 1:].T + items.weight[:, 0]
                    ranked = output.gather(1, best[chosen])
                else:
                    drawn = torch.randint(n_items, (len(chosen), n_drawn))
                    right = items(torch.cat([best[chosen], drawn], 1))
                    output = (right[:, :, 1:] @ left[:, :, None])[:, :, 0] + right[:, :, 0]
                    ranked = output[:, :RANKS]
                    # A drawn item stands for all that were not drawn.
                    output = torch.cat([output[:, :n_best], output[:, n_best:] + log_importance], 1)
                value = (torch.logsumexp(output, 1) - ranked @ weight).mean()
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
        return users, items

    users, items = fit()
    with torch.inference_mode():
        output = users.weight @ items.weight[:, 1:].T + items.weight[:, 0]
        quality = top_kept(torch.topk(output, FOUND_IN).indices.numpy(), scores)

    def call() -> None:
        fit()

    return Timed(call, n_queries, quality)


def products(setting: Setting) -> Run:
    """The scores of each step and the gradients of both sides, over the whole catalogue."""
    rng = np.random.default_rng(0)
    n_queries, n_items = np.load(setting.folder / "scores.npy", mmap_mode="r").shape
    left = rng.standard_normal((STEP, DIMENSIONS), dtype=np.float32)
    right = rng.standard_normal((n_items, DIMENSIONS), dtype=np.float32)

    def call() -> None:
        for _ in range(EPOCHS * -(-n_queries // STEP)):
            scores = left @ right.T
            scores @ right
            scores.T @ left

    return Timed(call, n_queries)


def comparison(name: str, n_candidates: int | None) -> Comparison:
    theirs = [
        Contender(
            f"PyTorch, {n_epochs} epochs",
            partial(by_hand, n_candidates=n_candidates, n_epochs=n_epochs), ("torch",), goal=2.0,
        )
        for n_epochs in (EPOCHS, MORE_EPOCHS)
    ]  # fmt: skip
    if n_candidates is None:
        theirs.append(Contender("the three products alone", products, is_bound=True))
    own = Contender("TwoTowerRetriever", partial(ours, n_candidates=n_candidates))
    return Comparison(name, "query", own, theirs, rounds=2, starts=1)


BENCHMARK = Benchmark(
    name="taught_towers",
    title="Teach two towers a catalogue",
    about=(
        f"Towers of {DIMENSIONS} dimensions know {N_QUERIES:,} queries and {N_ITEMS:,} items by "
        f"their ids, and learn a teacher's order from a matrix of its scores: the whole `fit`, "
        f"with {EPOCHS} epochs of {STEP} queries per step. By hand in PyTorch, the teacher's "
        f"{RANKS} best items are ranked once, the loss is the same, and embeddings start at "
        f"random. Sampled lists have {N_CANDIDATES} items per query: half are the teacher's best, "
        f"and by hand the others are drawn anew for each step. The quality is the fraction of the "
        f"teacher's ten best items among {FOUND_IN} that the towers return."
    ),
    comparisons=[
        comparison("the whole catalogue", None),
        comparison(f"{N_CANDIDATES} candidates per query", N_CANDIDATES),
    ],
    data=data,
)

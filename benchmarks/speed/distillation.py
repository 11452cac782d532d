"""Distil end to end, from a log to a student: against LightGBM and PyTorch by hand."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed
from benchmarks.speed import models
from benchmarks.speed.models import HIDDEN, store, stored

FOLDS, EPOCHS, PER_STEP, RATE = 5, 20, 16, 3e-3
TREES = {"n_estimators": 300, "num_leaves": 31, "learning_rate": 0.05, "verbose": -1}


def data(setting: Setting) -> None:
    """Draw a log, and store its training and its test part."""
    table = models.numeric_data(setting.size(400, 60), "no squash")
    train, _, test = models.parts(table)
    store((train, test), setting.folder / "log")


def trees(setting: Setting) -> Any:
    import lightgbm

    n_trees = setting.size(TREES["n_estimators"], 30)
    settings = TREES | {"n_estimators": n_trees, "n_jobs": setting.threads, "random_state": 0}
    return lightgbm.LGBMRanker(**settings)


def ours(setting: Setting) -> Run:
    from skdistill import DistilledRanker
    from skdistill.students import MLPRanker

    (X, y, qid), test = stored(setting.folder / "log")
    student = MLPRanker(HIDDEN, max_iter=EPOCHS, batch_size=PER_STEP, early_stopping=False)
    ranker = DistilledRanker(
        trees(setting), student, loss="listwise", alpha=0.5, teacher_cv=FOLDS, random_state=0
    )
    quality = {"NDCG@10": models.ndcg(ranker.fit(X, y, qid=qid).predict(test[0]), test)}

    def call() -> None:
        ranker.fit(X, y, qid=qid)

    return Timed(call, len(X), quality)


def out_of_fold(setting: Setting, part: tuple[Any, np.ndarray, np.ndarray]) -> np.ndarray:
    """Score each row by trees that have not seen its query, then fit the teacher itself."""
    from sklearn.model_selection import GroupKFold

    X, y, qid = part
    scores = np.empty(len(X))
    for seen, unseen in GroupKFold(FOLDS).split(X, y, qid):
        sizes = np.unique(qid[seen], return_counts=True)[1]
        scores[unseen] = trees(setting).fit(X[seen], y[seen], group=sizes).predict(X[unseen])
    trees(setting).fit(X, y, group=np.unique(qid, return_counts=True)[1])
    return scores


def teacher_alone(setting: Setting) -> Run:
    train, _ = stored(setting.folder / "log")
    return Timed(partial(out_of_fold, setting, train), len(train[0]))


def by_hand(setting: Setting) -> Run:
    """GroupKFold, LightGBM, and a network in PyTorch on standardised columns."""
    import torch
    from sklearn.preprocessing import StandardScaler

    torch.set_num_threads(setting.threads)
    train, test = stored(setting.folder / "log")
    X, y, _ = train
    n_rows = models.QUERY_SIZE

    def fit() -> Any:
        torch.manual_seed(0)
        scores = out_of_fold(setting, train)
        scaler = StandardScaler().fit(X)
        rows = torch.from_numpy(scaler.transform(X).astype(np.float32)).view(-1, n_rows, X.shape[1])
        soft = torch.softmax(torch.from_numpy(scores.astype(np.float32)).view(-1, n_rows), 1)
        gains = torch.from_numpy((2**y - 1).astype(np.float32)).view(-1, n_rows)
        hard = gains / gains.sum(1, keepdim=True).clamp_min(1e-9)
        targets = 0.5 * soft + 0.5 * hard
        layers = [
            layer
            for shape in pairwise((X.shape[1], *HIDDEN, 1))
            for layer in (torch.nn.Linear(*shape), torch.nn.ReLU())
        ]
        net = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
        n_steps = EPOCHS * -(-len(rows) // PER_STEP)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(rows)).split(PER_STEP):
                output = net(rows[chosen])[:, :, 0]
                value = -(targets[chosen] * torch.log_softmax(output, 1)).sum(1).mean()
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
        return scaler, net

    scaler, net = fit()
    with torch.inference_mode():
        inputs = torch.from_numpy(scaler.transform(test[0]).astype(np.float32))
        quality = {"NDCG@10": models.ndcg(net(inputs).numpy()[:, 0], test)}

    def call() -> None:
        fit()

    return Timed(call, len(X), quality)


BENCHMARK = Benchmark(
    name="distillation",
    title="Distil end to end",
    about=(
        f"From a log to a student: for each of {FOLDS} folds, LightGBM is fitted on the other four "
        "and scores its rows; it is then fitted on all rows; an MLP learns from labels and scores "
        f"in {EPOCHS} epochs with Adam and a cosine schedule. By hand, the same is done with "
        "GroupKFold and PyTorch. The time of LightGBM alone is the least that anybody needs."
    ),
    comparisons=[
        Comparison(
            "labels out of fold, then a student",
            "row",
            Contender("DistilledRanker", ours),
            [
                Contender("LightGBM and PyTorch", by_hand, ("torch",), goal=1.5),
                Contender("the teacher's fits alone", teacher_alone, is_bound=True),
            ],
            rounds=2,
            starts=1,
            in_short=False,
        ),
    ],
    data=data,
)

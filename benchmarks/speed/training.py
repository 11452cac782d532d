"""Train an MLP on lists: against PyTorch, eager and compiled, with the same steps."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting
from benchmarks.speed import models
from benchmarks.speed.epochs import CalledEpochs, FittedEpochs
from benchmarks.speed.models import HIDDEN, store, stored

PER_STEP, RATE, PLACES = 16, 3e-3, 10
SHAPES = ("queries of 100 rows", "ragged queries of 1 to 1,000 rows")
LOSSES = ("listwise", "plackett_luce")
EPOCHS_OF_QUALITY = 5
IN_SHORT = tuple(zip(SHAPES, LOSSES, strict=True))


def data(setting: Setting) -> None:
    """Draw queries of equal and of ragged sizes, with a teacher's scores."""
    from sklearn.preprocessing import StandardScaler

    from skdistill.datasets import make_ranking

    n_queries = setting.size((1500, 300), (160, 32))
    sizes: list[Any] = [100, (1, 1000)]
    for shape, n, size in zip(SHAPES, n_queries, sizes, strict=True):
        table = make_ranking(n + n // 5, size, models.N_TRUE, random_state=0)
        X = models.columns_of(table.X, "no squash", np.random.default_rng(2))
        # The scaling is not a part of an epoch; the student finds nothing left to do.
        X = StandardScaler().fit_transform(X).astype(np.float32)
        train = table.qid < n
        parts = [(X[rows], table.utility[rows], table.qid[rows]) for rows in (train, ~train)]
        store([*parts, table.y[~train]], setting.folder / shape)


def ours(setting: Setting, shape: str, loss: str) -> Run:
    from skdistill.students import MLPRanker

    (X, scores, qid), test, grades = stored(setting.folder / shape)

    def make(max_iter: int) -> Any:
        return MLPRanker(
            HIDDEN, loss=loss, max_iter=max_iter, batch_size=PER_STEP,
            max_batch_rows=PER_STEP * 1000, learning_rate_init=RATE, learning_rate="constant",
            weight_decay=0.0, early_stopping=False, random_state=0,
        )  # fmt: skip

    def fit(student: Any) -> Any:
        return student.fit(X, qid=qid, teacher_scores=scores)

    student = fit(make(setting.size(EPOCHS_OF_QUALITY, 1)))
    quality = {"NDCG@10": models.ndcg(student.predict(test[0]), (test[0], grades, test[2]))}
    return FittedEpochs(make, fit, len(X), quality)


def listwise(torch: Any, scores: Any, targets: Any, mask: Any) -> Any:
    """Softmax cross-entropy with the teacher's softmax."""
    scores = scores.masked_fill(~mask, -1e9)
    targets = torch.softmax(targets.masked_fill(~mask, -1e9), dim=1)
    return -(targets * torch.log_softmax(scores, dim=1)).sum(dim=1).mean()


def plackett_luce(torch: Any, scores: Any, targets: Any, mask: Any) -> Any:
    """Likelihood of the first places of the teacher's order."""
    order = targets.masked_fill(~mask, -1e9).argsort(dim=1, descending=True)
    scores = scores.masked_fill(~mask, -1e9).gather(1, order)
    rest = scores.flip(1).logcumsumexp(1).flip(1)
    places = mask.gather(1, order)[:, :PLACES]
    terms = (rest - scores)[:, :PLACES].masked_fill(~places, 0.0)
    return (terms.sum(dim=1) / places.sum(dim=1)).mean()


def pytorch(setting: Setting, shape: str, loss: str, compiled: bool) -> Run:
    """The same network by hand: fused Adam, all rows of a step at once, lists padded."""
    import torch

    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    (X, scores, qid), test, grades = stored(setting.folder / shape)
    starts = np.flatnonzero(np.r_[True, qid[1:] != qid[:-1], True])
    sizes = torch.from_numpy(np.diff(starts))
    first = torch.from_numpy(starts[:-1])
    rows, targets = torch.from_numpy(X), torch.from_numpy(scores.astype(np.float32))
    widths = (X.shape[1], *HIDDEN, 1)
    layers = [
        layer
        for shape_of in pairwise(widths)
        for layer in (torch.nn.Linear(*shape_of), torch.nn.ReLU())
    ]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    formula = partial({"listwise": listwise, "plackett_luce": plackett_luce}[loss], torch)
    is_regular = shape == SHAPES[0]

    def loss_of(inputs: Any, wanted: Any, mask: Any) -> Any:
        output = net(inputs)[:, 0]
        if is_regular:
            return formula(output.view(mask.shape), wanted, mask)
        # The network sees each row once; only scores are padded.
        padded = torch.zeros(mask.shape).masked_scatter(mask, output)
        return formula(padded, wanted, mask)

    step_loss = torch.compile(loss_of, dynamic=not is_regular) if compiled else loss_of

    def epoch() -> None:
        for chosen in torch.randperm(len(sizes)).split(PER_STEP):
            places = torch.arange(int(sizes[chosen].max()))
            mask = places < sizes[chosen][:, None]
            index = (first[chosen][:, None] + places)[mask]
            wanted = torch.zeros(mask.shape).masked_scatter(mask, targets[index])
            value = step_loss(rows[index], wanted, mask)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    for _ in range(setting.size(EPOCHS_OF_QUALITY, 1)):
        epoch()
    with torch.inference_mode():
        found = net(torch.from_numpy(test[0])).numpy()[:, 0]
    quality = {"NDCG@10": models.ndcg(found, (test[0], grades, test[2]))}
    return CalledEpochs(epoch, len(X), quality)


def products(setting: Setting, shape: str) -> Run:
    """The products of each step: forward, and backward to weights and activations."""
    (X, _, qid), *_ = stored(setting.folder / shape)
    rng = np.random.default_rng(0)
    sizes = (X.shape[1], *HIDDEN, 1)
    weights = [rng.standard_normal(each, dtype=np.float32) for each in pairwise(sizes)]
    starts = np.flatnonzero(np.r_[True, qid[1:] != qid[:-1], True])[::PER_STEP]
    steps = list(pairwise([*starts.tolist(), len(X)]))

    def epoch() -> None:
        for start, end in steps:
            outputs = [X[start:end]]
            for each in weights:
                outputs.append(outputs[-1] @ each)
            gradient = outputs.pop()
            for number in range(len(weights) - 1, -1, -1):
                outputs[number].T @ gradient
                if number:
                    gradient = gradient @ weights[number].T

    return CalledEpochs(epoch, len(X))


def comparison(shape: str, loss: str) -> Comparison:
    where = {"shape": shape, "loss": loss}
    goal = 1.5 if shape == SHAPES[0] else 2.0
    return Comparison(
        f"{loss}, {shape}",
        "row",
        Contender("MLPRanker", partial(ours, **where)),
        [
            Contender("PyTorch", partial(pytorch, **where, compiled=False), ("torch",), goal=goal),
            Contender(
                "PyTorch, compiled", partial(pytorch, **where, compiled=True), ("torch",), goal,
                in_short=False,
            ),
            Contender("the matrix products alone", partial(products, shape=shape), is_bound=True),
        ],
        in_short=(shape, loss) in IN_SHORT,
        rounds=3,
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="training",
    title="Train an MLP",
    about=(
        "An epoch of an MLP of 64 and 32 units on 136 columns, 16 queries per step, with Adam. "
        "PyTorch uses the fused Adam. Its network computes no padding: only scores are padded, "
        "to the longest list of the step. The quality is measured after "
        f"{EPOCHS_OF_QUALITY} epochs, on other queries."
    ),
    comparisons=[comparison(shape, loss) for shape in SHAPES for loss in LOSSES],
    data=data,
)

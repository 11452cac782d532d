"""Time training two towers on id columns against PyTorch's EmbeddingBag, on one thread each.

Each tower has five id columns and 32 dimensions, and each step has 1,024 pairs. The losses are the
pointwise log-loss and the softmax over the items of the batch; the optimizer is AdaGrad. PyTorch
uses sparse gradients, its faster form. It runs twice: with its default initial weights of standard
deviation 1, which saturate the softmax and produce slow subnormal numbers, and with weights as
small as ours.

No other benchmark needs PyTorch. ``--short`` leaves it out, and only checks that the benchmark
runs.
"""

import argparse
import warnings

import numpy as np
from scipy import sparse
from speed import median_times
from threadpoolctl import threadpool_limits

from skdistill.inputs.pairs import PairList, Pairs
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.losses import get_loss
from skdistill.models import TwoTower
from skdistill.towers.batches import CatalogueBatches
from skdistill.towers.in_batch_negatives import InBatchNegatives, LabelledPairs
from skdistill.training.loop import TrainingSettings, train
from skdistill.training.objective import Objective
from skdistill.training.query_batches import QueryBatches

STEP = 1024
DIMENSIONS = 32
QUERY_IDS = (100_000, 1000, 100, 50, 20)
ITEM_IDS = (50_000, 1000, 200, 50, 10)


def id_columns(rng, n_rows, sizes):
    """Draw a value of each id column; ids of different columns differ."""
    first = np.cumsum([0, *sizes[:-1]])
    return np.stack([rng.integers(0, size, n_rows) for size in sizes], axis=1) + first


def one_hot(columns, sizes):
    n_rows, n_columns = columns.shape
    starts = (np.arange(n_rows + 1) * n_columns).astype(np.int32)
    data = np.ones(columns.size, dtype=np.float32)
    indices = columns.ravel().astype(np.int32)
    return Rows(sparse.csr_array((data, indices, starts), shape=(n_rows, sum(sizes))))


def settings():
    return TrainingSettings(
        max_iter=1,
        batch_size=STEP,
        max_batch_rows=STEP,
        optimizer="adagrad",
        learning_rate_init=0.05,
        learning_rate="constant",
        weight_decay=0.0,
        n_iter_no_change=1,
        tol=0.0,
    )


class Ours:
    """Train with the package; each row has its own query and item."""

    def __init__(self, queries, items, labels):
        n_rows = len(labels)
        self.model = TwoTower(DIMENSIONS, item_bias=False)
        query_rows, item_rows = one_hot(queries, QUERY_IDS), one_hot(items, ITEM_IDS)
        widths = query_rows.n_features, item_rows.n_features
        params = self.model.initialize(widths, np.random.default_rng(0))
        pairs = PairList(None, None)
        inputs = Pairs(query_rows, item_rows, (pairs,))
        self.optimizer = settings().make_optimizer(self.model, params, inputs)
        single = Queries.from_sizes(np.ones(n_rows, dtype=np.int64))
        loss = get_loss("logistic")
        objective = Objective.mix(single, soft=loss, hard=loss, alpha=0, labels=labels)
        log = LabelledPairs(single, np.arange(n_rows), np.arange(n_rows), np.ones(n_rows))
        softmax = get_loss("listwise")
        self.batches = {
            "pointwise": QueryBatches(inputs, single, objective, settings()),
            "softmax in batch": CatalogueBatches(
                *(query_rows, item_rows, n_rows, STEP, np.arange(n_rows)),
                (InBatchNegatives(log, softmax, 1.0, n_rows, np.arange(n_rows), n_rows, 0, STEP),),
            ),
        }

    def epoch(self, name):
        rng = np.random.default_rng(0)
        train(self.model, self.optimizer, self.batches[name], settings(), rng)


class PyTorch:
    """Train the same model by hand in PyTorch: two EmbeddingBags, sparse gradients, AdaGrad."""

    def __init__(self, queries, items, labels, deviation=1.0):
        import torch

        torch.set_num_threads(1)
        warnings.filterwarnings("ignore", message="Sparse invariant checks")
        self.torch = torch
        self.queries, self.items = torch.from_numpy(queries), torch.from_numpy(items)
        self.labels = torch.from_numpy(labels.astype(np.float32))
        self.towers = [
            torch.nn.EmbeddingBag(sum(sizes), DIMENSIONS, mode="sum", sparse=True)
            for sizes in (QUERY_IDS, ITEM_IDS)
        ]
        for tower in self.towers:
            torch.nn.init.normal_(tower.weight, std=deviation)
        parameters = [p for tower in self.towers for p in tower.parameters()]
        self.optimizer = torch.optim.Adagrad(parameters, lr=0.05)

    def epoch(self, name):
        torch = self.torch
        order = torch.randperm(len(self.labels))
        for start in range(0, len(order), STEP):
            rows = order[start : start + STEP]
            left, right = self.towers[0](self.queries[rows]), self.towers[1](self.items[rows])
            if name == "pointwise":
                scores = (left * right).sum(dim=1)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    scores, self.labels[rows]
                )
            else:
                loss = torch.nn.functional.cross_entropy(left @ right.T, torch.arange(len(rows)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def products(n_rows):
    """Compute the scores of a batch and the gradients of both sides, which every library must."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((STEP, DIMENSIONS), dtype=np.float32) for _ in range(2))
    for _ in range(0, n_rows, STEP):
        scores = left @ right.T
        scores @ right
        scores.T @ left


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer pairs, no rivals")
    short = parser.parse_args().short
    n_rows, repeats = (STEP * 8, 1) if short else (STEP * 40, 7)
    rng = np.random.default_rng(1)
    queries, items = id_columns(rng, n_rows, QUERY_IDS), id_columns(rng, n_rows, ITEM_IDS)
    labels = rng.integers(0, 2, n_rows).astype(float)
    table = queries, items, labels
    with threadpool_limits(1):
        for name in ("pointwise", "softmax in batch"):
            rivals = {"skdistill": Ours(*table)}
            if not short:
                rivals["PyTorch"] = PyTorch(*table)
                rivals["PyTorch, small weights"] = PyTorch(*table, deviation=0.05)
            calls = {
                rival: lambda runner=runner, name=name: runner.epoch(name)
                for rival, runner in rivals.items()
            }
            if name == "softmax in batch":
                calls["its three products alone"] = lambda: products(n_rows)
            calls = median_times(calls, repeats)
            for rival, seconds in calls.items():
                ratio = seconds / calls["skdistill"]
                speed = n_rows / seconds / 1e6
                print(
                    f"two towers, {name}: {rival} {speed:.3f} M pairs/s, {ratio:.2f} times our time"
                )


if __name__ == "__main__":
    main()

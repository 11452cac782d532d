"""The rivals of ``quality``: what can be had without this package."""

from itertools import pairwise

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.studies.quality_tables import sizes_of

EPOCHS, QUERIES_PER_STEP, LEARNING_RATE, WEIGHT_DECAY = 30, 16, 3e-3, 1.0


def small_trees(seed):
    return lightgbm.LGBMRanker(
        n_estimators=20, num_leaves=8, learning_rate=0.3, random_state=seed, verbose=-1, n_jobs=1
    )


def encoder(X):
    """Standardise numbers, fill and flag missing ones, and encode categories as one-hot columns."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    if not isinstance(X, pd.DataFrame):
        return numbers
    categories = OneHotEncoder(
        min_frequency=10, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return make_column_transformer(
        (categories, make_column_selector(dtype_include=["category", object])),
        remainder=numbers,
    )


def mlp_regressor(sizes, seed, X):
    """A net of scikit-learn that stops early on a tenth of the rows."""
    net = MLPRegressor(hidden_layer_sizes=sizes, early_stopping=True, random_state=seed)
    return make_pipeline(encoder(X), net)


class TorchListwise:
    """A net of PyTorch that learns the labels by the softmax cross-entropy of whole queries."""

    def __init__(self, encode, net):
        self.encode, self.net = encode, net

    def predict(self, X):
        import torch

        with torch.no_grad():
            rows = torch.from_numpy(np.asarray(self.encode.transform(X), dtype=np.float32))
            return self.net(rows).numpy().ravel()


def torch_listwise(sizes, seed, part):
    """Train a net as a user of PyTorch would: AdamW, a cosine schedule, padded queries."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    encode = encoder(part.X).fit(part.X)
    rows = torch.from_numpy(np.asarray(encode.transform(part.X), dtype=np.float32))
    gains = torch.from_numpy((2.0**part.y - 1).astype(np.float32))
    widths = [rows.shape[1], *sizes]
    layers = [
        layer
        for width, units in pairwise(widths)
        for layer in (torch.nn.Linear(width, units), torch.nn.ReLU())
    ]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))
    queries = torch.split(torch.arange(len(rows)), sizes_of(part.qid).tolist())
    n_steps = EPOCHS * -(-len(queries) // QUERIES_PER_STEP)
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(queries)), QUERIES_PER_STEP):
            chosen = [queries[index] for index in batch]
            scores = pad_sequence(
                [net(rows[index])[:, 0] for index in chosen], True, padding_value=-1e9
            )
            gain = pad_sequence([gains[index] for index in chosen], True)
            share = gain / gain.sum(1, keepdim=True).clamp_min(1e-9)
            loss = -(share * torch.log_softmax(scores, 1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return TorchListwise(encode, net)

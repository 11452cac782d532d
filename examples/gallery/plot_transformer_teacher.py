"""
A transformer that reads the whole list as teacher
==================================================

How good a row is may depend on the others: a price is high or low beside the other offers of the
list. A transformer attends over all rows of a query, and can learn this. It is slow, and needs the
whole list at once. This example distils it into a network that scores one row at a time.

It needs PyTorch: ``pip install torch``. skdistill itself does not.
"""

# %%
# Lists in which the other rows matter
# ------------------------------------
#
# Each query is a list of offers. Six columns say how good an offer is by itself. The lists have
# different levels of price, and an offer far from the usual price of its list, cheap or dear, is
# trusted less. No row contains the usual price. In each list one offer was booked: mostly the best
# one, or one nearly as good. All models learn from bookings alone. The log is made up, so that the
# test lists can be judged by grades of the true utility.

import sys
import time

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.inspection import row_costs
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import MLPRanker

try:
    import torch
except ImportError:
    sys.exit("This example needs PyTorch: pip install torch")

data = make_ranking(1000, query_size=(8, 24), n_features=6, random_state=0)
rng = np.random.default_rng(0)
level = rng.standard_normal(1000)[data.qid]
X = pd.DataFrame(data.X, columns=[f"quality_{place}" for place in range(6)])
X["price"] = level + 0.5 * rng.standard_normal(len(X))
X["usual_price"] = X["price"].groupby(data.qid).transform("mean")
utility = data.utility - 4 * np.abs(X["price"] - X["usual_price"])
grade = np.digitize(utility, np.quantile(utility, [0.5, 0.75, 0.875, 0.9375])).astype(float)
qid = data.qid
liking = utility + 0.5 * rng.gumbel(size=len(X))
y = (liking == pd.Series(liking).groupby(qid).transform("max")).to_numpy(float)
train, test = qid < 600, qid >= 600

row = list(X.columns.drop("usual_price"))
with_list = list(X.columns)

# %%
# The teacher
# -----------
#
# Lists of different lengths are padded, and attention is masked so that no row sees the padding.
# The loss is the softmax cross-entropy over the rows of a list. An estimator whose ``predict``
# takes ``qid`` gets the queries from skdistill, and nothing else is needed to make it a teacher.


class ListNet(torch.nn.Module):
    """Self-attention over the rows of a list; a score per row."""

    def __init__(self, n_columns, width, n_layers):
        super().__init__()
        self.read = torch.nn.Linear(n_columns, width)
        layer = torch.nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True
        )
        self.attend = torch.nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.score = torch.nn.Linear(width, 1)

    def forward(self, lists, is_row):
        hidden = self.attend(self.read(lists), src_key_padding_mask=~is_row)
        return self.score(hidden)[..., 0].masked_fill(~is_row, -1e9)


class TransformerRanker(RegressorMixin, BaseEstimator):
    """A transformer over the rows of a query, as a scikit-learn estimator."""

    def __init__(self, width=32, n_layers=2, n_epochs=20, batch_size=32, random_state=None):
        self.width = width
        self.n_layers = n_layers
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y, qid):
        torch.manual_seed(self.random_state)
        X = np.asarray(X, np.float32)
        self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        query, place = places(qid)
        lists, is_row = pad((X - self.mean_) / self.scale_, query, place)
        gain = pad(2 ** np.asarray(y, np.float32) - 1, query, place)[0]
        target = gain / gain.sum(dim=1, keepdim=True).clamp(min=1)
        self.net_ = ListNet(X.shape[1], self.width, self.n_layers)
        optimizer = torch.optim.AdamW(self.net_.parameters(), lr=2e-3)
        n_steps = self.n_epochs * -(-len(lists) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(self.n_epochs):
            for batch in torch.randperm(len(lists)).split(self.batch_size):
                scores = self.net_(lists[batch], is_row[batch])
                loss = -(target[batch] * scores.log_softmax(dim=1)).sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return self

    @torch.no_grad()
    def predict(self, X, qid):
        query, place = places(qid)
        X = (np.asarray(X, np.float32) - self.mean_) / self.scale_
        return self.net_.eval()(*pad(X, query, place)).numpy()[query, place]


def places(qid):
    """Number the queries, and the rows within each of them."""
    query = pd.factorize(np.asarray(qid))[0]
    return query, pd.Series(query).groupby(query).cumcount().to_numpy()


def pad(values, query, place):
    """Arrange rows as a tensor with a list per query; also mark which entries are rows."""
    shape = query.max() + 1, place.max() + 1
    lists, is_row = np.zeros((*shape, *values.shape[1:]), np.float32), np.zeros(shape, bool)
    lists[query, place], is_row[query, place] = values, True
    return torch.from_numpy(lists), torch.from_numpy(is_row)


# %%
# Two students
# ------------
#
# Both see one row at a time. The second also gets the mean price of the list as a column, which a
# service computes once per request. The transformer does not get this column.
#
# They learn from out-of-fold scores: each list is scored by a transformer that was not fitted on
# it. For a single student, ``DistilledRanker(TransformerRanker(), teacher_cv=3)`` does the same.
# Here two students learn from the same scores.

out_of_fold = np.empty(train.sum())
folds = RankingGroupKFold(3, shuffle=True, random_state=0)
for fold, held_out in folds.split(X[train], groups=qid[train]):
    model = TransformerRanker(random_state=0)
    model.fit(X.loc[train, row].iloc[fold], y[train][fold], qid[train][fold])
    out_of_fold[held_out] = model.predict(X.loc[train, row].iloc[held_out], qid[train][held_out])


def student(columns, teacher_scores=None):
    ranker = DistilledRanker(
        student=MLPRanker((32, 16)),
        student_columns=columns,
        alpha=0.0 if teacher_scores is None else 0.5,
        random_state=0,
    )
    return ranker.fit(X[train], y[train], qid=qid[train], teacher_scores=teacher_scores)


alone, alone_with_list = student(row), student(with_list)
taught, taught_with_list = student(row, out_of_fold), student(with_list, out_of_fold)
transformer = TransformerRanker(random_state=0).fit(X.loc[train, row], y[train], qid[train])

# %%
# LightGBM is the usual alternative, with the same columns as each student.


def trees(columns):
    model = lightgbm.LGBMRanker(n_estimators=100, random_state=0, n_jobs=1, verbose=-1)
    sizes = np.unique(qid[train], return_counts=True)[1]
    return model.fit(X.loc[train, columns], y[train], group=sizes)


plain_trees, trees_with_list = trees(row), trees(with_list)

# %%
# What each of them reaches
# -------------------------

rows = X[test]
scores = {
    "transformer, sees the list": transformer.predict(rows[row], qid[test]),
    "LightGBM": plain_trees.predict(rows[row]),
    "student on bookings": alone.predict(rows),
    "student of the transformer": taught.predict(rows),
    "LightGBM + usual price": trees_with_list.predict(rows[with_list]),
    "student on bookings + usual price": alone_with_list.predict(rows),
    "student of the transformer + usual price": taught_with_list.predict(rows),
}
ndcg = {name: ndcg_per_query(grade[test], of, qid[test], k=10) for name, of in scores.items()}
reference = ndcg["transformer, sees the list"]
ratios = {name: bootstrap_ratio(of, reference, random_state=0) for name, of in ndcg.items()}
print(f"{'':42}NDCG@10  of the transformer's")
for name, (ratio, low, high) in ratios.items():
    print(f"{name:42}{ndcg[name].mean():.4f}   {ratio:.3f} [{low:.3f}, {high:.3f}]")
for other in ("student on bookings", "LightGBM"):
    gain = bootstrap_ratio(
        ndcg["student of the transformer + usual price"],
        ndcg[f"{other} + usual price"],
        random_state=0,
    )
    print("taught, with the usual price, over {}: {:.3f} [{:.3f}, {:.3f}]".format(other, *gain))

# %%
# What a row costs, on one thread.

torch.set_num_threads(1)
start = time.perf_counter()
transformer.predict(rows[row], qid[test])
seconds = (time.perf_counter() - start) / len(rows)
costs = row_costs({"LightGBM": trees_with_list, "student": taught_with_list}, rows[with_list])
print(f"transformer {1e6 * seconds:.2f} us per row")
for name, cost in costs.items():
    print(f"{name} {1e6 * cost.seconds:.2f} us per row")

# %%
plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
for place, (name, (ratio, low, high)) in enumerate(ratios.items()):
    colour, marker = ("C5", "s") if "student" in name else ("C0", "o")
    ax.errorbar(
        ratio, place, xerr=[[ratio - low], [high - ratio]], fmt=marker, color=colour, capsize=3
    )
ax.axvline(1, color="C3", linestyle=":")
ax.set_yticks(range(len(ratios)), ratios)
ax.invert_yaxis()
ax.grid(axis="x", alpha=0.3)
ax.set_xlabel("NDCG@10, relative to the transformer (95% intervals)")
plt.show()

"""
Networks and trees as teachers, alone and together
==================================================

Networks and trees err on different rows, so that their mean may rank better than either of them. It
is slower than both. This example teaches the same small student by an ensemble of networks, by
LightGBM, and by both, on MovieLens 100k.
"""

# %%
# Each user is a query, with the films that the user rated later, and 30 that the user never rated.
# 500 users are for training, the others for testing.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np

from skdistill import DistilledRanker
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.inspection import fit_small_trees, row_costs
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import MLPRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble

table = build_ranking_table(*load_movielens("100k"), n_negatives=30)
X, y, qid = table.X, table.y, table.qid
is_train = np.isin(qid, np.random.default_rng(0).permutation(np.unique(qid))[:500])
X_train, y_train, qid_train = X[is_train], y[is_train], qid[is_train]
X_test, y_test, qid_test = X[~is_train], y[~is_train], qid[~is_train]

# %%
# Three teachers
# --------------
#
# The members of an ``MLPEnsembleRanker`` differ in their samples of the queries, in their initial
# parameters and, where a list is given, in their losses. A ``RankEnsemble`` standardises the scores
# of its members within each query, and averages them.

trees = lightgbm.LGBMRanker(
    n_estimators=100,
    learning_rate=0.08,
    min_child_samples=50,
    colsample_bytree=0.5,
    n_jobs=1,
    verbose=-1,
)
nets = MLPEnsembleRanker(5, loss=["listwise", "plackett_luce"])
both = RankEnsemble([("trees", trees), ("nets", nets)])

# %%
# The same student of each
# ------------------------
#
# The students learn from out-of-fold scores: a teacher is too sure of rows that it was fitted on.
# Beside them stand the same student on labels alone, and small LightGBM models of 10 and 20 trees,
# whose learning rate was chosen on the training users.


def distil(teacher, **parameters):
    ranker = DistilledRanker(teacher, MLPRanker((16,)), random_state=0, **parameters)
    return ranker.fit(X_train, y_train, qid=qid_train)


of_trees, of_nets, of_both = (distil(teacher, teacher_cv=2) for teacher in (trees, nets, both))
models = {
    "LightGBM": of_trees.teacher_,
    "5 nets": of_nets.teacher_,
    "LightGBM and 5 nets": of_both.teacher_,
    "student of LightGBM": of_trees,
    "student of 5 nets": of_nets,
    "student of LightGBM and 5 nets": of_both,
    "student on labels": distil(None, alpha=0.0),
}
models |= fit_small_trees(
    X_train, y_train, qid=qid_train, template=trees, n_trees=[10, 20], n_leaves=[8], random_state=0
)

# %%
# Results on the other users
# --------------------------
#
# An ensemble is asked with the queries, because it averages scores within them. The last lines show
# what teaching gains. The gains differ less from each other than their intervals are wide, so that
# the quickest teacher will do.

is_ensemble = {name: hasattr(model, "deviations_") for name, model in models.items()}
scores = {
    name: model.predict(X_test, **({"qid": qid_test} if is_ensemble[name] else {}))
    for name, model in models.items()
}
ndcg = {name: ndcg_per_query(y_test, of, qid_test, k=10) for name, of in scores.items()}
costs = row_costs(models, X_test)
reference = ndcg["LightGBM"]
ratios = {name: bootstrap_ratio(of, reference, random_state=0) for name, of in ndcg.items()}
print(f"{'':34}NDCG@10  of LightGBM's         us per row")
for name, (ratio, low, high) in ratios.items():
    cost = 1e6 * costs[name].seconds
    print(f"{name:34}{ndcg[name].mean():.4f}   {ratio:.3f} [{low:.3f}, {high:.3f}]  {cost:.2f}")

for name in ("student of LightGBM", "student of 5 nets", "student of LightGBM and 5 nets"):
    gain = bootstrap_ratio(ndcg[name], ndcg["student on labels"], random_state=0)
    print("{} over the student on labels: {:.3f} [{:.3f}, {:.3f}]".format(name, *gain))

# %%
plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for place, (name, (ratio, low, high)) in enumerate(ratios.items()):
    colour, marker = ("C5", "s") if "student" in name else ("C0", "o")
    ax.errorbar(
        ratio, place, xerr=[[ratio - low], [high - ratio]], fmt=marker, color=colour, capsize=3
    )
ax.axvline(1, color="C3", linestyle=":")
ax.set_yticks(range(len(ratios)), ratios)
ax.invert_yaxis()
ax.grid(axis="x", alpha=0.3)
ax.set_xlabel("NDCG@10, relative to LightGBM (95% intervals)")
ax.set_title("MovieLens 100k, users that no model has seen")
plt.show()

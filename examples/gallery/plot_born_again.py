"""
A student of its teacher's own shape
====================================

A network may be taught by a network of the same shape, which was trained on the same labels. The
student is no faster than its teacher, but it may be better, and then teach the next one. Such
chains are called born-again networks (Furlanello et al., ICML 2018). This example follows three
generations on a table where labels are few, and asks whether the trainings are well spent.
"""

# %%
# Each user of MovieLens 100k is a query, with the films that the user rated later, and 50 that the
# user never rated. 200 users are for training, and the others for testing.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np

from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import MLPRanker

table = build_ranking_table(*load_movielens("100k"), n_negatives=50)
X, y, qid = table.X.to_numpy(), table.y, table.qid
is_train = np.isin(qid, np.random.default_rng(0).permutation(np.unique(qid))[:200])
X_train, y_train, qid_train = X[is_train], y[is_train], qid[is_train]
X_test, y_test, qid_test = X[~is_train], y[~is_train], qid[~is_train]


def ndcg(scores):
    return ndcg_per_query(y_test, scores, qid_test, k=10)


# %%
# Generations
# -----------
#
# The first network learns from labels alone. Each later one is of the same shape, starts from new
# random parameters, and learns from labels and from the scores of the one before it, with equal
# weight. All have the same loss. Four chains with different seeds show how much of it is chance.


def network(seed, alpha=0.0):
    return MLPRanker((64, 32), loss="plackett_luce", alpha=alpha, random_state=seed)


N_GENERATIONS, N_CHAINS = 4, 4
values, scores = [], []
for chain in range(N_CHAINS):
    teacher = network(chain).fit(X_train, y_train, qid=qid_train)
    generations = [teacher]
    for generation in range(1, N_GENERATIONS):
        student = network(10 * generation + chain, alpha=0.5)
        student.fit(X_train, y_train, qid=qid_train, teacher_scores=teacher.predict(X_train))
        generations.append(student)
        teacher = student
    scores.append([one.predict(X_test) for one in generations])
    values.append([ndcg(of) for of in scores[-1]])
values = np.array(values)  # chains, generations, users

# %%
# What a generation gains
# -----------------------
#
# NDCG@10 of a user is averaged over the chains before generations are compared. The chain costs as
# many trainings as it has generations. What could be had for that without teaching is the mean of
# four networks on labels, which is four times as slow to serve. A generation whose interval
# contains 1 has not been shown to be better than labels alone.

by_user = values.mean(axis=0)
mean_of_nets = np.mean([of[0] for of in scores], axis=0)
trees = lightgbm.LGBMRanker(n_estimators=50, min_child_samples=50, n_jobs=1, verbose=-1)
trees.fit(X_train, y_train, group=np.unique(qid_train, return_counts=True)[1])
rivals = {
    "mean of 4 networks on labels": ndcg(mean_of_nets),
    "LightGBM, 50 trees": ndcg(trees.booster_.predict(X_test)),
}
names = ["labels alone", *(f"generation {number}" for number in range(1, N_GENERATIONS))]
results = dict(zip(names, by_user, strict=True)) | rivals
ratios = {name: bootstrap_ratio(of, by_user[0], random_state=0) for name, of in results.items()}
print(f"{'':30}NDCG@10  of labels alone")
for name, (ratio, low, high) in ratios.items():
    print(f"{name:30}{np.nanmean(results[name]):.4f}   {ratio:.3f} [{low:.3f}, {high:.3f}]")

# %%
plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
at = np.arange(N_GENERATIONS)
level = np.nanmean(by_user[0])
for number, chain in enumerate(np.nanmean(values, axis=2)):
    ax.plot(at, chain, color="C2", marker=".", label="one chain" if number == 0 else None)
ratio, low, high = np.array([ratios[name] for name in names]).T
ax.errorbar(
    at,
    level * ratio,
    level * np.array([ratio - low, high - ratio]),
    color="C0",
    marker="o",
    capsize=3,
    label="mean of chains, 95% interval of the gain",
)
ax.axhline(
    np.nanmean(rivals["mean of 4 networks on labels"]),
    color="C5",
    linestyle="--",
    label="mean of 4 networks on labels",
)
ax.set_xticks(at, names)
ax.set_ylabel("NDCG@10")
ax.grid(alpha=0.3)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, columnspacing=1)
plt.show()

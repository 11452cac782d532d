"""
A grid search in the order of time
==================================

How much should a student believe its teacher, and by which loss? This example lets scikit-learn's
``GridSearchCV`` decide, on a ``Pipeline`` that ends in a ranker. The splits follow the time of the
queries, and each split's teacher is fitted once.
"""

# %%
# Users who came later
# --------------------
#
# Each user of MovieLens 100k is a query, with the films that the user rated later, and 30 that the
# user never rated. The time of a query is that of the user's last rating. The last third of the
# users is for testing.

import tempfile
import time

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer

from skdistill import DistilledRanker, RankingTimeSeriesSplit
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.inspection import fit_small_trees
from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import MLPRanker

ratings, users, films = load_movielens("100k")
table = build_ranking_table(ratings, users, films, n_negatives=30)
last_seen = ratings.groupby("user_id")["timestamp"].max().to_numpy()
X, y, qid = table.X.to_numpy(), table.y, table.qid
is_train = last_seen[qid] <= np.quantile(last_seen, 2 / 3)
X_train, y_train, qid_train = X[is_train], y[is_train], qid[is_train]
X_test, y_test, qid_test = X[~is_train], y[~is_train], qid[~is_train]
time_train = last_seen[qid_train]
print(f"{len(np.unique(qid_train))} users for training, {len(np.unique(qid_test))} for testing")

# %%
# The Pipeline and its grid
# -------------------------
#
# ``alpha`` is the weight of the teacher: 0 is labels alone, 1 the teacher alone. With metadata
# routing, one ``fit`` of the search hands the queries to the splitter, to the ranker in the
# Pipeline and to its score, and the times to the splitter. ``memory`` keeps the teacher's scores:
# each split fits its teacher once, and not once for each setting.

teacher = lightgbm.LGBMRanker(
    n_estimators=100,
    num_leaves=8,
    learning_rate=0.08,
    min_child_samples=50,
    colsample_bytree=0.5,
    n_jobs=1,
    verbose=-1,
)
cache = tempfile.TemporaryDirectory()
pipeline = Pipeline(
    [
        ("spread", QuantileTransformer(output_distribution="normal", random_state=0)),
        (
            "rank",
            DistilledRanker(
                teacher,
                MLPRanker((16,)),
                teacher_cv=3,
                memory=cache.name,
                random_state=0,
            ),
        ),
    ]
)
grid = {
    "rank__alpha": [0.0, 0.5, 1.0],
    "rank__loss": ["listwise", "plackett_luce"],
}

# %%
# The search
# ----------

sklearn.set_config(enable_metadata_routing=True)
search = GridSearchCV(pipeline, grid, cv=RankingTimeSeriesSplit(2), error_score="raise")
start = time.perf_counter()
search.fit(X_train, y_train, qid=qid_train, time=time_train)
print(f"the search took {time.perf_counter() - start:.1f} s; its choice: {search.best_params_}")

# %%
# Two more fits, on all training users, show what the cache saves. The first finds it empty, and
# fits teachers. The second has another ``alpha``, and finds the scores of these teachers.

once_more = sklearn.base.clone(search.best_estimator_)
with tempfile.TemporaryDirectory() as empty:
    for alpha in (0.4, 0.6):
        start = time.perf_counter()
        once_more.set_params(rank__alpha=alpha, rank__memory=empty)
        once_more.fit(X_train, y_train, qid=qid_train)
        print(f"a fit with alpha={alpha}: {time.perf_counter() - start:.2f} s")

# %%
# What the search has seen
# ------------------------

alphas, losses = grid["rank__alpha"], grid["rank__loss"]
mean = search.cv_results_["mean_test_score"].reshape(len(alphas), len(losses))
print(f"{'NDCG@10':15}" + "".join(f"alpha {alpha:<6}" for alpha in alphas))
for loss, scores in zip(losses, mean.T, strict=True):
    print(f"{loss:15}" + "".join(f"{score:<12.4f}" for score in scores))

plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
looks = [("C0", "o-"), ("C5", "s--")]
for loss, scores, (colour, look) in zip(losses, mean.T, looks, strict=True):
    ax.plot(alphas, scores, look, color=colour, label=loss)
ax.set(xlabel="alpha, the weight of the teacher", ylabel="NDCG@10, mean of 2 splits")
ax.set_xticks(alphas)
ax.grid(alpha=0.3)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
plt.show()

# %%
# The choice on later users
# -------------------------
#
# The choice is compared with the teacher, with the student on labels alone by the loss that suits
# it best, and with a small LightGBM model of 20 trees. All were chosen on the training users. A
# difference in the table of the search may be chance. Where the interval of the choice over labels
# alone contains 1, the simpler of the two will do.

best = search.best_estimator_
labels_loss = losses[int(np.argmax(mean[0]))]
alone = sklearn.base.clone(best).set_params(rank__alpha=0.0, rank__loss=labels_loss)
alone.fit(X_train, y_train, qid=qid_train)
(trees,) = fit_small_trees(
    X_train, y_train, qid=qid_train, template=teacher, n_trees=[20], n_leaves=[8], random_state=0
).values()
the_teacher = sklearn.base.clone(teacher)
the_teacher.fit(X_train, y_train, group=np.unique(qid_train, return_counts=True)[1])
models = {
    "teacher": the_teacher.booster_,
    "choice of the search": best,
    "labels alone": alone,
    "LightGBM, 20 trees": trees,
}
ndcg = {
    name: ndcg_per_query(y_test, model.predict(X_test), qid_test, k=10)
    for name, model in models.items()
}
print(f"{'':22}NDCG@10  of the teacher's      of labels alone")
for name, of in ndcg.items():
    ratios = [
        bootstrap_ratio(of, ndcg[rival], random_state=0) for rival in ("teacher", "labels alone")
    ]
    print(
        f"{name:22}{np.nanmean(of):.4f}   "
        + "  ".join("{:.3f} [{:.3f}, {:.3f}]".format(*ratio) for ratio in ratios)
    )

# Leave nothing behind.
cache.cleanup()
sklearn.set_config(enable_metadata_routing=False)

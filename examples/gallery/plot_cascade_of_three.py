"""
A cascade of three stages
=========================

A ranker that is too slow for a whole catalogue is served behind cheaper stages. This example fits a
cascade on MovieLens 100k: two towers retrieve, a small network keeps some of their films, and
LightGBM orders these. All stages learn LightGBM's order. How many films each must return, and
whether the network in the middle is worth its time, is computed on users that no stage has seen.
Other users try the result.
"""

# %%
# A log and a catalogue
# ---------------------
#
# The older ratings describe users by their tastes, and films by their viewers. The log has a row
# for each film that a user rated later, and for 30 that the user never rated.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from skdistill import RankingCascade, TwoTowerRetriever
from skdistill.cascade import StageCost, cascade_report, fit_rivals, plan_cascade
from skdistill.datasets import load_movielens
from skdistill.datasets.ranking_table import PairFeatures, split_by_time
from skdistill.inspection import CascadeDisplay
from skdistill.students import MLPRanker

ratings, users, films = load_movielens("100k")
is_later = split_by_time(ratings, (0.6, 0.4)) == 1
earlier, later = ratings[~is_later], ratings[is_later]

genres = films["genres"].str.get_dummies(sep=" ").astype(float)
n_viewers = earlier["item_id"].value_counts().reindex(films.index, fill_value=0)
catalogue = pd.DataFrame(
    {
        "film": films.index.astype(str),
        "year": films["year"],
        "log_viewers": np.log1p(n_viewers),
    }
).join(genres.add_prefix("is_"))
taste = genres.iloc[earlier["item_id"]].groupby(earlier["user_id"].to_numpy()).mean()
people = users[["age", "gender", "occupation"]].join(taste.add_prefix("likes_"))
people = people.astype({"gender": "category", "occupation": "category"})
people.insert(0, "user", users.index)

rng = np.random.default_rng(0)
rated = np.zeros((len(users), len(films)), dtype=bool)
rated[ratings["user_id"], ratings["item_id"]] = True
never = [rng.choice(np.flatnonzero(~row), 30, replace=False) for row in rated]
user = np.concatenate([later["user_id"], np.repeat(users.index, 30)])
film = np.concatenate([later["item_id"], *never])
liked = np.concatenate([later["rating"] >= 4, np.zeros(30 * len(users))])
log = people.iloc[user].reset_index(drop=True).join(catalogue.iloc[film].reset_index(drop=True))
print(f"{len(log):,} rows, {len(people)} users, {len(catalogue):,} films")

# %%
# The cascade
# -----------
#
# 500 users are for training. The towers know a user by tastes, age, gender and occupation, and a
# film by its columns and its id. The later stages see features of the pair, such as how much a
# film's viewers and a user have in common. These are computed for the pairs that reach a stage. The
# network learns from three kinds of films: those that the towers pass on, those of the log, and
# random ones.

order = rng.permutation(users.index)
is_train = np.isin(user, order[:500])
for_planning, for_testing = people.iloc[order[500:650]], people.iloc[order[650:850]]
pair_features = PairFeatures(earlier, users, films)


def features(people, films):
    return pair_features(people["user"].to_numpy(), films["film"].to_numpy().astype(int))


towers = TwoTowerRetriever(
    query_columns=list(people.columns.drop("user")), item_columns=list(catalogue)
)
cascade = RankingCascade(
    [("towers", towers, 200), ("network", MLPRanker((32,)), 50), ("LightGBM", "teacher", 10)],
    teacher=lightgbm.LGBMRanker(n_estimators=50, min_child_samples=50, n_jobs=1, verbose=-1),
    features=features,
    query_columns=list(people),
    sources=("passed", "logged", "random"),
    random_state=0,
)
arguments = {"y": liked[is_train], "qid": user[is_train], "items": catalogue}
cascade.fit(log[is_train], **arguments)

# %%
# How many films must each stage return?
# --------------------------------------
#
# The plan counts every combination of sizes exactly, and takes the cheapest that keeps 90% of the
# teacher's ten favourites with 90% confidence. It measures what the stages cost. 50 trees are
# quick. The ranker of a service may be slow, or wait for its features. Such a cost can be stated:
# here 1 ms per query and 0.1 ms per film.

slow = {"LightGBM": StageCost(per_call=1000, per_row=100)}
plans = {
    costs: plan_cascade(cascade, for_planning, target_recall=0.9, costs=stated, random_state=0)
    for costs, stated in {"as measured": None, "slow": slow}.items()
}
for costs, plan in plans.items():
    print(f"LightGBM {costs}: {plan}")

# %%
# Is the middle stage worth its time?
# -----------------------------------
#
# Without the network, the same towers need to return fewer films, and LightGBM orders all of them.
# A quick LightGBM does so in less time than the network would take to remove some. For a slow one,
# the network saves more than it costs.

retriever = FrozenEstimator(cascade.funnel_.retrieval.retrievers["towers"])
two_stages = RankingCascade(
    [("towers", retriever, 200), ("LightGBM", "teacher", 10)],
    teacher=FrozenEstimator(cascade.teacher_),
    features=features,
    query_columns=list(people),
    random_state=0,
)
two_stages.fit(log[is_train], **arguments)
for costs, plan in plans.items():
    # Stages that both have cost the same in both.
    two = plan_cascade(
        two_stages,
        for_planning,
        target_recall=0.9,
        costs={name: plan.costs[name] for name in ("towers", "LightGBM")},
        random_state=0,
    )
    print(
        f"LightGBM {costs}: three stages {plan.cost / 1000:.1f} ms, "
        f"two {two.cost / 1000:.1f} ms, with {two.sizes['towers']} films from the towers"
    )
plans["slow"].apply()

# %%
# What comes through, and what would otherwise
# --------------------------------------------
#
# Other users try the plan for the slow ranker. The rivals have the same sizes: stages that learn
# from labels, stages that learn from logged rows alone, and popular films instead of towers. A
# fourth has the teacher's first trees instead of the network. It is left out, since it would be
# judged by what the trees cost here, and not by the stated cost. The times in the table are
# measured.

rivals = fit_rivals(cascade, log[is_train], **arguments)
del rivals["first trees"]
report = cascade_report(cascade, for_testing, rivals=rivals)
print(report)
for rival in report.rivals:
    print(
        f"recall {report.recall:.3f} over that of {rival.name!r}, {rival.recall:.3f}: "
        "{:.3f} [{:.3f}, {:.3f}]".format(*rival.recall_ratio)
    )

# %%
CascadeDisplay.from_report(report)
plt.show()

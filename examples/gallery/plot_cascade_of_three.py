"""
A cascade of three stages
=========================

A ranker that is too slow for a whole catalogue is served behind cheaper stages. This example fits a
cascade on MovieLens 100k: two towers retrieve, a linear student keeps some films, and LightGBM
orders these. All stages learn LightGBM's order. How many films each must return is computed on
users that no stage has seen, and is tried on others.
"""

# %%
# A log and a catalogue
# ---------------------
#
# The older ratings describe users by their tastes, and films by their viewers. The log has a row
# for each film that a user rated later, and for 50 that the user never rated.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skdistill import RankingCascade, TwoTowerRetriever
from skdistill.cascade import cascade_report, fit_rivals, plan_cascade
from skdistill.datasets import load_movielens
from skdistill.datasets.ranking_table import split_by_time
from skdistill.inspection import CascadeDisplay
from skdistill.students import LinearRanker

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

rng = np.random.default_rng(0)
rated = np.zeros((len(users), len(films)), dtype=bool)
rated[ratings["user_id"], ratings["item_id"]] = True
never = [rng.choice(np.flatnonzero(~row), 50, replace=False) for row in rated]
user = np.concatenate([later["user_id"], np.repeat(users.index, 50)])
film = np.concatenate([later["item_id"], *never])
liked = np.concatenate([later["rating"] >= 4, np.zeros(50 * len(users))])
log = people.iloc[user].reset_index(drop=True).join(catalogue.iloc[film].reset_index(drop=True))
print(f"{len(log):,} rows, {len(people)} users, {len(catalogue):,} films")

# %%
# The cascade
# -----------
#
# 500 users are for training. The towers know a user by these columns, and a film by its id too. The
# later stages do not see the id.

order = rng.permutation(users.index)
is_train = np.isin(user, order[:500])
for_planning, for_testing = people.iloc[order[500:650]], people.iloc[order[650:850]]

towers = TwoTowerRetriever(query_columns=list(people), item_columns=list(catalogue))
cascade = RankingCascade(
    [("towers", towers, 200), ("linear", LinearRanker(), 50), ("LightGBM", "teacher", 10)],
    teacher=lightgbm.LGBMRanker(n_estimators=50, min_child_samples=50, n_jobs=1, verbose=-1),
    features=[name for name in log if name != "film"],
    random_state=0,
)
arguments = {"y": liked[is_train], "qid": user[is_train], "items": catalogue}
cascade.fit(log[is_train], **arguments)

# %%
# How many films must each stage return?
# --------------------------------------
#
# The plan counts every combination of sizes exactly, and takes the cheapest that keeps 90% of the
# teacher's ten favourites with 90% confidence.

plan = plan_cascade(cascade, for_planning, target_recall=0.9, random_state=0)
print(plan)
plan.apply()

# %%
# What comes through, and what would otherwise
# --------------------------------------------
#
# Other users try the plan. The rivals have the same sizes: stages that learn from labels, stages
# that learn from logged rows alone, popular films instead of towers, and the teacher's first trees
# instead of the linear student.

rivals = fit_rivals(cascade, log[is_train], **arguments)
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

"""
A table of your own, from a fitted LightGBM model to a compiled scorer
======================================================================

You have a data frame with categories, dates and gaps, and a LightGBM ranker that was fitted on it.
This example distils the ranker into a small network, reports what the network is worth beside
smaller trees, and compiles it for a service.
"""

# %%
# The table
# ---------
#
# Each user of MovieLens is a query. The rows are the films that the user rated later, and 50 that
# the user never rated. The columns are made of earlier ratings, as a log would have them: two
# categories of the user, one of the film, and two dates. A film that no one has rated so far has no
# dates.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from skdistill import DistilledRanker
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.datasets.ranking_table import split_by_time
from skdistill.inspection import ParetoDisplay, distillation_report
from skdistill.serving import compile_scorer
from skdistill.students import MLPRanker

ratings, users, films = load_movielens("100k")
table = build_ranking_table(ratings, users, films, history=0.8, n_negatives=50)
y, qid, film = table.y, table.qid, table.item

earlier = ratings[split_by_time(ratings, (0.8, 0.2)) == 0]
seen = earlier.groupby("item_id")["timestamp"].agg(["min", "max"]).reindex(films.index)
seen = seen.apply(pd.to_datetime, unit="s").take(film).reset_index(drop=True)
genre = films["genres"].str.split().str[0].astype("category")
today = pd.to_datetime(earlier["timestamp"].max(), unit="s")

columns = ["user_n_ratings", "item_n_ratings", "pair_genre_rating", "pair_latent"]
X = table.X[columns].assign(
    age=users["age"].to_numpy()[qid],
    gender=users["gender"].astype("category").array[qid],
    occupation=users["occupation"].astype("category").array[qid],
    year=films["year"].to_numpy()[film],
    genre=genre.array[film],
    first_seen=seen["min"],
    last_seen=seen["max"],
    days_since_first=(today - seen["min"]).dt.days,
    days_since_last=(today - seen["max"]).dt.days,
)
print(X.dtypes.to_string())
print(f"{len(X):,} rows, {X.isna().any(axis=1).sum()} of them with gaps")

# %%
# The model that is there
# -----------------------
#
# LightGBM takes categories and gaps, and no dates. It was fitted on the days since each date. The
# 400 users that it learned from are gone from the log. 200 others are there for the student, and
# the rest are for testing.

order = np.random.default_rng(0).permutation(len(users))
is_old, is_train, is_test = (np.isin(qid, of) for of in np.split(order, [400, 600]))
X_train, y_train, qid_train = X[is_train], y[is_train], qid[is_train]
X_test, y_test, qid_test = X[is_test], y[is_test], qid[is_test]

dates = ["first_seen", "last_seen"]
days = ["days_since_first", "days_since_last"]
trees = lightgbm.LGBMRanker(
    n_estimators=150,
    num_leaves=15,
    learning_rate=0.05,
    min_child_samples=50,
    colsample_bytree=0.5,
    cat_smooth=50,
    random_state=0,
    n_jobs=1,
    verbose=-1,
)
rows_per_query = np.unique(qid[is_old], return_counts=True)[1]
trees.fit(X[is_old].drop(columns=dates), y[is_old], group=rows_per_query)

# %%
# The student
# -----------
#
# A frozen model is not fitted again, and finds its columns by their names. The student reads the
# dates themselves, so that a service need not count days. The model has seen none of the student's
# rows, so that its scores of them are as good a guide as its scores of new ones.

for_student = list(X.columns.drop(days))
ranker = DistilledRanker(
    FrozenEstimator(trees), MLPRanker((32,)), student_columns=for_student, random_state=0
)
ranker.fit(X_train, y_train, qid=qid_train)

# %%
# What it is worth
# ----------------
#
# The report measures the student on users that no model has seen. Beside it stand the teacher, the
# same student on labels alone, the teacher's first trees, and small LightGBM models, each the best
# of a small search on the training users. Like the student on labels, these learn from the 200
# users alone, and the student of the teacher learns from what it knew about 400 others.
#
# Two entries under "look" have an answer here. The student ignores the days since each date because
# it reads the dates. The column that is too good is computed from earlier ratings alone, so that it
# holds nothing of what was rated later.

report = distillation_report(
    ranker,
    X_test,
    y_test,
    qid=qid_test,
    X_train=X_train,
    y_train=y_train,
    qid_train=qid_train,
)
print(report)

# %%
_, ax = plt.subplots(figsize=(8, 5.5), layout="constrained")
ParetoDisplay.from_report(report, ax=ax)
ax.set_title("MovieLens 100k, users that no model has seen")
plt.show()

# %%
# The scorer
# ----------
#
# A compiled scorer takes data frames, or the dictionaries of a request, with None for what is
# missing. It needs neither LightGBM nor the columns that only the teacher reads.

scorer = compile_scorer(ranker)
candidates = X_test[for_student].head(3)
request = candidates.astype(object).where(candidates.notna(), None).to_dict("records")
print(request[0])
print("scores of the request:", scorer.rows(request).round(4))
print("by predict:           ", ranker.predict(X_test.head(3)).round(4))

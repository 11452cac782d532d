"""
A student that is retrained every day
=====================================

What users want changes, and a ranker that stands still falls behind. This example follows a log
whose truth turns a little each day. Each night, LightGBM is fitted on the last five days. The
student is updated in one of four ways, and ranks the next day.
"""

# %%
# A log that drifts
# -----------------
#
# Two tastes order the same rows. On the first day the first taste decides, and the second gains
# weight every day. The best tenth of the rows are clicked, up to noise. A day has 80 queries of 20
# rows.

import time

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone

from skdistill.metrics import bootstrap_ratio, ndcg_per_query
from skdistill.students import MLPRanker

N_DAYS, WINDOW = 20, 5
TURN = np.radians(6)  # of the taste, in a day
rng = np.random.default_rng(0)


def taste(X):
    """A valley, a step, and a slope behind a step."""
    return np.abs(X[:, 0]) + 1.5 * (X[:, 1] > 0.5) + np.maximum(X[:, 2], 0) * (X[:, 3] > 0)


def make_day(day):
    """Rows, clicks and queries of a day."""
    X = rng.standard_normal((1600, 10)).astype(np.float32)
    utility = np.cos(TURN * day) * taste(X) + np.sin(TURN * day) * taste(X[:, 4:])
    utility += 0.5 * rng.standard_normal(len(X))
    y = (utility > np.quantile(utility, 0.9)).astype(float)
    return X, y, 1000 * day + np.repeat(np.arange(80), 20)


def join(days):
    """Rows, clicks and queries of several days."""
    return tuple(np.concatenate(parts) for parts in zip(*days, strict=True))


log = [make_day(day) for day in range(N_DAYS)]

# %%
# Four ways of an update
# ----------------------
#
# - a full refit: a new student on the last five days;
# - ``warm_start``: five epochs on the last five days, from the parameters of the day before;
# - ``partial_fit``: one epoch on the rows of the last day;
# - no update: the student of the first five days ranks all others.
#
# All learn from clicks and from the scores of the newest teacher. One more full refit, on clicks
# alone, shows what the teacher is good for. A day is ranked before anything learns from it.


def fit_teacher(X, y, qid):
    teacher = lightgbm.LGBMRanker(
        num_leaves=15, min_child_samples=50, random_state=0, n_jobs=1, verbose=-1
    )
    return teacher.fit(X, y, group=np.unique(qid, return_counts=True)[1]).booster_


X, y, qid = join(log[:WINDOW])
teacher = fit_teacher(X, y, qid)
new_student = MLPRanker((32, 16), loss="plackett_luce", alpha=0.75, random_state=0)
names = ["full refit", "warm_start", "partial_fit", "no update", "clicks alone"]
students = {name: clone(new_student) for name in names}
students["clicks alone"].set_params(alpha=0.0)
for student in students.values():
    student.fit(X, y, qid=qid, teacher_scores=teacher.predict(X))
students["warm_start"].set_params(warm_start=True, max_iter=5)

ndcg = {name: [] for name in ["LightGBM", *names]}
seconds = dict.fromkeys(ndcg, 0.0)
for day in range(WINDOW, N_DAYS):
    X, y, qid = log[day]
    for name, model in {"LightGBM": teacher, **students}.items():
        ndcg[name].append(ndcg_per_query(y, model.predict(X), qid, k=10))
    window = join(log[day + 1 - WINDOW : day + 1])
    start = time.perf_counter()
    teacher = fit_teacher(*window)
    seconds["LightGBM"] += time.perf_counter() - start
    updates = {
        "full refit": (students["full refit"].fit, window),
        "warm_start": (students["warm_start"].fit, window),
        "partial_fit": (students["partial_fit"].partial_fit, log[day]),
        "clicks alone": (students["clicks alone"].fit, window),
    }
    for name, (learn, (X, y, qid)) in updates.items():
        scores = teacher.predict(X)
        start = time.perf_counter()
        learn(X, y, qid=qid, teacher_scores=scores)
        seconds[name] += time.perf_counter() - start

# %%
# What an update is worth, and what it costs
# ------------------------------------------
#
# The ratios are to the full refit, over all queries of the days after the first five. Seconds are
# those of an update of the student, without the teacher's scores; for LightGBM, of its fit. A warm
# start keeps up with the refit in a fraction of its time. One epoch a day is quicker still, and
# falls behind.

queries = {name: np.concatenate(of) for name, of in ndcg.items()}
last_days = {name: np.concatenate(of[-5:]) for name, of in ndcg.items()}
print(f"{'':14}NDCG@10  of the full refit's     last 5 days  seconds a day")
for name, of in queries.items():
    ratio = bootstrap_ratio(of, queries["full refit"], random_state=0)
    print(
        f"{name:14}{np.nanmean(of):.4f}   {{:.3f}} [{{:.3f}}, {{:.3f}}]  ".format(*ratio)
        + f"{np.nanmean(last_days[name]):.4f}       {seconds[name] / (N_DAYS - WINDOW):.3f}"
    )

# %%
plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
looks = {
    "LightGBM": ("C3", "o:"),
    "full refit": ("C0", "s-"),
    "warm_start": ("C4", "^-"),
    "partial_fit": ("C5", "D-"),
    "no update": ("C1", "v--"),
}
for name, (colour, look) in looks.items():
    by_day = [np.nanmean(of) for of in ndcg[name]]
    ax.plot(range(WINDOW, N_DAYS), by_day, look, color=colour, markersize=5, label=name)
ax.set(xlabel="day", ylabel="NDCG@10 of the day")
ax.grid(alpha=0.3)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
plt.show()

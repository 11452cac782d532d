"""
Click probabilities that can be believed
========================================

An auction multiplies a bid by the probability of a click, so that a probability has to be right by
itself, not only in its order. This example distils a LightGBM classifier into a network with the
logistic loss, and compares probabilities: the log-loss, the area under the ROC curve, and the
calibration error.
"""

# %%
# The log
# -------
#
# ``make_clicks`` makes impressions with ids, numbers and gaps, in the order of time. There are no
# queries, and with the logistic loss none are needed. The true probabilities are known here. The
# last quarter of the log is for testing, an eighth before it for early stopping.

import lightgbm
import matplotlib.pyplot as plt
import numpy as np
from scipy.special import xlogy
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from skdistill import DistilledRanker
from skdistill.datasets import make_clicks
from skdistill.inspection import row_costs
from skdistill.metrics import bootstrap_ratio, expected_calibration_error
from skdistill.students import MLPRanker

log = make_clicks(
    60_000,
    n_users=500,
    n_ads=200,
    n_sites=50,
    spread=3,
    numbers_fraction=0.5,
    click_rate=0.08,
    random_state=0,
)
train, stop, test = slice(0, 37_500), slice(37_500, 45_000), slice(45_000, None)
validation = {"X_val": log.X[stop], "y_val": log.y[stop]}
print(log.X.head(3).to_string())
print(f"{log.y.mean():.1%} clicks")

# %%
# Teacher and students
# --------------------
#
# The teacher stops early by the validation rows, and so does the student. With ``alpha=1`` the
# student learns from the teacher's probabilities alone, which are smooth where a click is 0 or 1.
# The others are the same student on clicks alone, and LightGBM models of few trees, which come
# closer to the speed of a student. Their learning rate is a usual one for so few trees.

teacher = lightgbm.LGBMClassifier(
    n_estimators=500,
    learning_rate=0.05,
    cat_smooth=50,
    cat_l2=20,
    early_stopping_round=30,
    n_jobs=1,
    verbose=-1,
)


def distil(teacher, alpha):
    student = MLPRanker((64, 32))
    ranker = DistilledRanker(teacher, student, loss="logistic", alpha=alpha, random_state=0)
    return ranker.fit(log.X[train], log.y[train], **validation)


def small_trees(n_trees):
    trees = lightgbm.LGBMClassifier(
        n_estimators=n_trees, learning_rate=0.3, cat_smooth=50, cat_l2=20, n_jobs=1, verbose=-1
    )
    return trees.fit(log.X[train], log.y[train])


taught = distil(teacher, alpha=1.0)
models = {
    "LightGBM": taught.teacher_,
    "student of LightGBM": taught,
    "student on clicks": distil(None, alpha=0.0),
    "LightGBM, 5 trees": small_trees(5),
    "LightGBM, 20 trees": small_trees(20),
}
print(f"the teacher has {taught.teacher_.best_iteration_} trees")

# %%
# Probabilities of the last quarter
# ---------------------------------
#
# The ratio of a log-loss to the teacher's has a paired interval over blocks of 50 rows. The
# column "to truth" is the mean distance to the true probability.

y, truth = log.y[test], log.probability[test]
costs = row_costs(models, log.X[test])


def log_loss_of_blocks(probability):
    loss = -xlogy(y, probability) - xlogy(1 - y, 1 - probability)
    return loss.reshape(-1, 50).mean(axis=1)


predicted = {name: model.predict_proba(log.X[test])[:, 1] for name, model in models.items()}
losses = {name: log_loss_of_blocks(of) for name, of in predicted.items()}
print(f"{'':22}log-loss  of the teacher's       AUC     ECE     to truth  us per row")
for name, probability in predicted.items():
    ratio = bootstrap_ratio(losses[name], losses["LightGBM"], random_state=0)
    print(
        f"{name:22}{losses[name].mean():.4f}    {{:.3f}} [{{:.3f}}, {{:.3f}}]  ".format(*ratio)
        + f"{roc_auc_score(y, probability):.4f}  {expected_calibration_error(y, probability):.4f}  "
        + f"{np.abs(probability - truth).mean():.4f}    {1e6 * costs[name].seconds:.2f}"
    )
gain = bootstrap_ratio(losses["student of LightGBM"], losses["student on clicks"], random_state=0)
print("log-loss, taught over clicks alone: {:.3f} [{:.3f}, {:.3f}]".format(*gain))

# %%
# The reliability diagram
# -----------------------
#
# The rows are cut into tenths by the predicted probability. The picture shows how many rows of each
# tenth were clicked. On the diagonal, a probability means what it says.

plt.style.use("tableau-colorblind10")
figure, ax = plt.subplots(figsize=(6, 5.4), layout="constrained")
ax.plot([0.001, 1], [0.001, 1], color="C3", linestyle=":", label="perfect")
looks = {"LightGBM": "o-", "student of LightGBM": "s--", "student on clicks": "^-."}
colours = dict(zip(looks, ("C0", "C5", "C4"), strict=True))
for name, look in looks.items():
    seen, mean = calibration_curve(y, predicted[name], n_bins=10, strategy="quantile")
    ax.plot(mean, np.maximum(seen, 0.001), look, color=colours[name], label=name)
ax.set(
    xscale="log",
    yscale="log",
    xlabel="predicted probability",
    ylabel="fraction that was clicked",
)
ax.grid(alpha=0.3)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
plt.show()

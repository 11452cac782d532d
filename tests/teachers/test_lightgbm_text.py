"""Texts of LightGBM models: what LightGBM writes passes; what would end the process does not."""

import json
import re
import subprocess
import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest

from skdistill.teachers.lightgbm_text import check_model_text


def models():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((1000, 4)), columns=list("abcd"))
    X["kind"] = pd.Categorical(rng.integers(0, 40, 1000))
    y, few = rng.integers(0, 3, 1000), {"n_estimators": 4, "num_leaves": 8, "verbose": -1}
    numbers, tied = X[list("abcd")], {"group": [20] * 50}
    fitted = {
        "ranks": lightgbm.LGBMRanker(**few).fit(X, y, **tied),
        "classes": lightgbm.LGBMClassifier(**few).fit(numbers, y),
        "linear": lightgbm.LGBMRegressor(linear_tree=True, **few).fit(numbers, X["a"] + 2 * X["b"]),
        "random forest": lightgbm.LGBMRegressor(
            boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **few
        ).fit(numbers, y),
        "dart": lightgbm.LGBMRanker(boosting_type="dart", **few).fit(X, y, **tied),
        "monotone": lightgbm.LGBMRegressor(monotone_constraints=[1, 0, -1, 0], **few).fit(
            numbers, y
        ),
        "quantile": lightgbm.LGBMRegressor(objective="quantile", alpha=0.3, **few).fit(numbers, y),
        "stumps of one leaf": lightgbm.LGBMRegressor(**few | {"min_child_samples": 900}).fit(
            numbers, y
        ),
        "sparse": lightgbm.LGBMRegressor(**few).fit(numbers.where(numbers > 0), y),
    }
    return {name: model.booster_.model_to_string() for name, model in fitted.items()}


@pytest.fixture(scope="module")
def texts():
    return models()


def test_what_lightgbm_writes_passes(texts, tmp_path):
    for text in texts.values():
        check_model_text(text)
        booster = lightgbm.Booster(model_str=text)
        check_model_text(booster.model_to_string(num_iteration=1))
        booster.save_model(tmp_path / "model.txt")
        check_model_text((tmp_path / "model.txt").read_bytes().decode())


def with_sizes(text):
    """The text with the right sizes of its trees: what else is wrong must be found."""
    trees = text[text.index("\nTree=") + 1 : text.index("end of trees")]
    sizes = [str(len(tree)) for tree in re.split(r"(?=^Tree=)", trees, flags=re.M) if tree]
    return re.sub(r"tree_sizes=[^\n]*", f"tree_sizes={' '.join(sizes)}", text)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ranks", "tree\n", "", "no header"),
        ("ranks", "end of trees", "end", "no end"),
        ("ranks", "num_class=1", "num_class=1000000000", "num_class of the header"),
        ("classes", "num_class:3", "num_class:300000", "objective and num_class disagree"),
        ("classes", "num_tree_per_iteration=3", "num_tree_per_iteration=1", "expected 3 to 3"),
        ("ranks", "max_feature_idx=4", "max_feature_idx=2000000000", "does not have 2000000001"),
        ("ranks", "num_leaves=8", "num_leaves=80000000", "must hold 80000000 numbers"),
        ("ranks", "num_leaves=8", "num_leaves=-8", "num_leaves of tree 0 is -8"),
        ("ranks", "num_leaves=8", "num_leaves=4294967304", "num_leaves of tree 0"),
        ("ranks", r"split_feature=\d", "split_feature=5", "an index outside 0 to 4"),
        ("ranks", r"split_feature=\d", "split_feature=-1", "an index outside 0 to 4"),
        ("ranks", r"left_child=\S+", "left_child=0", "do not make a tree"),
        ("ranks", r"left_child=\S+", "left_child=99", "do not make a tree"),
        ("ranks", r"left_child=\S+", "left_child=1_0", "something else than integers|must hold"),
        ("ranks", r"right_child=[^\n]*", "right_child=", "must hold 7 numbers"),
        ("ranks", r"decision_type=\d+", "decision_type=255", "outside 0 to 11"),
        ("ranks", r"cat_boundaries=0 \d+", "cat_boundaries=0 9", "cat_boundaries of tree"),
        ("ranks", r"cat_threshold=\d+", "cat_threshold=4294967296", "index outside"),
        ("ranks", r"num_cat=\d+", "num_cat=0", "names categories"),
        ("ranks", "leaf_value=", "leaf_value", "has a line without '='"),
        ("ranks", "leaf_value=", "leaf_value=1 ", "leaf_value of tree 0 must hold 8"),
        ("ranks", r"leaf_value=\S+", "leaf_value=1e", "expected a number"),
        ("ranks", r"shrinkage=\S+", "shrinkage=p.1", "shrinkage of tree 0 must hold 1 numbers"),
        ("linear", r"leaf_const=\S+", "leaf_const=1e999", "expected a number"),
        ("linear", r"num_features=\d+", "num_features=9", "index outside"),
        ("linear", r"leaf_features=\d", "leaf_features=9", "index outside|must hold"),
        ("ranks", "num_cat=", "num_leaves=2\nnum_cat=", "has b'num_leaves' twice"),
        ("ranks", r"\[num_leaves: 8\]", "num_leaves", "the parameters have a line"),
        ("ranks", "shrinkage", "\0", "no header"),
    ],
)  # fmt: skip
def test_what_lightgbm_cannot_read_safely_is_refused(texts, name, old, new, message):
    text, n_changes = re.subn(old, lambda match: new, texts[name], count=1)
    assert n_changes == 1
    with pytest.raises(ValueError, match=message):
        check_model_text(with_sizes(text) if "end of trees" in text else text)


def test_sizes_of_trees_are_checked(texts):
    for wrong in ("tree_sizes=0 ", "tree_sizes=9", "tree_sizes=-"):
        with pytest.raises(ValueError, match="tree_sizes"):
            check_model_text(texts["ranks"].replace("tree_sizes=", wrong))


# LightGBM's threads do not survive a fork, so the forking process uses none.
FUZZ = r"""
import json, os, random, re, signal, sys
import lightgbm, numpy as np
from skdistill.teachers.lightgbm_text import check_model_text

texts = list(json.load(sys.stdin).values())
rows = np.random.default_rng(0).standard_normal((50, 5))
rows[0], rows[1, 1], rows[:, 4] = np.nan, np.inf, np.arange(50)
NUMBERS = ["-1", "0", "7", "99999999", "-99999999", "4294967296", "1e308", "nan", "", "2147483647"]


def mutated(text, rng):
    end = text.index("end of trees") if rng.random() < 0.8 else len(text)
    at, kind = rng.randrange(end), rng.randrange(5)
    if kind == 0:
        text = text[:at] + chr(ord(text[at]) ^ 1 << rng.randrange(7)) + text[at + 1 :]
    elif kind == 1:
        text = text[:at] + rng.choice("0123456789- .e\n=") + text[at + 1 :]
    elif kind == 2:
        number = rng.choice(list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text[:end])))
        text = text[: number.start()] + rng.choice(NUMBERS) + text[number.end() :]
    elif kind == 3:
        text = text[:at] + text[at + rng.randrange(1, 60) :]
    else:
        lines = text.split("\n")
        lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
        text = "\n".join(lines)
    trees = re.search(r"(?s)\n(Tree=.*)end of trees", text)
    if trees and rng.random() < 0.8:
        sizes = [str(len(t)) for t in re.split(r"(?m)(?=^Tree=)", trees[1]) if t]
        text = re.sub(r"tree_sizes=[^\n]*", "tree_sizes=" + " ".join(sizes), text)
    return text


n_read = n_refused = 0
for seed in range(400):
    rng = random.Random(seed)
    text = mutated(rng.choice(texts), rng)
    try:
        check_model_text(text)
    except ValueError:
        n_refused += 1
        continue
    n_read += 1
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            booster = lightgbm.Booster(model_str=text)
            booster.predict(rows[:, : booster.num_feature()], num_threads=1)
            booster.predict(rows[:1, : booster.num_feature()], num_threads=1)
            booster.model_to_string()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFSIGNALED(status), f"seed {seed}: signal {os.WTERMSIG(status)}"
print(n_read, n_refused)
"""


def test_no_mutated_text_ends_the_process(texts):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ],
        input=json.dumps(texts), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    n_read, n_refused = map(int, done.stdout.split()[-2:])
    assert n_read > 50
    assert n_refused > 100

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
    trees = re.search(r"(?s)\n(Tree=.*?)end of trees", text)[1]
    sizes = [str(len(tree)) for tree in re.split(r"(?=^Tree=)", trees, flags=re.M) if tree]
    return re.sub(r"tree_sizes=[^\n]*", f"tree_sizes={' '.join(sizes)}", text)


def changed(text, old, new):
    """The text with its first match of a pattern replaced, and the sizes of its trees."""
    text, n_changes = re.subn(old, lambda match: new, text, count=1, flags=re.MULTILINE)
    assert n_changes == 1
    return with_sizes(text) if "end of trees" in text else text


def refused(text, message):
    with pytest.raises(ValueError, match=rf"^not a sound LightGBM model: {message}\.$"):
        check_model_text(text)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ranks", "tree\n", "", "it has no header, or no end of trees"),
        ("ranks", "end of trees", "end", "it has no header, or no end of trees"),
        ("ranks", "shrinkage", "\0", "it has no header, or no end of trees"),
        ("ranks", "shrinkage", "\r", "it has no header, or no end of trees"),
        ("ranks", r"\n\n\nend of", "\nend of", "tree 3 has no end"),
        ("ranks", "num_class=1", "num_class=1000000000",
         "num_class of the header is 1000000000, expected 1 to 4"),
        ("ranks", "num_class=1", "num_class=3",
         "the number of trees is no multiple of num_class"),
        ("classes", "num_class:3", "num_class:300000", "objective and num_class disagree"),
        ("classes", "num_tree_per_iteration=3", "num_tree_per_iteration=1",
         "num_tree_per_iteration of the header is 1, expected 3 to 3"),
        ("ranks", "max_feature_idx=4", "max_feature_idx=2000000000",
         "feature_names does not have 2000000001 entries, as max_feature_idx says"),
        ("ranks", "max_feature_idx=4", "max_feature_idx=2147483647",
         "max_feature_idx of the header is 2147483647, expected 0 to 2147483646"),
        ("ranks", "^feature_infos=", "feature_infos=none ", "feature_infos does not have 5 .*"),
        ("monotone", "^monotone_constraints=", "monotone_constraints=1 ",
         "monotone_constraints does not have 4 .*"),
        ("ranks", "^feature_names=.*\n", "", "feature_names or feature_infos is missing"),
        ("ranks", "^feature_infos=.*\n", "", "feature_names or feature_infos is missing"),
        ("ranks", "num_leaves=8", "num_leaves=80000000",
         "leaf_value of tree 0 must hold 80000000 numbers, got .*"),
        ("ranks", "num_leaves=8", "num_leaves=-8",
         "num_leaves of tree 0 is -8, expected 1 to 2147483647"),
        ("ranks", "num_leaves=8", "num_leaves=2147483648",
         "num_leaves of tree 0 is 2147483648, expected 1 to 2147483647"),
        ("ranks", "num_leaves=8", "num_leaves=8.5",
         "num_leaves of tree 0 holds something else than integers"),
        ("ranks", "num_leaves=8", "num_leaves=" + "9" * 30,
         "num_leaves of tree 0 holds something else than integers"),
        ("ranks", "num_leaves=8\n", "", "num_leaves of tree 0 must hold 1 numbers, got b''"),
        ("ranks", r"split_feature=\d", "split_feature=5", "tree 0 has an index outside 0 to 4"),
        ("ranks", r"split_feature=\d", "split_feature=-1", "tree 0 has an index outside 0 to 4"),
        ("ranks", r"left_child=\S+", "left_child=0", "the children of tree 0 do not make a tree"),
        ("ranks", r"left_child=\S+", "left_child=99", "the children of tree 0 do not make a tree"),
        ("ranks", r"left_child=\S+", "left_child=1_0", "left_child of tree 0 must hold 7 .*"),
        ("ranks", r"right_child=[^\n]*", "right_child=",
         "right_child of tree 0 must hold 7 numbers, got b''"),
        ("ranks", r"decision_type=\d+", "decision_type=12", "tree 0 has an index outside 0 to 11"),
        ("ranks", r"decision_type=\d+", "decision_type=-1", "tree 0 has an index outside 0 to 11"),
        ("ranks", r"cat_boundaries=0 \d+", "cat_boundaries=0 9",
         "cat_boundaries of tree 0 do not fit"),
        ("ranks", r"cat_threshold=\d+", "cat_threshold=4294967296",
         "tree 0 has an index outside 0 to 4294967295"),
        ("ranks", r"num_cat=\d+", "num_cat=0", "tree 0 names categories that it does not have"),
        ("ranks", r"num_cat=\d+", "num_cat=8", "num_cat of tree 0 is 8, expected 0 to 7"),
        ("ranks", "is_linear=0", "is_linear=2", "is_linear of tree 0 is 2, expected 0 to 1"),
        ("ranks", "leaf_value=", "leaf_value", "tree 0 has a line without '='"),
        ("ranks", "leaf_value=", "leaf_value=1 ", "leaf_value of tree 0 must hold 8 .*"),
        ("ranks", r"leaf_value=.*", "leaf_value=" + "1" * 50,
         f"leaf_value of tree 0 must hold 8 numbers, got b'{'1' * 40}'"),
        ("ranks", r"leaf_value=\S+", "leaf_value=1e",
         "leaf_value of tree 0 holds b'1e', expected a number"),
        ("ranks", r"leaf_value=\S+", "leaf_value=1e999",
         "leaf_value of tree 0 holds b'1e999', expected a number"),
        ("ranks", r"shrinkage=\S+", "shrinkage=p.1", "shrinkage of tree 0 must hold 1 numbers.*"),
        ("ranks", r"shrinkage=\S+", "shrinkage=1X", "shrinkage of tree 0 must hold 1 numbers.*"),
        ("ranks", r"shrinkage=\S+", "shrinkage=1\t", "shrinkage of tree 0 must hold 1 numbers.*"),
        ("stumps of one leaf", r"shrinkage=\S+", "shrinkage=x",
         "shrinkage of tree 0 must hold 1 numbers, got b'x'"),
        ("linear", r"leaf_const=\S+", "leaf_const=1e999",
         "leaf_const of tree 0 holds b'1e999', expected a number"),
        ("linear", r"num_features=\d", "num_features=-1", "tree 0 has an index outside 0 to 4"),
        ("linear", r"num_features=\d", "num_features=5", "tree 0 has an index outside 0 to 4"),
        ("linear", r"num_features=\d", "num_features=4", "leaf_features of tree 0 must hold 4 .*"),
        ("linear", r"leaf_features=\d", "leaf_features=4", "tree 1 has an index outside 0 to 3"),
        ("linear", r"leaf_features=\d", "leaf_features=-1", "tree 1 has an index outside 0 to 3"),
        ("ranks", "num_cat=", "num_leaves=2\nnum_cat=", "tree 0 has b'num_leaves' twice"),
        ("ranks", r"\[num_leaves: 8\]", "num_leaves", "the parameters have a line b'num_leaves'"),
        ("ranks", r"\[num_leaves: 8\]", "x" * 50,
         f"the parameters have a line b'{'x' * 40}'"),
    ],
)  # fmt: skip
def test_what_lightgbm_cannot_read_safely_is_refused(texts, name, old, new, message):
    refused(changed(texts[name], old, new), message)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("tree_sizes=0 ", "tree_sizes of the header must hold 4 numbers, got .*"),
        ("tree_sizes=9", "tree_sizes are not the sizes of the trees"),
        ("tree_sizes=-", "tree_sizes are not the sizes of the trees"),
    ],
)
def test_sizes_of_trees_are_checked(texts, wrong, message):
    refused(texts["ranks"].replace("tree_sizes=", wrong), message)


@pytest.mark.parametrize("name", ["ranks", "linear"])
def test_the_message_names_the_tree_and_the_field(texts, name):
    start = texts[name].index("Tree=1")
    head, tree, rest = texts[name][:start], *texts[name][start:].split("\n\n", maxsplit=1)
    fields = re.findall(r"^(\w+)=", tree, re.MULTILINE)
    assert len(fields) > 17
    for field in set(fields) - {"Tree"}:
        wrong = re.sub(rf"^{field}=", f"{field}=?", tree, flags=re.MULTILINE)
        refused(
            with_sizes(f"{head}{wrong}\n\n{rest}"), rf"{field} of tree 1 must hold \d+ numbers.*"
        )
    for field in ("num_class", "num_tree_per_iteration", "max_feature_idx", "tree_sizes"):
        refused(
            re.sub(rf"\n{field}=", f"\n{field}=?", texts[name]),
            rf"{field} of the header must hold \d numbers.*",
        )


# Categories 0 and 1 go left, and there category 0; the others are split at 0.5 of the number.
BY_HAND = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=kind number
feature_infos=0:1:2 [0:1]
tree_sizes=0

Tree=0
num_leaves=4
num_cat=2
split_feature=0 0 1
threshold=0 1 0.5
decision_type=1 1 2
left_child=1 -1 -3
right_child=2 -2 -4
leaf_value=1 2 3 4
cat_boundaries=0 1 2
cat_threshold=3 1
is_linear=0
shrinkage=1


end of trees

parameters:
[boosting: gbdt]

end of parameters
"""
SECOND = "\n\nparameters:\nno parameter\n\nend of parameters\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("^tree_sizes=.*\n", "", [1, 2, 3, 4]),
        ("^objective=.*\n", "", [1, 2, 3, 4]),
        ("^is_linear=.*\n", "", [1, 2, 3, 4]),
        ("^shrinkage=.*\n", "", [1, 2, 3, 4]),
        ("^leaf_value=.*", "leaf_value=-inf nan 3 1e5", [-np.inf, np.nan, 3, 1e5]),
        # Without kinds of splits, all are at a number: of the second, neither row is above 1.
        ("^decision_type=.*\n", "", [1, 3, 3, 4]),
        # Splits that send no category left, and all of them.
        ("^cat_threshold=.*", "cat_threshold=0 1", [3, 3, 3, 4]),
        ("^cat_threshold=.*", "cat_threshold=4294967295 1", [1, 2, 2, 2]),
        ("^cat_boundaries=.*", "cat_boundaries=0 0 2", [3, 3, 3, 4]),
        ("end of parameters\n", f"end of parameters{SECOND}", [1, 2, 3, 4]),
        ("end of parameters\n", "end of parameters\n\nend of trees\n", [1, 2, 3, 4]),
    ],
)
def test_what_lightgbm_reads_safely_passes(old, new, expected):
    text = changed(BY_HAND, old, new)
    check_model_text(text)
    rows = np.array([[0.0, 0], [1, 0], [2, 0], [2, 1]])
    predicted = lightgbm.Booster(model_str=text).predict(rows, num_threads=1)
    np.testing.assert_array_equal(predicted, expected)


@pytest.mark.parametrize("bounds", ["1 1 2", "0 3 2", "0 1 1", "0 2 1", "0 -1 2"])
def test_boundaries_of_categories_ascend_from_0_to_their_number(bounds):
    text = changed(BY_HAND, "^cat_boundaries=.*", f"cat_boundaries={bounds}")
    refused(text, "cat_boundaries of tree 0 do not fit")


def test_there_are_not_more_classes_than_trees():
    text = changed(BY_HAND, "num_class=1", "num_class=2")
    refused(text, "num_class of the header is 2, expected 1 to 1")


def test_a_category_beyond_those_of_the_tree_is_refused():
    text = changed(BY_HAND, "^threshold=.*", "threshold=0 2 0.5")
    refused(text, "tree 0 names categories that it does not have")


def test_the_first_parameters_are_checked():
    text = changed(BY_HAND, "^.boosting: gbdt.$", "no parameter")
    good = SECOND.replace("no parameter", "[boosting: gbdt]")
    refused(text + good, "the parameters have a line b'no parameter'")


def test_trees_after_an_early_end_are_checked():
    """LightGBM reads them: its header ends at the first tree."""
    text = changed(BY_HAND, "^version=v4$", "end of trees")
    check_model_text(text)
    assert lightgbm.Booster(model_str=text).predict([[1, 0]], num_threads=1) == [2]
    refused(changed(text, "^leaf_value=", "leaf_value=0 "), "leaf_value of tree 0 must hold 4 .*")


def test_models_without_trees_and_of_one_column_pass():
    X = np.arange(50.0).reshape(-1, 1)
    data = lightgbm.Dataset(X, label=X[:, 0])
    booster = lightgbm.Booster({"verbose": -1}, data)
    check_model_text(booster.model_to_string())
    booster.update()
    check_model_text(booster.model_to_string())


@pytest.mark.parametrize("name", ["Tree", "x=1"])
def test_features_may_have_any_name_that_lightgbm_takes(name):
    X = np.random.default_rng(0).normal(size=(100, 2))
    data = lightgbm.Dataset(X, label=X[:, 0], feature_name=[name, "other"])
    text = lightgbm.train({"verbose": -1, "num_leaves": 3}, data, 3).model_to_string()
    assert f"\n{name}=" in text
    check_model_text(text)
    assert lightgbm.Booster(model_str=text).feature_name() == [name, "other"]


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

"""Recipes of cascades: stages, columns, tables and reports."""

import json
import subprocess
import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import Pipeline

from skdistill import RankingCascade, TwoTowerRetriever
from skdistill.cascade import Cut, FirstTrees, PopularityRetriever
from skdistill.recipe import RecipeError, follow, read_recipe, train
from skdistill.serving import TableError, load
from skdistill.students import LinearRanker, MLPRanker
from tests.small_cascade import DATA, ITEM_COLUMNS, ITEMS, LOG, QUERIES, QUERY_COLUMNS, teacher

RECIPE = """
seed = 3

[data]
train = "log.parquet"
test = "log.parquet"
items = "items.parquet"
item_id_column = "id"
query_column = "session"
label_column = "clicked"

[teacher]
n_estimators = 10
num_leaves = 7
min_child_samples = 5

[cascade]
query_columns = ["a", "b", "c", "user"]
sources = ["passed", "logged"]
exploration = 0.1

[[cascade.stage]]
name = "retrieve"
estimator = "TwoTowerRetriever"
embedding_dim = 8
max_iter = 2
size = 30

[[cascade.stage]]
name = "prerank"
estimator = "LinearRanker"
max_iter = 2
features = ["a", "b", "x", "brand"]
size = 15
max_drop = 9.0

[[cascade.stage]]
name = "rank"
estimator = "MLPRanker"
hidden_layer_sizes = [8]
max_iter = 2
size = 5
"""
FIRST = RECIPE[RECIPE.index('estimator = "TwoTower') : RECIPE.index("size = 30")]
RETRIEVERS = """
[[cascade.stage.retriever]]
name = "towers"
estimator = "TwoTowerRetriever"
max_iter = 2
query_columns = ["a", "b"]
quota = 20

[[cascade.stage.retriever]]
name = "usual"
estimator = "PopularityRetriever"
quota = 10
"""
LAST = RECIPE[RECIPE.index('estimator = "MLPRanker"') :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    log = LOG.assign(session=DATA.qid, clicked=DATA.y, brand=LOG["brand"].astype(str), weight=1.0)
    items = ITEMS.assign(id=[f"i{item}" for item in range(60)], brand=ITEMS["brand"].astype(str))
    for name, table in (("log", log), ("items", items)):
        table.to_parquet(folder / f"{name}.parquet", index=False)
        table.to_csv(folder / f"{name}.csv", index=False)
    features = LOG[[*QUERY_COLUMNS, *ITEM_COLUMNS]].astype({"user": "category"})
    model = teacher().fit(features, DATA.y, group=np.unique(DATA.qid, return_counts=True)[1])
    model.booster_.save_model(folder / "teacher.txt")
    return folder


def read(folder, text):
    (folder / "recipe.toml").write_text(text)
    return read_recipe(folder / "recipe.toml")


def test_a_recipe_names_every_part_of_a_cascade(folder):
    cascade = read(folder, RECIPE).ranker
    assert isinstance(cascade, RankingCascade)
    assert isinstance(cascade.teacher, lightgbm.LGBMRanker)
    names, models, cuts = zip(*cascade.stages, strict=True)
    assert names == ("retrieve", "prerank", "rank")
    assert cuts == (Cut(30), Cut(15, max_drop=9.0), Cut(5))
    assert [type(model) for model in models] == [TwoTowerRetriever, LinearRanker, MLPRanker]
    assert models[2].hidden_layer_sizes == (8,)
    assert cascade.features == {"prerank": ["a", "b", "x", "brand"]}
    assert (cascade.random_state, cascade.exploration) == (3, 0.1)


def test_a_recipe_is_followed_to_a_file(folder):
    trained = train(read(folder, RECIPE))
    cascade = trained.model
    assert cascade.item_columns == ITEM_COLUMNS
    ids, _ = cascade.rank(QUERIES)
    assert set(ids.ravel()) <= {f"i{item}" for item in range(60)}
    report = trained.report()
    assert report["training rows"] == len(LOG)
    assert report["items"] == 60
    assert 0 < report["cascade ndcg@5"] < 1
    # By hand: the same cascade over the same tables.
    stages = [
        ("retrieve", TwoTowerRetriever(
            query_columns=QUERY_COLUMNS, item_columns=ITEM_COLUMNS, embedding_dim=8, max_iter=2
        ), 30),
        ("prerank", LinearRanker(max_iter=2), Cut(15, max_drop=9.0)),
        ("rank", MLPRanker((8,), max_iter=2), 5),
    ]  # fmt: skip
    log = LOG[[*QUERY_COLUMNS, *ITEM_COLUMNS]].astype({"user": "category", "brand": str})
    brands = pd.CategoricalDtype(sorted(ITEMS["brand"].astype(str).unique()))
    expected = RankingCascade(
        stages, teacher=teacher(), features={"prerank": ["a", "b", "x", "brand"]}, random_state=3,
        sources=("passed", "logged"), exploration=0.1,
    )  # fmt: skip
    items = ITEMS.astype({"brand": brands})
    expected.fit(log.astype({"brand": brands}), DATA.y, qid=DATA.qid, items=items)
    places, scores = expected.rank(QUERIES)
    assert_array_equal(ids, np.array([f"i{item}" for item in range(60)])[places])
    assert_array_equal(cascade.rank(QUERIES)[1], scores)


VARIANTS = {
    "teacher at the end": RECIPE.replace(LAST, 'estimator = "teacher"\nsize = 5\n'),
    "first trees": RECIPE.replace(LAST, "trees = 3\nsize = 5\n"),
    "two retrievers": RECIPE.replace(FIRST, "").replace("size = 30\n", "size = 30\n" + RETRIEVERS),
    "regressor": RECIPE.replace(
        '"LinearRanker"\nmax_iter = 2', '"LGBMRegressor"\nn_estimators = 3'
    ),
    "steps": RECIPE.replace(
        'max_iter = 2\nfeatures = ["a", "b", "x", "brand"]',
        'max_iter = 2\nfeatures = ["a", "x"]\npreprocess = [{estimator = "StandardScaler"}]',
    ),
    "booster": RECIPE.replace(
        RECIPE[RECIPE.index("n_estimators") : RECIPE.index("[cascade]")],
        'booster = "teacher.txt"\n',
    ).replace('label_column = "clicked"\n', ""),
    "csv": RECIPE.replace("log.parquet", "log.csv").replace("items.parquet", "items.csv"),
    "columns and weights": RECIPE.replace(
        "sources", 'item_columns = ["x", "y", "z", "brand"]\nteacher_features = ["a", "x"]\nsources'
    ).replace("[teacher]", 'weight_column = "weight"\n[teacher]'),
    "the query id is a feature": RECIPE.replace('"c", "user"]', '"c", "session"]'),
    "positions": RECIPE.replace('item_id_column = "id"\n', "").replace(
        "sources", 'item_columns = ["x", "y", "z", "brand", "item"]\nsources'
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_stages_and_tables_of_every_kind(folder, name):
    cascade, report = follow(read(folder, VARIANTS[name]))
    ids, _ = cascade.rank(QUERIES.assign(session=range(80)))
    assert ids.shape == (80, 5)
    assert report["items"] == 60
    assert ("cascade ndcg@5" in report) == (name != "booster")
    stages = [entry[1] for entry in cascade.stages]
    if name == "teacher at the end":
        assert cascade.funnel_.stages[-1].model is cascade.teacher_
    if name == "first trees":
        assert isinstance(stages[-1], FirstTrees)
        assert cascade.funnel_.stages[-1].model.num_trees() == 3
    if name == "two retrievers":
        (_, towers, quota), (_, usual, _) = stages[0]
        assert (towers.query_columns, towers.item_columns) == (["a", "b"], ITEM_COLUMNS)
        assert isinstance(usual, PopularityRetriever)
        assert quota == 20
    if name == "steps":
        assert isinstance(stages[1], Pipeline)
    if name == "columns and weights":
        assert cascade.teacher_.n_features_in_ == 2
    if name == "positions":
        assert ids.dtype.kind == "i"


def test_the_command_writes_a_cascade(folder, tmp_path):
    (folder / "recipe.toml").write_text(RECIPE)
    command = ["distill", folder / "recipe.toml", "-o", tmp_path / "cascade.skd", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "skdistill", *map(str, command)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"] == 60
    expected = train(read(folder, RECIPE)).model
    assert_array_equal(load(tmp_path / "cascade.skd").rank(QUERIES)[0], expected.rank(QUERIES)[0])
    command[3] = folder / "items.parquet"
    done = subprocess.run(
        [sys.executable, "-m", "skdistill", *map(str, command)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert "is an output, but also" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('items = "items.parquet"', "", "[data] lacks the key items"),
        ('query_columns = ["a", "b", "c", "user"]', "", "[cascade] lacks the key query_columns"),
        ('query_columns = ["a", "b", "c", "user"]', 'query_columns = "a"', "must be a list of"),
        ("sources", "source", "unexpected keys in [cascade]: source"),
        ("[teacher]", '[student]\nestimator = "MLPRanker"\n[teacher]', "has no section [student]"),
        ("[teacher]", "features = []\n[teacher]", "unexpected keys in [data]: features"),
        ("size = 15", "size = 31", "would return 31 items"),
        ("size = 15", "size = 0", "must return a positive number"),
        ("size = 15", "", "must return a positive number"),
        ("size = 15", "sizes = 15", "unexpected keys in [cascade.stage]: sizes"),
        ('"LinearRanker"', '"Linear"', "must be one of ['teacher', 'LinearRanker'"),
        ('estimator = "LinearRanker"', "", "must be one of ['teacher', 'LinearRanker'"),
        ('"TwoTowerRetriever"', '"MLPRanker"', "must be one of ['TwoTowerRetriever'"),
        ("embedding_dim", 'teacher = "a"\nembedding_dim', "teacher cannot be set"),
        ('name = "rank"', 'name = "prerank"', "'prerank' is used twice"),
        ('name = "rank"', "", "must be a text"),
        (RECIPE[RECIPE.index("[[cascade") :], "", "needs its stages as sections"),
        (RECIPE[RECIPE.index('[[cascade.stage]]\nname = "pre') :], "", "a list of at least two"),
        ("label_column", "# label_column", "[data] lacks the key label_column"),
        ('query_column = "session"', "", "[data] lacks the key query_column"),
        ('"brand"]', '"brand"]\npreprocess = 3', "preprocess must be a section"),
        ('estimator = "LinearRanker"', 'estimator = "XGBRegressor"', "must be one of ['teacher',"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(folder, old, new, message):
    text = RECIPE.replace(old, new, 1)
    assert text != RECIPE
    with pytest.raises(RecipeError) as caught:
        read(folder, text)
    assert message in str(caught.value)
    assert "recipe.toml" in str(caught.value)


@pytest.mark.parametrize("last", ['estimator = "teacher"', "trees = 3"])
@pytest.mark.parametrize("estimator", ["XGBRanker", "CatBoostRanker"])
def test_a_teacher_that_no_file_holds_is_told_before_the_training(folder, estimator, last):
    text = RECIPE.replace(LAST, f"{last}\nsize = 5\n")
    trees = "n_estimators = 10\nnum_leaves = 7\nmin_child_samples = 5"
    assert trees in text
    message = "the stage 'rank' is the teacher, a model of .*, which the file of the cascade cannot"
    with pytest.raises(RecipeError, match=message):
        read(folder, text.replace(trees, f'estimator = "{estimator}"'))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"brand"]', '"clicked"]', "clicked"),
        ('"c", "user"]', '"c", "x"]', r"\['x'\] describe queries, and are columns of the catal"),
        ('"c", "user"]', '"c", "clicked"]', r"\['clicked'\] are targets"),
        (
            'item_id_column = "id"',
            'item_id_column = "ids"',
            r"items.parquet: lacks .*\['ids'\]",
        ),
        ('"c", "user"]', '"c", "users"]', r"log.parquet: lacks the columns \['users'\]"),
        ("items.parquet", "none.parquet", "none.parquet"),
    ],
)
def test_tables_that_do_not_fit_are_told_before_the_training(folder, old, new, message):
    recipe = read(folder, RECIPE.replace(old, new, 1))
    with pytest.raises((RecipeError, TableError, ValueError), match=message):
        train(recipe)

"""Recipes: parameters, steps before the student, fitted teachers, tables and reports."""

import sys

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skdistill.metrics import ndcg_score
from skdistill.recipe import RecipeError, follow, read_recipe, train
from skdistill.serving import TableError, load, save, score_table
from skdistill.students import LinearRanker
from skdistill.teachers import TEACHERS
from skdistill.teachers.categories import categories_of

N_QUERIES = 30
DATA = """
[data]
train = "train.parquet"
test = "test.parquet"
query_column = "q"
label_column = "y"
[student]
estimator = "LinearRanker"
max_iter = 5
"""
ENCODED = """
[[preprocess]]
estimator = "OneHotEncoder"
columns = ["c"]
handle_unknown = "ignore"
[[preprocess]]
estimator = "SimpleImputer"
columns = ["a", "b"]
[[preprocess]]
estimator = "StandardScaler"
columns = ["a", "b"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    rng = np.random.default_rng(0)
    n_rows = 10 * N_QUERIES
    frame = pd.DataFrame(
        {
            "q": np.repeat(np.arange(N_QUERIES), 10),
            "a": rng.normal(size=n_rows),
            "b": rng.normal(size=n_rows),
            "c": rng.choice(list("xyz"), n_rows),
        }
    )
    frame["y"] = (frame["a"] > 0) * 1 + (frame["c"] == "x")
    frame.loc[::7, "a"] = np.nan
    frame.to_parquet(folder / "train.parquet", index=False)
    frame.to_parquet(folder / "test.parquet", index=False)
    table, groups = frame[["a", "b", "c"]].astype({"c": "category"}), [10] * N_QUERIES
    model = lightgbm.LGBMRanker(n_estimators=5, min_child_samples=2, verbosity=-1)
    model.fit(table, frame["y"], group=groups)
    model.booster_.save_model(folder / "lightgbm.txt")
    joblib.dump(model, folder / "lightgbm.pkl")
    booster = xgboost.XGBRanker(n_estimators=5).fit(table[["a", "b"]], frame["y"], qid=frame["q"])
    for ending in ("json", "ubj"):
        booster.save_model(folder / f"xgboost.{ending}")
    cat = catboost.CatBoostRanker(iterations=5, verbose=False, allow_writing_files=False)
    cat.fit(table[["a", "b"]], frame["y"], group_id=frame["q"])
    cat.save_model(folder / "catboost.cbm")
    student = LinearRanker(max_iter=2, random_state=0)
    save(student.fit(table[["b"]], frame["y"], qid=frame["q"]), folder / "student.skd")
    return folder


def recipe(folder, text):
    (folder / "recipe.toml").write_text(text)
    return read_recipe(folder / "recipe.toml")


@pytest.mark.parametrize(
    ("text", "parameter", "value"),
    [
        ("max_bin = 63", "max_bin", 63),
        ("verbose = -1", "verbose", -1),
        ("lambdarank_truncation_level = 10", "lambdarank_truncation_level", 10),
        ('estimator = "XGBRanker"\nmax_depth = 3', "max_depth", 3),
        (
            'estimator = "XGBRanker"\nlambdarank_num_pair_per_sample = 4',
            "lambdarank_num_pair_per_sample",
            4,
        ),
        ('estimator = "XGBClassifier"\neta = 0.5', "eta", 0.5),
        ('estimator = "CatBoostRanker"\nloss_function = "YetiRank"', "loss_function", "YetiRank"),
        ('estimator = "CatBoostRanker"\nignored_features = [1]', "ignored_features", [1]),
    ],
)
def test_a_teacher_takes_every_parameter_of_its_library(folder, text, parameter, value):
    teacher = recipe(folder, f"{DATA}[teacher]\n{text}\n").ranker.teacher
    assert teacher.get_params()[parameter] == value


@pytest.mark.parametrize("estimator", ["LGBMRanker", "XGBRanker", "CatBoostRanker"])
def test_a_misspelt_parameter_is_refused_with_its_likely_meaning(folder, estimator):
    text = f'{DATA}[teacher]\nestimator = "{estimator}"\nlearning_rat = 0.1\n'
    with pytest.raises(RecipeError, match=r"\[teacher\]: learning_rat. Similar .*'learning_rate'"):
        recipe(folder, text)


@pytest.mark.parametrize("estimator", ["XGBRanker", "CatBoostRanker"])
def test_other_libraries_teach_in_silence_and_leave_no_files(folder, estimator, capfd):
    before = sorted(folder.iterdir())
    size = "iterations" if estimator == "CatBoostRanker" else "n_estimators"
    text = f'{DATA}[teacher]\nestimator = "{estimator}"\n{size} = 3\n'
    text = text.replace("[student]", 'features = ["b"]\n[student]')
    ranker, report = follow(recipe(folder, text))
    assert type(ranker.teacher_).__name__ == estimator
    assert report["teacher ndcg@10"] > 0.5
    assert capfd.readouterr().out == ""
    assert sorted(folder.iterdir()) == sorted({*before, folder / "recipe.toml"})


@pytest.mark.parametrize(
    ("key", "file", "columns"),
    [
        ("booster", "lightgbm.txt", '["a", "b", "c"]'),
        ("pickle", "lightgbm.pkl", '["a", "b", "c"]'),
        ("booster", "xgboost.json", '["b", "a"]'),
        ("booster", "xgboost.ubj", '["b", "a"]'),
        ("booster", "catboost.cbm", '["b", "a"]'),
        ("model", "student.skd", '["b"]'),
    ],
)
def test_a_fitted_teacher_is_used_as_it_is(folder, key, file, columns):
    text = DATA.replace("[student]", f"features = {columns}\n[student]")
    steps = ENCODED if "c" in columns else '[preprocess]\nestimator = "SimpleImputer"\n'
    _, report = follow(recipe(folder, f'{text}{steps}[teacher]\n{key} = "{file}"\n'))
    frame = pd.read_parquet(folder / "test.parquet").astype({"c": "category"})
    readers = {
        "lightgbm.txt": lambda: lightgbm.Booster(model_file=folder / file),
        "lightgbm.pkl": lambda: joblib.load(folder / file),
        "catboost.cbm": lambda: catboost.CatBoost().load_model(str(folder / file)),
        "student.skd": lambda: load(folder / file),
    }
    if file in readers:
        names = ["a", "b", "c"] if "light" in file else ["b"] if "skd" in file else ["a", "b"]
        scores = readers[file]().predict(frame[names])
    else:
        scores = xgboost.Booster(model_file=folder / file).inplace_predict(frame[["a", "b"]])
    expected = ndcg_score(frame["y"], scores, frame["q"], k=10)
    assert report["teacher ndcg@10"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("library", "estimator", "file"),
    [("xgboost", "XGBRanker", "xgboost.json"), ("catboost", "CatBoostRanker", "catboost.cbm")],
)
def test_a_missing_library_of_a_teacher_is_named_with_the_way_out(
    folder, library, estimator, file, monkeypatch
):
    monkeypatch.setitem(sys.modules, library, None)
    way_out = rf"needs {library}, which is not installed: pip install {library}\.$"
    with pytest.raises(RecipeError, match=rf"\[teacher\] estimator {estimator} {way_out}"):
        recipe(folder, f'{DATA}[teacher]\nestimator = "{estimator}"\n')
    with pytest.raises(ImportError, match=rf"The teacher .*{file} {way_out}"):
        recipe(folder, f'{DATA}[teacher]\nbooster = "{file}"\n')
    # What a module of the user is called on an index of packages, nobody knows.
    monkeypatch.setitem(TEACHERS, "Own", "my_own_module.Own")
    with pytest.raises(RecipeError, match=r"needs my_own_module, which is not installed\.$"):
        recipe(folder, f'{DATA}[teacher]\nestimator = "Own"\n')


def test_names_with_blanks_are_those_of_the_table(folder, tmp_path):
    """LightGBM stores them with underscores."""
    frame = pd.read_parquet(folder / "train.parquet")
    frame = frame.rename(columns={"a": "the price", "c": "the kind"})
    X = frame[["the price", "b", "the kind"]].astype({"the kind": "category"})
    sizes = frame.groupby("q", sort=False).size()
    model = lightgbm.LGBMRanker(n_estimators=3, verbose=-1).fit(X, frame["y"], group=sizes)
    model.booster_.save_model(tmp_path / "ranker.txt")
    for name in ("train", "test"):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    trained = train(recipe(tmp_path, f'{DATA}[teacher]\nbooster = "ranker.txt"\n'))
    assert sorted(trained.features) == ["b", "the kind", "the price"]


def test_categories_are_those_of_the_booster(folder, tmp_path):
    """A table in which a category is missing gives the others no other codes."""
    booster = lightgbm.Booster(model_file=folder / "lightgbm.txt")
    names, expected = ["a", "b", "c", "q"], {"c": ["x", "y", "z"]}
    assert categories_of(booster, names) == expected
    assert categories_of(FrozenEstimator(joblib.load(folder / "lightgbm.pkl")), names) == expected
    frame = pd.read_parquet(folder / "test.parquet")
    frame[frame["c"] != "x"].to_parquet(tmp_path / "test.parquet")
    frame.to_parquet(tmp_path / "train.parquet")
    text = f'{DATA}{ENCODED}[teacher]\nbooster = "{folder / "lightgbm.txt"}"\n'
    trained = train(recipe(tmp_path, text))
    assert trained.features == ["a", "b", "c"]
    table = frame[["a", "b", "c"]].astype({"c": pd.CategoricalDtype(["x", "y", "z"])})
    rows = frame["c"] != "x"
    expected = ndcg_score(frame["y"][rows], booster.predict(table[rows]), frame["q"][rows], k=10)
    assert trained.report()["teacher ndcg@10"] == pytest.approx(expected, abs=1e-6)


def test_steps_before_the_student_are_saved_with_it(folder, tmp_path):
    ranker, _ = follow(recipe(folder, f"{DATA}{ENCODED}[teacher]\nn_estimators = 3\n"))
    student = ranker.export_student()
    first = student[0]
    assert [columns for _, _, columns in first.transformers] == [["c"], ["a", "b"]]
    assert [type(step).__name__ for step in first.named_transformers_["a-b"]] == [
        "SimpleImputer",
        "StandardScaler",
    ]
    save(student, tmp_path / "student.skd")
    frame = pd.read_parquet(folder / "test.parquet")
    score_table(load(tmp_path / "student.skd"), folder / "test.parquet", tmp_path / "out")
    scored = pd.read_parquet(tmp_path / "out")
    expected = student.predict(frame[["a", "b", "c"]])
    np.testing.assert_allclose(scored["score"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[preprocess]\nestimator = "LinearRegression"', "must be a transformer of sklearn"),
        ("[preprocess]\nn = 1", "must be a transformer of sklearn"),
        ('[preprocess]\nestimator = "PCA"\ncolumns = "a"', "columns must be a list of names"),
        ('[preprocess]\nestimator = "PCA"\ncolumns = []', "columns must be a list of names"),
        ('[preprocess]\nestimator = "PCA"\ncomponents = 2', "in .preprocess.: components"),
        ('[teacher]\nbooster = "none.json"', "booster .*none.json cannot be read"),
        ('[teacher]\nbooster = "none.cbm"', "booster .*none.cbm cannot be read"),
        ('[teacher]\nmodel = "lightgbm.pkl"', "model .*lightgbm.pkl cannot be read.*a pickle"),
        ('[teacher]\nmodel = "a.skd"\nn_estimators = 3', "in .teacher.: n_estimators"),
    ],
)
def test_what_a_recipe_gets_wrong_is_named(folder, text, message):
    with pytest.raises(RecipeError, match=message):
        recipe(folder, f"{DATA}{text}\n")


def test_categories_are_features_and_text_is_not(folder, tmp_path):
    frame = pd.read_parquet(folder / "train.parquet")
    frame.assign(city=frame["c"].astype("category")).to_parquet(tmp_path / "train.parquet")
    text = DATA.replace('test = "test.parquet"\n', "").replace(
        "[student]", 'teacher_score_column = "b"\n[student]'
    )
    (tmp_path / "recipe.toml").write_text(text)
    trained = train(read_recipe(tmp_path / "recipe.toml"))
    assert list(trained.model.feature_names_in_) == ["a", "city"]
    assert list(trained.unread) == ["c"]
    # The index that pandas writes with a data frame is not an id of the rows.
    save(trained.model, tmp_path / "student.skd")
    shuffled = frame.assign(city=frame["c"].astype("category")).sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "shuffled.parquet")
    score_table(trained.model, tmp_path / "shuffled.parquet", tmp_path / "out")
    assert list(pd.read_parquet(tmp_path / "out")) == ["q", "c", "y", "score"]


def test_rows_of_the_test_without_a_label_are_left_out_of_the_report(folder, tmp_path):
    frame = pd.read_parquet(folder / "train.parquet")[["q", "b", "y"]]
    frame.to_parquet(tmp_path / "train.parquet")
    frame.astype({"y": "Int64"}).assign(y=frame["y"].where(frame.index != 5)).to_parquet(
        tmp_path / "test.parquet"
    )
    ranker, report = follow(recipe(tmp_path, f"{DATA}[teacher]\nn_estimators = 3\n"))
    rest = frame.drop(index=5)
    expected = ndcg_score(rest["y"], ranker.predict(rest[["b"]]), rest["q"], k=10)
    assert report["student ndcg@10"] == pytest.approx(expected, abs=1e-6)
    assert report["test rows without a label"] == 1


def test_the_teacher_may_see_columns_by_position(folder, tmp_path):
    frame = pd.read_parquet(folder / "train.parquet")[["q", "b", "y"]].assign(d=1.0, e=2.0)
    for name in ("train", "test"):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    reports = [
        follow(
            recipe(
                tmp_path,
                f"{DATA}[teacher]\nn_estimators = 3\n[distillation]\nteacher_columns = {columns}\n",
            )
        )[1]
        for columns in ("[1, 0]", '["d", "b"]')
    ]
    assert reports[0] == reports[1]


def test_faults_of_the_test_table_come_before_the_training(folder, tmp_path):
    frame = pd.read_parquet(folder / "train.parquet")[["q", "b", "y"]]
    frame.to_parquet(tmp_path / "train.parquet")
    frame.drop(columns="b").to_parquet(tmp_path / "test.parquet")
    parsed = recipe(tmp_path, f"{DATA}[teacher]\nn_estimators = 3\n")
    with pytest.raises(ValueError, match=r"test.parquet: lacks the columns \['b'\]"):
        train(parsed)
    assert not hasattr(parsed.ranker, "student_")


def test_csv_tables_are_read_as_the_recipe_says(folder, tmp_path):
    frame = pd.read_parquet(folder / "train.parquet")[["q", "b", "y"]].round(3)
    for name in ("train", "test"):
        frame.to_parquet(tmp_path / f"{name}.parquet")
        frame.to_csv(tmp_path / f"{name}.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    end = "[teacher]\nn_estimators = 3\n"
    text = DATA.replace(".parquet", ".csv").replace(
        "[student]", 'csv = {delimiter = ";", decimal = ","}\n[student]'
    )
    (_, report), (_, expected) = (follow(recipe(tmp_path, one + end)) for one in (text, DATA))
    assert report == pytest.approx(expected)
    for options, message in (('{encoding = "x"}', "must be one that Python"), ("3", "must be a")):
        with pytest.raises(RecipeError, match=rf"\[data\] csv.* {message}"):
            recipe(tmp_path, text.replace('{delimiter = ";", decimal = ","}', options))


WEEKS = """
[data]
train = "train.parquet"
validation = "next.csv"
test = "test.parquet"
query_column = "q"
label_column = "y"
weight_column = "w"
[teacher]
n_estimators = 60
early_stopping_round = 2
verbosity = -1
[student]
estimator = "LinearRanker"
max_iter = 40
"""


@pytest.fixture
def weeks(folder, tmp_path):
    """Training rows, those of the week after, and test rows, which need no weights."""
    frame = pd.read_parquet(folder / "train.parquet").assign(w=lambda frame: 1.0 + frame["q"] % 3)
    frame["d"] = np.random.default_rng(1).normal(size=len(frame))
    train, following = frame[frame["q"] < 20], frame[frame["q"] >= 20].sample(frac=1)
    train.to_parquet(tmp_path / "train.parquet", index=False)
    following.to_csv(tmp_path / "next.csv", index=False)
    following.drop(columns="w").to_parquet(tmp_path / "test.parquet", index=False)
    return tmp_path, train, following


def test_the_validation_table_reaches_the_fit(weeks):
    folder, train, following = weeks
    parsed = recipe(folder, WEEKS)
    assert folder / "next.csv" in parsed.files()
    columns = ["a", "b", "d"]
    expected = clone(parsed.ranker).fit(
        train[columns], train["y"], qid=train["q"], sample_weight=train["w"],
        X_val=following[columns], y_val=following["y"], qid_val=following["q"],
        sample_weight_val=following["w"],
    )  # fmt: skip
    ranker, report = follow(parsed)
    assert report["training rows"] == len(train)
    np.testing.assert_array_equal(ranker.predict(train[columns]), expected.predict(train[columns]))
    assert len(ranker.student_.validation_scores_) == ranker.n_iter_ < 40
    assert ranker.teacher_.booster_.num_trees() == expected.teacher_.booster_.num_trees() < 60
    (without, _) = follow(recipe(folder, WEEKS.replace("validation", "# validation").replace(
        "early_stopping_round", "# early_stopping_round")))  # fmt: skip
    assert without.n_iter_ == 40


def test_scores_of_the_teacher_in_the_validation_table_stop_the_student(weeks):
    folder, train, following = weeks
    train.assign(s=train["b"]).to_parquet(folder / "train.parquet", index=False)
    following.assign(s=following["b"]).to_csv(folder / "next.csv", index=False)
    text = WEEKS[: WEEKS.index("[teacher]")] + "[student]\nestimator = 'LinearRanker'\n"
    text = text.replace('label_column = "y"', 'teacher_score_column = "s"').replace(
        "test", "# test"
    )
    ranker, _ = follow(recipe(folder, text))
    assert ranker.student_.validation_scores_[-1] > 0.9


def test_the_weights_are_no_feature_and_faults_of_the_validation_table_are_named(weeks):
    folder, _, following = weeks
    assert "w" not in train(recipe(folder, WEEKS)).features
    with pytest.raises(RecipeError, match=r"\['w'\] are also named"):
        recipe(
            folder, WEEKS.replace('weight_column = "w"', 'weight_column = "w"\nfeatures = ["w"]')
        )
    following.drop(columns="w").to_csv(folder / "next.csv", index=False)
    with pytest.raises(TableError, match=r"next.csv: lacks the columns \['w'\]"):
        train(recipe(folder, WEEKS))
    with pytest.raises(RecipeError, match=r"in \[data\]: validate.*Similar keys are \['validation"):
        recipe(folder, WEEKS.replace("validation =", "validate ="))


def test_a_model_in_the_wrong_place_is_recognised(folder):
    with pytest.raises(RecipeError, match=r"of LightGBM, which a recipe names: \[teacher\]"):
        read_recipe(folder / "lightgbm.txt")
    with pytest.raises(ValueError, match="serving.save: name it by model"):
        recipe(folder, f'{DATA}[teacher]\nbooster = "{next(folder.glob("*.skd")).name}"\n')

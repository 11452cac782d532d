"""The page that begins with a LightGBM file, run from its first line to its last."""

import functools
import re
import warnings
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.recipe import follow, read_recipe
from skdistill.serving import load
from skdistill.teachers import score_rows

PAGE = Path(__file__).parent.parent / "docs" / "from_a_lightgbm_file.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
FEATURES = ["price", "clicks", "views", "age", "rank before", "country", "shop"]
QUALITY = (Path(__file__).parent.parent / "docs" / "quality.md").read_text()
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the page begins with: a model file, the same model in a pickle, and two logs."""
    data = make_ranking(200, n_features=5, categories=(4, 30), missing=0.05, random_state=0)
    log = data.X.set_axis(FEATURES, axis=1)
    log[["clicks", "views"]] = np.exp(log[["clicks", "views"]].fillna(0.0))
    log["query"] = [f"q{query}" for query in data.qid]
    log["label"] = data.y
    log["week"] = data.qid * 5 // (data.qid.max() + 1)
    log.to_parquet(tmp_path / "log.parquet")
    log[log["week"] == 4].to_parquet(tmp_path / "later.parquet")
    log = log[log["week"] < 4].sort_values("query", kind="stable")
    model = lightgbm.LGBMRanker(n_estimators=50, num_leaves=7, verbose=-1)
    sizes = log.groupby("query", sort=True).size()
    model.fit(log[FEATURES], log["label"], group=sizes)
    model.booster_.save_model(tmp_path / "ranker.txt")
    joblib.dump(model, tmp_path / "ranker.pkl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dictionaries(rows):
    """Rows as a service gets them."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def test_the_first_example_of_the_readme_runs(folder, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len(code.strip().splitlines()) <= 12
    log = pd.read_parquet("log.parquet")
    is_last = log.pop("week") == 4
    log[is_last].to_parquet("later.parquet")
    log[~is_last].to_parquet("log.parquet")
    page = {}
    exec(compile(code, "README.md", "exec"), page)
    rows, later = page["later"][page["features"]], page["later"]
    assert "of the teacher's, at" in capsys.readouterr().out
    expected = page["ranker"].predict(rows)
    assert page["ranker"].score(rows, later["label"], qid=later["query"]) > 0.7
    assert_allclose(page["scorer"](rows), expected, atol=1e-5)
    assert_allclose(page["scorer"].rows(dictionaries(rows)), expected, atol=1e-5)
    assert_array_equal(load("student.skd").predict(rows), expected)


def test_the_chinese_readme_says_the_same():
    chinese = (PAGE.parent.parent / "README.zh-CN.md").read_text("utf-8")
    blocks = [re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)[1:] for text in (README, chinese)]
    assert blocks[0] == blocks[1]
    numbers = [sorted(re.findall(r"\d+\.\d+", text)) for text in (README, chinese)]
    assert numbers[0] == numbers[1]
    links = [sorted(re.findall(r"\]\((docs/[^)]+)\)", text)) for text in (README, chinese)]
    assert links[0] == links[1]


def test_the_page_runs(folder, capsys):
    page = {}
    for language, code in BLOCKS:
        if language == "toml":
            (folder / "recipe.toml").write_text(code)
        else:
            exec(compile(code, PAGE, "exec"), page)
    printed = dict(re.findall(r"^(teacher|student) (\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert float(printed["student"]) > 0.93 * float(printed["teacher"]) > 0.7
    assert page["ranker"].teacher_.best_iteration_ < 1000
    fitted, report = follow(read_recipe(folder / "recipe.toml"))
    assert isinstance(fitted.teacher_, lightgbm.Booster)
    assert report["training rows"] == len(page["log"])
    rows = dictionaries(page["X_val"][page["features"]])[:30]
    assert sorted(page["rank"](rows)) == list(range(30))


def test_the_dates_on_the_page_reach_teacher_and_student(folder):
    (code,) = [code for _, code in BLOCKS if "check_in" in code]
    log = pd.read_parquet("log.parquet").sort_values("query", kind="stable")
    log["check_in"] = pd.to_datetime("2026-01-01") + pd.to_timedelta(np.arange(len(log)), unit="D")
    numbers = log[[*FEATURES, "check_in"]].assign(check_in=log["check_in"].dt.day_of_year)
    model = lightgbm.LGBMRanker(n_estimators=20, num_leaves=7, verbose=-1)
    model.fit(numbers, log["label"], group=log.groupby("query", sort=True).size())
    page = {"teacher": model.booster_, "DistilledRanker": DistilledRanker}
    exec(compile(code, PAGE, "exec"), page)
    X = log[[*FEATURES, "check_in"]]
    assert_array_equal(score_rows(page["dated_teacher"], X), model.predict(numbers))
    student = page["ranker"].fit(X, log["label"], qid=log["query"]).student_
    assert student.encoder_.kinds[-1] == "date"


def test_the_page_of_clicks_runs():
    page = (PAGE.parent / "clicks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(code, names := {})
    assert names["auc"] > 0.65
    assert names["probability"].mean() == pytest.approx(names["log"].y.mean(), abs=0.02)


def test_the_service_scores_as_the_ranker(folder):
    page = {}
    for _, code in BLOCKS[:2]:
        exec(compile(code, PAGE, "exec"), page)
    rows = page["X_val"][page["features"]]
    expected = page["ranker"].predict(rows)
    assert_allclose(page["scorer"](rows), expected, rtol=1e-5, atol=1e-5)
    assert_array_equal(
        page["rank"](dictionaries(rows))[:5], np.argsort(-expected, kind="stable")[:5]
    )


def test_file_and_service_are_twenty_lines():
    lines = [line for _, code in BLOCKS[:2] for line in code.splitlines() if line.strip()]
    assert len(lines) - sum(line.startswith(("import", "from")) for line in lines) <= 20


def test_the_search_on_the_page_about_quality_fits_each_folds_teacher_once(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", QUALITY, re.DOTALL).group(1)
    data = make_ranking(40, n_features=5, random_state=0)
    n_fits, fit = [], lightgbm.LGBMRanker.fit

    @functools.wraps(fit)
    def counted(*args, **options):
        n_fits.append(1)
        return fit(*args, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lightgbm.LGBMRanker, "fit", counted)
    with sklearn.config_context():
        page = {"X": data.X, "y": data.y, "qid": data.qid}
        exec(compile(code, "quality.md", "exec"), page)
    search = page["search"]
    assert len(n_fits) == 3 + 1  # three folds, then all rows
    assert search.n_candidates_ == [16, 8, 4]
    assert search.n_resources_ == [8, 16, 32]
    assert search.best_params_["student__max_iter"] == 32
    assert search.best_score_ > 0.6
    assert page["student"].max_iter == 32

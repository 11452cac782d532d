"""Reports on tables in files: models without names, with categories, and of privileged teachers."""

import warnings

import lightgbm
import numpy as np
import pandas as pd
import pytest

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.inspection import distillation_report, report_table
from skdistill.metrics import ndcg_score
from skdistill.serving import TableError
from skdistill.students import LinearRanker

pytest.importorskip("pyarrow")

COLUMNS = {"label_column": "y", "query_column": "q"}


@pytest.fixture(scope="module")
def data():
    return make_ranking(n_queries=80, n_features=4, categories=(5,), missing=0.05, random_state=0)


@pytest.fixture(scope="module")
def table(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "table.parquet"
    data.X.assign(y=data.y, q=data.qid).to_parquet(path, index=False)
    return path


def teacher():
    return lightgbm.LGBMRanker(n_estimators=12, verbose=-1, n_jobs=1)


def qualities(report):
    return {point.name: point.quality for point in report.points}


def test_categories_are_read_as_in_fit(data, table):
    ranker = DistilledRanker(teacher(), LinearRanker(), random_state=0)
    ranker.fit(data.X, data.y, qid=data.qid)
    found = report_table(
        ranker.export_student(), table, teacher=ranker.teacher_, slices=["category_0"],
        train=table, **COLUMNS,
    )  # fmt: skip
    wanted = distillation_report(ranker, data.X, data.y, qid=data.qid)
    for name, quality in qualities(wanted).items():
        assert qualities(found)[name] == pytest.approx(quality, abs=1e-6)
    values = {part.value for part in found.slices if part.name == "category_0"}
    assert values >= set(data.X["category_0"].dropna())


@pytest.mark.parametrize("unit", ["ns", "us", "s", "ns, UTC"])
def test_times_keep_the_unit_that_files_have(data, tmp_path, unit):
    """Nanoseconds that are no whole microseconds were refused."""
    X = data.X.filter(like="number").fillna(0.0)
    nanoseconds = np.random.default_rng(0).integers(0, 10**15, len(X)) + 1
    X["shown"] = pd.to_datetime(nanoseconds, utc="UTC" in unit).as_unit(unit[:2].strip(","))
    # As in the first file, and in another with another unit.
    for number, other in enumerate((X, X.assign(shown=X["shown"].dt.as_unit("us")))):
        other.assign(y=data.y, q=data.qid + number * 100).to_parquet(tmp_path / f"{number}.parquet")
    student = LinearRanker(max_iter=2, random_state=0).fit(X, data.y, qid=data.qid)
    for paths in (tmp_path / "0.parquet", tmp_path):
        report = report_table(student, paths, train=paths, **COLUMNS)
        wanted = student.score(X, data.y, qid=data.qid)
        assert qualities(report)["student"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("with_teacher", [False, True])
def test_a_ranker_whose_student_reads_some_columns(data, table, tmp_path, with_teacher):
    """It was taken for a teacher that misses the others."""
    columns = [name for name in data.X if name.startswith("number")][:2]
    ranker = DistilledRanker(teacher(), LinearRanker(), student_columns=columns, random_state=0)
    ranker.fit(data.X, data.y, qid=data.qid)
    narrow = tmp_path / "narrow.parquet"
    frame = data.X if with_teacher else data.X[columns]
    frame.assign(y=data.y, q=data.qid, s=ranker.teacher_.predict(data.X)).to_parquet(narrow)
    given = {} if with_teacher else {"teacher_column": "s"}
    found = qualities(report_table(ranker, narrow, train=narrow, **given, **COLUMNS))
    wanted = qualities(distillation_report(ranker, data.X, data.y, qid=data.qid))
    for name in ("teacher", "student"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-6)
    assert "student on labels alone" in found or len(found) > 2


def test_a_first_file_without_columns_is_passed_over(data, table, tmp_path):
    (tmp_path / "0.jsonl").touch()
    student = LinearRanker(max_iter=2, random_state=0).fit(data.X, data.y, qid=data.qid)
    found = report_table(student, [tmp_path / "0.jsonl", table], **COLUMNS)
    assert qualities(found) == pytest.approx(qualities(report_table(student, table, **COLUMNS)))


def test_a_teacher_of_further_columns_gives_its_scores(data, table):
    seen = list(data.X.columns[:2])
    ranker = DistilledRanker(teacher(), LinearRanker(), student_columns=seen, random_state=0)
    ranker.fit(data.X, data.y, qid=data.qid)
    found = report_table(ranker.export_student(), table, teacher=ranker.teacher_, **COLUMNS)
    whole = distillation_report(ranker, data.X, data.y, qid=data.qid)
    assert list(qualities(found)) == ["teacher", "student"]
    assert qualities(found)["teacher"] == pytest.approx(qualities(whole)["teacher"])
    assert qualities(found)["student"] == pytest.approx(qualities(whole)["student"])


@pytest.mark.parametrize("is_named", [True, False], ids=["with _ for a space", "without names"])
def test_a_teacher_in_a_file_whose_names_differ(data, is_named, tmp_path):
    """LightGBM writes item_price for "item price", and Column_0 for the first of an array."""
    X = data.X[["number_0", "number_1"]].fillna(0.0).set_axis(["item price", "age"], axis=1)
    sizes = np.unique(data.qid, return_counts=True)[1]
    model = teacher().fit(X if is_named else X.to_numpy(), data.y, group=sizes)
    model.booster_.save_model(tmp_path / "teacher.txt")
    X.assign(y=data.y, q=data.qid).to_parquet(tmp_path / "table.parquet")
    student = LinearRanker(max_iter=2, random_state=0).fit(X, data.y, qid=data.qid)
    read = lightgbm.Booster(model_file=tmp_path / "teacher.txt")
    found = qualities(report_table(student, tmp_path / "table.parquet", teacher=read, **COLUMNS))
    wanted = ndcg_score(data.y, read.predict(X.to_numpy()), data.qid, k=10)
    assert found["teacher"] == pytest.approx(wanted, abs=1e-6)


def test_the_training_rows_as_test_rows_are_told(data, table):
    student = LinearRanker(max_iter=2, random_state=0).fit(data.X, data.y, qid=data.qid)
    with pytest.warns(UserWarning, match="seem to be the rows that are tested"):
        report_table(student, table, train=table, **COLUMNS)
    seen = data.qid < 40
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        distillation_report(
            student, data.X[~seen], data.y[~seen], qid=data.qid[~seen],
            X_train=data.X[seen], y_train=data.y[seen], qid_train=data.qid[seen],
        )  # fmt: skip
    assert not any("are tested" in str(one.message) for one in told)


def test_a_model_without_names_reads_columns_by_position(data, tmp_path):
    X = data.X[["number_0", "number_1"]].to_numpy()
    student = LinearRanker(max_iter=2, random_state=0).fit(np.nan_to_num(X), data.y, qid=data.qid)
    frame = pd.DataFrame(np.nan_to_num(X)).rename(columns=str).assign(y=data.y, q=data.qid)
    path = tmp_path / "plain.csv"
    frame.to_csv(path, index=False)
    found = report_table(student, path, train=path, **COLUMNS)
    assert qualities(found)["student"] == pytest.approx(
        student.score(np.nan_to_num(X), data.y, qid=data.qid), abs=1e-6
    )


def test_what_is_wrong_is_said(data, table):
    student = LinearRanker(max_iter=1).fit(data.X, data.y, qid=data.qid)
    with pytest.raises(ValueError, match="given twice"):
        report_table(student, table, teacher=teacher(), teacher_column="t", **COLUMNS)
    with pytest.raises(TableError, match=r"lacks the columns \['price'\]"):
        report_table(student, table, slices=["price"], **COLUMNS)

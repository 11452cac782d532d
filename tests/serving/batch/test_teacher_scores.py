"""evaluate_table asks a teacher, whatever columns it reads and whatever it calls them."""

import lightgbm
import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from skdistill.datasets import make_ranking
from skdistill.serving import TableError, evaluate_table
from skdistill.students import LinearRanker
from skdistill.teachers import RankEnsemble

pytest.importorskip("pyarrow")

QUERIES = {"query_column": "q", "label_column": "y"}


@pytest.fixture(scope="module")
def data():
    data = make_ranking(n_queries=80, n_features=4, categories=(5,), missing=0.05, random_state=0)
    data.X = data.X.rename(columns={"number_0": "unit price"})
    return data


def trees(X, data, **options):
    sizes = np.unique(data.qid, return_counts=True)[1]
    return lightgbm.LGBMRanker(n_estimators=12, verbose=-1, n_jobs=1, **options).fit(
        X, data.y, group=sizes
    )


def from_file(model, folder):
    """The model as text: LightGBM puts _ for each space in the names of columns."""
    model.booster_.save_model(folder / "teacher.txt")
    return lightgbm.Booster(model_file=folder / "teacher.txt")


def student_of(X, data):
    return LinearRanker(max_iter=2, random_state=0).fit(X, data.y, qid=data.qid)


def written(X, data, scores, path):
    """Write a table, its rows in no order, into two files of one folder."""
    order = np.random.default_rng(0).permutation(len(data.y))
    frame = X.assign(q=data.qid, y=data.y, s=scores).iloc[order]
    path.mkdir()
    for number, part in enumerate((frame[:700], frame[700:])):
        part.to_csv(path / f"{number}.csv", index=False)
        part.to_parquet(path / f"{number}.parquet", index=False)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("named", [QUERIES, {"label_column": "y"}], ids=["queries", "rows"])
@pytest.mark.filterwarnings("ignore:The model was fitted with queries")
def test_a_teacher_of_other_columns_gives_the_scores_of_its_column(data, named, suffix, tmp_path):
    model = trees(data.X, data)
    files = f"{written(data.X, data, model.predict(data.X), tmp_path / 'tables')}/*.{suffix}"
    student = student_of(data.X[["unit price", "category_0"]], data)
    wanted = evaluate_table(student, files, teacher_column="s", **named)
    for teacher in (model, from_file(model, tmp_path)):
        found = evaluate_table(student, files, teacher=teacher, **named)
        assert found == pytest.approx(wanted, abs=1e-6)
    assert wanted["rows"] == len(data.y)


def test_the_recall_of_lists_in_which_nothing_can_be_missed_is_left_out(data, tmp_path):
    X = data.X.filter(like="number").fillna(0.0)
    files = f"{written(X, data, data.y, tmp_path / 'tables')}/*.csv"
    assert np.bincount(data.qid).max() == 40
    for k, is_there in ((8, False), (7, True)):
        found = evaluate_table(student_of(X, data), files, teacher_column="s", k=k, **QUERIES)
        assert ("teacher_recall" in found) == is_there


def test_a_teacher_without_names_gets_the_columns_of_the_student(data, tmp_path):
    X = data.X.filter(like="number").fillna(0.0)
    model = trees(X.to_numpy(), data)
    files = written(X.iloc[:, ::-1], data, model.predict(X.to_numpy()), tmp_path / "tables")
    wanted = evaluate_table(student_of(X, data), files, teacher_column="s", **QUERIES)
    found = evaluate_table(
        student_of(X, data), files, teacher=from_file(model, tmp_path), **QUERIES
    )
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_teacher_that_compares_rows_gets_their_queries(data, tmp_path):
    X = data.X.filter(like="number").fillna(0.0)
    first, second = trees(X, data), trees(X, data, learning_rate=1.0)
    ensemble = RankEnsemble(
        [("first", FrozenEstimator(first)), ("second", FrozenEstimator(second))]
    )
    ensemble.fit(X, data.y, qid=data.qid)
    files = written(X, data, ensemble.predict(X, qid=data.qid), tmp_path / "tables")
    wanted = evaluate_table(student_of(X, data), files, teacher_column="s", **QUERIES)
    found = evaluate_table(student_of(X, data), files, teacher=ensemble, **QUERIES)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_what_is_wrong_with_a_teacher_is_said(data, tmp_path):
    X = data.X[["number_1", "number_2"]].fillna(0.0)
    student, model = student_of(X, data), trees(data.X, data)
    files = written(X, data, 0.0, tmp_path / "tables")
    with pytest.raises(ValueError, match="given twice"):
        evaluate_table(student, files, teacher=model, teacher_column="s", **QUERIES)
    with pytest.raises(TableError, match=r"lacks the columns \['unit_price', .*teacher was fitted"):
        evaluate_table(student, files, teacher=model, **QUERIES)
    with pytest.raises(TableError, match=r"lacks the columns \['unit_price', .*teacher was fitted"):
        evaluate_table(student, files, teacher=from_file(model, tmp_path), **QUERIES)
    with pytest.raises(ValueError, match="by position"):
        evaluate_table(
            student, files, teacher=trees(data.X.filter(like="number").to_numpy(), data), **QUERIES
        )

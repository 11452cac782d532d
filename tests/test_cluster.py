"""Dask, Ray and Spark for real, in several processes, of which one is killed half way."""

import os
import shutil
import signal
import sys
from functools import partial
from itertools import pairwise

import lightgbm
import numpy as np
import pandas as pd
import pytest

from skdistill.dask_training import fit_student_dask, fit_teacher_dask, label_dask
from skdistill.datasets import make_ranking
from skdistill.metrics import ndcg_score
from skdistill.serving import FrameScorer, TableError, score_dask, score_ray, score_spark
from skdistill.streaming import fit_from_files
from skdistill.students import FactorizationMachineRanker, MLPRanker
from skdistill.students.averaging import mean_student

NAMES = [f"f{number}" for number in range(8)]
N_PARTS = 6


@pytest.fixture(scope="module")
def frame():
    data = make_ranking(n_queries=240, n_features=8, random_state=0)
    frame = pd.DataFrame(data.X.astype(np.float32), columns=NAMES)
    frame["query"] = data.qid
    frame["label"] = data.y
    frame["row"] = np.arange(len(frame))
    return frame.sort_values("query", kind="stable", ignore_index=True)


@pytest.fixture(scope="module")
def student(frame):
    return MLPRanker((16,), max_iter=4, random_state=0).fit(
        frame[NAMES], frame["label"], qid=frame["query"]
    )


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def partitions(frame):
    """The frame in pieces of whole queries, for Dask."""
    import dask.dataframe as dd

    bounds = np.linspace(0, frame["query"].nunique(), N_PARTS + 1).astype(int)
    codes = frame["query"].astype("category").cat.codes
    pieces = [frame[(codes >= a) & (codes < b)] for a, b in pairwise(bounds)]
    return dd.from_map(lambda piece: piece, pieces, meta=frame[:0])


def dies_once(frame, mark):
    """Whoever gets the fourth query for the first time is killed."""
    if len(frame) and frame["query"].min() > 50 and not os.path.exists(mark):
        with open(mark, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return frame


def test_a_frame_is_scored_as_predict_does(frame, student):
    scored = FrameScorer(student)(frame)
    assert list(scored.columns) == ["query", "label", "row", "score"]
    np.testing.assert_allclose(scored["score"], student.predict(frame[NAMES]), atol=1e-5)
    with pytest.raises(TableError, match=r"lacks the columns \['f3'\]"):
        FrameScorer(student)(frame.drop(columns="f3"))
    with pytest.raises(TableError, match="row 3: column 'f2' holds nothing"):
        FrameScorer(student)(frame.assign(f2=frame["f2"].where(frame.index != 3)))
    with pytest.raises(ValueError, match="without column names"):
        FrameScorer(MLPRanker((4,), max_iter=1).fit(frame[NAMES].to_numpy(), frame["label"]))


@pytest.mark.parametrize("library", ["dask", "ray"])
def test_a_missing_library_names_the_extra(frame, student, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    score = {"dask": score_dask, "ray": score_ray}[library]
    with pytest.raises(ImportError, match=rf"skdistill\[{library}\]"):
        score(student, None)


def test_dask_scores_though_a_worker_is_killed(client, frame, student, tmp_path):
    table = partitions(frame)
    expected = FrameScorer(student, id_columns=["query"])(frame)
    scored = score_dask(student, table, id_columns=["query"])
    assert list(scored.columns) == ["query", "score"]
    pd.testing.assert_frame_equal(scored.compute(), expected)

    broken = table.map_partitions(dies_once, str(tmp_path / "died"), meta=table._meta)
    pd.testing.assert_frame_equal(
        score_dask(student, broken, id_columns=["query"]).compute(), expected
    )
    assert (tmp_path / "died").exists()


def test_ray_scores_though_a_worker_is_killed(ray, frame, student, tmp_path):
    expected = FrameScorer(student)(frame)
    dataset = ray.data.from_pandas([frame[:1000], frame[1000:2000], frame[2000:]])
    scored = score_ray(student, dataset).to_pandas().sort_values("row")
    np.testing.assert_allclose(scored["score"], expected["score"].iloc[scored["row"]], atol=1e-5)
    broken = dataset.map_batches(
        partial(dies_once, mark=str(tmp_path / "died")), batch_format="pandas"
    )
    again = score_ray(student, broken.materialize()).to_pandas()
    again = again.sort_values("row")
    assert (tmp_path / "died").exists()
    assert list(again.columns) == ["query", "label", "row", "score"]
    np.testing.assert_array_equal(again["score"], scored["score"])


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_scores(frame, student):
    sql = pytest.importorskip("pyspark.sql")
    spark = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = spark.getOrCreate()
    try:
        table = spark.createDataFrame(frame).repartition(4)
        scored = score_spark(student, table).toPandas()
    finally:
        spark.stop()
    assert list(scored.columns) == ["query", "label", "row", "score"]
    expected = FrameScorer(student)(frame)
    expected = expected.sort_values("row")["score"]
    np.testing.assert_allclose(scored.sort_values("row")["score"], expected, atol=1e-5)


def test_teacher_and_labels_on_dask(client, frame):
    table = partitions(frame)
    teacher = lightgbm.DaskLGBMRanker(
        client=client, n_estimators=20, num_leaves=8, random_state=0, verbosity=-1
    )
    options = {"features": NAMES, "label_column": "label", "query_column": "query"}
    local = fit_teacher_dask(teacher, table, **options)
    assert isinstance(local, lightgbm.LGBMRanker)
    labelled = label_dask(local, table, features=NAMES).compute()
    np.testing.assert_allclose(labelled["teacher_score"], local.predict(frame[NAMES]))
    quality = ndcg_score(labelled["label"], labelled["teacher_score"], labelled["query"], k=10)
    alone = lightgbm.LGBMRanker(n_estimators=20, num_leaves=8, random_state=0, verbosity=-1)
    alone.fit(frame[NAMES], frame["label"], group=frame.groupby("query").size())
    expected = ndcg_score(frame["label"], alone.predict(frame[NAMES]), frame["query"], k=10)
    assert quality > 0.97 * expected


def test_replicas_that_are_averaged_learn_as_one_worker_does(client, frame, tmp_path):
    """Within the spread of seeds; and the same to the bit when a worker dies."""
    table, test = partitions(frame[frame["query"] < 160]), frame[frame["query"] >= 160]
    options = {"features": NAMES, "label_column": "label", "query_column": "query"}

    def quality(student):
        return ndcg_score(test["label"], student.predict(test[NAMES]), test["query"], k=10)

    def make(seed):
        return MLPRanker((16,), batch_size=8, random_state=seed)

    apart = [
        fit_student_dask(make(seed), table, n_rounds=25, n_replicas=2, **options)
        for seed in range(5)
    ]
    alone = [
        fit_student_dask(make(seed), table, n_rounds=25, n_replicas=1, **options)
        for seed in range(5)
    ]
    of_apart, of_alone = [quality(s) for s in apart], [quality(s) for s in alone]
    by_chance = ndcg_score(test["label"], np.zeros(len(test)), test["query"], k=10)
    assert min(of_apart) > 1.2 * by_chance
    spread = np.std(of_alone, ddof=1)
    assert abs(np.mean(of_apart) - np.mean(of_alone)) < max(3 * spread, 0.01), (
        of_apart,
        of_alone,
        by_chance,
    )

    broken = table.map_partitions(dies_once, str(tmp_path / "died"), meta=table._meta)
    again = fit_student_dask(make(0), broken, n_rounds=25, n_replicas=2, **options)
    assert (tmp_path / "died").exists()
    for name, array in apart[0].params_.items():
        np.testing.assert_array_equal(again.params_[name], array)


@pytest.mark.parametrize(
    "student", [MLPRanker((4,), random_state=0), FactorizationMachineRanker(3, random_state=0)]
)
def test_mean_of_students(frame, student):
    options = {"qid": frame["query"]}
    first = student.partial_fit(frame[NAMES], frame["label"], **options)
    same = mean_student([first, first], [1, 3])
    for name, array in first.params_.items():
        np.testing.assert_allclose(same.params_[name], array, rtol=1e-6)
    import copy

    second = copy.deepcopy(first).partial_fit(frame[NAMES], frame["label"], **options)
    mean = mean_student([first, second], [1, 3])
    for name, array in first.params_.items():
        np.testing.assert_allclose(
            mean.params_[name], 0.25 * array + 0.75 * second.params_[name], rtol=1e-4, atol=1e-6
        )
    further = mean_student([first, second], [1, 3], start=first, step=2.0)
    for name, array in first.params_.items():
        expected = array + 2 * 0.75 * (second.params_[name] - array)
        np.testing.assert_allclose(further.params_[name], expected, rtol=1e-4, atol=1e-6)
    # What it was made of stays, and it goes on by itself.
    before = first.predict(frame[NAMES])
    assert not np.array_equal(mean.predict(frame[NAMES]), before)
    mean.partial_fit(frame[NAMES], frame["label"], **options)
    np.testing.assert_array_equal(first.predict(frame[NAMES]), before)


def test_training_from_files(frame, tmp_path, monkeypatch):
    from skdistill.tables import parquet, reading

    for module in (parquet, reading):
        monkeypatch.setattr(module, "BATCH_ROWS", 500)
    monkeypatch.setattr(parquet, "SHARD_ROWS", 1500)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=1500)
    seen = []

    class Watched(MLPRanker):
        def partial_fit(self, X, y=None, *, qid=None, **options):
            seen.append((len(X), list(pd.unique(qid))))
            return super().partial_fit(X, y, qid=qid, **options)

    student = fit_from_files(
        Watched((16,), random_state=0), tmp_path / "*.parquet", query_column="query",
        label_column="label", features=NAMES, n_epochs=8, random_state=0,
    )  # fmt: skip
    assert sum(rows for rows, _ in seen) == 8 * len(frame)
    assert max(rows for rows, _ in seen) < 700
    assert list(student.feature_names_in_) == NAMES
    # Queries are whole but where a shard's end cuts them.
    n_shards = -(-len(frame) // 1500)
    n_lists = sum(len(queries) for _, queries in seen) / 8
    assert frame["query"].nunique() <= n_lists < frame["query"].nunique() + n_shards
    whole = MLPRanker((16,), max_iter=8, early_stopping=False, random_state=0)
    whole.fit(frame[NAMES], frame["label"], qid=frame["query"])
    streamed, expected = (
        ndcg_score(frame["label"], one.predict(frame[NAMES]), frame["query"], k=10)
        for one in (student, whole)
    )
    assert streamed > 0.97 * expected
    with pytest.raises(ValueError, match="Name label_column"):
        fit_from_files(student, tmp_path, query_column="query")

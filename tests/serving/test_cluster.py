"""Dask, Ray and Spark for real, in several processes, of which one is killed half way."""

import shutil
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest

from skdistill.serving import FrameScorer, TableError, score_dask, score_ray, score_spark
from skdistill.students import MLPRanker
from tests.clusters import NAMES, dies_once, partitions


@pytest.fixture(scope="module")
def student(frame):
    return MLPRanker((16,), max_iter=4, random_state=0).fit(
        frame[NAMES], frame["label"], qid=frame["query"]
    )


@pytest.fixture(scope="module")
def ray():
    import ray
    import ray.data

    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def test_a_frame_is_scored_as_predict_does(frame, student):
    scored = FrameScorer(student)(frame)
    assert list(scored.columns) == ["query", "label", "row", "score"]
    np.testing.assert_allclose(scored["score"], student.predict(frame[NAMES]), atol=1e-5)
    with pytest.raises(TableError, match=r"lacks the columns \['f3'\]"):
        FrameScorer(student)(frame.drop(columns="f3"))
    with pytest.raises(TableError, match="row 3: column 'f2' holds nothing.* drop such rows.$"):
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
def test_spark_scores_as_predict_does(frame, student):
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

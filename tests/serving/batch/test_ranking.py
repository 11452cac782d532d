"""rank_table: what a cascade ranks first, for queries in files; a run that stops goes on."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdistill import TwoTowerRetriever
from skdistill.cascade import PopularityRetriever
from skdistill.serving import (
    FrameScorer,
    TableError,
    compile_cascade,
    compile_scorer,
    evaluate_table,
    load,
    rank_table,
    retrieve_table,
    save,
    score_table,
)
from skdistill.students import LinearRanker
from tests.small_cascade import DATA, QUERIES, fit_cascade, products, students


@pytest.fixture
def log(tmp_path):
    """Queries in three files, with a column that identifies them."""
    folder = tmp_path / "queries"
    folder.mkdir()
    table = QUERIES.assign(visit=[f"v{row:03d}" for row in range(80)])
    for part in range(3):
        table.iloc[part * 30 : (part + 1) * 30].to_parquet(folder / f"{part}.parquet")
    return folder


def as_lists(found, n_queries, k):
    """The rows of an output as arrays of one row per query."""
    assert_array_equal(found["rank"], np.tile(np.arange(1, k + 1), n_queries))
    shape = n_queries, k
    return found["item"].to_numpy().reshape(shape), found["score"].to_numpy().reshape(shape)


@pytest.mark.parametrize("k", [None, 12])
def test_the_best_items_of_each_query_are_written(tmp_path, log, k):
    cascade = students()
    progress = rank_table(cascade, log, tmp_path / "out", k=k)
    assert (progress.n_rows, progress.n_shards) == (80, 3)
    found = pd.read_parquet(tmp_path / "out")
    assert list(found) == ["visit", "item", "rank", "score"]
    assert_array_equal(found["visit"], np.repeat([f"v{row:03d}" for row in range(80)], k or 5))
    items, scores = as_lists(found, 80, k or 5)
    expected = cascade.rank(QUERIES, k)
    assert_array_equal(items, expected[0])
    assert_allclose(scores, expected[1], atol=1e-5)


def test_places_that_no_item_fills_are_left_out(tmp_path, log):
    cascade = fit_cascade().set_params(retrieve__max_drop=0.1)
    rank_table(cascade, log, tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out")
    ids, _ = cascade.rank(QUERIES)
    assert 0 < (ids < 0).sum() < ids.size
    assert_array_equal(found["item"], ids[ids >= 0])


def test_files_of_text_and_processes_rank_the_same(tmp_path, log):
    (tmp_path / "csv").mkdir()
    for path in log.iterdir():
        pd.read_parquet(path).to_csv(tmp_path / "csv" / f"{path.stem}.csv", index=False)
    rank_table(students(), tmp_path / "csv", tmp_path / "out", n_jobs=2)
    rank_table(students(), log, tmp_path / "expected")
    left, right = pd.read_parquet(tmp_path / "out"), pd.read_parquet(tmp_path / "expected")
    assert_array_equal(left["item"], right["item"])


def test_queries_come_in_the_library_of_the_catalogue(tmp_path, log):
    cascade = students()
    save(cascade, tmp_path / "cascade.skd")
    items = polars.from_pandas(cascade.funnel_.items)
    again = load(tmp_path / "cascade.skd").index(items, ids=cascade.item_ids_)
    rank_table(again, log, tmp_path / "out")
    found = as_lists(pd.read_parquet(tmp_path / "out"), 80, 5)[0]
    assert_array_equal(found, again.rank(polars.from_pandas(QUERIES))[0])


STOPS = """
import os
from skdistill.serving import load, rank_table

def stop(progress):
    if progress.n_shards == 2:
        os._exit(9)

rank_table(load({path!r}), {log!r}, {out!r}, on_progress=stop)
"""


def test_a_run_that_was_killed_goes_on(tmp_path, log):
    path, out = tmp_path / "cascade.skd", tmp_path / "out"
    save(students(), path)
    code = STOPS.format(path=str(path), log=str(log), out=str(out))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    done = sorted(out.glob("part-*"))
    assert len(done) == 2
    times = [os.stat(file).st_mtime_ns for file in done]
    progress = rank_table(load(path), log, out)
    assert progress.n_shards == 3
    assert [os.stat(file).st_mtime_ns for file in done] == times
    rank_table(load(path), log, tmp_path / "at once")
    for file in sorted(out.glob("part-*")):
        assert file.read_bytes() == (tmp_path / "at once" / file.name).read_bytes()
    # Another length, or another cascade, is another run.
    for cascade, k in ((load(path), 4), (load(path).set_params(prerank__size=6), None)):
        with pytest.raises(ValueError, match="another|other"):
            rank_table(cascade, log, out, k=k)


def test_a_model_is_sent_to_the_function_that_takes_it(tmp_path, log):
    cascade, out = students(), tmp_path / "out"
    retriever = cascade.funnel_.retrieval.retrievers["retrieve"]
    to_rank = r"got RankingCascade. Use rank_table \(skdistill rank\), and cascade_report to eval"
    to_score = r"got LinearRanker. Use score_table \(skdistill score\)"
    to_retrieve = r"got TwoTowerRetriever. Use retrieve_table \(skdistill retrieve\)"
    for message, call in [
        (to_rank, lambda: score_table(cascade, log, out)),
        (to_rank, lambda: evaluate_table(cascade, log, label_column="a")),
        (to_rank, lambda: FrameScorer(cascade)),
        (f"takes a retriever, {to_rank}", lambda: retrieve_table(cascade, log, out)),
        (f"takes a retriever, {to_score}", lambda: retrieve_table(LinearRanker(), log, out)),
        (f"takes a RankingCascade, {to_score}", lambda: rank_table(LinearRanker(), log, out)),
        (f"takes a RankingCascade, {to_retrieve}", lambda: rank_table(retriever, log, out)),
        ("got PopularityRetriever.$", lambda: rank_table(PopularityRetriever(), log, out)),
        ("Use compile_cascade for a cascade", lambda: compile_scorer(cascade)),
        ("Use compile_scorer for other models", lambda: compile_cascade(LinearRanker())),
    ]:
        with pytest.raises(TypeError, match=message):
            call()
    assert not out.exists()


def test_bad_input_is_told_before_the_run(tmp_path, log):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="k=31 items cannot be ranked: the first stage 'retrieve'"):
        rank_table(students(), log, out, k=31)
    with pytest.raises(ValueError, match="k must be"):
        rank_table(students(), log, out, k=0)
    towers = TwoTowerRetriever(
        query_columns=DATA.query_columns, item_columns=DATA.item_columns, max_iter=1
    )
    on_arrays = fit_cascade(retrieve=towers, log=DATA.X, items=DATA.items, features=None)
    with pytest.raises(ValueError, match="without column names"):
        rank_table(on_arrays, log, out)
    pyarrow.parquet.write_table(pyarrow.table({"visit": ["a"]}), tmp_path / "lacking.parquet")
    with pytest.raises(TableError, match=r"lacks the columns \['a', 'b', 'c', 'user'\]"):
        rank_table(students(), tmp_path / "lacking.parquet", out)
    assert not out.exists()


def wrong(queries, items):
    """Features with a gap, which no stage here can take."""
    return products(queries, items).replace(0, np.nan).mask(lambda rows: rows > -100)


def test_a_stage_that_cannot_score_names_file_and_rows(tmp_path, log):
    cascade = fit_cascade(features=products)
    stage = cascade.funnel_.stages[0]
    object.__setattr__(stage.table, "features", wrong)
    with pytest.raises(TableError, match=r"0.parquet: rows 0 to 29: The stage 'prerank' cannot"):
        rank_table(cascade, log, tmp_path / "out")

"""score_table: the same scores as predict, in bounded memory, and nothing lost when a run dies."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet
from sklearn.compose import make_column_transformer
from sklearn.impute import KNNImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

from skdistill.datasets import make_ranking
from skdistill.serving import CsvOptions, OutputError, TableError, save, score_table
from skdistill.students import LinearRanker, MLPRanker
from skdistill.tables import parquet as parquet_format
from skdistill.tables import reading

DATA = make_ranking(n_queries=60, n_features=6, random_state=0)
NAMES = [f"f{number}" for number in range(6)]


@pytest.fixture(scope="module")
def frame():
    frame = pd.DataFrame(DATA.X.astype(np.float32), columns=NAMES)
    frame.insert(0, "query", [f"q{qid}" for qid in DATA.qid])
    frame["item"] = np.arange(len(frame))
    return frame


@pytest.fixture(scope="module")
def model(frame):
    student = MLPRanker((16,), max_iter=5, random_state=0)
    pipeline = make_pipeline(StandardScaler(), student)
    return pipeline.fit(frame[NAMES], DATA.y, mlpranker__qid=DATA.qid)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(parquet_format, "SHARD_ROWS", 300)
    for module in (parquet_format, reading):
        monkeypatch.setattr(module, "BATCH_ROWS", 128)


def written(folder):
    parts = sorted(folder.glob("part-*"))
    return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)


def digests(folder):
    return {
        part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in folder.glob("part-*")
    }


def to_parquet(frame, path, **options):
    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, **options)


def test_parquet_csv_and_arrow_score_as_predict(frame, model, tmp_path, small_shards):
    inputs = tmp_path / "in"
    (inputs / "_skipped").mkdir(parents=True)
    (inputs / "_skipped" / "bad.csv").write_text("nothing\n")
    # The columns in another order, and one that nobody asked for.
    shuffled = frame[["f3", "item", *NAMES[:3], "query", *NAMES[4:]]]
    to_parquet(shuffled[:700], inputs / "a.parquet", row_group_size=200)
    shuffled[700:800].to_csv(inputs / "b.csv", index=False)
    shuffled[800:900].to_csv(inputs / "b.csv.gz", index=False)
    feather.write_feather(shuffled[900:].reset_index(drop=True), inputs / "c.arrow")
    seen = []
    progress = score_table(model, inputs, tmp_path / "out", on_progress=seen.append)
    result = written(tmp_path / "out")
    assert list(result.columns) == ["item", "query", "score"]
    assert (result["item"] == frame["item"]).all()
    assert (result["query"] == frame["query"]).all()
    np.testing.assert_allclose(result["score"], model.predict(frame[NAMES]), atol=1e-5)
    assert progress.n_rows == len(frame)
    assert progress.n_shards == progress.n_all_shards
    assert [p.n_shards for p in seen] == list(range(progress.n_all_shards + 1))
    # 700 rows in groups of 200 and shards of 300: two for the Parquet file.
    assert progress.n_all_shards == 5


def test_csv_files_hold_the_chosen_ids_and_the_score(frame, model, tmp_path):
    to_parquet(frame, tmp_path / "a.parquet")
    score_table(
        model, [str(tmp_path / "*.parquet")], tmp_path / "out", output_format="csv",
        id_columns=["item"], score_column="p", n_jobs=2,
    )  # fmt: skip
    result = csv.read_csv(tmp_path / "out" / "part-00000.csv").to_pandas()
    assert list(result.columns) == ["item", "p"]
    np.testing.assert_allclose(result["p"], model.predict(frame[NAMES]), atol=1e-5)


def test_a_model_without_names_takes_all_columns_but_the_ids(frame, tmp_path):
    student = LinearRanker(max_iter=3, random_state=0).fit(DATA.X, DATA.y, qid=DATA.qid)
    to_parquet(frame, tmp_path / "a.parquet")
    score_table(student, tmp_path / "a.parquet", tmp_path / "out", id_columns=["query", "item"])
    np.testing.assert_allclose(
        written(tmp_path / "out")["score"], student.predict(DATA.X), atol=1e-4
    )
    with pytest.raises(TableError, match=r"takes 6 columns; there are 7 besides \['item'\]"):
        score_table(student, tmp_path / "a.parquet", tmp_path / "out2", id_columns=["item"])


def test_text_is_no_number_to_a_model_without_names(frame, tmp_path):
    """Its ``predict`` was given zeros for a column of text."""
    model = make_pipeline(QuantileTransformer(n_quantiles=20), LinearRanker(max_iter=3))
    model.fit(DATA.X, DATA.y, linearranker__qid=DATA.qid)
    columns = frame[NAMES]
    columns.to_csv(tmp_path / "a.csv", index=False)
    score_table(model, tmp_path / "a.csv", tmp_path / "out")
    np.testing.assert_allclose(written(tmp_path / "out")["score"], model.predict(DATA.X), atol=1e-5)
    text = columns.assign(f1="high")
    to_parquet(text, tmp_path / "b.parquet")
    with pytest.raises(TableError, match=r"column 'f1' holds .*string, expected numbers"):
        score_table(model, tmp_path / "b.parquet", tmp_path / "out2")
    text.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(TableError, match="row 0: column 'f1' holds 'high'"):
        score_table(model, tmp_path / "b.csv", tmp_path / "out3")


def test_a_query_column_may_be_a_position(frame, tmp_path):
    columns = frame[["query", *NAMES]]
    student = LinearRanker(max_iter=3, query_column=0, random_state=0).fit(columns, DATA.y)
    to_parquet(columns, tmp_path / "a.parquet")
    score_table(student, tmp_path / "a.parquet", tmp_path / "out")
    np.testing.assert_allclose(
        written(tmp_path / "out")["score"], student.predict(columns), atol=1e-4
    )


def test_steps_that_are_not_compiled_take_columns_of_text(frame, tmp_path, small_shards):
    kind = frame.assign(kind=np.where(frame["item"] % 3, "new", "used"))
    steps = make_column_transformer(
        (OneHotEncoder(), ["kind"]), (QuantileTransformer(n_quantiles=20), NAMES)
    )
    model = make_pipeline(steps, LinearRanker(max_iter=3, random_state=0))
    model.fit(kind[[*NAMES, "kind"]], DATA.y, linearranker__qid=DATA.qid)
    kind.to_csv(tmp_path / "a.csv", index=False)
    score_table(model, tmp_path / "a.csv", tmp_path / "out")
    result = written(tmp_path / "out")
    np.testing.assert_allclose(result["score"], model.predict(kind), atol=1e-5)
    kind.loc[200, "f2"] = np.nan
    kind.to_csv(tmp_path / "b.csv", index=False)
    rejects = tmp_path / "rejects.csv"
    score_table(model, tmp_path / "b.csv", tmp_path / "out2", rejects=rejects)
    # Nothing says that the ids in a CSV file are numbers.
    assert list(written(tmp_path / "out2")["item"]) == list(kind["item"].drop(200).astype(str))
    kind.loc[0, "kind"] = "unheard of"
    kind.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(TableError, match=r"c.csv: rows 0 to 127: .*did not see 'unheard of'"):
        score_table(model, tmp_path / "c.csv", tmp_path / "out3")


def test_a_first_step_that_takes_missing_values_gets_them(frame, tmp_path, small_shards):
    model = make_pipeline(KNNImputer(n_neighbors=2), LinearRanker(max_iter=3, random_state=0))
    model.fit(frame[NAMES], DATA.y, linearranker__qid=DATA.qid)
    broken = frame.copy()
    broken.loc[[3, 200], "f2"] = np.nan
    to_parquet(broken, tmp_path / "a.parquet")
    progress = score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    assert progress.n_rejected == 0
    expected = model.predict(broken[NAMES])
    np.testing.assert_allclose(written(tmp_path / "out")["score"], expected, atol=1e-5)


@pytest.mark.parametrize("output_format", ["parquet", "csv"])
def test_top_k_rows_come_from_all_files(frame, model, tmp_path, small_shards, output_format):
    # Queries are spread over all files and shards.
    mixed = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    mixed.loc[mixed.index[5:40], NAMES] = mixed.loc[5, NAMES].to_numpy()  # ties
    to_parquet(mixed[:800], tmp_path / "a.parquet", row_group_size=100)
    to_parquet(mixed[800:], tmp_path / "b.parquet", row_group_size=100)
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    options = {"query_column": "query", "top_k": 3, "output_format": output_format}
    score_table(model, files, tmp_path / "out", **options)
    if output_format == "csv":
        parts = sorted((tmp_path / "out").glob("part-*"))
        result = pd.concat([pd.read_csv(part) for part in parts], ignore_index=True)
    else:
        result = written(tmp_path / "out")
    scored = mixed.assign(score=model.predict(mixed[NAMES]).round(5))
    best = scored.sort_values("score", ascending=False, kind="stable").groupby("query").head(3)
    assert list(result["item"]) == list(best.sort_index()["item"])
    assert not (tmp_path / "out" / "_candidates").exists()
    before = digests(tmp_path / "out")
    score_table(model, files, tmp_path / "out", **options)
    assert digests(tmp_path / "out") == before
    with pytest.raises(ValueError, match="query_column"):
        score_table(model, files, tmp_path / "out", top_k=3)


def test_bad_rows_stop_the_run_or_are_put_aside(frame, model, tmp_path, small_shards):
    bad = frame.astype({"f1": object, "f4": object})
    bad.loc[10, "f1"] = "much"
    bad.loc[333, "f4"] = None
    bad.to_csv(tmp_path / "a.csv", index=False)
    broken = frame.copy()
    broken.loc[301, "f0"] = np.inf
    to_parquet(broken, tmp_path / "b.parquet", row_group_size=300)
    with pytest.raises(
        TableError, match=r"a.csv: row 10: column 'f1' holds 'much', expected a fin.*--rejects"
    ):
        score_table(model, tmp_path / "a.csv", tmp_path / "out")
    with pytest.raises(TableError, match=r"b.parquet: row 301: column 'f0' holds inf"):
        score_table(model, tmp_path / "b.parquet", tmp_path / "out2")
    # What was done before the bad row stays, and nothing of the shard it is in.
    assert [p.name for p in (tmp_path / "out2").glob("part-*")] == ["part-00000.parquet"]
    assert not list((tmp_path / "out2").rglob("*.part"))

    files = [tmp_path / "a.csv", tmp_path / "b.parquet"]
    progress = score_table(model, files, tmp_path / "out3", rejects=tmp_path / "rejects.csv")
    rejects = pd.read_csv(tmp_path / "rejects.csv")
    assert progress.n_rejected == 3
    assert progress.n_rows == 2 * len(frame)
    assert list(rejects["row"]) == [10, 333, 301]
    assert list(rejects["column"]) == ["f1", "f4", "f0"]
    assert list(rejects["value"]) == ["'much'", "nothing", "inf"]
    result = written(tmp_path / "out3")
    good = pd.concat([frame.drop([10, 333]), frame.drop(301)])
    assert list(result["item"]) == list(good["item"])
    np.testing.assert_allclose(result["score"], model.predict(good[NAMES]), atol=1e-5)


def test_a_decimal_comma_is_told(frame, model, tmp_path):
    frame.to_csv(tmp_path / "a.csv", index=False, sep=";", decimal=",")
    message = r"row 0: column 'f0' holds '-?\d+,\d+', expected a .*by --decimal , or csv_options="
    with pytest.raises(TableError, match=message) as caught:
        score_table(
            model, tmp_path / "a.csv", tmp_path / "out", csv_options=CsvOptions(delimiter=";")
        )
    assert "set them aside" not in str(caught.value)
    options = CsvOptions(delimiter=";", decimal=",")
    score_table(model, tmp_path / "a.csv", tmp_path / "out2", csv_options=options)
    expected = model.predict(frame[NAMES])
    np.testing.assert_allclose(written(tmp_path / "out2")["score"], expected, atol=1e-5)


def test_missing_columns_changed_types_and_unreadable_files_are_named(frame, model, tmp_path):
    to_parquet(frame, tmp_path / "a.parquet")
    to_parquet(frame.drop(columns="f2"), tmp_path / "b.parquet")
    to_parquet(frame.assign(f2="text"), tmp_path / "c.parquet")
    to_parquet(frame.assign(item=frame["item"].astype(str)), tmp_path / "d.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "e.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "f.parquet").write_bytes(
        whole[:4] + bytes(byte ^ 255 for byte in whole[4:400]) + whole[400:]
    )
    late_rows(frame).to_csv(tmp_path / "g.csv", index=False)
    (tmp_path / "h.txt").write_text("")
    for name, message in {
        "b.parquet": r"b.parquet: lacks the columns \['f2'\]",
        "c.parquet": r"c.parquet: column 'f2' holds (large_)?string, expected numbers",
        "d.parquet": r"d.parquet: column 'item' holds .*string, expected int64 as in the files",
        "e.parquet": r"e.parquet: cannot be read",
        "f.parquet": r"f.parquet: cannot be read",
        "g.csv": r"g.csv: row \d+: column 'item' holds 'nine hundred', expected int64",
        "h.txt": r"h.txt: the ending determines the format and must be one of",
        "i.parquet": r"i.parquet: there is no table",
    }.items():
        out = tmp_path / f"out-{name}"
        with pytest.raises(TableError, match=message):
            score_table(model, [tmp_path / "a.parquet", tmp_path / name], out, query_column="item")
        assert not list(out.rglob("*.part"))
        # Only what can't be seen in a schema is found half way; then earlier shards are there.
        parts = [part.name for part in out.glob("part-*")]
        assert parts == (["part-00000.parquet"] if name in ("f.parquet", "g.csv") else [])


def late_rows(frame):
    """A column that is all numbers until far behind what a reader looks at first."""
    many = pd.concat([frame] * 40, ignore_index=True).astype({"item": object})
    many.loc[len(many) - 1, "item"] = "nine hundred"
    return many


def test_a_folder_belongs_to_one_run(frame, model, tmp_path):
    to_parquet(frame, tmp_path / "a.parquet")
    score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    with pytest.raises(OutputError, match="another run: score_column differ"):
        score_table(model, tmp_path / "a.parquet", tmp_path / "out", score_column="p")
    score_table(model, tmp_path / "a.parquet", tmp_path / "out", score_column="p", resume=False)
    assert "p" in written(tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(OutputError, match="not written by a run"):
        score_table(model, tmp_path / "a.parquet", tmp_path / "other")
    to_parquet(frame.assign(f0=-frame["f0"]), tmp_path / "a.parquet")
    with pytest.raises(OutputError, match="another run: inputs differ"):
        score_table(model, tmp_path / "a.parquet", tmp_path / "out", score_column="p")
    with pytest.raises(TableError, match="has a column 'item'"):
        score_table(
            model,
            tmp_path / "a.parquet",
            tmp_path / "out2",
            score_column="item",
            id_columns=["item"],
        )
    score_table(model, tmp_path / "a.parquet", tmp_path / "out2", score_column="item")
    assert written(tmp_path / "out2").columns.tolist() == ["query", "item"]
    assert written(tmp_path / "out2")["item"].dtype == np.float32


def test_a_run_goes_on_where_it_stopped(frame, model, tmp_path, small_shards):
    to_parquet(frame, tmp_path / "a.parquet", row_group_size=300)
    whole = tmp_path / "whole"
    score_table(model, tmp_path / "a.parquet", whole)

    class StopHere(Exception):
        pass

    def stop(progress):
        if progress.n_shards == 2:
            raise StopHere

    with pytest.raises(StopHere):
        score_table(model, tmp_path / "a.parquet", tmp_path / "out", on_progress=stop)
    stamp = (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns
    assert len(digests(tmp_path / "out")) < len(digests(whole))
    score_table(model, tmp_path / "a.parquet", tmp_path / "out")
    assert digests(tmp_path / "out") == digests(whole)
    assert (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns == stamp


SCORE = """
import sys
from skdistill.serving import load, score_table
from skdistill.tables import parquet
parquet.SHARD_ROWS = 5_000
model, inputs, output, top_k = sys.argv[1:]
options = {"query_column": "query", "top_k": int(top_k)} if int(top_k) else {}
score_table(load(model), inputs, output, **options)
"""


@pytest.mark.parametrize("top_k", [0, 2])
def test_a_run_that_is_killed_at_random_moments_resumes(frame, model, tmp_path, top_k):
    many = pd.concat([frame] * 150, ignore_index=True)
    many["item"] = np.arange(len(many))
    (tmp_path / "in").mkdir()
    to_parquet(many, tmp_path / "in" / "a.parquet", row_group_size=5_000)
    save(model, tmp_path / "model.skd")

    def command(output):
        given = [tmp_path / "model.skd", tmp_path / "in", output, top_k]
        return [sys.executable, "-c", SCORE, *map(str, given)]

    subprocess.run(command(tmp_path / "whole"), check=True)
    rng = np.random.default_rng(top_k)
    done, n_killed = tmp_path / "out" / "_done", 0
    for _ in range(5):
        # Not before it has got further than the last one, nor at a moment that is known.
        further = len(list(done.glob("*.json"))) + 1
        run = subprocess.Popen(command(tmp_path / "out"))
        while run.poll() is None and len(list(done.glob("*.json"))) < further:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        n_killed += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert n_killed, "no run was killed"
    subprocess.run(command(tmp_path / "out"), check=True)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert not list((tmp_path / "out").rglob("*.part"))


FULL = """
import resource, signal, sys
from skdistill.serving import load, score_table, TableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    score_table(load(sys.argv[1]), sys.argv[2:4], sys.argv[4])
except TableError as error:
    print(error)
"""


def test_a_full_disk_leaves_complete_files_only(frame, model, tmp_path):
    """A limit on the size of files stands for a disk that is full."""
    to_parquet(frame[:100], tmp_path / "a.parquet")
    to_parquet(pd.concat([frame] * 20), tmp_path / "b.parquet")
    save(model, tmp_path / "model.skd")
    given = [tmp_path / name for name in ("model.skd", "a.parquet", "b.parquet", "out")]
    run = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, given)], capture_output=True, text=True, check=True
    )
    assert "part-00001.parquet: cannot be written" in run.stdout
    assert [part.name for part in (tmp_path / "out").glob("part-*")] == ["part-00000.parquet"]
    assert not list((tmp_path / "out").rglob("*.part"))
    assert len(written(tmp_path / "out")) == 100


def test_memory_does_not_grow_with_the_table(frame, model, tmp_path):
    """Peak memory of a process that scores one row group of 2 M rows stays far below the table."""
    save(model, tmp_path / "model.skd")
    many = pd.concat([frame] * (2_000_000 // len(frame)), ignore_index=True)
    to_parquet(many, tmp_path / "a.parquet", row_group_size=4_000_000, use_dictionary=False)
    code = SCORE + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = {}
    for name, source in {"all": many, "some": many[:1000]}.items():
        to_parquet(source, tmp_path / f"{name}.parquet", row_group_size=4_000_000)
        given = [tmp_path / "model.skd", tmp_path / f"{name}.parquet", tmp_path / name, 0]
        run = subprocess.run(
            [sys.executable, "-c", code, *map(str, given)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[name] = int(run.stdout) / 1024
    table = many[NAMES].to_numpy().nbytes / 2**20
    assert peaks["all"] - peaks["some"] < table, peaks


def test_workers_of_an_earlier_call_find_relative_paths(tmp_path, monkeypatch):
    """joblib keeps its workers, which stay in the folder in which they were started."""
    X = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    student = LinearRanker(max_iter=1).fit(X, X[:, 0] > 0, qid=np.arange(40) // 10)
    for name in ("one", "two"):
        (tmp_path / name / "logs").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        for part in range(3):
            pd.DataFrame(X, columns=["x0", "x1"]).to_parquet(f"logs/{name}{part}.parquet")
        progress = score_table(student, "logs", "scores", n_jobs=2)
        assert progress.n_rows == 120
        assert len(list((tmp_path / name / "scores").glob("*.parquet"))) == 3


def test_workers_take_one_blas_thread_whatever_the_environment_says(tmp_path, monkeypatch):
    """Two workers of two threads each took five times as long as two of one on two cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    main = Path(__file__).parent / "count_threads.py"
    asked = [sys.executable, str(main), str(tmp_path)]
    subprocess.run(asked, check=True, timeout=300)
    assert set(written(tmp_path / "scores")["score"]) == {1.0}

"""The HTTP example: right scores and lists, limits, health, and its load test."""

import contextlib
import importlib.util
import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from scipy import sparse

from skdistill.datasets import make_ranking
from skdistill.serving import save
from skdistill.students import MLPRanker
from tests.small_cascade import QUERIES, QUERY_COLUMNS, students

EXAMPLE = Path(__file__).parent.parent / "examples/serve_http.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("serve_http", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def student():
    X = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    return MLPRanker((8,), max_iter=2, random_state=0).fit(X, X[:, 0] > 0, qid=np.arange(200) // 20)


@pytest.fixture
def client(example, student, tmp_path):
    save(student, tmp_path / "student.skd")
    with TestClient(example.make_app(tmp_path / "student.skd")) as client:
        yield client


def test_scores_by_json_and_by_bytes(client, student):
    X = np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32)
    answer = client.post("/score", json={"rows": X.tolist()})
    np.testing.assert_allclose(answer.json()["scores"], student.predict(X), atol=1e-5)
    headers = {"content-type": "application/octet-stream"}
    answer = client.post("/score", content=X.tobytes(), headers=headers)
    np.testing.assert_allclose(
        np.frombuffer(answer.content, np.float32), student.predict(X), atol=1e-5
    )


@pytest.fixture(scope="module")
def table():
    """Numbers, gaps, categories, text and dates, as records and as a frame."""
    data = make_ranking(60, n_features=3, categories=(4,), missing=0.1, random_state=0)
    days = pd.to_datetime("2026-01-01") + pd.to_timedelta(np.arange(len(data.y)) % 90, unit="D")
    X = data.X.set_axis(["a", "b", "c", "country"], axis=1).assign(check_in=days)
    return X, data.y, data.qid


def test_scores_records_of_every_kind_of_column(example, table, tmp_path):
    X, y, qid = table
    student = MLPRanker((8,), max_iter=3, random_state=0).fit(X, y, qid=qid)
    save(student, tmp_path / "student.skd")
    shown = X[:50].astype(object).where(X[:50].notna(), None)
    shown["check_in"] = X["check_in"][:50].dt.strftime("%Y-%m-%d")
    with TestClient(example.make_app(tmp_path / "student.skd")) as client:
        assert client.get("/health/ready").json()["columns"] == list(X)
        records = shown.to_dict("records")
        answer = client.post("/score", json={"records": records})
        expected = student.predict(X[:50])
        np.testing.assert_allclose(answer.json()["scores"], expected, atol=1e-5)
        for body, code, message in [
            ({"records": [{"a": 1.0}]}, 422, "Row 0 lacks the column 'b'"),
            ({"records": [records[0] | {"check_in": "soon"}]}, 422, "'check_in' held values of"),
            ({"records": []}, 422, "one row or more"),
            ({"records": records[:1] * 2001}, 413, "2000 rows, got 2001"),
            ({"records": records, "rows": [[1.0]]}, 422, "expected JSON such as"),
            ({}, 422, "expected JSON such as"),
            (
                {"rows": [[1.0] * student.n_features_in_]},
                422,
                "the model reads categories: send JSON",
            ),
        ]:
            answer = client.post("/score", json=body)
            assert answer.status_code == code
            assert re.search(message, answer.json()["detail"])
        body = np.zeros(100, dtype=np.float32).tobytes()
        headers = {"content-type": "application/octet-stream"}
        assert client.post("/score", content=body, headers=headers).status_code == 422


def test_gaps_among_numbers_are_null(example, table, tmp_path):
    X, y, qid = table
    numbers = X[["a", "b", "c"]].to_numpy(dtype=np.float32)
    student = MLPRanker((8,), max_iter=3, random_state=0).fit(numbers, y, qid=qid)
    save(student, tmp_path / "student.skd")
    rows = [[None if np.isnan(cell) else cell for cell in row] for row in numbers.tolist()]
    headers = {"content-type": "application/octet-stream"}
    with TestClient(example.make_app(tmp_path / "student.skd")) as client:
        found = client.post("/score", json={"rows": rows}).json()["scores"]
        np.testing.assert_allclose(found, student.predict(numbers), atol=1e-5)
        answer = client.post("/score", content=numbers.tobytes(), headers=headers)
        np.testing.assert_array_equal(np.frombuffer(answer.content, np.float32), np.float32(found))
        answer = client.post("/score", json={"rows": [[1.0, 1e99, 2.0]]})
        assert "row 0, column 1 is infinite" in answer.json()["detail"]
        answer = client.post("/score", json={"records": [{"a": 1.0}]})
        assert answer.status_code == 422


def test_health_tells_whether_the_model_is_loaded(example, tmp_path, client):
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json() == {"status": "ready", "n_features": 5}
    # Without its lifespan an app has loaded nothing yet.
    waiting = TestClient(example.make_app(tmp_path / "student.skd"))
    assert waiting.get("/health/live").status_code == 200
    assert waiting.get("/health/ready").status_code == 503
    assert waiting.post("/score", json={"rows": [[0] * 5]}).status_code == 503


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (json.dumps({"rows": [[1, 2]]}), 422, "rows? or more of 5 numbers"),
        (json.dumps({"rows": []}), 422, "of 5 numbers"),
        (json.dumps({"rows": [[1, 2, 3, 4, "x"]]}), 422, "expected JSON such as"),
        ("{", 422, "expected JSON such as"),
        ('{"rows": [[1, 2, 3, 4, NaN]]}', 422, "expected JSON such as|not a finite number"),
        ('{"rows": [[1, 2, 3, 4, 1e99]]}', 422, "row 0, column 4 is not a finite number"),
        (json.dumps({"rows": [[1] * 5] * 2001}), 413, "2000 rows, got 2001"),
        ("[" * (5 << 20), 413, "4194304 bytes"),
    ],
)
def test_bad_requests_are_told_why(client, body, code, message):
    answer = client.post("/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == code
    assert re.search(message, answer.json()["detail"])


def test_too_many_requests_are_turned_away(client, example):
    client.app.state.buffered = example.MAX_BUFFERED
    answer = client.post("/score", json={"rows": [[0] * 5]})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert client.get("/health/live").status_code == 200
    client.app.state.buffered = 0
    assert client.post("/score", json={"rows": [[0] * 5]}).status_code == 200
    assert client.app.state.buffered == 0


LARGE = 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        '{"rows": [[' + ",".join(['"a"'] * LARGE) + "]]}",
        '{"rows": [' + ",".join(['["a"]'] * (LARGE // 2)) + "]}",
        '{"rows": ["' + "a" * LARGE + '"]}',
        '{"' + "a" * LARGE + '": 1}',
        '{"rows": {"' + "a" * LARGE + '": 1}}',
        '{"rows": [[' + "9" * LARGE + "]]}",
        "[" * LARGE,
        '"' + "a" * LARGE,
        "[" + "1," * LARGE + "1]",
    ],
    ids=range(9),
)
def test_answers_do_not_grow_with_the_request(client, body):
    """Health checks are answered meanwhile; the answer names one problem, without the input."""
    answer = client.post("/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert len(answer.content) < 500
    assert "expected JSON such as" in answer.json()["detail"]


def test_large_bodies_of_json_score_as_small_ones(client, student, example):
    X = np.random.default_rng(1).standard_normal((1500, 5)).astype(np.float32)
    body = json.dumps({"rows": X.tolist()})
    assert len(body) > example.INLINE_BYTES
    answer = client.post("/score", content=body)
    np.testing.assert_allclose(answer.json()["scores"], student.predict(X), atol=1e-5)


@pytest.fixture
def address(example, student, tmp_path):
    """The service as it runs, in a process of its own."""
    save(student, tmp_path / "student.skd")
    with example.serving(tmp_path / "student.skd") as address:
        yield address


def test_bodies_that_never_end_lock_nobody_out(address, example):
    host, port = address.removeprefix("http://").split(":")
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        open_bodies = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(100)
        ]
        for connection in open_bodies:
            connection.sendall(head + b"a" * 1000)
        for _ in range(2):
            assert httpx.post(f"{address}/score", json={"rows": [[0] * 5]}).status_code == 200
            assert httpx.get(f"{address}/health/ready").status_code == 200
        # They are ended at their deadline.
        for connection in open_bodies:
            connection.settimeout(example.BODY_SECONDS + 30)
            answer = b"".join(iter(lambda connection=connection: connection.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 408")


@pytest.fixture
def cascade_client(example, tmp_path):
    save(students(), tmp_path / "cascade.skd")
    with TestClient(example.make_app(tmp_path / "cascade.skd")) as client:
        yield client


def query(row=0):
    return QUERIES.iloc[row].to_dict()


def test_a_cascade_ranks_for_a_query(cascade_client):
    ids, scores = students().rank(QUERIES)
    for row in range(5):
        answer = cascade_client.post("/rank", json={"query": query(row) | {"further": "x"}})
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert [item["id"] for item in content["items"]] == ids[row].tolist()
        np.testing.assert_allclose(
            [item["score"] for item in content["items"]], scores[row], atol=1e-5
        )
        assert content["milliseconds"].keys() == {"retrieve", "prerank", "rank"}
        assert all(spent > 0 for spent in content["milliseconds"].values())
        assert content["is_complete"]


def test_items_are_excluded_and_lists_have_the_length_that_is_asked_for(cascade_client):
    best = cascade_client.post("/rank", json={"query": query(), "k": 30}).json()["items"]
    assert len(best) == 30
    seen = [item["id"] for item in best[:10]]
    body = {"query": query(), "exclude": [*seen, "unknown", 7]}
    items = cascade_client.post("/rank", json=body).json()["items"]
    position = {f"item {item}": item for item in range(60)}
    exclude = sparse.csr_array(
        (np.ones(10), (np.zeros(10, int), [position[name] for name in seen])), (1, 60)
    )
    expected = students().rank(QUERIES.iloc[:1], exclude=exclude)[0][0]
    assert [item["id"] for item in items] == expected.tolist()
    everything = {"query": query(), "exclude": list(position)}
    assert cascade_client.post("/rank", json=everything).json()["items"] == []


def test_a_deadline_ends_with_the_stage_that_is_finished(cascade_client):
    content = cascade_client.post("/rank", json={"query": query(), "deadline_ms": 1e-6}).json()
    assert not content["is_complete"]
    assert len(content["items"]) == 5
    assert content["milliseconds"]["rank"] == 0
    content = cascade_client.post("/rank", json={"query": query(), "deadline_ms": 1e6}).json()
    assert content["is_complete"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, 422, "query: Field required"),
        ({"query": {"a": 1}}, 422, r"the query lacks \['b', 'c', 'user'\]"),
        ({"query": {"a": [1]}}, 422, "expected JSON such as"),
        ({"query": {"a": "x" * 10_000, "b": 1, "c": 1, "user": "y"}}, 422, "column 'a' held"),
        ({"query": {"x" * 10_000: [1]}}, 422, "expected JSON such as"),
        ({"query": query(), "k": 0}, 422, "k: Input should be greater than 0"),
        ({"query": query(), "k": 31}, 422, "k=31 items cannot be ranked"),
        ({"query": query(), "deadline_ms": -1}, 422, "deadline_ms: Input should be greater"),
        ({"query": query(), "exclude": [[]]}, 422, "exclude/0"),
        ({"query": query(), "exclude": ["item 1"] * 50_000}, 413, "262144 bytes"),
    ],
)  # fmt: skip
def test_bad_requests_to_rank_are_told_why(cascade_client, body, code, message):
    answer = cascade_client.post("/rank", json=body)
    assert answer.status_code == code
    assert re.search(message, answer.json()["detail"])
    assert len(answer.content) < 700


def test_missing_values_are_null(cascade_client):
    row = QUERIES.iloc[:1].assign(user=None)
    answer = cascade_client.post("/rank", json={"query": query() | {"user": None}})
    assert [item["id"] for item in answer.json()["items"]] == students().rank(row)[0][0].tolist()


def test_each_model_is_asked_for_what_it_does(client, cascade_client, example, tmp_path):
    assert cascade_client.get("/health/ready").json()["columns"] == QUERY_COLUMNS
    answer = cascade_client.post("/score", json={"rows": [[0] * 5]})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "the model is a cascade: POST /rank"
    answer = client.post("/rank", json={"query": query()})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "the model scores rows: POST /score"
    waiting = TestClient(example.make_app(tmp_path / "cascade.skd"))
    assert waiting.post("/rank", json={"query": query()}).status_code == 503


def test_concurrent_requests_get_their_own_answers(cascade_client):
    ids, _ = students().rank(QUERIES)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda row: cascade_client.post("/rank", json={"query": query(row)}).json(), range(80)
        )
        for row, content in enumerate(answers):
            assert [item["id"] for item in content["items"]] == ids[row].tolist()


def test_the_load_test_prints_every_client(movielens):
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--n-estimators", "20", "--requests", "40", "--rows", "50"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("student, 1", "student, 16", "teacher, 1", "teacher, 16"):
        assert re.search(rf"^{name} client\(s\) +\d+\.\d\d +\d+\.\d\d +\d+$", done.stdout, re.M)

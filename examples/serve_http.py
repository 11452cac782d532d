"""
Serve a student or a cascade over HTTP
======================================

This example wraps a compiled scorer in a service with FastAPI and uvicorn. The service is one
process with an event loop. It scores requests in the event loop itself, because scoring a few
hundred rows takes less time than handing them to a thread. If the model file holds a cascade, the
service ranks its catalogue, in threads.

- ``POST /score`` takes JSON: ``{"records": [{"price": 9.5, "country": "de"}, ...]}`` with all
  columns of the student, or ``{"rows": [[...], ...]}`` with numbers in the order of its columns.
  Missing values are ``null``, dates are ISO 8601 text. Students of numbers also take float32 rows
  as ``application/octet-stream``.
- ``POST /rank`` takes the columns of a query, ``{"query": {"age": 30, "country": "de"}}``, and
  perhaps ``"exclude"``, a list of ids, ``"k"`` and ``"deadline_ms"``. It answers with the best
  items, their scores, and the milliseconds of each stage. After the deadline it answers with the
  order of the last stage that was finished, and ``"is_complete"`` is false.
- ``/health/live`` responds while the process runs, ``/health/ready`` once the model is loaded.
- A request with too many bytes or rows gets status 413, one with invalid rows 422 and the first
  problem. One whose body takes too long gets 408. While too many bytes wait, further ones get 503.

Large bodies of JSON are parsed in a thread, so that health checks need not wait for them. In
production put a proxy in front, which also limits the number of connections and the time for
headers.

Run it with ``python examples/serve_http.py``. It distils a LightGBM ranker of MovieLens 100k and
serves the student on loopback. It prints the latency for one client and for sixteen concurrent
clients, and the same for the teacher. ``--serve student.skd`` serves a model file, also that of a
cascade. The example needs the extras ``http`` and ``data``.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import lightgbm
import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, FailFast, PositiveFloat, PositiveInt, ValidationError
from scipy import sparse

from skdistill import DistilledRanker, RankingCascade
from skdistill.cascade import DeadlineWarning
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.serving import compile_cascade, compile_scorer, load, save
from skdistill.students import MLPRanker

MAX_ROWS = 2_000
MAX_BYTES = 4 << 20
# Of a request to rank, which holds one query and a list of ids.
MAX_QUERY_BYTES = 1 << 18
# Bytes of all bodies that are being received.
MAX_BUFFERED = 64 * MAX_BYTES
BODY_SECONDS = 5
# A larger body of JSON is parsed in a thread.
INLINE_BYTES = 1 << 16
BINARY = "application/octet-stream"


Cell = bool | int | float | str | None


class Rows(BaseModel):
    """The body of a JSON request, rows or records; parsing ends with the first problem."""

    rows: Annotated[list[Annotated[list[float | None], FailFast()]], FailFast()] = []
    records: Annotated[list[dict[str, Cell]], FailFast()] = []


class Query(BaseModel):
    """The body of a request to rank."""

    query: dict[str, Cell]
    exclude: Annotated[list[int | str], FailFast()] = []
    k: PositiveInt | None = None
    deadline_ms: PositiveFloat | None = None


class BoosterScorer:
    """The teacher with the interface of a compiled scorer, for comparison."""

    allows_missing, n_codes, needs_float64, feature_names = True, 0, False, None

    def __init__(self, path):
        self.booster = lightgbm.Booster(model_file=path)
        self.n_features = self.booster.num_feature()

    def __call__(self, X):
        return self.booster.predict(X, num_threads=1).astype(np.float32)

    def rows(self, records):
        raise TypeError("the teacher takes rows, not records")


class CascadeService:
    """A compiled cascade that ranks for one query at a time."""

    def __init__(self, cascade):
        self.cascade = compile_cascade(cascade)
        self.columns = cascade.pair_columns_.query_names
        if isinstance(self.columns, int):
            raise ValueError("the query has no names of columns: fit the cascade on a data frame")
        ids = range(cascade.n_items) if cascade.item_ids_ is None else cascade.item_ids_.tolist()
        self.positions = {name: position for position, name in enumerate(ids)}
        # A service says in its answer that the time was up.
        warnings.filterwarnings("ignore", category=DeadlineWarning)

    def rank(self, request):
        """Rank for a request; what is wrong with it is a ValueError or a TypeError."""
        missing = [name for name in self.columns if name not in request.query]
        if missing:
            raise ValueError(f"the query lacks {missing}")
        table = pd.DataFrame([[request.query[name] for name in self.columns]], columns=self.columns)
        ids, scores, trace = self.cascade.rank(
            table,
            request.k,
            exclude=self.excluded(request.exclude),
            deadline_ms=request.deadline_ms,
            return_stages=True,
        )
        found = np.isfinite(scores[0])
        return {
            "items": [
                {"id": name, "score": score}
                for name, score in zip(
                    ids[0, found].tolist(), scores[0, found].tolist(), strict=True
                )
            ],
            "milliseconds": {name: 1e3 * spent for name, spent in trace.seconds.items()},
            "is_complete": bool(trace.is_complete[0]),
        }

    def excluded(self, names):
        """Make a matrix of the items that are not to be returned; unknown ids are left out."""
        positions = sorted({self.positions[name] for name in names if name in self.positions})
        if not positions:
            return None
        cells = np.zeros(len(positions), dtype=np.int64), positions
        return sparse.csr_array((np.ones(len(positions)), cells), (1, len(self.positions)))


def load_model(path):
    """Load a student or a cascade and compile it, or load a LightGBM model from a text file."""
    if path.suffix == ".txt":
        return BoosterScorer(path)
    model = load(path)
    return CascadeService(model) if isinstance(model, RankingCascade) else compile_scorer(model)


def make_app(path):
    """Make the service of a model file."""

    @asynccontextmanager
    async def lifespan(app):
        app.state.model = model = load_model(path)
        if not isinstance(model, CascadeService) and not model.n_codes:
            # The first call allocates buffers and starts libraries; no request should wait.
            model(np.zeros((1, model.n_features), dtype=dtype_of(model)))
        yield
        app.state.model = None

    app = FastAPI(title="skdistill", lifespan=lifespan)
    app.state.model = None
    app.state.buffered = 0

    def model_for(is_cascade):
        """Return the model, if it does what a request asks for."""
        if app.state.model is None:
            raise HTTPException(503, "the model is not loaded")
        if isinstance(app.state.model, CascadeService) != is_cascade:
            way_out = "scores rows: POST /score" if is_cascade else "is a cascade: POST /rank"
            raise HTTPException(404, f"the model {way_out}")
        return app.state.model

    @app.get("/health/live")
    async def live():
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready():
        model = app.state.model
        if model is None:
            raise HTTPException(503, "the model is not loaded")
        if isinstance(model, CascadeService):
            return {"status": "ready", "columns": model.columns}
        columns = {"columns": list(model.feature_names)} if model.feature_names else {}
        return {"status": "ready", "n_features": model.n_features} | columns

    @app.post("/score")
    async def score(request: Request):
        scorer = model_for(is_cascade=False)
        is_binary = request.headers.get("content-type") == BINARY
        body = await receive(request, app.state, MAX_BYTES)
        score_body = partial(scores_of, scorer, body, is_binary)
        is_short = is_binary or len(body) <= INLINE_BYTES
        scores = score_body() if is_short else await asyncio.to_thread(score_body)
        if is_binary:
            return Response(scores.tobytes(), media_type=BINARY)
        return JSONResponse({"scores": scores.tolist()})

    @app.post("/rank")
    async def rank(request: Request):
        service = model_for(is_cascade=True)
        body = await receive(request, app.state, MAX_QUERY_BYTES)
        return JSONResponse(await asyncio.to_thread(rank_for, service, body))

    return app


def rank_for(service, body):
    """Rank for the body of a request; an invalid body raises an HTTPException."""
    query = parsed(Query, body, '{"query": {"age": 30}}')
    try:
        return service.rank(query)
    except (TypeError, ValueError) as error:
        # An answer must not grow with the request, whose values the message may name.
        raise HTTPException(422, str(error)[:500]) from None


def parsed(kind, body, example):
    """Parse a body of JSON; an invalid body raises an HTTPException that names one problem."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # Without the input: an answer must not grow with the request.
        problem = error.errors(include_url=False, include_input=False)[0]
        place = "/".join(map(str, problem["loc"]))[:100] or "body"
        raise HTTPException(
            422, f"expected JSON such as {example}: {place}: {problem['msg']}"
        ) from None


async def receive(request, state, max_bytes):
    """Receive the body of a request, within limits of size and time."""
    # A client that is turned away need not send the rest.
    close = {"connection": "close"}
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                state.buffered += len(chunk)
                if len(body) > max_bytes:
                    raise HTTPException(413, f"a body may have at most {max_bytes} bytes", close)
                if state.buffered > MAX_BUFFERED:
                    busy = close | {"retry-after": "1"}
                    raise HTTPException(503, "too many requests are waiting", busy)
    except TimeoutError:
        raise HTTPException(408, f"send the body within {BODY_SECONDS} seconds", close) from None
    finally:
        state.buffered -= len(body)
    return bytes(body)


def scores_of(scorer, body, is_binary):
    """Score the rows of a body; an invalid body raises an HTTPException."""
    if is_binary:
        check_reads_numbers(scorer)
        size = 4 * scorer.n_features
        if not body or len(body) % size:
            expected = f"rows of {scorer.n_features} float32 numbers"
            raise HTTPException(422, f"expected {expected}, got {len(body)} bytes")
        return score_array(scorer, np.frombuffer(body, dtype="<f4").reshape(-1, scorer.n_features))
    given = parsed(Rows, body, '{"records": [{"price": 1.0}]} or {"rows": [[1.0]]}')
    if len(given.model_fields_set) != 1:
        raise HTTPException(422, 'expected JSON such as {"records": [...]} or {"rows": [...]}')
    if "records" in given.model_fields_set:
        check_number(given.records)
        try:
            return scorer.rows(given.records)
        except (TypeError, ValueError) as error:
            # An answer must not grow with the request, whose values the message may name.
            raise HTTPException(422, str(error)[:500]) from None
    check_reads_numbers(scorer)
    if not given.rows or any(len(row) != scorer.n_features for row in given.rows):
        raise HTTPException(422, f"expected one row or more of {scorer.n_features} numbers each")
    # NumPy makes NaN of None.
    return score_array(scorer, np.array(given.rows, dtype=dtype_of(scorer)))


def dtype_of(scorer):
    """Type of the arrays that a scorer takes: large numbers such as times need more digits."""
    return np.float64 if scorer.needs_float64 else np.float32


def check_reads_numbers(scorer):
    """Raise an HTTPException if rows of numbers lack the categories that the model reads."""
    if scorer.n_codes:
        expected = 'send JSON such as {"records": [...]}'
        raise HTTPException(422, f"the model reads categories: {expected}")


def check_number(rows):
    """Raise an HTTPException if there are no rows, or too many."""
    if not len(rows):
        raise HTTPException(422, "expected one row or more")
    if len(rows) > MAX_ROWS:
        raise HTTPException(413, f"a request may have at most {MAX_ROWS} rows, got {len(rows)}")


def score_array(scorer, X):
    """Score rows of numbers; what the scorer does not take raises an HTTPException."""
    check_number(X)
    unfit = np.isinf(X) if scorer.allows_missing else ~np.isfinite(X)
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        kind = "infinite" if scorer.allows_missing else "not a finite number"
        raise HTTPException(422, f"row {row}, column {column} is {kind}")
    return scorer(X.astype(dtype_of(scorer), copy=False))


def distil(folder, n_estimators):
    """Write a teacher and its student to files; return rows to score."""
    table = build_ranking_table(*load_movielens("100k"))
    teacher = lightgbm.LGBMRanker(
        n_estimators=n_estimators, learning_rate=9 / n_estimators, num_leaves=64,
        min_child_samples=50, random_state=0, verbose=-1,
    )  # fmt: skip
    ranker = DistilledRanker(teacher, MLPRanker((64, 32)), random_state=0)
    ranker.fit(table.X.to_numpy(), table.y, qid=table.qid)
    save(ranker.export_student(), folder / "student.skd")
    ranker.teacher_.booster_.save_model(folder / "teacher.txt")
    return np.ascontiguousarray(table.X[:6000], dtype=np.float32)


@contextlib.contextmanager
def serving(path):
    """Run the service in another process; yield its address once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(path), "--port", str(port)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/health/ready").status_code == 200:
                    break
            if server.poll() is not None:
                raise RuntimeError(f"the server ended with code {server.returncode}")
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


async def measure(address, bodies, n_requests, n_clients):
    """Seconds of each request, and requests per second."""
    seconds = []
    left = iter(range(n_requests))

    async def one_client(client):
        for number in left:
            body = bodies[number % len(bodies)]
            start = time.perf_counter()
            answer = await client.post("/score", content=body, headers={"content-type": BINARY})
            seconds.append(time.perf_counter() - start)
            answer.raise_for_status()

    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=60))
            for _ in range(n_clients)
        ]
        start = time.perf_counter()
        await asyncio.gather(*map(one_client, clients))
        return np.array(seconds), n_requests / (time.perf_counter() - start)


def load_test(n_estimators, n_requests, n_rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        X = distil(folder, n_estimators)
        bodies = [X[i : i + n_rows].tobytes() for i in range(0, len(X) - n_rows, n_rows)]
        print(f"requests with {n_rows} rows of {X.shape[1]} float32 columns, over loopback")
        print(f"{'':28s} {'p50 ms':>8s} {'p99 ms':>8s} {'requests/s':>11s}")
        for model in ("student.skd", "teacher.txt"):
            with serving(folder / model) as address:
                asyncio.run(measure(address, bodies, min(50, n_requests), 1))
                for n_clients in (1, 16):
                    seconds, rate = asyncio.run(measure(address, bodies, n_requests, n_clients))
                    p50, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
                    name = f"{Path(model).stem}, {n_clients} client(s)"
                    print(f"{name:28s} {p50:8.2f} {p99:8.2f} {rate:11.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--serve", type=Path, help="model file to serve; default: run a load test")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on")
    parser.add_argument("--port", type=int, default=8000, help="port to serve on")
    parser.add_argument(
        "--n-estimators", type=int, default=300, help="number of trees of the teacher"
    )
    parser.add_argument("--requests", type=int, default=2000, help="requests per load test")
    parser.add_argument("--rows", type=int, default=300, help="rows per request")
    options = parser.parse_args()
    if options.serve is None:
        load_test(options.n_estimators, options.requests, options.rows)
    else:
        uvicorn.run(
            make_app(options.serve), host=options.host, port=options.port, log_level="warning"
        )


if __name__ == "__main__":
    main()

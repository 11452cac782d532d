"""
A student behind HTTP
=====================

FastAPI and uvicorn around a compiled scorer: one process, an event loop, and no thread between a
request and its scores, for scoring a few hundred rows takes less time than handing them to a thread
would. ``POST /score`` takes JSON, ``{"rows": [[...], ...]}``, or float32 rows as
``application/octet-stream``; ``/health/live`` says that the process runs, ``/health/ready`` that
the model is loaded. A request of too many bytes, rows or wrong numbers gets 413 or 422, and while
too many wait, 503.

Run it with ``python examples/serve_http.py``: it distils a LightGBM ranker of MovieLens 100k,
serves the student on loopback, and prints the latency that one client sees, and that sixteen at
once see; beside it the same service around the teacher. ``--serve student.skd`` serves a file of
your own. Needs the extra ``http``, and ``data`` for the films.
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
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import lightgbm
import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from skdistill import DistilledRanker
from skdistill.datasets import build_ranking_table, load_movielens
from skdistill.serving import compile_scorer, load, save
from skdistill.students import MLPRanker

MAX_ROWS = 2_000
MAX_BYTES = 4 << 20
MAX_WAITING = 64
BINARY = "application/octet-stream"


class Rows(BaseModel):
    """The body of a JSON request."""

    rows: list[list[float]]


class BoosterScorer:
    """The teacher behind the same face, to compare with."""

    def __init__(self, path):
        self.booster = lightgbm.Booster(model_file=path)
        self.n_features = self.booster.num_feature()

    def __call__(self, X):
        return self.booster.predict(X, num_threads=1).astype(np.float32)


def load_scorer(path):
    """A compiled scorer of a student's file, or a LightGBM model in a text file."""
    return BoosterScorer(path) if path.suffix == ".txt" else compile_scorer(load(path))


def make_app(path):
    """The service around a model file."""

    @asynccontextmanager
    async def lifespan(app):
        app.state.scorer = load_scorer(path)
        # The first call makes buffers and wakes libraries: no request should wait for that.
        app.state.scorer(np.zeros((1, app.state.scorer.n_features), dtype=np.float32))
        yield
        app.state.scorer = None

    app = FastAPI(title="skdistill", lifespan=lifespan)
    app.state.scorer = None
    app.state.waiting = 0

    @app.get("/health/live")
    async def live():
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready():
        if app.state.scorer is None:
            raise HTTPException(503, "the model is not loaded")
        return {"status": "ready", "n_features": app.state.scorer.n_features}

    @app.post("/score")
    async def score(request: Request):
        state = app.state
        if state.scorer is None:
            raise HTTPException(503, "the model is not loaded")
        if state.waiting >= MAX_WAITING:
            raise HTTPException(503, "too many requests wait", {"retry-after": "1"})
        state.waiting += 1
        try:
            body = await read_body(request)
        finally:
            state.waiting -= 1
        is_binary = request.headers.get("content-type") == BINARY
        scores = state.scorer(rows_of(body, is_binary, state.scorer.n_features))
        if is_binary:
            return Response(scores.tobytes(), media_type=BINARY)
        return JSONResponse({"scores": scores.tolist()})

    return app


async def read_body(request):
    """The body, not read on once it is too long."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise HTTPException(413, f"a body may have {MAX_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def rows_of(body, is_binary, n_features):
    """A float32 table out of a body, or an answer that says what is wrong with it."""
    if is_binary:
        if not body or len(body) % (4 * n_features):
            raise HTTPException(422, f"{len(body)} bytes are no rows of {n_features} float32")
        X = np.frombuffer(body, dtype="<f4").reshape(-1, n_features)
    else:
        try:
            rows = Rows.model_validate_json(body).rows
        except ValueError as error:
            raise HTTPException(422, f"not the JSON that was expected: {error}") from error
        if not rows or any(len(row) != n_features for row in rows):
            raise HTTPException(422, f"expected one row or more of {n_features} numbers each")
        X = np.array(rows, dtype=np.float32)
    if len(X) > MAX_ROWS:
        raise HTTPException(413, f"a request may have {MAX_ROWS} rows, got {len(X)}")
    finite = np.isfinite(X)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise HTTPException(422, f"row {row}, column {column} is no finite number")
    return X


def distil(folder, n_estimators):
    """A teacher and its student, in files; and the rows of some users to ask for."""
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
    """The service in a process of its own, once it says that it is ready; its address."""
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
    """Seconds of each request, and requests a second."""
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
        print(f"requests of {n_rows} rows of {X.shape[1]} float32 columns, over loopback")
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path, help="a model file to serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--n-estimators", type=int, default=300)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=300)
    options = parser.parse_args()
    if options.serve is None:
        load_test(options.n_estimators, options.requests, options.rows)
    else:
        uvicorn.run(
            make_app(options.serve), host=options.host, port=options.port, log_level="warning"
        )


if __name__ == "__main__":
    main()

"""Threads: forked children score and search, and BLAS keeps its threads whoever limits it."""

import multiprocessing
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

import skdistill.threads
from skdistill import TwoTowerRetriever
from skdistill.datasets import make_ranking
from skdistill.index import ExactIndex, make_index
from skdistill.serving import compile_scorer
from skdistill.students import MLPRanker
from skdistill.threads import SharedSetting, ThreadPool, single_blas_thread
from skdistill.training import SCHEDULES

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork"),
    # Python 3.12 and later warn about each fork of a process with threads.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
TIMEOUT = 60


def in_fork(check):
    """Run a check in a forked child; fail if it fails or hangs there."""
    child = multiprocessing.get_context("fork").Process(target=check)
    child.start()
    child.join(TIMEOUT)
    hangs = child.is_alive()
    child.kill()
    child.join()
    assert not hangs, f"the child hangs after {TIMEOUT} s"
    assert child.exitcode == 0


def assert_same_in_fork(call):
    """Call in the parent, in a child, in threads of the child, in a child of it, and again here."""
    expected = call()

    def check():
        assert_array_equal(call(), expected)
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(lambda _: call(), range(6)):
                assert_array_equal(found, expected)

    def check_twice():
        check()
        in_fork(check)

    in_fork(check_twice)
    assert_array_equal(call(), expected)


@pytest.fixture(scope="module")
def student():
    data = make_ranking(n_queries=30, random_state=0)
    return MLPRanker((16,), max_iter=2, random_state=0).fit(data.X, data.y, qid=data.qid)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
def test_a_forked_child_scores(student, engine, n_threads):
    """As in a server that loads the model and then forks its workers."""
    X = np.random.default_rng(0).standard_normal((50_000, student.n_features_in_))
    X = X.astype(np.float32)
    scorer = compile_scorer(student, engine, n_threads=n_threads)
    assert_same_in_fork(lambda: scorer(X))


@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
def test_a_child_that_is_forked_while_others_score(student, engine):
    """Whatever lock another thread holds at that moment, the child does not wait for it."""
    X = np.random.default_rng(0).standard_normal((20_000, student.n_features_in_))
    X = X.astype(np.float32)
    scorer = compile_scorer(student, engine, n_threads=2)
    expected, stop = scorer(X), threading.Event()

    def score_on():
        while not stop.is_set():
            scorer(X)

    threads = [threading.Thread(target=score_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            in_fork(lambda: assert_array_equal(scorer(X), expected))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("engine", ["exact", "faiss", "usearch"])
def test_a_forked_child_searches(engine):
    rng = np.random.default_rng(0)
    items = rng.standard_normal((3000, 8)).astype(np.float32)
    queries = rng.standard_normal((300, 8)).astype(np.float32)
    index = make_index(engine, items)
    with threadpool_limits(2):
        assert_same_in_fork(lambda: index.search(queries, 100, n_jobs=2)[0])


def test_a_setting_that_was_in_use_is_free_in_the_child():
    setting, values = SharedSetting(1), []
    with setting.at(2, values.append):

        def check():
            with setting.at(3, values.append):
                assert values == [2, 3]

        in_fork(check)
    assert values == [2]


def blas_threads():
    """Threads of each BLAS, but of those on OpenMP, where each thread has a number of its own."""
    return [
        info["num_threads"]
        for info in threadpool_info()
        if info["user_api"] == "blas" and info.get("threading_layer") != "openmp"
    ]


def test_blas_keeps_its_threads_after_concurrent_searches_and_scores(student):
    rng = np.random.default_rng(0)
    index = ExactIndex(rng.standard_normal((5000, 16)).astype(np.float32))
    queries = rng.standard_normal((512, 16)).astype(np.float32)
    X = rng.standard_normal((50_000, student.n_features_in_)).astype(np.float32)
    scorer = compile_scorer(student, "numpy", n_threads=2)
    calls = [lambda: index.search(queries, 10, n_jobs=2), lambda: scorer(X)]
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert set(before) == {2}
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda call: call(), calls * 10))
        assert blas_threads() == before


def test_the_last_one_out_restores_blas():
    with threadpool_limits(2, user_api="blas"):
        single_blas_thread.__enter__()
        single_blas_thread.__enter__()
        single_blas_thread.__exit__()
        # Libraries that were loaded after the first limit keep their threads.
        assert 1 in blas_threads()
        single_blas_thread.__exit__()
        assert set(blas_threads()) == {2}


def test_a_child_forked_inside_of_a_limit_has_all_threads():
    def check():
        assert set(blas_threads()) == {2}
        with single_blas_thread:
            assert 1 in blas_threads()
        assert set(blas_threads()) == {2}

    with threadpool_limits(2, user_api="blas"):
        entered, leave = threading.Event(), threading.Event()

        def stay():
            with single_blas_thread:
                entered.set()
                leave.wait(TIMEOUT)

        thread = threading.Thread(target=stay)
        thread.start()
        assert entered.wait(TIMEOUT)
        try:
            in_fork(check)
        finally:
            leave.set()
            thread.join()
        assert set(blas_threads()) == {2}


def test_users_of_one_value_run_together_and_others_in_turn():
    setting, current, seen = SharedSetting(0), [0], []

    def use(value):
        with setting.at(value, lambda v: current.__setitem__(0, v)):
            for _ in range(20):
                seen.append(current[0] == value)
                time.sleep(1e-4)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, [1, 2, 1, 1, 3, 2] * 4))
    assert all(seen)
    assert len(seen) == 20 * 24
    # Two users of one value do not wait for each other.
    both = threading.Barrier(2)

    def meet():
        with setting.at(9, lambda _: None):
            both.wait(TIMEOUT)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(meet), pool.submit(meet)]:
            future.result(TIMEOUT)


def test_every_pool_of_the_package_survives_a_fork():
    """No module keeps a bare pool or limit: they stand in one room, which knows about forks."""
    from pathlib import Path

    import skdistill

    package = Path(skdistill.__file__).parent
    kept = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"(import|from) threadpoolctl", path.read_text())
        or any(
            "ThreadPoolExecutor(" in line and not line.strip().startswith("with ")
            for line in path.read_text().splitlines()
        )
    ]
    assert kept == ["threads.py"]
    pool = ThreadPool(2)
    assert pool.submit(sum, [1, 2]).result() == 3
    in_fork(lambda: pool.submit(sum, [1, 2]).result(TIMEOUT))


@pytest.mark.parametrize("is_large", [False, True])
def test_training_limits_blas_where_more_threads_do_not_help(is_large, monkeypatch):
    monkeypatch.setattr(skdistill.threads, "LARGE_STEP", 0 if is_large else 1e12)
    data, seen = make_ranking(n_queries=20, n_features=4, random_state=0), []

    def rate(progress):
        seen.append(blas_threads())
        return 1.0

    for name in SCHEDULES:
        monkeypatch.setitem(SCHEDULES, name, rate)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        student = MLPRanker((4,), max_iter=1, random_state=0)
        student.fit(data.X, data.y, qid=data.qid)
        student.partial_fit(data.X, data.y, qid=data.qid)
        towers = TwoTowerRetriever(query_columns=[0, 1], item_columns=[2, 3], max_iter=1)
        towers.fit(np.column_stack([data.qid, data.qid, data.X[:, :2]]), data.y, qid=data.qid)
        assert blas_threads() == before
    expected = before if is_large else [1] * len(before)
    assert set(before) == {2}
    assert seen
    assert all(threads == expected for threads in seen)

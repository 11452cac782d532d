"""Threads: pools and settings that threads share, and what becomes of them in a forked process.

A fork copies the memory of a process but only one of its threads. A pool without its threads waits
for ever, and so does a lock that another thread held. Whatever relies on threads is registered here
and made anew in the child.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol
from weakref import WeakSet

from threadpoolctl import ThreadpoolController


class RestartsAfterFork(Protocol):
    """Something that a forked child must make anew."""

    def after_fork(self) -> None:
        """Give up what belonged to the parent's threads; called in the child, which has one."""


_restarting: WeakSet[Any] = WeakSet()


def restart_after_fork(owner: RestartsAfterFork) -> None:
    """Call ``owner.after_fork()`` in every forked child, as long as the owner lives."""
    _restarting.add(owner)


def _restart_all() -> None:
    for owner in list(_restarting):
        owner.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_restart_all)


class ThreadPool:
    """A pool of threads that also works in forked children.

    Parameters
    ----------
    n_threads : int
        Number of threads; they start when they are needed.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self.after_fork()
        restart_after_fork(self)

    def after_fork(self) -> None:
        """Make a new pool, whose threads start later."""
        self._executor = ThreadPoolExecutor(self.n_threads)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in a thread of the pool."""
        return self._executor.submit(function, *arguments)


class SharedSetting:
    """A setting of a foreign object that several threads use at different values.

    Threads that need the same value run together, others wait for their turn.

    Parameters
    ----------
    value : object
        The value that is set now.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        self.after_fork()
        restart_after_fork(self)

    def after_fork(self) -> None:
        """Forget the threads that were running or waiting."""
        self._n_users = 0
        self._changed = threading.Condition()
        # Who waits here comes in turn, so that a value in steady use does not keep others out.
        self._turn = threading.Lock()

    @contextmanager
    def at(self, value: Any, assign: Callable[[Any], None]) -> Iterator[None]:
        """Hold the setting at a value, which ``assign(value)`` sets."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._value == value or not self._n_users)
            if self._value != value:
                assign(value)
                self._value = value
            self._n_users += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_users -= 1
                self._changed.notify_all()


class SingleBlasThread:
    """Limits BLAS to one thread while any thread is inside.

    The limit holds for the whole process. If each thread set and restored it, one that came second
    would take the limit of the first for the original, and leave it behind. So the first one in
    sets the limit, and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_users = 0
        self._controller: Any = None
        self._limit: Any = None
        restart_after_fork(self)

    def after_fork(self) -> None:
        """Restore the limit if threads of the parent were inside, which are not in the child."""
        self._lock = threading.Lock()
        if self._n_users:
            self._n_users = 0
            self._limit.restore_original_limits()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_users:
                # Looking for the libraries takes longer than many a search.
                self._controller = self._controller or ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._n_users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                self._limit.restore_original_limits()


# One for the process, as the limit is.
single_blas_thread = SingleBlasThread()


def single_thread() -> AbstractContextManager[Any]:
    """Limit BLAS and OpenMP to one thread while something is measured.

    Unlike ``single_blas_thread``, this is for one thread of the process at a time.

    Returns
    -------
    context manager
    """
    # Libraries may have been loaded since the last time.
    return ThreadpoolController().limit(limits=1)


# Multiplications of a training step's forward pass above which several threads may help: some ten
# milliseconds on one.
LARGE_STEP = 2e8


def blas_threads_for(n_products: float) -> AbstractContextManager[None]:
    """Limit BLAS to one thread for training steps of this size, unless more threads can help.

    BLAS threads spin while they wait for each other. For small products they gain nothing, and
    where LightGBM or another process wants the cores too, they lose a lot.

    Parameters
    ----------
    n_products : float
        Number of multiplications in the forward pass of a step.

    Returns
    -------
    context manager
    """
    return nullcontext() if n_products > LARGE_STEP else single_blas_thread

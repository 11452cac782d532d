"""A fresh process for one contender: it prepares, waits on a pipe, and measures when asked.

The parent starts ``python -m benchmarks.worker FD`` with the number of threads in the environment
and talks to it by a :class:`multiprocessing.connection.Connection`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.declaring import Contender, Run, Setting

ROOT = Path(__file__).parent.parent
# What libraries read their number of threads from.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


class ContenderError(Exception):
    """A contender raised an error, died or did not answer."""


def pinned(threads: int) -> dict[str, str]:
    """Return the environment of a process with so many threads."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": path}


def pin_to_cores(threads: int) -> None:
    """Let this process use no more cores than threads, the last ones of those that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


class Worker:
    """A fresh process, and the pipe to it.

    Parameters
    ----------
    name : str
        What errors call it.
    threads : int
        Number of threads of the process. 0 pins nothing, which is for making data.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, name: str, threads: int, timeout: float = 3600.0) -> None:
        self.name, self.timeout = name, timeout
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self.pipe, far = Pipe()
        command = [sys.executable, "-m", "benchmarks.worker", str(far.fileno()), str(threads)]
        self.process = subprocess.Popen(
            command,
            env=pinned(threads or os.cpu_count() or 1),
            cwd=ROOT,
            pass_fds=[far.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
        )
        far.close()

    def ask(self, *request: Any) -> Any:
        """Send a request and wait for its answer.

        Raises
        ------
        ContenderError
            If the contender raised an error, died, or did not answer in time.
        """
        try:
            self.pipe.send(request)
            if not self.pipe.poll(self.timeout):
                raise ContenderError(f"{self.name} has not answered for {self.timeout:.0f} s")
            kind, answer = self.pipe.recv()
        except (EOFError, OSError):
            raise ContenderError(self._obituary()) from None
        if kind == "error":
            raise ContenderError(f"{self.name} failed: {answer}")
        return answer

    def _obituary(self) -> str:
        code = self.process.wait()
        cause = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self.output.seek(0)
        last = self.output.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"{self.name} died {cause}" + "".join(f": {line}" for line in last)

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.wait()
        self.output.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def peak_megabytes() -> float:
    """Return the peak memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Desk:
    """What a worker does when it is asked."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.run: Run | None = None

    def data(self, place: str, setting: Setting) -> None:
        """Write the files of a benchmark."""
        from benchmarks.catalogue import load_benchmark

        write = load_benchmark(place).data
        assert write is not None
        write(setting)

    def prepare(
        self, place: str, comparison: str, contender: str, setting: Setting
    ) -> dict[str, float]:
        """Prepare a contender, and return its quality."""
        from threadpoolctl import threadpool_limits

        from benchmarks.catalogue import load_benchmark

        found = load_benchmark(place).comparison(comparison)
        contenders: list[Contender] = [found.ours, *found.theirs]
        chosen = next(each for each in contenders if each.name == contender)
        self.run = chosen.prepare(setting)
        # The libraries are loaded now.
        threadpool_limits(self.threads)
        return self.run.quality

    def warm(self) -> Any:
        assert self.run is not None
        return self.run.warm()

    def measure(self) -> dict[str, float]:
        assert self.run is not None
        return self.run.measure()

    def memory(self) -> float:
        return peak_megabytes()


def serve(pipe: Connection, desk: Desk) -> None:
    """Answer requests until the parent closes the pipe."""
    while True:
        try:
            request, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = "done", getattr(desk, request)(*arguments)
        except Exception as error:
            traceback.print_exc()
            answer = "error", f"{type(error).__name__}: {error}"
        pipe.send(answer)


if __name__ == "__main__":
    n_threads = int(sys.argv[2])
    if n_threads:
        pin_to_cores(n_threads)
    serve(Connection(int(sys.argv[1])), Desk(n_threads))

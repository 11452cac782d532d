"""Says what something that takes long has done."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TextIO


class StepProgress:
    """Prints steps as they end, with their seconds.

    Parameters
    ----------
    name : str
        What runs, such as the name of an estimator. Each line begins with it.
    is_verbose : bool
        Whether to print at all.
    file : file, optional
        Where to print; the standard output by default.
    """

    def __init__(self, name: str, is_verbose: bool, file: TextIO | None = None) -> None:
        self.name, self.is_verbose = name, is_verbose
        self.file = file
        self.start = perf_counter()

    def ended(self, step: str) -> None:
        """Print that a step has ended, and start the clock of the next one."""
        now = perf_counter()
        if self.is_verbose:
            seconds = f"{now - self.start:.1f} s"
            print(f"{self.name}: {step}, {seconds}", file=self.file or sys.stdout, flush=True)
        self.start = now

"""Says what a long fit of a cascade has done."""

from __future__ import annotations

from time import perf_counter


class FitProgress:
    """Prints the steps of a fit as they end, with their seconds.

    Parameters
    ----------
    name : str
        Name of the estimator, with which each line begins.
    is_verbose : bool
        Whether to print at all.
    """

    def __init__(self, name: str, is_verbose: bool) -> None:
        self.name, self.is_verbose = name, is_verbose
        self.start = perf_counter()

    def ended(self, step: str) -> None:
        """Print that a step has ended, and start the clock of the next one."""
        now = perf_counter()
        if self.is_verbose:
            print(f"{self.name}: {step}, {now - self.start:.1f} s", flush=True)
        self.start = now

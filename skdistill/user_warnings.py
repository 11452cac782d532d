"""Warnings that point at the line of the user's code."""

from __future__ import annotations

import inspect
import warnings

# scikit-learn wraps fits in a varying number of calls, so that no fixed number of them can be
# skipped: by routing of metadata, callbacks, searches and Pipelines.
LIBRARIES = {"skdistill", "sklearn", "joblib", "threadpoolctl", "contextlib", "functools"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the line outside of the libraries that led to the warning.

    Parameters
    ----------
    message : str
        What is wrong, and the way out.
    category : type, default=UserWarning
        Type of the warning.
    """
    frame, level = inspect.currentframe(), 1
    while frame is not None and _package(frame.f_globals) in LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]

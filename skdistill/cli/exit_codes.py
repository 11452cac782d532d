"""Messages and exit codes that a batch job can act on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from skdistill.tables.errors import OutputError, TableError

# Python exits with 1 on an uncaught exception, typer with 2 on an invalid command line.
USAGE, TABLE, MODEL, OUTPUT, STOPPED = 2, 3, 4, 5, 130

messages = Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors that a user can fix into a message and an exit code, and print warnings."""
    try:
        with warnings.catch_warnings():
            # The line of this package that Python would show says nothing to the user.
            warnings.showwarning = _print_warning
            yield
    except OutputError as error:
        raise _end(OUTPUT, str(error)) from error
    except TableError as error:
        raise _end(TABLE, str(error)) from error
    except (ValueError, TypeError, ImportError) as error:
        raise _end(USAGE, "\n".join([str(error), *getattr(error, "__notes__", [])])) from error
    except OSError as error:
        raise _end(OUTPUT, str(error)) from error
    except KeyboardInterrupt as error:
        raise _end(STOPPED, "interrupted; run the same command again to resume.") from error


def load_model(path: Path) -> Any:
    """Load a model from a file; if that fails, end the command."""
    from skdistill.serving import FileWarning, load

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FileWarning)
            model = load(path)
    except (OSError, ValueError) as error:
        raise _end(MODEL, str(error)) from error
    except ImportError as error:
        raise _end(USAGE, str(error)) from error
    for warning in caught:
        _print_warning(warning.message)
    return model


def load_recipe(path: Path) -> Any:
    """Read a recipe; if there is no such file, end the command."""
    from skdistill.recipe import read_recipe

    try:
        return read_recipe(path)
    except OSError as error:
        raise _end(USAGE, f"{path}: cannot be read: {error.strerror}.") from error


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    messages.print(f"warning: {message}", markup=False)


def _end(code: int, text: str) -> typer.Exit:
    messages.print(f"error: {text}", markup=False)
    return typer.Exit(code)

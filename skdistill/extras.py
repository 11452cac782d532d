"""Libraries that come with an extra, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(library: str, extra: str, purpose: str) -> Any:
    """A library, or an error that says how to get it.

    Parameters
    ----------
    library : str
        Name of the module.
    extra : str
        Of skdistill, which installs it.
    purpose : str
        What needs it, as the beginning of a sentence.

    Raises
    ------
    ImportError
        When it is not installed.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {library.split('.')[0]}, which comes with the extra {extra}: "
            f'pip install "skdistill[{extra}]".'
        ) from error

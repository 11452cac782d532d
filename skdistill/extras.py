"""Import of libraries that come with an extra."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def import_extra(library: str, extra: str, purpose: str) -> Any:
    """Import a library, or say how to install it.

    Parameters
    ----------
    library : str
        Name of the module.
    extra : str
        Extra of skdistill that installs the library.
    purpose : str
        What needs the library; the subject of the message "... needs ...".

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If the library is not installed.
    """
    # Batch jobs ask for each column of each batch; importing again costs as much as reading it.
    imported = sys.modules.get(library)
    if imported is not None:
        return imported
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {library.split('.')[0]}, which comes with the extra {extra}: "
            f'pip install "skdistill[{extra}]".'
        ) from error

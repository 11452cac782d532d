"""The command line: ``skdistill score``, ``retrieve``, ``evaluate``, ``inspect``, ``distill``."""

from __future__ import annotations

import sys

from skdistill.extras import import_extra


def main() -> None:
    """What the command ``skdistill`` runs."""
    try:
        for library in ("rich", "typer"):
            import_extra(library, "serving", "The command line")
    except ImportError as error:
        sys.exit(str(error))
    from skdistill.cli.commands import app

    app()

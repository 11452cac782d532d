"""The command line ``skdistill``: score, retrieve, rank, evaluate, inspect, distill."""

from __future__ import annotations

import sys

from skdistill.extras import import_extra


def main() -> None:
    """Run the command ``skdistill``; exit with a message if its libraries are not installed."""
    try:
        for library in ("rich", "typer"):
            import_extra(library, "serving", "The command line")
    except ImportError as error:
        sys.exit(str(error))
    from skdistill.cli.commands import app

    app()

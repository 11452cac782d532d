"""The command line: ``skdistill score``, ``retrieve``, ``evaluate``, ``inspect``, ``distill``."""

from __future__ import annotations

import sys


def main() -> None:
    """What the command ``skdistill`` runs."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError:
        sys.exit('The command line needs the extra serving: pip install "skdistill[serving]".')
    from skdistill.cli.commands import app

    app()

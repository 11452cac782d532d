"""``python -m skdistill``."""

from skdistill.cli import main

main()

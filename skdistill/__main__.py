"""Run the command line: ``python -m skdistill``."""

from skdistill.cli import main

if __name__ == "__main__":
    main()

"""The scripts of the gallery, each run in a process of its own as a user would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
GALLERY = Path(__file__).parent.parent / "examples" / "gallery"
# Runs a script and draws its figures, as a notebook does.
RUN = """
import runpy, sys
import matplotlib.pyplot as plt

plt.show = lambda: None
runpy.run_path(sys.argv[1], run_name="__main__")
for number in plt.get_fignums():
    plt.figure(number).savefig(f"{number}.png")
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a script in an empty folder, and returns what it prints."""

    def run(name):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", RUN, GALLERY / name],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.glob("*.png"))
        return done.stdout

    return run


def number(text, pattern):
    """Find a pattern in a text, and return its group as a number."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"{pattern} is not in:\n{text}"
    return float(found.group(1).replace(",", ""))


def ndcg(text, name):
    """The NDCG of a row of a table: the first number of four decimals behind a name."""
    return number(text, rf"^{re.escape(name)} .*?(\d\.\d{{4}})")

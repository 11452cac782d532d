"""Sessions that need an environment of their own: ``nox --list`` names them.

``make test`` is what a change has to pass. These sessions answer what it cannot: whether the tests
pass on every Python, with the lowest and the newest dependencies, and without LightGBM.
"""

from configparser import ConfigParser
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# Extras that users install. ``lowest`` holds them, and the core, at their stated minimum; the other
# libraries of the tests are the newest that go with those.
LOWEST_EXTRAS = ["data", "plots", "onnx", "dask", "ray", "http", "ann", "hnswlib"]
# Small matrix products gain nothing from more BLAS threads; as in the Makefile.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}

WITHOUT_LIGHTGBM = """
import importlib.util
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from skdistill.serving import compile_scorer, load, score_table

assert importlib.util.find_spec("lightgbm") is None, "LightGBM is still installed"
golden = Path("tests/golden/mlp-0.1.0.skd")
student = load(golden)
X = np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5)
expected = json.loads(golden.with_suffix(".json").read_text())
for engine in ("numpy", "onnxruntime"):
    scores = compile_scorer(student, engine)(X)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
with tempfile.TemporaryDirectory() as folder:
    table, output = Path(folder, "table.parquet"), Path(folder, "scores")
    pd.DataFrame(X, columns=list("abcde")).to_parquet(table)
    score_table(student, table, output)
    scores = pd.read_parquet(output)["score"]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
print("A student loads, compiles and scores a table without LightGBM.")
"""


def read_setup() -> ConfigParser:
    """Return ``setup.cfg``, in which ``%(data)s`` includes another extra, as in setuptools."""
    setup = ConfigParser()
    setup.read(Path(__file__).with_name("setup.cfg"), encoding="utf-8")
    return setup


def requirements(*extras: str) -> list[Requirement]:
    """Return the requirements of some extras, as ``setup.cfg`` states them."""
    listed = read_setup()["options.extras_require"]
    return [Requirement(line) for extra in extras for line in listed[extra].split("\n") if line]


def minimum(specifiers: SpecifierSet) -> str:
    """Return the version of the one ``>=`` in some specifiers."""
    (version,) = (each.version for each in specifiers if each.operator == ">=")
    return version


def lowest_python() -> str:
    """Return the lowest Python that ``setup.cfg`` states."""
    return minimum(SpecifierSet(read_setup()["options"]["python_requires"]))


def lowest_pins() -> list[str]:
    """Return the stated minimum of each core requirement and of ``LOWEST_EXTRAS``, pinned.

    A package that is stated twice with different minimums is pinned twice, which pip refuses.
    """
    core = read_setup()["options"]["install_requires"].split("\n")
    stated = [Requirement(line) for line in core if line] + requirements(*LOWEST_EXTRAS)
    return sorted({f"{each.name}=={minimum(each.specifier)}" for each in stated})


def install_tool(session: nox.Session, name: str) -> None:
    """Install one tool of the extra ``dev``, in the version that ``setup.cfg`` allows."""
    session.install(*(str(each) for each in requirements("dev") if each.name == name))


def run_tests(session: nox.Session) -> None:
    """Run the tests; what follows ``--`` on the command line goes to pytest."""
    arguments = session.posargs or ["-n", "2", "--dist", "worksteal"]
    session.run("python", "-m", "pytest", *arguments, env=ENVIRONMENT)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python; nox skips those that are not installed."""
    session.install("--editable", ".[dev]")
    run_tests(session)


@nox.session(python=lowest_python())
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that setup.cfg states."""
    pins = lowest_pins()
    session.log("Lowest versions: " + ", ".join(pins))
    session.install("--editable", ".[dev]", *pins)
    run_tests(session)


@nox.session
def newest(session: nox.Session) -> None:
    """Run the tests with the newest versions, pre-releases included."""
    session.install("--pre", "--upgrade", "--editable", ".[dev]")
    run_tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    install_tool(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=lowest_python())
def types(session: nox.Session) -> None:
    """Check types with mypy, on the lowest Python."""
    session.install("--editable", ".[dev]")
    session.run("mypy", "--python-version", lowest_python())


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the code in thousands of places, and count the changes that no test notices.

    It takes hours. ``nox -s mutants -- "skdistill.losses*"`` tries the mutants of these modules
    alone; ``mutmut results`` in the folder lists those that survived, ``mutmut show`` prints one.
    """
    session.install("--editable", ".[dev]", "mutmut>=3.8")
    session.run("mutmut", "run", *session.posargs, env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; warnings are errors."""
    session.install("--editable", ".[docs,data,plots]")
    session.run("sphinx-build", "-q", "-W", "docs", "docs/_build")


@nox.session
def without_lightgbm(session: nox.Session) -> None:
    """Load, compile and score a saved student where LightGBM is not installed."""
    session.install("--editable", ".[data,plots,onnx,serving]")
    session.run_install("python", "-m", "pip", "uninstall", "--yes", "lightgbm")
    session.run("python", "-c", WITHOUT_LIGHTGBM)

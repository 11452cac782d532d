"""The house: eight named floors, imports that go down, files and functions of readable size."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import skdistill

PACKAGE = Path(skdistill.__file__).parent

# Lowest floor first. A room is a module or a folder of the package. It imports from the floors
# below its own and, on its own floor, from rooms that stand before it.
FLOORS = {
    "ground": [
        "public_names",
        "extras",
        "text_tables",
        "threads",
        "step_progress",
        "user_warnings",
        "_sklearn_compat",
        "inputs",
        "calibration",
    ],
    "contracts and measures": [
        "protocols",
        "metrics",
        "index",
        "tables",
        "model_selection",
        "callbacks",
    ],
    "mathematics": ["losses", "models", "training", "datasets", "base"],
    "students": ["multi_objective", "students"],
    "teachers": ["teachers", "streaming"],
    "front doors": [
        *("teacher_weight", "held_out", "student_setup", "distillation", "student_training"),
        *("distilled", "ranker"),
        *("towers", "cascade", "dask_training"),
    ],
    "service": ["serving", "inspection", "recipe"],
    "shell": ["cli", "testing", "__main__"],
}
FLOOR = {room: number for number, rooms in enumerate(FLOORS.values()) for room in rooms}
PLACE = {
    room: place for place, room in enumerate(room for rooms in FLOORS.values() for room in rooms)
}
# The mathematics speak of each other by contracts only: no room here imports another.
STRICT = set(FLOORS["mathematics"])

# Exceptions to the limits on length. These lists may only shrink.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS = {
    "datasets/ranking_table.py:__init__": "the features of MovieLens, one after the other",
}

FILES = sorted(PACKAGE.rglob("*.py"))
PRIVATE_LIBRARIES = {"sklearn", "scipy"}


def name_of(path):
    """Dotted name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Modules that a file imports, relative ones made absolute; for ``from x import y`` x.y too."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield module, alias.name


def room_of(module, name):
    """The room that an import reaches, or None."""
    parts = module.split(".")
    if parts[0] != "skdistill":
        return None
    if len(parts) > 1:
        return parts[1]
    return name if name in FLOOR else None


def allowed(importer, imported):
    if importer == imported or FLOOR[imported] < FLOOR[importer]:
        return True
    same_floor = FLOOR[imported] == FLOOR[importer] and importer not in STRICT
    return same_floor and PLACE[imported] < PLACE[importer]


def test_every_room_stands_on_a_floor():
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} - {"__init__"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    reached = {room_of(module, name) for module, name in imports_of(path)} - {None}
    if room == "__init__":
        # The front page imports nothing but the names; the type checker's imports aside.
        reached = {r for r in reached if r == "public_names"}
        room = "__main__"
    assert not {other for other in reached if not allowed(room, other)}


def test_the_walk_sees_every_form_of_import(tmp_path):
    """The test above can fail: it sees relative imports and names of the package itself."""
    assert not allowed("losses", "models")
    assert not allowed("inputs", "protocols")
    assert not allowed("metrics", "index")
    assert allowed("towers", "ranker")
    file = PACKAGE / "losses" / "imagined.py"

    class Imagined:
        name = "imagined.py"

        def relative_to(self, other):
            return file.relative_to(other)

        def read_text(self):
            return "from ..models import network\nfrom .. import ranker\nimport skdistill.cli\n"

    found = {room_of(module, name) for module, name in imports_of(Imagined())}
    assert found == {"models", "ranker", "cli"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_private_of_others_stays_in_one_file(path):
    if path.name == "_sklearn_compat.py":
        return
    for module, name in imports_of(path):
        parts = module.split(".")
        if parts[0] in PRIVATE_LIBRARIES:
            private = [part for part in [*parts, name or ""] if part.startswith("_")]
            assert not private, f"{module} {name}"


# Dask has no public name for the empty frame that describes another.
PRIVATE_BY_NEED = {"_meta"}


def privates_of_others(path):
    """Private attributes that a file reads of other objects and does not define itself."""
    tree = ast.parse(path.read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        of = node.value
        is_own = isinstance(of, ast.Name) and of.id in ("self", "cls")
        is_super = isinstance(of, ast.Call) and getattr(of.func, "id", "") == "super"
        is_class = isinstance(of, ast.Name) and of.id[0].isupper()  # of a base class
        if not (is_own or is_super or is_class or node.attr.startswith("__")):
            yield from {node.attr} - defined - PRIVATE_BY_NEED


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nobody_reads_the_privates_of_others(path):
    if path.name != "_sklearn_compat.py":
        assert not list(privates_of_others(path))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_heavy_is_imported_by_the_package(path):
    """Optional libraries are imported where they are used, LightGBM never."""
    # threadpoolctl comes with scikit-learn.
    light = {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "skdistill"}
    if path.parent.name == "cli":
        return  # what the command line is made of; nothing else imports it
    for node in ast.parse(path.read_text()).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for name in names:
            root = name.split(".")[0]
            assert root in light or root in sys.stdlib_module_names


def long_functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body
            # A docstring is to be read first; it is not what makes a function long.
            is_documented = ast.get_docstring(node) is not None
            first = body[1].lineno if is_documented and len(body) > 1 else body[0].lineno
            signature = body[0].lineno - node.lineno
            length = node.end_lineno - first + 1 + (0 if node.name == "__init__" else signature)
            if length > 60:
                yield f"{path.relative_to(PACKAGE)}:{node.name}", length


def test_files_stay_readable():
    long = {}
    for path in FILES:
        assert path.name not in ("utils.py", "helpers.py", "common.py")
        length = len(path.read_text().splitlines())
        if length > 400:
            long[str(path.relative_to(PACKAGE))] = length
    # Every exception is needed: one that is no more is taken off the list.
    assert set(long) == set(LONG_FILES)


def test_functions_stay_readable():
    long = dict(item for path in FILES for item in long_functions(path))
    assert set(long) == set(LONG_FUNCTIONS)


PUBLIC = [
    "skdistill",
    "skdistill.datasets",
    "skdistill.index",
    "skdistill.inputs",
    "skdistill.inspection",
    "skdistill.losses",
    "skdistill.metrics",
    "skdistill.models",
    "skdistill.serving",
    "skdistill.students",
    "skdistill.teachers",
    "skdistill.training",
]


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_not_file_paths(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__module__ == package, f"{name} says that it lives in {thing.__module__}"


def test_the_floors_are_those_of_the_page_for_contributors():
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| \d ([a-z ]+) \| (.+) \|$", page, re.MULTILINE)
    found = {name: set(re.findall(r"`(\w+)(?:\.py|/)`", rooms)) - {"batch"} for name, rooms in rows}
    assert found == {name: set(rooms) for name, rooms in FLOORS.items()}

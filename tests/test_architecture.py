"""The layers stay honest: a module imports only from layers below its own."""

import ast
from pathlib import Path

import skdistill

PACKAGE = Path(skdistill.__file__).parent

# Lowest first. A module or folder stands in one layer; inside a folder neighbours may import each
# other, across folders of one layer nobody does.
LAYERS = [
    {"queries", "columns", "inputs", "scaling", "extras"},
    {
        "protocols",
        "callback_forwarding",
        "calibration",
        "pairs",
        "pair_table",
        "encoding",
        "metrics",
        "model_selection",
        "index",
    },
    {"datasets", "losses", "models", "optimizers", "sampling", "ranking_estimator"},
    {"objective", "scoring", "spectral", "validation", "approximate_index"},
    {"training", "objectives"},
    {"catalogue", "students"},
    {"teachers"},
    {"tower_lesson", "towers"},
    {"teacher_check"},
    {"ranker", "retriever"},
    {"multi_objective_retriever"},
    {"serving"},
    {"recipe", "streaming", "dask_training"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def home(module):
    """Layer member of a dotted name below skdistill."""
    return module.split(".")[1]


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.split(".")[0] == "skdistill":
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "skdistill")


def test_every_module_has_a_layer_and_imports_downwards():
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue  # the lazy front page names its homes as strings
        own = parts[0]
        assert own in LEVEL, f"{path.name} has no layer"
        seen.add(own)
        for module in imports_of(path):
            other = home(module)
            assert other == own or LEVEL[other] < LEVEL[own], f"{path} imports {module}"
    assert seen == set(LEVEL)


def test_nothing_heavy_is_imported_by_the_package():
    """Optional libraries are imported where they are used, LightGBM never."""
    # threadpoolctl comes with scikit-learn.
    allowed = {"numpy", "scipy", "sklearn", "joblib", "threadpoolctl", "skdistill"}
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "cli":
            continue  # what the command line is made of; nothing else imports it
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                root = name.split(".")[0]
                assert root in allowed or root in __import__("sys").stdlib_module_names, path


def test_files_stay_readable():
    for path in PACKAGE.rglob("*.py"):
        assert path.name not in ("utils.py", "helpers.py", "common.py")
        assert len(path.read_text().splitlines()) <= 620, path

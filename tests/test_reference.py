"""Every public class and function has a page in the reference."""

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
# Published for users of other modules of the package, and explained where they are used.
INTERNAL = {
    "skdistill.cascade": {
        "ChosenColumns",
        "Funnel",
        "RankingCascade",
        "Retrieval",
        "Stage",
        "StageTable",
    },
    "skdistill.training": {"Optimizer"},
}
PACKAGES = [
    "skdistill",
    *(
        f"skdistill.{name}"
        for name in (
            "callbacks", "cascade", "datasets", "index", "inputs", "inspection", "losses",
            "metrics", "models", "recipe", "serving", "students", "teachers", "training",
        )
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("reference_pages")
    finally:
        sys.path.remove(str(DOCS))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_objects_have_a_page(pages, package):
    listed = {name for group in pages.REFERENCE.values() for name in pages.entries(group)}
    module = importlib.import_module(package)
    public = {
        name
        for name in getattr(module, "__all__", ())
        if callable(getattr(module, name)) and name not in INTERNAL.get(package, ())
    }
    assert not {name for name in public if f"{package}.{name}" not in listed}


def test_pages_are_of_what_there_is(pages):
    for group in pages.REFERENCE.values():
        for name, members in pages.entries(group).items():
            text = pages.page(name, members)
            assert name.rpartition(".")[2] in text
            for member in members.replace("*", "").split(", "):
                assert not member or hasattr(pages.resolve(name), member), (name, member)

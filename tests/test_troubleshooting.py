"""The page about messages: each quoted fragment is in a message of the source, word by word."""

import ast
import re
from pathlib import Path

import lightgbm
import pytest
import sklearn.utils.validation

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
GROUPS = dict(re.findall(r"^## (.+)\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE))
SILENT = "Nothing failed, but ..."
FOREIGN = "Messages of scikit-learn and LightGBM"
GAP = "\0"


def rows(table):
    """Cells of the rows of a table, without its two lines of header."""
    return [line[2:-2].split(" | ") for line in table.splitlines()[2:]]


def texts(tree):
    """Texts in a module but its docstrings; what an f-string fills in is a gap."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    skipped = {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", None) for part in node.values)
            yield "".join(part if isinstance(part, str) else GAP for part in parts)
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


SOURCE = [
    text
    for file in (ROOT / "skdistill").rglob("*.py")
    for text in texts(ast.parse(file.read_text("utf-8")))
    if " " in text
]
QUOTED = [
    quoted
    for group, table in GROUPS.items()
    if group not in (SILENT, FOREIGN)
    for message, *_ in rows(table)
    for quoted in re.findall(r"`([^`]+)`", message)
]


def is_said(quoted):
    """Whether one text of the source has all fragments, in order and without gaps inside."""
    pattern = re.compile(".*".join(map(re.escape, quoted.split(" ... "))), re.DOTALL)
    return any(pattern.search(text) for text in SOURCE)


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_source_says_what_is_quoted(quoted):
    assert is_said(quoted)


def test_the_other_libraries_say_what_is_quoted():
    modules = sklearn.utils.validation, sklearn.utils._metadata_requests, lightgbm.basic
    source = "".join(Path(module.__file__).read_text("utf-8") for module in modules)
    source = re.sub(r'"\n\s*f?"', "", source)  # texts that go on in the next line
    for message, *_ in rows(GROUPS[FOREIGN]):
        assert message.strip("`") in source


def test_other_words_are_not_found():
    assert is_said("got no qid: all ... rows are taken as one query")
    assert not is_said("got no qid: every ... row is taken as one query")
    assert not is_said("rows are taken as one query ... got no qid: all")
    assert not is_said("got no qid: all 30 rows")


def test_a_message_is_quoted_once():
    assert len(QUOTED) == len(set(QUOTED)) > 150


@pytest.mark.parametrize("group", re.findall(r"^## (.+)", PAGE, re.MULTILINE))
def test_each_group_is_a_table(group):
    first = "what you see" if group == SILENT else "message"
    assert GROUPS[group].startswith(f"| {first} | why | what to do |\n|---|---|---|\n")
    for message, *others in rows(GROUPS[group]):
        assert len(others) == 2
        assert all(cell.strip() == cell != "" for cell in others)
        if group != SILENT:
            assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", message)


def test_links_lead_to_pages():
    for page, anchor in re.findall(r"\]\((\w+\.md)(?:#([^)]+))?\)", PAGE):
        headings = re.findall(r"^#+ (.+)", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
        found = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not anchor or anchor in found, (page, anchor)

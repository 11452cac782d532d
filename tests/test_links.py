"""No link between pages is dead, and no page is left out."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    path.relative_to(ROOT).as_posix()
    for folder, pattern in ((ROOT, "*.md"), (DOCS, "*.md"), (DOCS / "decisions", "*.md"))
    for path in sorted(folder.glob(pattern))
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
# Made by the build of the documentation.
BUILT = {"gallery/index.rst", "gallery/index.md", "gallery/index.html"}


def anchors(text):
    """Anchors of the headings of a page, as GitHub and the documentation make them."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    dead = []
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"https?:|mailto:", link) or link in BUILT:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            dead.append(link)
    assert not dead


def test_each_page_is_in_a_table_of_contents():
    listed = set()
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for entry in tree.splitlines():
                name = re.sub(r".*<(.*)>", r"\1", entry).strip()
                if name and not name.startswith(":"):
                    listed.add((page.parent / f"{name}.md").resolve())
    written = {path.resolve() for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    left_out = {path.name for path in written - listed} - {"index.md"}
    assert not left_out


@pytest.fixture(scope="module")
def plain_pages():
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("plain_pages")
    finally:
        sys.path.remove(str(DOCS))


def test_the_list_for_language_models_names_each_page(plain_pages, tmp_path):
    plain_pages.write_plain_pages(tmp_path)
    text = (tmp_path / "llms.txt").read_text("utf-8")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): \S", text, re.MULTILINE)
    assert set(links) == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert len(links) == len(set(links))
    for link in ("guide.md", "reference/skdistill.DistilledRanker.md"):
        assert link in links
    assert "teacher_cv" in (tmp_path / "reference/skdistill.DistilledRanker.md").read_text("utf-8")

"""Plain text for language models: ``llms.txt``, and a Markdown twin of each page.

The twin of ``guide.html`` is ``guide.md``, and that of a page of the reference holds the signature
and the docstring. See https://llmstxt.org for the form of the list. ``conf.py`` calls
:func:`write_plain_pages` after a build.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import reference_pages

DOCS = Path(__file__).parent
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
CODE = re.compile(r"```.*?```", re.DOTALL)
# Pages that are of interest only to those who change the library.
OPTIONAL = {"decisions"}


def title_and_summary(text: str) -> tuple[str, str]:
    """Return the title of a Markdown page, and its first paragraph without links."""
    found = TITLE.search(text)
    if found is None:
        return "", ""
    paragraphs = CODE.sub("", text[found.end() :]).strip().split("\n\n")
    first = next((part for part in paragraphs if part[:1] not in ("", "|", "#", "-", "!", "<")), "")
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", first).replace("\n", " ")
    return found[1], plain


def reference_twin(name: str, members: str) -> str:
    """Return signature and docstring of an object, and those of its methods, as Markdown."""
    thing = reference_pages.resolve(name)
    methods = [] if members == "*" else [each for each in members.split(", ") if each]
    parts = [f"# {name}\n\n" + signature_and_docstring(thing)]
    for method in methods:
        parts.append(f"## {method}\n\n" + signature_and_docstring(getattr(thing, method)))
    return "\n\n".join(parts) + "\n"


def signature_and_docstring(thing: object) -> str:
    try:
        signature = str(inspect.signature(thing))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not callable, or without a signature
        signature = ""
    name = getattr(thing, "__name__", "")
    return f"```text\n{name}{signature}\n\n{inspect.getdoc(thing) or ''}\n```"


def twins() -> dict[str, str]:
    """Return the text of all twins by their path in the built documentation."""
    pages = {
        path.relative_to(DOCS).as_posix(): path.read_text("utf-8")
        for path in sorted(DOCS.rglob("*.md"))
        if "_build" not in path.parts
    }
    for group in reference_pages.REFERENCE.values():
        for name, members in reference_pages.entries(group).items():
            pages[f"reference/{name}.md"] = reference_twin(name, members)
    return pages


def listing(pages: dict[str, str]) -> str:
    """Return ``llms.txt``: what the library is, and a link to each page with its first words."""
    _, summary = title_and_summary(pages["index.md"])
    groups: dict[str, list[str]] = {"Documentation": [], "Reference": [], "Optional": []}
    for path, text in pages.items():
        if path.startswith("reference/"):
            name = path.removeprefix("reference/").removesuffix(".md")
            line, group = f"{name}: {reference_pages.summary(name)}", "Reference"
            groups[group].append(f"- [{name}]({path}){line.removeprefix(name)}")
            continue
        title, first = title_and_summary(text)
        group = "Optional" if Path(path).parts[0] in OPTIONAL else "Documentation"
        groups[group].append(f"- [{title}]({path}): {first}")
    lines = ["# skdistill", "", f"> {summary}", ""]
    for group, entries in groups.items():
        lines += [f"## {group}", "", *entries, ""]
    return "\n".join(lines)


def write_plain_pages(folder: Path) -> None:
    """Write ``llms.txt`` and all twins beside the built pages."""
    pages = twins()
    for path, text in pages.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    (folder / "llms.txt").write_text(listing(pages), "utf-8")

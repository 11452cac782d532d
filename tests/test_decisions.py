"""Every decision record is in the list of decisions, with its title and its status."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("0*.md"))
LIST = (FOLDER / "README.md").read_text("utf-8")


def row_of(record):
    number = record.name[:4]
    (row,) = re.findall(rf"^\| {number} \| (.+) \| (.+) \|$", LIST, re.MULTILINE)
    return row


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name[:4])
def test_each_record_is_listed(record):
    title, status = row_of(record)
    text = record.read_text("utf-8")
    heading = text.splitlines()[0]
    assert re.fullmatch(rf"# {record.name[:4]}: .+", heading)
    assert f"({record.name})" in title
    assert f"\n{record.stem}\n" in LIST
    replaced_by = re.search(r"## Status\n\nReplaced by \[(\d{4})\]", text)
    assert status.startswith(f"replaced by {replaced_by[1]}" if replaced_by else "accepted")


def test_records_are_numbered_without_a_gap():
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))

"""Small tables as text, Markdown and HTML."""

from skdistill.text_tables import html, interval, markdown, shown, text_table

ROWS = [["name", "value"], ["a|b", 0.123456], ["<c>", float("nan")], ["long name", 1234.5]]


def test_cells_have_as_many_digits_as_mean_something():
    cells = [shown(value) for value in (0.123456, 99.99, 1234.56, float("nan"), 7, "text")]
    assert cells == ["0.1235", "99.9900", "1235", "", "7", "text"]


def test_text_is_aligned():
    assert text_table(ROWS).splitlines() == [
        "name        value",
        "a|b        0.1235",
        "<c>",
        "long name    1234",
    ]


def test_markdown_and_html_escape_what_they_must():
    assert markdown(ROWS).splitlines()[:3] == [
        "| name | value |",
        "| --- | ---: |",
        "| a\\|b | 0.1235 |",
    ]
    assert "<td>&lt;c&gt;</td>" in html(ROWS)


def test_an_interval_is_nothing_if_it_is_undefined():
    assert interval((0.9, 0.85, 0.95)) == "0.900 [0.850, 0.950]"
    assert interval((float("nan"),) * 3) == ""

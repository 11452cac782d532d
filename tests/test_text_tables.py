"""Small tables as text, Markdown and HTML."""

from skdistill.text_tables import Table, html, interval, markdown, shown, text_table

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
    assert '<td style="text-align: left">&lt;c&gt;</td>' in html(ROWS)
    assert '<td style="text-align: right">0.1235</td>' in html(ROWS)


def test_words_stand_on_the_left_and_numbers_on_the_right():
    rows = [["model", "kind", "of teacher", "rows"], ["a", "student", "0.9 [0.8, 1]", "1,234"]]
    rows += [["b", "first 5 trees", "", 7]]
    assert text_table(rows).splitlines() == [
        "model  kind             of teacher   rows",
        "a      student        0.9 [0.8, 1]  1,234",
        "b      first 5 trees                    7",
    ]
    assert markdown(rows).splitlines()[1] == "| --- | --- | ---: | ---: |"
    assert text_table([["a", "finding"], ["x", "0.0% of the queries"], ["y", "7"]]).endswith("  7")
    assert markdown([["alone", "value"]]) == "| alone | value |\n| --- | ---: |"


def test_a_table_prints_and_shows_itself():
    assert str(Table(ROWS)) == text_table(ROWS)
    assert Table(ROWS)._repr_html_() == html(ROWS)
    assert Table(ROWS) == ROWS


def test_an_interval_is_nothing_if_it_is_undefined():
    assert interval((0.9, 0.85, 0.95)) == "0.900 [0.850, 0.950]"
    assert interval((float("nan"),) * 3) == ""

"""The mechanism of the benchmarks: fresh processes in turns, equal results first, floors."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import floors, machine, report
from benchmarks.__main__ import PAGE, main
from benchmarks.agreement import Close, SameItems
from benchmarks.catalogue import BENCHMARKS, STUDIES, load_benchmark
from benchmarks.declaring import Setting, Timed
from benchmarks.measuring import Row, compare
from benchmarks.worker import Worker
from tests.benchmarks import small

PLACE = "tests.benchmarks.small"
N_ROUNDS = 3


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The rows of the first comparison by contender, and what the contenders noted."""
    setting = Setting(tmp_path_factory.mktemp("small"), 1, short=True)
    rows = compare(PLACE, small.BENCHMARK.comparisons[0], setting, N_ROUNDS)
    diary = [json.loads(line) for line in (setting.folder / "diary").read_text().splitlines()]
    return {row.against: row for row in rows}, diary


def test_each_contender_has_a_fresh_process(measured):
    _, diary = measured
    processes = {entry["name"]: entry["pid"] for entry in diary}
    assert len(set(processes.values())) == len(processes) == 4
    started = {entry["modules"] for entry in diary if entry["event"] == "prepare"}
    assert len(started) == 1  # nothing of one contender's is loaded for the next


def test_contenders_take_turns(measured):
    _, diary = measured
    order = [entry["name"] for entry in diary if entry["event"] == "measure"]
    others = [name for name in order if name != "ours"]
    assert others == ["slower", "equal"] * N_ROUNDS
    before = [order[place - 1] for place, name in enumerate(order) if name != "ours"]
    assert before == ["ours"] * len(others)


def test_the_ratio_is_the_cost_of_the_other_by_ours(measured):
    rows, _ = measured
    assert 1.5 < rows["slower"].ratio < 5
    assert 0.5 < rows["equal"].ratio < 2
    assert rows["slower"].low <= rows["slower"].ratio <= rows["slower"].high
    assert rows["slower"].quality == {"ours": {"NDCG": 1.0}, "theirs": {"NDCG": 3.0}}
    assert rows["slower"].ours == pytest.approx(small.SECONDS, rel=2)


def test_other_results_are_not_timed(measured):
    rows, diary = measured
    assert rows["other result"].status == "unequal"
    assert "value 0 is 1 for us and 1.5 for it" in rows["other result"].note
    assert {"name": "other result", "event": "measure"} not in [
        {"name": entry["name"], "event": entry["event"]} for entry in diary
    ]


def test_what_cannot_be_measured_says_why(measured):
    rows, _ = measured
    assert rows["absent"].status == "not installed"
    assert "no_such_library" in rows["absent"].note
    assert rows["dead"].note == "dead died by signal SIGKILL: the last words"
    assert "dead later died with exit code 3" in rows["dead later"].note
    assert rows["broken"].note == "broken failed: ValueError: no such model"


def test_problems_are_errors_and_unequal_results(measured):
    rows, _ = measured
    found = floors.problems(list(rows.values()))
    names = ["other result", "dead", "dead later", "broken"]
    assert [problem.split(" | ")[1] for problem in found] == names


def test_an_error_of_ours_fails_all_rows(tmp_path):
    setting = Setting(tmp_path, 1, short=True)
    (row,) = compare(PLACE, small.BENCHMARK.comparison("ours is broken"), setting)
    assert row.status == "failed"
    assert row.note == "ours failed: ValueError: no such model"


def test_threads_are_pinned(tmp_path):
    setting = Setting(tmp_path, 1, short=True)
    with Worker("ours", 1) as worker:
        worker.ask("prepare", PLACE, "threads", "ours", setting)
        assert worker.ask("warm").tolist() == [1, 1, 1, 1]
    two = replace(setting, threads=2)
    with Worker("ours", 2) as worker:
        worker.ask("prepare", PLACE, "threads", "ours", two)
        assert worker.ask("warm")[:3].tolist() == [2, 2, 2]
    (row,) = compare(PLACE, small.BENCHMARK.comparison("threads"), two)
    assert (row.status, row.note) == ("left out", "not with 2 threads")


def test_requests_have_percentiles(tmp_path):
    setting = Setting(tmp_path, 1, short=True)
    rows = compare(PLACE, small.BENCHMARK.comparison("requests"), setting, 2)
    assert [row.quantity for row in rows] == ["p50", "p99"]
    assert 0 < rows[0].ours <= rows[1].ours


def test_quick_calls_are_repeated():
    calls = []
    run = Timed(lambda: calls.append(1), work=10)
    run.warm()
    n_before = len(calls)
    assert 0 < run.measure()["time"] < 1e-5
    assert len(calls) - n_before == run.n_calls > 1000


def row(**changes):
    name = {"comparison": "work", "against": "it", "threads": 1, "unit": "row"}
    measured = {"ours": 1.0, "theirs": 2.0, "ratio": 2.0, "low": 1.9, "high": 2.1}
    return Row(**(name | measured | changes))


@pytest.mark.parametrize(
    ("changes", "is_too_low"),
    [
        ({}, False),
        ({"recorded": 2.8}, False),  # 2 is more than 0.7 of it
        ({"recorded": 2.9}, True),
        ({"floor": 1.9}, False),
        ({"floor": 2.1}, True),
        ({"floor": 2.1, "recorded": 1.0}, True),
        ({"ratio": None, "recorded": 9.0}, False),
    ],
)
def test_a_ratio_fails_below_its_floor_or_below_seven_tenths_of_the_recorded_one(
    changes, is_too_low
):
    assert floors.too_low(row(**changes)) == is_too_low
    assert len(floors.problems([row(**changes)])) == is_too_low


def test_ratios_are_recorded_by_instruction_set(tmp_path):
    path = tmp_path / "recorded.json"
    floors.record("small", [row(), row(against="that", ratio=None)], "avx2", path)
    floors.record("small", [row(ratio=4.0)], "avx512f", path)
    floors.record("other", [row(ratio=3.0)], "avx2", path)
    own = {name: floors.add_recorded("small", [row()], name, path)[0].recorded
           for name in ("avx2", "avx512f", "sve")}  # fmt: skip
    assert own == {"avx2": 2.0, "avx512f": 4.0, "sve": None}
    assert len(floors.read_recorded(path)["avx2"]) == 2


def test_of_several_runs_the_lowest_ratio_is_recorded(tmp_path):
    path = tmp_path / "recorded.json"
    for ratio in (3.0, 2.5, 2.7):
        floors.record("small", [row(ratio=ratio)], "avx2", path)
    assert list(floors.read_recorded(path)["avx2"].values()) == [2.5]


def test_a_busy_machine_is_waited_for_and_then_left_alone():
    loads, slept = iter([3.0, 2.5, 1.9]), []
    assert floors.is_quiet(2, 60, load=lambda: next(loads), sleep=slept.append)
    assert len(slept) == 2
    assert not floors.is_quiet(2, 20, load=lambda: 3.0, sleep=slept.append)
    assert sum(slept[2:]) == 20


def run_small(monkeypatch, capsys, tmp_path, *arguments):
    """Run the command line on the small benchmark; return its exit code and what it printed."""
    monkeypatch.setitem(BENCHMARKS, "small", PLACE)
    options = ["--out", str(tmp_path), "--rounds", "2", "--short", "--max-load", "99"]
    recorded = ["--recorded", str(tmp_path / "recorded.json")]
    code = main(["small", *options, *recorded, *arguments])
    return code, capsys.readouterr().out


def test_a_short_run_is_skipped_by_load(monkeypatch, capsys, tmp_path):
    options = ("--max-load", "-1", "--patience", "0")
    code, printed = run_small(monkeypatch, capsys, tmp_path, *options)
    assert code == 0
    assert "Skipped: the load is" in printed
    assert not (tmp_path / "benchmarks.json").exists()


def test_json_and_markdown_agree(monkeypatch, capsys, tmp_path):
    options = ("--only", "requests")
    code, printed = run_small(monkeypatch, capsys, tmp_path, *options)
    assert code == 0
    found = json.loads((tmp_path / "benchmarks.json").read_text())
    written = (tmp_path / "benchmarks.md").read_text()
    assert report.markdown(found) == written
    assert f"## {small.BENCHMARK.title}" in written
    assert "requests, p50" in written
    for each in found["benchmarks"][0]["rows"]:
        assert f"| {report.number(each['ratio'])} |" in written
    assert found["machine"]["instruction_set"] == machine.processor()[1]
    assert report.machine_line(found["machine"]) in written
    assert "2 ratios measured, 0 failed" in printed


def test_a_ratio_that_is_too_low_is_measured_once_more_and_then_fails(
    monkeypatch, capsys, tmp_path
):
    recorded = {machine.processor()[1]: {"small | requests | it | p50 | 1": 1000.0}}
    (tmp_path / "recorded.json").write_text(json.dumps(recorded))
    options = ("--only", "requests")
    code, printed = run_small(monkeypatch, capsys, tmp_path, *options)
    assert code == 1
    assert printed.count("it is measured once more") == 1
    assert "recorded is 1000.00" in printed
    code, _ = run_small(monkeypatch, capsys, tmp_path, *options, "--record")
    assert code == 0
    assert floors.read_recorded(tmp_path / "recorded.json")[machine.processor()[1]][
        "small | requests | it | p50 | 1"
    ] == pytest.approx(1, abs=0.9)


def test_missed_goals_are_marked():
    missed, reached = row(goal=2.5), row(goal=1.5)
    assert (missed.missed_goal, reached.missed_goal) == (True, False)
    assert row(at_most=0.5).missed_goal
    lines = report.table([missed.as_dict(), reached.as_dict()]).splitlines()
    assert ["**missed**" in line for line in lines[2:]] == [True, False]


def test_the_lines_of_an_error_stand_in_one_cell():
    failed = row(ratio=None, status="failed", note="ImportError: too old.\nPlease update.")
    (line,) = report.table([failed.as_dict()]).splitlines()[2:]
    assert line.endswith("| failed: ImportError: too old. Please update. |")


def test_close_numbers():
    assert Close(0.1).complaint([1.0, 2.0], [1.05, 2.0, 7.0]) is None
    assert "value 1" in Close(0.01).complaint([1.0, 2.0], [1.0, 2.1])
    assert Close().complaint([1.0], [np.nan]) is not None
    assert Close().complaint([np.nan, 1.0], [np.nan, 1.0]) is None
    assert Close().complaint([], [1.0]) is not None


def test_tied_items_may_change_places():
    ours = np.array([[3, 1, 2]]), np.array([[9.0, 5.0, 5.0]])
    assert SameItems().complaint(ours, (np.array([[3, 2, 1]]), ours[1])) is None
    assert SameItems().complaint(ours, (np.array([[3, 2, 7]]), ours[1])) is None  # tied at the cut
    assert "item 3" in SameItems().complaint(ours, (np.array([[8, 1, 2]]), ours[1]))
    assert "scores" in SameItems().complaint(ours, (ours[0], ours[1] + 1))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_declarations_are_complete(name):
    """Declaring needs no peer: everything heavy is imported where it is used."""
    benchmark = load_benchmark(BENCHMARKS[name])
    assert benchmark.name == name
    names = [comparison.name for comparison in benchmark.comparisons]
    assert len(set(names)) == len(names)
    for comparison in benchmark.comparisons:
        contenders = [each.name for each in (comparison.ours, *comparison.theirs)]
        assert len(set(contenders)) == len(contenders)
        assert all(each.agrees_with in (None, *contenders) for each in comparison.theirs)


def test_the_page_has_a_place_for_each_benchmark():
    places = re.findall(r"<!-- (\w+): begin -->", PAGE.read_text("utf-8"))
    assert places == list(BENCHMARKS)
    found = report.document(machine.describe(), short=False)
    for name in BENCHMARKS:
        report.add(found, load_benchmark(BENCHMARKS[name]), [row(ratio=123.4)])
    filled = report.fill_page(found, PAGE.read_text("utf-8"))
    assert filled.count("| 123 |") == len(BENCHMARKS)
    assert report.fill_page(found, filled) == filled
    with pytest.raises(ValueError, match="0 places"):
        report.fill_page(found, "nothing")


def test_benchmarks_speak_to_public_interfaces_only():
    import skdistill

    package = Path(skdistill.__file__).parent
    pattern = re.compile(r"^\s*(?:from|import) (skdistill[\w.]*)", re.MULTILINE)
    for path in Path(report.__file__).parent.rglob("*.py"):
        for name in pattern.findall(path.read_text("utf-8")):
            folder = package.joinpath(*name.split(".")[1:])
            assert folder.is_dir() or folder.parent == package, f"{path.name} imports {name}"


def test_studies_are_listed(capsys):
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in [*BENCHMARKS, *STUDIES])

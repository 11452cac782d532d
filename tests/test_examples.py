"""The examples of the pages and the demos, run as a user would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = (ROOT / "docs" / "examples.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", EXAMPLES, re.DOTALL)


def run(*arguments):
    """Run Python in a process of its own; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("code", BLOCKS)
def test_examples_run_as_they_stand(code, movielens):
    assert float(run("-c", code)) > 0.5


def test_the_example_of_the_readme_prints_what_a_student_is_worth(movielens, tmp_path):
    options = ["--out", tmp_path, "--n-estimators", "20"]
    output = run(ROOT / "examples/readme.py", *options)
    assert re.search(r"The student's NDCG@10 is 0\.\d+, \d\.\d+ \[.*\] of the teacher's", output)
    for name in ("log.parquet", "later.parquet", "ranker.txt", "student.skd"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_demo_writes_its_table_and_figure(movielens, tmp_path):
    options = ["--seeds", "1", "--n-estimators", "20", "--users", "300"]
    output = run(ROOT / "examples/plot_distillation.py", "--out", tmp_path, *options)
    for name in ("linear", "factorization machine", "MLP 64-32", "MLP, no pair columns"):
        assert re.search(rf"^{name}  ", output, re.MULTILINE)
    scored = re.search(r"lightgbm loaded: False; mean score (\S+)", output).group(1)
    assert f"Expected here: mean score {scored}" in output
    for name in ("distillation.txt", "distillation.csv", "distillation.png", "student.joblib"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_example_of_the_losses_compares_all(movielens, tmp_path):
    options = ["--seeds", "1", "--n-estimators", "10", "--max-iter", "1"]
    output = run(ROOT / "examples/plot_which_loss.py", "--out", tmp_path, *options)
    assert output.count("plackett_luce") == 9 + 3
    for name in ("which_loss.txt", "which_loss.csv", "which_loss.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_demo_of_retrieval_writes_its_table_and_figure(movielens, tmp_path):
    options = ["--seeds", "1", "--n-estimators", "20", "--users", "300"]
    output = run(ROOT / "examples/plot_retrieval.py", "--out", tmp_path, *options)
    rows = {
        name.strip(): [float(value) for value in values.split()]
        for name, values in re.findall(r"^([a-z0-9, ]+?)  +([\d. ]+)$", output, re.MULTILINE)
    }
    # A teacher of 20 trees has many ties; the real one's figures are in docs/demo.md.
    assert rows["distilled"][1] > 0.99
    assert rows["distilled, 200 sampled"][1] > 0.9
    assert rows["labels alone"][1] < 0.8
    assert rows["distilled"][3] > 0.95 * rows["teacher"][0] > rows["popularity"][0]
    for name in ("retrieval.txt", "retrieval.csv", "retrieval.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_demo_of_the_cascade_reports_and_plans(movielens, tmp_path):
    options = ["--n-estimators", "20", "--users", "300", "--recall", "0.9"]
    output = run(ROOT / "examples/plot_cascade.py", "--out", tmp_path, *options)
    row = re.search(r"^retrieve +200 +(\S+)", output, re.MULTILINE)
    assert float(row.group(1)) > 0.9
    bound = re.search(r"recall (\S+), at least (\S+) with 90% confidence", output)
    assert float(bound.group(1)) >= float(bound.group(2)) >= 0.9
    assert re.search(r"On the other \d+ users the recall is 0\.9", output)
    for rival in ("trained on labels", "logged rows only", "popularity", "first trees"):
        assert re.search(rf"^{rival} +0\.", output, re.MULTILINE)
    for name in ("cascade.txt", "cascade_plan.csv", "cascade.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_there_are_examples():
    assert len(BLOCKS) == 4

"""Every command of skdistill in the documentation is run, on files of its own."""

import json
import re
import shlex
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from skdistill import DistilledRanker
from skdistill.cli.commands import app
from skdistill.datasets import make_ranking
from skdistill.serving import save
from skdistill.students import MLPRanker
from tests.small_cascade import QUERIES, students

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "README.zh-CN.md"]
RECIPE = """
seed = 0
[data]
train = "last_weeks.parquet"
query_column = "query"
label_column = "clicked"
features = ["price", "age", "hour"]
[teacher]
estimator = "LGBMRanker"
n_estimators = 5
verbose = -1
[student]
estimator = "LinearRanker"
max_iter = 2
"""


def commands_of(page):
    """Commands in blocks of text, with the files that their output goes to."""
    blocks = re.findall(r"```text\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("skdistill "):
            command, _, target = line.partition(" > ")
            yield shlex.split(command)[1:], target.strip()


COMMANDS = sorted(
    {(page.name, *map(str, arguments), f"> {target}")
     for page in PAGES for arguments, target in commands_of(page)}
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the pages name."""
    folder = tmp_path_factory.mktemp("commands")
    data = make_ranking(n_queries=60, n_features=4, random_state=0)
    frame = pd.DataFrame(data.X, columns=["price", "age", "hour", "clicks"])
    frame["country"] = np.where(frame["clicks"] > 0, "at", "ch")
    features = list(frame)
    frame.insert(0, "query", data.qid)
    frame.insert(1, "item", np.arange(len(frame)))
    frame["clicked"] = (data.y > 1).astype(int)
    frame["label"] = data.y
    is_train = data.qid < 40
    for name in ("last_weeks", "train", "log"):
        frame[is_train].to_parquet(folder / f"{name}.parquet")
    for name in ("2026-11-25", "test", "later", "candidates"):
        frame[~is_train].to_parquet(folder / f"{name}.parquet")
    (folder / "logs").mkdir()
    frame[~is_train].to_parquet(folder / "logs" / "part.parquet")
    teacher = lightgbm.LGBMRanker(n_estimators=10, min_child_samples=5, verbose=-1)
    table = frame.loc[is_train, features].astype({"country": "category"})
    teacher.fit(table, data.y[is_train], group=np.unique(data.qid[is_train], return_counts=True)[1])
    teacher.booster_.save_model(folder / "ranker.txt")
    ranker = DistilledRanker(teacher.booster_, MLPRanker((8,), max_iter=5), random_state=0)
    ranker.fit(frame.loc[is_train, features], data.y[is_train], qid=data.qid[is_train])
    save(ranker, folder / "student.skd")
    clicks = DistilledRanker(
        teacher.booster_, MLPRanker((8,), max_iter=5), calibrate="sigmoid", random_state=0
    )
    clicks.fit(
        frame.loc[is_train, features], frame.loc[is_train, "clicked"], qid=data.qid[is_train]
    )
    save(clicks, folder / "calibrated.skd")
    cascade = students()
    save(cascade, folder / "cascade.skd")
    save(cascade.funnel_.retrieval.retrievers["retrieve"], folder / "towers.skd")
    QUERIES.to_parquet(folder / "queries.parquet")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_documentation_runs(command, folder, tmp_path, monkeypatch):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    _, *arguments, target = command
    if arguments[0] == "distill":
        (tmp_path / "student.skd").unlink()
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if "-o" in arguments:
        output = tmp_path / arguments[arguments.index("-o") + 1]
        assert output.exists()
        assert output in set(tmp_path.iterdir()) - before or arguments[0] == "distill"
    else:
        assert done.output.strip()
    if target != "> ":
        json.loads(done.stdout)


def test_there_are_commands_of_all_kinds():
    kinds = {command[1] for command in COMMANDS}
    assert kinds == {"score", "evaluate", "report", "retrieve", "rank", "inspect", "distill"}

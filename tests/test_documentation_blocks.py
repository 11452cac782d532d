"""Pages whose blocks of Python are run one after the other, on a table of their own."""

import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from skdistill import DistilledRanker
from skdistill.datasets import make_ranking
from skdistill.students import MLPRanker

DOCS = Path(__file__).parent.parent / "docs"


def run(page, names):
    """Run the blocks of a page in one namespace; return it."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the pages begin with."""
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "application" / "files").mkdir(parents=True)
    data = make_ranking(n_queries=90, n_features=5, random_state=0)
    frame = data.X.astype(np.float64)
    columns = ["title_score", "clicks", "price", "country", "hour"]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(frame, columns=columns)
    train, test = data.qid < 60, data.qid >= 60
    sizes = np.unique(data.qid[train], return_counts=True)[1]
    teacher = lightgbm.LGBMRanker(n_estimators=20, verbose=-1)
    teacher.fit(frame[train], data.y[train], group=sizes)
    ranker = DistilledRanker(teacher.booster_, MLPRanker((8,), max_iter=3), random_state=0)
    return {
        "X": frame[train], "y": data.y[train], "qid": data.qid[train],
        "X_test": frame[test], "y_test": data.y[test], "qid_test": data.qid[test],
        "teacher": teacher.booster_,
        "ranker": ranker.fit(frame[train], data.y[train], qid=data.qid[train]),
    }  # fmt: skip


def test_the_page_about_worth(names, capsys):
    found = run("worth.md", names)
    assert found["report"].n_queries == 30
    assert found["suggestion"].best in {shape.name for shape in found["suggestion"].shapes}
    assert found["explanation"].error < 1e-4
    assert Path("quality_and_speed.png").stat().st_size > 0
    assert "Checks" in capsys.readouterr().out


def test_the_page_about_search_engines(names, capsys):
    pytest.importorskip("skl2onnx")
    run("search_engines.md", names)
    assert Path("model.json").stat().st_size > 0
    assert Path("application/files/student.onnx").stat().st_size > 0
    assert "bm25(title)" in capsys.readouterr().out

"""
The example of the README, with files of its own
================================================

The README begins with a model file and two logs. This script makes them of MovieLens 100k: each
user is a query, 700 users are in the log, and 243 others in the later one. A LightGBM ranker of 300
trees is fitted on the log and saved. Then the lines of the README run as they stand.

Run it with ``python examples/readme.py``. It writes its files to ``out/readme/``.
"""

import argparse
import os
import re
from pathlib import Path

import lightgbm
import numpy as np

from skdistill.datasets import build_ranking_table, load_movielens

README = Path(__file__).parent.parent / "README.md"


def write_files(folder, n_estimators):
    """Write ``log.parquet``, ``later.parquet`` and ``ranker.txt``."""
    table = build_ranking_table(*load_movielens("100k"))
    log = table.X.assign(query=table.qid, label=table.y).sort_values("query", kind="stable")
    users = np.random.default_rng(0).permutation(np.unique(table.qid))
    is_later = log["query"].isin(users[700:])
    log[~is_later].to_parquet(folder / "log.parquet", index=False)
    log[is_later].to_parquet(folder / "later.parquet", index=False)
    rows = log[~is_later]
    ranker = lightgbm.LGBMRanker(
        n_estimators=n_estimators,
        learning_rate=9 / n_estimators,
        min_child_samples=50,
        colsample_bytree=0.5,
        random_state=0,
        verbose=-1,
    )
    ranker.fit(table.X.loc[rows.index], rows["label"], group=rows.groupby("query").size())
    ranker.booster_.save_model(folder / "ranker.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("out/readme"), help="output folder")
    parser.add_argument("--n-estimators", type=int, default=300, help="trees of the ranker")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_files(arguments.out, arguments.n_estimators)
    os.chdir(arguments.out)
    code = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), {})


if __name__ == "__main__":
    main()

"""Training from files that do not fit into memory."""

import pandas as pd
import pytest

from skdistill.dask_training import fit_student_dask, fit_teacher_dask
from skdistill.metrics import ndcg_score
from skdistill.serving import TableError
from skdistill.streaming import fit_from_files
from skdistill.students import MLPRanker
from tests.clusters import NAMES, partitions


def test_training_from_files_sees_every_query_once_an_epoch(frame, tmp_path, monkeypatch):
    from skdistill.tables import parquet, reading

    for module in (parquet, reading):
        monkeypatch.setattr(module, "BATCH_ROWS", 500)
    monkeypatch.setattr(parquet, "SHARD_ROWS", 1500)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=1500)
    seen = []

    class Watched(MLPRanker):
        def partial_fit(self, X, y=None, *, qid=None, **options):
            seen.append((len(X), list(pd.unique(qid))))
            return super().partial_fit(X, y, qid=qid, **options)

    student = fit_from_files(
        Watched((16,), random_state=0), tmp_path / "*.parquet", query_column="query",
        label_column="label", features=NAMES, n_epochs=8, random_state=0,
    )  # fmt: skip
    assert sum(rows for rows, _ in seen) == 8 * len(frame)
    assert max(rows for rows, _ in seen) < 700
    assert list(student.feature_names_in_) == NAMES
    # Queries are whole but where a shard's end cuts them.
    n_shards = -(-len(frame) // 1500)
    n_lists = sum(len(queries) for _, queries in seen) / 8
    assert frame["query"].nunique() <= n_lists < frame["query"].nunique() + n_shards
    whole = MLPRanker((16,), max_iter=8, early_stopping=False, random_state=0)
    whole.fit(frame[NAMES], frame["label"], qid=frame["query"])
    streamed, expected = (
        ndcg_score(frame["label"], one.predict(frame[NAMES]), frame["query"], k=10)
        for one in (student, whole)
    )
    assert streamed > 0.97 * expected
    with pytest.raises(ValueError, match="Pass label_column, teacher_column"):
        fit_from_files(student, tmp_path, query_column="query")


@pytest.mark.parametrize("leaked", ["label", "query"])
def test_what_is_to_be_predicted_is_no_feature(frame, tmp_path, leaked):
    """A student that reads its label is perfect until it is served."""
    frame.to_parquet(tmp_path / "a.parquet")
    targets = {"query_column": "query", "label_column": "label"}
    features = [*NAMES, leaked]
    with pytest.raises(TableError, match=rf"features \['{leaked}'\] are also named as query"):
        fit_from_files(MLPRanker((4,)), tmp_path / "a.parquet", features=features, **targets)
    for fit in (fit_teacher_dask, fit_student_dask):
        with pytest.raises(TableError, match="Remove them from the features"):
            fit(None, partitions(frame), features=features, **targets)

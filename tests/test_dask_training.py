"""Teachers, labels and students on a Dask cluster of several processes, one of which is killed."""

import lightgbm
import numpy as np

from skdistill.dask_training import fit_student_dask, fit_teacher_dask, label_dask
from skdistill.metrics import ndcg_score
from skdistill.students import MLPRanker
from tests.clusters import NAMES, dies_once, partitions


def test_a_teacher_learns_and_labels_on_dask(client, frame):
    table = partitions(frame)
    teacher = lightgbm.DaskLGBMRanker(
        client=client, n_estimators=20, num_leaves=8, random_state=0, verbosity=-1
    )
    options = {"features": NAMES, "label_column": "label", "query_column": "query"}
    local = fit_teacher_dask(teacher, table, **options)
    assert isinstance(local, lightgbm.LGBMRanker)
    labelled = label_dask(local, table, features=NAMES).compute()
    np.testing.assert_allclose(labelled["teacher_score"], local.predict(frame[NAMES]))
    quality = ndcg_score(labelled["label"], labelled["teacher_score"], labelled["query"], k=10)
    alone = lightgbm.LGBMRanker(n_estimators=20, num_leaves=8, random_state=0, verbosity=-1)
    alone.fit(frame[NAMES], frame["label"], group=frame.groupby("query").size())
    expected = ndcg_score(frame["label"], alone.predict(frame[NAMES]), frame["query"], k=10)
    assert quality > 0.97 * expected


def test_replicas_that_are_averaged_learn_as_one_worker_does(client, frame, tmp_path):
    """Within the spread of seeds; and the same to the bit when a worker dies."""
    table, test = partitions(frame[frame["query"] < 160]), frame[frame["query"] >= 160]
    options = {"features": NAMES, "label_column": "label", "query_column": "query"}

    def quality(student):
        return ndcg_score(test["label"], student.predict(test[NAMES]), test["query"], k=10)

    def make(seed):
        return MLPRanker((16,), batch_size=8, random_state=seed)

    apart = [
        fit_student_dask(make(seed), table, n_rounds=25, n_replicas=2, **options)
        for seed in range(5)
    ]
    alone = [
        fit_student_dask(make(seed), table, n_rounds=25, n_replicas=1, **options)
        for seed in range(5)
    ]
    of_apart, of_alone = [quality(s) for s in apart], [quality(s) for s in alone]
    by_chance = ndcg_score(test["label"], np.zeros(len(test)), test["query"], k=10)
    assert min(of_apart) > 1.2 * by_chance
    spread = np.std(of_alone, ddof=1)
    assert abs(np.mean(of_apart) - np.mean(of_alone)) < max(3 * spread, 0.01), (
        of_apart,
        of_alone,
        by_chance,
    )

    broken = table.map_partitions(dies_once, str(tmp_path / "died"), meta=table._meta)
    again = fit_student_dask(make(0), broken, n_rounds=25, n_replicas=2, **options)
    assert (tmp_path / "died").exists()
    for name, array in apart[0].params_.items():
        np.testing.assert_array_equal(again.params_[name], array)

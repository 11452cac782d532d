"""Students whose parameters are mapped from a file."""

import joblib
import numpy as np
import pytest

from skdistill.datasets import make_ranking
from skdistill.students import STUDENTS

DATA = make_ranking(n_queries=10, n_features=4, random_state=0)


@pytest.mark.parametrize("name", ["LinearRanker", "FactorizationMachineRanker", "MLPRanker"])
def test_training_goes_on_from_a_mapped_file_and_leaves_it_as_it_is(tmp_path, name):
    student = STUDENTS[name](random_state=0).partial_fit(DATA.X, DATA.y, qid=DATA.qid)
    joblib.dump(student, tmp_path / "student")
    before = (tmp_path / "student").read_bytes()
    mapped = joblib.load(tmp_path / "student", mmap_mode="r")
    for one in (mapped, student):
        one.partial_fit(DATA.X, DATA.y, qid=DATA.qid)
    np.testing.assert_array_equal(mapped.predict(DATA.X), student.predict(DATA.X))
    assert (tmp_path / "student").read_bytes() == before

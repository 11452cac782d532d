"""The mean of students that were trained apart."""

import numpy as np
import pytest

from skdistill.students import FactorizationMachineRanker, MLPRanker
from skdistill.students.averaging import mean_student
from tests.clusters import NAMES


@pytest.mark.parametrize(
    "student", [MLPRanker((4,), random_state=0), FactorizationMachineRanker(3, random_state=0)]
)
def test_the_mean_of_students_is_the_weighted_mean_of_their_parameters(frame, student):
    options = {"qid": frame["query"]}
    first = student.partial_fit(frame[NAMES], frame["label"], **options)
    same = mean_student([first, first], [1, 3])
    for name, array in first.params_.items():
        np.testing.assert_allclose(same.params_[name], array, rtol=1e-6)
    import copy

    second = copy.deepcopy(first).partial_fit(frame[NAMES], frame["label"], **options)
    mean = mean_student([first, second], [1, 3])
    for name, array in first.params_.items():
        np.testing.assert_allclose(
            mean.params_[name], 0.25 * array + 0.75 * second.params_[name], rtol=1e-4, atol=1e-6
        )
    further = mean_student([first, second], [1, 3], start=first, step=2.0)
    for name, array in first.params_.items():
        expected = array + 2 * 0.75 * (second.params_[name] - array)
        np.testing.assert_allclose(further.params_[name], expected, rtol=1e-4, atol=1e-6)
    # What it was made of stays, and it goes on by itself.
    before = first.predict(frame[NAMES])
    assert not np.array_equal(mean.predict(frame[NAMES]), before)
    mean.partial_fit(frame[NAMES], frame["label"], **options)
    np.testing.assert_array_equal(first.predict(frame[NAMES]), before)


def test_a_step_needs_a_start(frame):
    student = MLPRanker((4,), random_state=0)
    student.partial_fit(frame[NAMES], frame["label"], qid=frame["query"])
    with pytest.raises(ValueError, match="step=2.0 moves the mean away from start. Pass start"):
        mean_student([student, student], [1, 1], step=2.0)

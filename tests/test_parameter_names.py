"""A parameter that there is not is refused with the one that is meant."""

import copy
import inspect
import pickle
from dataclasses import dataclass

import pytest
from sklearn.base import clone

from skdistill import DistilledRanker, RankingCascade, TwoTowerRetriever
from skdistill.models import Network
from skdistill.students import BaseStudent, LinearRanker, MLPRanker
from skdistill.teachers import MLPEnsembleRanker


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        (MLPRanker, {"alfa": 1}, r"MLPRanker has no parameter 'alfa'. Did you mean 'alpha'\?"),
        (LinearRanker, {"n_estimators": 3}, r"'n_estimators'. Its parameters are \['alpha', "),
        (MLPEnsembleRanker, {"n_estimator": 3}, "Did you mean 'n_estimators'"),
        (TwoTowerRetriever, {"embeding_dim": 3}, "Did you mean 'embedding_dim'"),
        (RankingCascade, {"teachr": None}, "Did you mean 'teacher'"),
        (DistilledRanker, {"temperature_": 1}, "Did you mean 'temperature'"),
        (
            DistilledRanker,
            {"categorical_features": ["shop"]},
            r"Set it in the student: DistilledRanker\(teacher, MLPRanker\(categorical_features=",
        ),
    ],
)
def test_what_is_meant_is_said(estimator, params, message):
    with pytest.raises(TypeError, match=message):
        estimator(**params)


def test_one_name_is_no_list_of_columns():
    student = MLPRanker(categorical_features="shop")
    with pytest.raises(ValueError, match=r"takes a list: pass \['shop'\], not 'shop'"):
        student.fit([[1.0], [2.0]], [0, 1], qid=[0, 0])


def test_estimators_are_made_copied_and_described_as_before():
    student = MLPRanker((8,), alpha=0.5)
    for other in (clone(student), copy.deepcopy(student), pickle.loads(pickle.dumps(student))):
        assert other.get_params() == student.get_params()
    assert next(iter(inspect.signature(MLPRanker).parameters)) == "hidden_layer_sizes"
    assert next(iter(inspect.signature(DistilledRanker).parameters)) == "teacher"


def test_subclasses_have_parameters_of_their_own():
    @dataclass(kw_only=True, eq=False, repr=False)
    class Narrow(BaseStudent):
        n_units: int = 4

        def make_model(self):
            return Network((self.n_units,))

    class AnyName(MLPRanker):
        def __init__(self, **params):
            super().__init__(**params)

    assert Narrow(n_units=3).n_units == 3
    with pytest.raises(TypeError, match="Did you mean 'n_units'"):
        Narrow(n_unit=3)
    assert AnyName(alpha=0.25).alpha == 0.25
    with pytest.raises(TypeError, match="alfa"):
        AnyName(alfa=1)

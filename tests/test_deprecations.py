"""What was called otherwise in a former release still works, and says so."""

import importlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skdistill import TwoTowerRetriever
from skdistill.datasets import make_retrieval
from skdistill.losses import Listwise, get_loss
from skdistill.public_names import FORMER_NAMES
from skdistill.students import LinearRanker


def resolve(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_former_names_lead_to_the_classes_of_today(former):
    thing = resolve(FORMER_NAMES[former])
    assert resolve(former) is thing
    assert f"{thing.__module__}.{thing.__qualname__}" == FORMER_NAMES[former]


def test_a_former_module_has_no_other_names():
    with pytest.raises(ImportError, match="cannot import name 'Anything'"):
        from skdistill.teacher_check import Anything  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("skdistill.never_was")


def test_draw_correction_is_logq_correction():
    data = make_retrieval(n_queries=40, n_items=60, random_state=0)

    def fit(**parameters):
        towers = TwoTowerRetriever(
            query_columns=data.query_columns,
            item_columns=data.item_columns,
            n_candidates=16,
            max_iter=3,
            random_state=0,
            **parameters,
        )
        known = {"items": data.items, "teacher_scores": data.utility}
        return towers.fit(data.X, data.y, qid=data.qid, **known).predict(data.X)

    with pytest.warns(FutureWarning, match="renamed to logq_correction"):
        former = fit(draw_correction=1.0)
    assert_array_equal(former, fit(logq_correction=1.0))
    assert not np.array_equal(former, fit())


def test_positive_share_is_positive_fraction():
    with pytest.warns(FutureWarning, match="renamed to positive_fraction"):
        former = make_retrieval(20, 10, positive_share=0.2, random_state=0)
    assert_array_equal(former.X, make_retrieval(20, 10, positive_fraction=0.2, random_state=0).X)
    assert former.y.mean() == 0.2


class ThreeMethods:
    """A loss of one's own, as the contract of 0.1.0 asked for."""

    def __init__(self):
        self.inner = Listwise()

    def soft_target(self, teacher_scores, queries):
        return self.inner.soft_target(teacher_scores, queries)

    def hard_target(self, labels, queries):
        return self.inner.hard_target(labels, queries)

    def value_and_gradient(self, scores, target, queries, weight=None):
        return self.inner.value_and_gradient(scores, target, queries, weight)


def test_a_loss_of_three_methods_gets_the_defaults(table):
    student = LinearRanker(loss=ThreeMethods(), max_iter=3, random_state=0)
    with pytest.warns(FutureWarning, match="Subclass skdistill.protocols.Loss"):
        student.fit(table.X, table.y, qid=table.qid)
    same = LinearRanker(max_iter=3, random_state=0).fit(table.X, table.y, qid=table.qid)
    assert_array_equal(student.predict(table.X), same.predict(table.X))
    with pytest.warns(FutureWarning):
        assert get_loss(ThreeMethods()).logit_scale is None

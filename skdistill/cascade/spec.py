"""Reads the stages that a user has named, and checks that they can follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator

from skdistill.cascade.cuts import Cut
from skdistill.inputs.checks import check_k
from skdistill.inputs.pipelines import last_step
from skdistill.public_names import set_module
from skdistill.teachers.fit_arguments import query_parameter
from skdistill.teachers.routing import is_prefit

TEACHER = "teacher"


@set_module("skdistill.cascade")
class FirstTrees(BaseEstimator):
    """A stage of a :class:`RankingCascade` that scores by the first trees of its teacher.

    Parameters
    ----------
    n_trees : int, default=10
        Number of boosting iterations; see :func:`skdistill.teachers.first_trees`.
    """

    def __init__(self, n_trees: int = 10) -> None:
        self.n_trees = n_trees


@dataclass(frozen=True)
class StageSpec:
    """A stage as the user named it.

    Parameters
    ----------
    name : str
        Its name.
    model : estimator, "teacher", or dict of str to retriever
        What scores; for the first stage, its retrievers by name.
    cut : Cut
        What it passes on.
    quotas : tuple of int
        Of a first stage, the rate of each retriever.
    """

    name: str
    model: Any
    cut: Cut
    quotas: tuple[int, ...] = ()

    @property
    def is_teacher(self) -> bool:
        """Whether the stage is the teacher itself."""
        return isinstance(self.model, str) and self.model == TEACHER


def read_stages(stages: Any) -> list[StageSpec]:
    """Read and check the parameter ``stages``.

    Parameters
    ----------
    stages : list of (str, estimator, int or Cut)
        What the user passed.

    Returns
    -------
    list of StageSpec

    Raises
    ------
    ValueError
        If there is no second stage, a name is used twice or cannot be a parameter, a stage returns
        more than it gets, or a limit has no meaning.
    """
    if not isinstance(stages, Sequence) or len(stages) < 2:
        raise ValueError(
            "stages must be a list of at least two: a retriever, and what ranks the items that it "
            f"returns, each as (name, estimator, size); got {stages!r}."
        )
    for entry in stages:
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise ValueError(f"A stage must be a tuple (name, estimator, size), got {entry!r}.")
    (first_name, first, first_size), *later = stages
    specs = [_read_retrieval(first_name, first, first_size)]
    names = [*specs[0].model, *([first_name] if isinstance(first, list) else [])]
    for name, model, size in later:
        cut = Cut.of(size, name)
        if cut.size > specs[-1].cut.size:
            raise ValueError(
                f"The stage {name!r} would return {cut.size} items, but the stage "
                f"{specs[-1].name!r} before it passes {specs[-1].cut.size}. A stage cannot return "
                "more than it gets."
            )
        specs.append(StageSpec(name, model, cut))
        names.append(name)
    _check_names(names)
    return specs


def default_length(specs: list[StageSpec], k: int | None) -> int:
    """Return a number of items per query, checked; the size of the last stage by default.

    Parameters
    ----------
    specs : list of StageSpec
        The stages.
    k : int or None
        The number.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is not an integer of at least 1.
    """
    k = specs[-1].cut.size if k is None else k
    check_k(k)
    return k


def check_length(specs: list[StageSpec], k: int | None) -> int:
    """Check the length of the lists that a cascade is to return.

    Parameters
    ----------
    specs : list of StageSpec
        The stages.
    k : int or None
        The length; the size of the last stage by default.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is less than 1, or larger than the size of the first stage.
    """
    k, first = default_length(specs, k), specs[0]
    if k > first.cut.size:
        raise ValueError(
            f"k={k} items cannot be ranked: the first stage {first.name!r} returns "
            f"{first.cut.size}. Raise its size."
        )
    return k


def _read_retrieval(name: str, model: Any, size: Any) -> StageSpec:
    """Read the first stage, one retriever or a list of them with quotas."""
    cut = Cut.of(size, name)
    if not isinstance(model, list):
        return StageSpec(name, {name: model}, cut, (cut.size,))
    if not model:
        raise ValueError(f"The stage {name!r} has an empty list of retrievers.")
    quotas = []
    for entry in model:
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise ValueError(
                f"A retriever of the stage {name!r} must be a tuple (name, retriever, quota), got "
                f"{entry!r}."
            )
        member, _, quota = entry
        if not isinstance(quota, Integral) or quota < 1:
            raise ValueError(f"The quota of {member!r} must be a positive int, got {quota!r}.")
        quotas.append(int(quota))
    if (cut.min_score, cut.max_drop) != (None, None):
        raise ValueError(
            f"The stage {name!r} unites several retrievers, whose scores cannot be compared with "
            "one limit. Leave out min_score and max_drop."
        )
    return StageSpec(name, {member: one for member, one, _ in model}, cut, tuple(quotas))


def check_models(specs: list[StageSpec]) -> None:
    """Check that the first stage can retrieve, and that the later ones can learn and score.

    Parameters
    ----------
    specs : list of StageSpec
        The stages.

    Raises
    ------
    TypeError
        If a stage cannot.
    """
    for name, retriever in specs[0].model.items():
        _check_retrieves(name, retriever)
    for spec in specs[1:]:
        _check_scores(spec.name, spec.model)


def _check_retrieves(name: str, model: Any) -> None:
    if isinstance(model, type) or not hasattr(model, "retrieve"):
        raise TypeError(
            f"The first stage needs a method retrieve(queries, k, exclude=, mask=), such as that "
            f"of TwoTowerRetriever; {name!r} is {_shown(model)}."
        )


def _check_scores(name: str, model: Any) -> None:
    """Refuse what cannot score rows, or cannot learn the teacher's scores."""
    if isinstance(model, FirstTrees) or (isinstance(model, str) and model == TEACHER):
        return
    methods = ("predict", "predict_proba", "decision_function", "__call__")
    if isinstance(model, type | str) or not any(hasattr(model, method) for method in methods):
        raise TypeError(
            f'The stage {name!r} must be "teacher", a student, or another estimator with predict, '
            f"got {_shown(model)}."
        )
    if not is_prefit(model) and query_parameter(last_step(model)) in ("group", "group_id"):
        raise TypeError(
            f"The stage {name!r} is {type(last_step(model)).__name__}, which learns from whole "
            "numbers and not from the teacher's scores. Use a regressor such as LGBMRegressor, a "
            "student, FirstTrees, or a fitted model in a FrozenEstimator."
        )


def _shown(model: Any) -> str:
    return f"{model.__name__} (a class)" if isinstance(model, type) else repr(model)


def _check_names(names: list[Any]) -> None:
    """Names are parts of the names of parameters, as in a Pipeline."""
    for name in names:
        if not isinstance(name, str) or not name or "__" in name:
            raise ValueError(
                f"The name of a stage must be a text without double underscores, got {name!r}."
            )
        if names.count(name) > 1:
            raise ValueError(f"Names of stages must be distinct, but {name!r} is used twice.")

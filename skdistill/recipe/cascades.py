"""The section ``[cascade]`` of a recipe, and its stages."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skdistill.cascade import Cut, FirstTrees, PopularityRetriever, RankingCascade
from skdistill.cascade.composition import LIMITS
from skdistill.cascade.spec import TEACHER, check_models, read_stages
from skdistill.recipe.errors import RecipeError, check_keys
from skdistill.recipe.estimators import (
    OTHER_TEACHERS,
    class_of,
    make_estimator,
    make_steps,
    steps_of,
)
from skdistill.students import STUDENTS
from skdistill.teachers import TEACHERS
from skdistill.towers import RETRIEVERS

DATA_KEYS = {
    "train", "test", "items", "query_column", "label_column", "weight_column", "item_id_column",
    "csv",
}  # fmt: skip
# Keys of a stage and of a retriever, besides the parameters of the estimator.
STAGE_KEYS = {"name", *LIMITS}
LATER_KEYS = STAGE_KEYS | {"features", "preprocess"}
RETRIEVER_KEYS = {"name", "quota"}
# What the cascade itself passes to its stages.
NOT_OF_STAGES = {"teacher", "pair_features", "query_column"}


def check_cascade_sections(path: Path, sections: Mapping[str, Any]) -> None:
    """Check that a recipe with a cascade has what a cascade needs, and nothing of a single student.

    Parameters
    ----------
    path : Path
        The recipe.
    sections : dict of str to object
        Its sections.

    Raises
    ------
    RecipeError
        If a key is missing, or does not belong there.
    """
    for name in ("student", "preprocess", "distillation"):
        if sections.get(name):
            raise RecipeError(
                f"{path}: a recipe with [cascade] has no section [{name}]. Students, and "
                "the steps before them, are named in [[cascade.stage]]."
            )
    data = sections["data"]
    check_keys(path, "data", data, DATA_KEYS)
    if "items" not in data:
        raise RecipeError(
            f"{path}: [data] lacks the key items, the table of the items that the cascade ranks."
        )
    columns_of_key(path, "cascade", sections["cascade"], "query_columns")
    if "query_columns" not in sections["cascade"]:
        raise RecipeError(
            f"{path}: [cascade] lacks the key query_columns, the columns that describe a query."
        )


def make_cascade(path: Path, section: dict[str, Any], teacher: Any, seed: Any) -> RankingCascade:
    """Make the cascade that ``[cascade]`` describes.

    Parameters
    ----------
    path : Path
        The recipe.
    section : dict of str to object
        The section, with its stages.
    teacher : estimator or Booster
        What ``[teacher]`` describes.
    seed : int
        Random state of the cascade.

    Returns
    -------
    RankingCascade
        Not fitted. If the recipe names no item columns, they are None.

    Raises
    ------
    RecipeError
        If a key or a value is invalid.
    """
    parameters = set(inspect.signature(RankingCascade).parameters) - {
        "stages", "teacher", "features", "query_column", "random_state",
    }  # fmt: skip
    check_keys(path, "cascade", section, {"stage", "teacher_features", *parameters})
    given = {name: section[name] for name in parameters & section.keys()}
    for name in ("query_columns", "item_columns", "teacher_features"):
        columns_of_key(path, "cascade", section, name)
    stages = section.get("stage")
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise RecipeError(f"{path}: [cascade] needs its stages as sections [[cascade.stage]].")
    features = {
        stage.get("name"): columns_of_key(path, "cascade.stage", stage, "features")
        for stage in stages
        if "features" in stage
    }
    if "teacher_features" in section:
        features[TEACHER] = section["teacher_features"]
    first, *later = stages or [{}]
    made = [_first_stage(path, first), *(_later_stage(path, stage) for stage in later)]
    _check_can_be_saved(path, made[1:], teacher)
    try:
        check_models(read_stages(made))
        return RankingCascade(
            made, teacher=teacher, features=features or None, random_state=seed, **given
        )
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: [[cascade.stage]] {error}") from error


def columns_of_key(path: Path, section: str, given: Mapping[str, Any], key: str) -> Any:
    """Return the columns that a key names, None if there are none.

    Raises
    ------
    RecipeError
        If they are not a list of names.
    """
    columns = given.get(key)
    is_list = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if key in given and not (is_list and columns):
        raise RecipeError(f"{path}: [{section}] {key} must be a list of names, got {columns!r}.")
    return columns


def with_columns(cascade: RankingCascade, item_columns: list[str]) -> None:
    """Set the item columns of a cascade, and both kinds of columns of its retrievers.

    Parameters
    ----------
    cascade : RankingCascade
        Changed in place. Columns that the recipe names stay as they are.
    item_columns : list of str
        All columns of the catalogue but the ids.
    """
    if cascade.item_columns is None:
        cascade.item_columns = item_columns
    for retriever in read_stages(cascade.stages)[0].model.values():
        for name in ("query_columns", "item_columns"):
            if name in retriever.get_params(deep=False) and getattr(retriever, name) is None:
                setattr(retriever, name, list(getattr(cascade, name)))


def _first_stage(path: Path, section: dict[str, Any]) -> tuple[str, Any, Any]:
    """Make the first stage, one retriever or several."""
    if "retriever" not in section:
        return _entry(section, _retriever(path, "cascade.stage", section, STAGE_KEYS))
    check_keys(path, "cascade.stage", section, STAGE_KEYS | {"retriever"})
    given = section["retriever"]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise RecipeError(
            f"{path}: the retrievers of a stage must be sections [[cascade.stage.retriever]]."
        )
    retrievers = [
        (
            one.get("name"),
            _retriever(path, "cascade.stage.retriever", one, RETRIEVER_KEYS),
            one.get("quota"),
        )
        for one in given
    ]
    return _entry(section, retrievers)


def _retriever(path: Path, name: str, section: dict[str, Any], keys: set[str]) -> Any:
    registry = {**RETRIEVERS, "PopularityRetriever": PopularityRetriever}
    cls = _class(path, name, section, registry)
    # The columns may be known only with the catalogue.
    columns = {"query_columns", "item_columns"} & inspect.signature(cls).parameters.keys()
    made = make_estimator(path, name, cls, dict.fromkeys(columns) | section, keys)
    for key in columns:
        setattr(made, key, columns_of_key(path, name, section, key))
    return made


def _later_stage(path: Path, section: dict[str, Any]) -> tuple[str, Any, Any]:
    """Make a stage after the first: the teacher, its first trees, a student or a regressor."""
    if "trees" in section:
        check_keys(path, "cascade.stage", section, STAGE_KEYS | {"features", "trees"})
        return _entry(section, FirstTrees(section["trees"]))
    if section.get("estimator") == TEACHER:
        check_keys(path, "cascade.stage", section, STAGE_KEYS | {"features", "estimator"})
        return _entry(section, TEACHER)
    regressors = {name: cls for name, cls in TEACHERS.items() if "Regressor" in name}
    cls = _class(path, "cascade.stage", section, {TEACHER: None, **STUDENTS, **regressors})
    model = make_estimator(path, "cascade.stage", cls, section, LATER_KEYS)
    steps = steps_of(path, section)
    return _entry(section, make_pipeline(*make_steps(path, steps), model) if steps else model)


def _check_can_be_saved(path: Path, later: Sequence[tuple[str, Any, Any]], teacher: Any) -> None:
    """Refuse a teacher that is a stage if the file of the cascade could not hold it."""
    model = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    library = type(model).__module__.partition(".")[0]
    uses = [name for name, stage, _ in later if stage == TEACHER or isinstance(stage, FirstTrees)]
    if uses and library in {cls.partition(".")[0] for cls in OTHER_TEACHERS.values()}:
        raise RecipeError(
            f"{path}: the stage {uses[0]!r} is the teacher, a model of {library}, which the file "
            "of the cascade cannot hold. Let a student be the stage, take a LightGBM teacher, or "
            "fit the cascade in Python and store it by joblib.dump."
        )


def _class(path: Path, name: str, section: dict[str, Any], registry: Mapping[str, Any]) -> Any:
    """Find the class of a stage, and refuse parameters that the cascade sets."""
    of_cascade = sorted(NOT_OF_STAGES & section.keys())
    if of_cascade:
        raise RecipeError(
            f"{path}: [{name}] {', '.join(of_cascade)} cannot be set: the cascade has one teacher, "
            "in [teacher], for all stages."
        )
    return class_of(path, name, {"estimator": None} | section, registry)


def _entry(section: dict[str, Any], model: Any) -> tuple[str, Any, Any]:
    """Make an entry of the parameter ``stages``; its name and size are checked with the others."""
    limits: dict[str, Any] = {limit: section.get(limit) for limit in LIMITS}
    return section.get("name", ""), model, Cut(**limits)

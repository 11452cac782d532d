"""Estimators that the sections of a recipe name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline

from skdistill.recipe.errors import RecipeError, check_keys
from skdistill.serving.teacher_files import not_installed
from skdistill.students import STUDENTS
from skdistill.teachers import TEACHERS
from skdistill.teachers.parameters import parameter_names

# Teachers of other libraries, which a model file cannot hold because their models are no text.
OTHER_TEACHERS = {
    "XGBRanker": "xgboost.XGBRanker",
    "XGBClassifier": "xgboost.XGBClassifier",
    "XGBRegressor": "xgboost.XGBRegressor",
    "CatBoostRanker": "catboost.CatBoostRanker",
    "CatBoostClassifier": "catboost.CatBoostClassifier",
    "CatBoostRegressor": "catboost.CatBoostRegressor",
}
TRANSFORMERS = (
    "sklearn.preprocessing",
    "sklearn.impute",
    "sklearn.feature_selection",
    "sklearn.decomposition",
)
# What a library prints or writes unless it is told not to, and the names by which it is told.
QUIET: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "lightgbm": (("verbosity", "verbose"), {"verbosity": -1}),
    "catboost": (
        ("verbose", "silent", "logging_level", "verbose_eval", "metric_period"),
        {"verbose": False},
    ),
}


def make_teacher(path: Path, section: dict[str, Any]) -> Any:
    """Make the teacher that ``[teacher]`` names."""
    registry = {**TEACHERS, **OTHER_TEACHERS}
    section = {"estimator": "LGBMRanker"} | section
    cls = class_of(path, "teacher", section, registry)
    return make_estimator(path, "teacher", cls, section)


def make_student(path: Path, section: dict[str, Any], preprocess: Sequence[dict[str, Any]]) -> Any:
    """Make the student that ``[student]`` names, behind the steps of ``[preprocess]``."""
    section = {"estimator": "MLPRanker"} | section
    cls = class_of(path, "student", section, STUDENTS)
    student = make_estimator(path, "student", cls, section)
    return make_pipeline(*make_steps(path, preprocess), student) if preprocess else student


def steps_of(path: Path, sections: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sections ``[preprocess]`` or ``[[preprocess]]`` as a list.

    Parameters
    ----------
    path : Path
        The recipe.
    sections : dict of str to object
        What may hold them: the recipe, or a stage of a cascade.

    Returns
    -------
    list of dict

    Raises
    ------
    RecipeError
        If they are something else than sections, or one does not name its columns in a list.
    """
    given = sections.get("preprocess", [])
    steps = [given] if isinstance(given, dict) else given
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise RecipeError(
            f"{path}: preprocess must be a section [preprocess], or several [[preprocess]], got "
            f"{given!r}."
        )
    for step in steps:
        named_columns(path, step)
    return steps


def make_steps(path: Path, sections: Sequence[dict[str, Any]]) -> list[Any]:
    """Make the steps before a student.

    Neighbouring sections with columns become one ColumnTransformer, so that all of their columns
    are those of the table. Sections with the same columns follow each other there.
    """
    steps: list[Any] = []
    for has_columns, neighbours in groupby(sections, key=lambda section: "columns" in section):
        if not has_columns:
            steps += [_transformer(path, section) for section in neighbours]
            continue
        by_columns: dict[tuple[str, ...], list[Any]] = {}
        for section in neighbours:
            columns = tuple(named_columns(path, section))
            by_columns.setdefault(columns, []).append(_transformer(path, section))
        parts = [
            (
                "-".join(columns),
                chain[0] if len(chain) == 1 else make_pipeline(*chain),
                list(columns),
            )
            for columns, chain in by_columns.items()
        ]
        steps.append(ColumnTransformer(parts, remainder="passthrough"))
    return steps


def named_columns(path: Path, section: dict[str, Any]) -> list[str]:
    """Return the columns that a section of ``[preprocess]`` names.

    Raises
    ------
    RecipeError
        If they are not a list of names.
    """
    columns = section.get("columns", [])
    is_list = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if not is_list or ("columns" in section and not columns):
        raise RecipeError(
            f"{path}: [preprocess] columns must be a list of names, got {columns!r}. Leave it out "
            "to transform all columns."
        )
    return columns


def _transformer(path: Path, section: dict[str, Any]) -> Any:
    """Make the transformer of scikit-learn that a section names."""
    kind = section.get("estimator")
    modules = map(import_module, TRANSFORMERS)
    found = (getattr(module, str(kind), None) for module in modules)
    cls = next((one for one in found if inspect.isclass(one) and hasattr(one, "transform")), None)
    if cls is None:
        raise RecipeError(
            f"{path}: [preprocess] estimator must be a transformer of {', '.join(TRANSFORMERS)}, "
            f"got {kind!r}."
        )
    return make_estimator(path, "preprocess", cls, section, {"columns"})


def class_of(path: Path, name: str, section: dict[str, Any], registry: Mapping[str, Any]) -> type:
    """Find the class that a section names."""
    kind = section["estimator"]
    if kind not in registry:
        raise RecipeError(
            f"{path}: [{name}] estimator must be one of {list(registry)}, got {kind!r}."
        )
    cls = registry[kind]
    if not isinstance(cls, str):
        return cls
    module, _, attribute = cls.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        what = f"{path}: [{name}] estimator {kind}"
        raise RecipeError(not_installed(what, error.name)) from error


def make_estimator(
    path: Path,
    name: str,
    cls: Any,
    section: dict[str, Any],
    other_keys: frozenset[str] | set[str] = frozenset(),
) -> Any:
    """Make an estimator with the parameters that a section sets."""
    check_keys(path, name, section, {"estimator", *other_keys, *parameter_names(cls, section)})
    parameters = inspect.signature(cls).parameters
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    lacking = [
        key
        for key, value in parameters.items()
        if value.default is value.empty and value.kind not in variadic and key not in section
    ]
    if lacking:
        raise RecipeError(
            f"{path}: [{name}] lacks {', '.join(lacking)}, which {cls.__name__} requires."
        )
    library = cls.__module__.partition(".")[0]
    chosen = {
        # TOML has only lists, but scikit-learn's parameters are tuples. CatBoost takes lists.
        key: tuple(value) if isinstance(value, list) and library != "catboost" else value
        for key, value in section.items()
        if key not in {"estimator", *other_keys}
    }
    names, quiet = QUIET.get(library, ((), {}))
    if not any(key in chosen for key in names):
        chosen |= quiet
    if library == "catboost":
        chosen = {"allow_writing_files": False} | chosen
    try:
        return cls(**chosen)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: [{name}] {cls.__name__}: {error}") from error


def columns_of(student: Any) -> list[str]:
    """Return the columns that the first ColumnTransformer of a student names."""
    if not isinstance(student, Pipeline):
        return []
    steps = (step for _, step in student.steps if isinstance(step, ColumnTransformer))
    first = next(steps, None)
    return [name for _, _, columns in first.transformers for name in columns] if first else []

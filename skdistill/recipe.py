"""Training from a file: a TOML recipe that says which tables, teacher and student to take."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from skdistill.inputs.queries import Queries
from skdistill.metrics import ndcg_score
from skdistill.ranker import DistilledRanker
from skdistill.students import STUDENTS
from skdistill.tables.columns import column_of, training_columns
from skdistill.tables.errors import pyarrow_extra
from skdistill.tables.reading import find_files, read_batches, shards_of
from skdistill.teachers import TEACHERS, score_rows

# What each section may say; estimators' own parameters come on top.
SECTIONS = {
    "": {"seed", "data", "teacher", "student", "distillation"},
    "data": {
        "train", "test", "query_column", "label_column", "teacher_score_column", "features",
        "ignore",
    },
    "teacher": {"estimator", "booster"},
    "student": {"estimator"},
    "distillation": set(),
}  # fmt: skip


class RecipeError(ValueError):
    """A recipe that can't be followed: section, key, what was expected and what came."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says, checked.

    Parameters
    ----------
    path : Path
        Relative paths in it start at its folder.
    data : dict
        ``train``, ``test``, ``query_column``, ``label_column``, ``teacher_score_column``,
        ``features``, ``ignore``.
    ranker : DistilledRanker
        Not fitted.
    """

    path: Path
    data: dict[str, Any]
    ranker: DistilledRanker


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or path
        A TOML file::

            seed = 0

            [data]
            train = "train/*.parquet"     # or a list; Parquet, CSV, Arrow
            test = "test.parquet"         # optional: what the report is about
            query_column = "query"
            label_column = "clicked"      # no value: the teacher alone labels the row
            # features = ["price", ...]   # default: all columns of numbers that are left
            # ignore = ["timestamp"]
            # teacher_score_column = ...  # instead of a teacher

            [teacher]
            estimator = "LGBMRanker"      # or booster = "teacher.txt", a LightGBM model file
            n_estimators = 300

            [student]
            estimator = "MLPRanker"
            hidden_layer_sizes = [64, 32]

            [distillation]                # parameters of DistilledRanker
            alpha = 0.5

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        For what is no TOML, keys that mean nothing, and those that are lacking.
    """
    path = Path(path)
    try:
        sections = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is no TOML: {error}") from error
    _check_keys(path, "", sections, SECTIONS[""])
    for name in ("data", "student", "teacher", "distillation"):
        if not isinstance(sections.setdefault(name, {}), dict):
            raise RecipeError(f"{path}: {name} must be a section, got {sections[name]!r}.")
    data = sections["data"]
    _check_keys(path, "data", data, SECTIONS["data"])
    for key in ("train", "query_column"):
        if key not in data:
            raise RecipeError(f"{path}: [data] lacks {key}.")
    if "label_column" not in data and not (
        "teacher_score_column" in data or "booster" in sections["teacher"]
    ):
        raise RecipeError(
            f"{path}: [data] lacks label_column; only a teacher that is fitted (booster), or "
            "teacher_score_column, does without."
        )
    if "teacher_score_column" in data and sections["teacher"]:
        raise RecipeError(f"{path}: [teacher] and teacher_score_column exclude each other.")
    options = sections["distillation"]
    own = set(inspect.signature(DistilledRanker).parameters) - {
        "teacher", "student", "memory", "query_column", "random_state",
    }  # fmt: skip
    _check_keys(path, "distillation", options, own)
    ranker = DistilledRanker(
        _teacher(path, sections["teacher"]) if "teacher_score_column" not in data else None,
        _estimator(path, "student", {"estimator": "MLPRanker"} | sections["student"], STUDENTS),
        random_state=sections.get("seed", 0),
        **options,
    )
    return Recipe(path, data, ranker)


def follow(recipe: Recipe) -> tuple[DistilledRanker, dict[str, float]]:
    """Train what a recipe says.

    Parameters
    ----------
    recipe : Recipe

    Returns
    -------
    ranker : DistilledRanker
        Fitted.
    report : dict
        Of the test table, where there is one with labels: NDCG@10 of the student, and of the
        teacher if the ranker has one.

    Raises
    ------
    TableError
        For tables that cannot be read or lack a column.
    ValueError
        As the ranker's ``fit``.
    """
    data = recipe.data
    columns, frame = _read(recipe, data["train"])
    ranker = recipe.ranker
    label, given = data.get("label_column"), data.get("teacher_score_column")
    ranker.fit(
        frame[columns.features],
        None if label is None else frame[label].to_numpy(dtype=float),
        qid=frame[data["query_column"]].to_numpy(),
        teacher_scores=column_of(frame, given),
    )
    report = {"training rows": float(len(frame))}
    if "test" not in data or label is None:
        return ranker, report
    _, test = _read(recipe, data["test"], columns.features)
    test = test.sort_values(data["query_column"], kind="stable", ignore_index=True)
    y, qid = test[label].to_numpy(), test[data["query_column"]].to_numpy()
    report["student ndcg@10"] = ndcg_score(y, ranker.predict(test[columns.features]), qid, k=10)
    if given is not None:
        report["teacher ndcg@10"] = ndcg_score(y, test[given].to_numpy(), qid, k=10)
    elif ranker.keep_teacher:
        table = test[ranker.teacher_columns or columns.features]
        queries = Queries.from_sizes(np.unique(qid, return_counts=True)[1])
        teacher = score_rows(ranker.teacher_, table, queries)
        report["teacher ndcg@10"] = ndcg_score(y, teacher, qid, k=10)
    return ranker, report


def _read(recipe: Recipe, given: Any, features: list[str] | None = None) -> tuple[Any, Any]:
    """A table's columns, and all of its rows as a frame."""
    data = recipe.data
    paths = [given] if isinstance(given, str) else given
    files = find_files([recipe.path.parent / path for path in paths])
    names = ("query_column", "label_column", "teacher_score_column")
    targets = [data[name] for name in names if name in data]
    features = features or data.get("features")
    columns = training_columns(files, targets, features, data.get("ignore", []))
    batches = [
        batch
        for file in files
        for shard in shards_of(file)
        for _, batch in read_batches(shard, columns.csv_types)
    ]
    table = pyarrow_extra().Table.from_batches(
        [batch.cast(columns.csv_types) for batch in batches], columns.csv_types
    )
    return columns, table.to_pandas()


def _teacher(path: Path, section: dict[str, Any]) -> Any:
    if "booster" not in section:
        return _estimator(path, "teacher", {"estimator": "LGBMRanker"} | section, TEACHERS)
    _check_keys(path, "teacher", section, {"booster"})
    from lightgbm import Booster
    from lightgbm.basic import LightGBMError

    file = path.parent / section["booster"]
    try:
        return Booster(model_file=file)
    except LightGBMError as error:
        raise RecipeError(f"{path}: [teacher] booster {file} cannot be read: {error}") from error


def _estimator(path: Path, name: str, section: dict[str, Any], registry: Mapping[str, Any]) -> Any:
    """The estimator that a section names, with the parameters that it sets."""
    kind = section["estimator"]
    if kind not in registry:
        raise RecipeError(
            f"{path}: [{name}] estimator must be one of {list(registry)}, got {kind!r}."
        )
    cls = registry[kind]
    if isinstance(cls, str):
        module, _, attribute = cls.rpartition(".")
        cls = getattr(import_module(module), attribute)
    parameters = inspect.signature(cls).parameters
    _check_keys(path, name, section, {"estimator", *parameters})
    required = [key for key, value in parameters.items() if value.default is value.empty]
    lacking = [
        key
        for key in required
        if key not in section and parameters[key].kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if lacking:
        raise RecipeError(f"{path}: [{name}] {kind} requires {', '.join(lacking)}.")
    chosen = {
        # TOML has lists only, scikit-learn's parameters are tuples.
        key: tuple(value) if isinstance(value, list) else value
        for key, value in section.items()
        if key != "estimator"
    }
    estimator = cls(**chosen)
    if "verbosity" not in chosen and cls.__module__.startswith("lightgbm"):
        estimator.set_params(verbosity=-1)
    return estimator


def _check_keys(path: Path, section: str, given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        place = f"[{section}]" if section else "the file"
        raise RecipeError(
            f"{path}: {place} does not know {', '.join(unknown)}; known keys are {sorted(known)}."
        )

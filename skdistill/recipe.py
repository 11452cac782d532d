"""Train from a recipe, a TOML file that names the tables, the teacher and the student."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.metrics import ndcg_score
from skdistill.ranker import DistilledRanker
from skdistill.students import STUDENTS
from skdistill.tables.columns import column_of, refuse_targets, training_columns
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import as_list, find_files, read_batches, shards_of
from skdistill.teachers import TEACHERS, score_rows
from skdistill.teachers.lightgbm_text import check_model_text

# Keys that each section may have, besides the parameters of its estimator.
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

TARGETS = ("query_column", "label_column", "teacher_score_column")


class RecipeError(ValueError):
    """Raised for an invalid recipe; the message names the file, the section and the key."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Parameters
    ----------
    path : Path
        Path of the recipe. Relative paths in it start at its folder.
    data : dict of str to object
        The section ``[data]``: ``train``, ``test``, ``query_column``, ``label_column``,
        ``teacher_score_column``, ``features``, ``ignore``. Only ``train`` and ``query_column`` are
        always present.
    ranker : DistilledRanker
        The ranker that the recipe describes, not fitted.
    booster : Path or None
        LightGBM model file of the teacher.
    """

    path: Path
    data: dict[str, Any]
    ranker: DistilledRanker
    booster: Path | None = None

    def tables(self, name: str) -> list[Path]:
        """Find the files of a table.

        Parameters
        ----------
        name : {"train", "test"}
            Key of the table in ``[data]``.

        Returns
        -------
        list of Path

        Raises
        ------
        TableError
            If there are none.
        """
        return find_files([self.path.parent / given for given in as_list(self.data[name])])

    def files(self) -> list[Path]:
        """List the files that the training reads, the recipe among them.

        Returns
        -------
        list of Path

        Raises
        ------
        TableError
            If there is no table.
        """
        names = [name for name in ("train", "test") if name in self.data]
        tables = [file for name in names for file in self.tables(name)]
        return [self.path, *tables, *([self.booster] if self.booster else [])]


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or path
        A TOML file::

            seed = 0

            [data]
            train = "train/*.parquet"     # or a list; Parquet, CSV, Arrow
            test = "test.parquet"         # optional: the report is computed on it
            query_column = "query"
            label_column = "clicked"      # a row without a value is scored by the teacher only
            # features = ["price", ...]   # default: all other columns of numbers
            # ignore = ["timestamp"]      # columns that are not features
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
        The checked recipe, with an unfitted ranker.

    Raises
    ------
    OSError
        If the file cannot be opened.
    RecipeError
        If the file is not valid TOML, a key is unknown, a required key is missing, or the features
        name the label, the query or the teacher's score.
    """
    path = Path(path)
    try:
        sections = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a valid TOML file: {error}") from error
    _check_keys(path, "", sections, SECTIONS[""])
    for name in ("data", "student", "teacher", "distillation"):
        if not isinstance(sections.setdefault(name, {}), dict):
            raise RecipeError(
                f"{path}: {name} must be a section [{name}], got the value {sections[name]!r}."
            )
    data = sections["data"]
    _check_keys(path, "data", data, SECTIONS["data"])
    for key in ("train", "query_column"):
        if key not in data:
            raise RecipeError(f"{path}: [data] lacks the key {key}, which is required.")
    if "label_column" not in data and not (
        "teacher_score_column" in data or "booster" in sections["teacher"]
    ):
        raise RecipeError(
            f"{path}: [data] lacks the key label_column. It may be left out only if [teacher] has "
            "the key booster, or [data] the key teacher_score_column."
        )
    if "teacher_score_column" in data and sections["teacher"]:
        raise RecipeError(
            f"{path}: [teacher] cannot be combined with teacher_score_column in [data]. Leave one "
            "of them out."
        )
    targets = [data[key] for key in TARGETS if key in data]
    try:
        refuse_targets(data.get("features", []), targets)
    except TableError as error:
        raise RecipeError(f"{path}: [data] features: {error}") from error
    options = sections["distillation"]
    allowed = set(inspect.signature(DistilledRanker).parameters) - {
        "teacher", "student", "memory", "query_column", "random_state",
    }  # fmt: skip
    _check_keys(path, "distillation", options, allowed)
    ranker = DistilledRanker(
        _teacher(path, sections["teacher"]) if "teacher_score_column" not in data else None,
        _estimator(path, "student", {"estimator": "MLPRanker"} | sections["student"], STUDENTS),
        random_state=sections.get("seed", 0),
        **options,
    )
    booster = sections["teacher"].get("booster")
    return Recipe(path, data, ranker, None if booster is None else path.parent / booster)


def follow(recipe: Recipe) -> tuple[DistilledRanker, dict[str, float]]:
    """Train the ranker of a recipe on its tables.

    Parameters
    ----------
    recipe : Recipe
        What :func:`read_recipe` returned. Its ranker is fitted in place.

    Returns
    -------
    ranker : DistilledRanker
        The fitted ranker.
    report : dict of str to float
        The number of training rows. If there is a test table with labels, also NDCG@10 of the
        student on it and, if the teacher's scores are available, of the teacher.

    Raises
    ------
    TableError
        If a table cannot be read or lacks a column.
    ValueError
        If the ranker's ``fit`` refuses the data.
    """
    data = recipe.data
    columns, frame = _read(recipe, "train")
    ranker = recipe.ranker
    label, given = data.get("label_column"), data.get("teacher_score_column")
    ranker.fit(
        frame[columns.features],
        None if label is None else frame[label].to_numpy(dtype=float),
        qid=frame[data["query_column"]],
        teacher_scores=column_of(frame, given),
    )
    report = {"training rows": float(len(frame))}
    if "test" not in data or label is None:
        return ranker, report
    _, test = _read(recipe, "test", columns.features)
    queries, order = sort_by_query(check_qid(test[data["query_column"]], len(test)), len(test))
    test = test if order is None else test.iloc[order]
    y, qid = test[label].to_numpy(), queries.segment
    report["student ndcg@10"] = ndcg_score(y, ranker.predict(test[columns.features]), qid, k=10)
    if given is not None:
        report["teacher ndcg@10"] = ndcg_score(y, test[given].to_numpy(), qid, k=10)
    elif ranker.keep_teacher:
        table = test[ranker.teacher_columns or columns.features]
        teacher = score_rows(ranker.teacher_, table, queries)
        report["teacher ndcg@10"] = ndcg_score(y, teacher, qid, k=10)
    return ranker, report


def _read(recipe: Recipe, name: str, features: list[str] | None = None) -> tuple[Any, Any]:
    """Read all rows of a table as a data frame, and determine its feature columns."""
    data, files = recipe.data, recipe.tables(name)
    numbers = [data[key] for key in ("label_column", "teacher_score_column") if key in data]
    features = features or data.get("features")
    columns = training_columns(
        files, data["query_column"], numbers, features, data.get("ignore", [])
    )
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
    """Make the teacher that a recipe describes, or load its Booster."""
    if "booster" not in section:
        return _estimator(path, "teacher", {"estimator": "LGBMRanker"} | section, TEACHERS)
    _check_keys(path, "teacher", section, {"booster"})
    from lightgbm import Booster
    from lightgbm.basic import LightGBMError

    if not isinstance(section["booster"], str):
        raise RecipeError(
            f"{path}: [teacher] booster must be the path of a file, got {section['booster']!r}."
        )
    file = path.parent / section["booster"]
    try:
        text = file.read_bytes().decode()
        check_model_text(text)
        return Booster(model_str=text)
    except (OSError, ValueError, LightGBMError) as error:
        raise RecipeError(
            f"{path}: [teacher] booster {file} cannot be read as a LightGBM model: {error}"
        ) from error


def _estimator(path: Path, name: str, section: dict[str, Any], registry: Mapping[str, Any]) -> Any:
    """Make the estimator that a section names, with the parameters that it sets."""
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
        raise RecipeError(f"{path}: [{name}] lacks {', '.join(lacking)}, which {kind} requires.")
    chosen = {
        # TOML has only lists, but scikit-learn's parameters are tuples.
        key: tuple(value) if isinstance(value, list) else value
        for key, value in section.items()
        if key != "estimator"
    }
    estimator = cls(**chosen)
    if "verbosity" not in chosen and cls.__module__.startswith("lightgbm"):
        estimator.set_params(verbosity=-1)
    return estimator


def _check_keys(path: Path, section: str, given: Mapping[str, Any], allowed: set[str]) -> None:
    """Refuse keys that a section cannot have."""
    unexpected = sorted(set(given) - allowed)
    if unexpected:
        place = f"in [{section}]" if section else "at the top level"
        raise RecipeError(
            f"{path}: unexpected keys {place}: {', '.join(unexpected)}. Allowed keys are "
            f"{sorted(allowed)}."
        )

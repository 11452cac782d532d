"""Read and check a recipe."""

from __future__ import annotations

import inspect
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skdistill.ranker import DistilledRanker
from skdistill.recipe.cascades import check_cascade_sections, make_cascade
from skdistill.recipe.errors import RecipeError, check_keys
from skdistill.recipe.estimators import make_student, make_teacher, steps_of
from skdistill.serving.teacher_files import load_teacher
from skdistill.tables.columns import refuse_targets
from skdistill.tables.csv import CsvOptions
from skdistill.tables.errors import TableError
from skdistill.tables.reading import as_list, find_files
from skdistill.tables.shard import TableFile

TABLES = ("train", "validation", "test", "items")
TARGETS = ("query_column", "label_column", "teacher_score_column", "weight_column")
# Keys that each section may have, besides the parameters of its estimator.
SECTIONS = {
    "": {"seed", "data", "teacher", "preprocess", "student", "distillation", "cascade"},
    "data": {"train", "validation", "test", *TARGETS, "features", "ignore", "csv"},
    "data.csv": {"delimiter", "decimal", "encoding"},
}  # fmt: skip
# Keys of a fitted teacher's file.
FILES = ("booster", "model", "pickle")


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Parameters
    ----------
    path : Path
        Path of the recipe. Relative paths in it start at its folder.
    data : dict of str to object
        The section ``[data]``: ``train``, ``validation``, ``test``, ``query_column``,
        ``label_column``, ``teacher_score_column``, ``weight_column``, ``features``, ``ignore``,
        ``csv``. Only ``train`` is always present, and ``query_column`` where rows are compared.
        That of a cascade also has ``items``, and may have ``item_id_column``.
    ranker : DistilledRanker or RankingCascade
        The ranker that the recipe describes, not fitted.
    teacher_file : Path or None
        File of the fitted teacher.
    csv_options : CsvOptions
        How CSV files are written.
    """

    path: Path
    data: dict[str, Any]
    ranker: Any
    teacher_file: Path | None = None
    csv_options: CsvOptions = field(default_factory=CsvOptions)

    def tables(self, name: str) -> list[TableFile]:
        """Find the files of a table.

        Parameters
        ----------
        name : {"train", "validation", "test", "items"}
            Key of the table in ``[data]``.

        Returns
        -------
        list of TableFile

        Raises
        ------
        TableError
            If there are none.
        """
        given = [self.path.parent / one for one in as_list(self.data[name])]
        return find_files(given, self.csv_options)

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
        names = [name for name in TABLES if name in self.data]
        tables = [file.path for name in names for file in self.tables(name)]
        return [self.path, *tables, *([self.teacher_file] if self.teacher_file else [])]


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or path
        A TOML file::

            seed = 0

            [data]
            train = "train/*.parquet"     # or a list; Parquet, CSV, JSON lines, Arrow
            validation = "next.parquet"   # optional: for early stopping
            test = "test.parquet"         # optional: the report is computed on it
            query_column = "query"        # may be left out if each row is taken by itself
            label_column = "clicked"      # a row without a value is scored by the teacher only
            # features = ["price", ...]   # default: all other columns of numbers and of
            #                             # categories (dictionaries), and those that
            #                             # [[preprocess]] or a fitted teacher names
            # ignore = ["timestamp"]      # columns that are not features
            # teacher_score_column = ...  # instead of a teacher
            # weight_column = "weight"    # weights of the rows of train and validation
            # csv = {delimiter = ";", decimal = ",", encoding = "latin-1"}

            [teacher]
            estimator = "LGBMRanker"      # with any of its parameters; or a fitted teacher's file:
            n_estimators = 300            # booster = "teacher.txt" of LightGBM (.json or .ubj of
                                          # XGBoost, .cbm of CatBoost), model = "teacher.skd" of
                                          # save, pickle = "teacher.pkl", which runs code

            [[preprocess]]                # steps before the student, of scikit-learn
            estimator = "OneHotEncoder"
            columns = ["country"]         # default: all
            handle_unknown = "ignore"

            [student]
            estimator = "MLPRanker"
            hidden_layer_sizes = [64, 32]

            [distillation]                # parameters of DistilledRanker
            alpha = 0.5

        A recipe of a :class:`skdistill.RankingCascade` has, instead of the last three sections::

            [data]                        # train, test, query_column, ... as above, and
            items = "items.parquet"       # the catalogue
            item_id_column = "item"       # ids that rank returns; default: positions

            [cascade]                     # parameters of RankingCascade
            query_columns = ["age", "country"]
            # item_columns = [...]        # default: all columns of the catalogue but its ids
            # teacher_features = [...]    # columns that the teacher reads; default: as in a stage
            targets = "teacher"

            [[cascade.stage]]
            name = "retrieve"
            estimator = "TwoTowerRetriever"   # with any of its parameters
            size = 200

            [[cascade.stage]]
            name = "prerank"
            estimator = "LinearRanker"
            size = 50                     # also min_score, max_drop
            features = ["age", "price"]   # default: all
            # preprocess = [{estimator = "StandardScaler"}]

            [[cascade.stage]]
            name = "rank"
            estimator = "teacher"         # or trees = 10: the teacher's first trees
            size = 10

        A first stage of several retrievers has ``name``, ``size``, and per retriever a section
        ``[[cascade.stage.retriever]]`` with ``name``, ``estimator`` and ``quota``.

    Returns
    -------
    Recipe
        The checked recipe, with an unfitted ranker or cascade.

    Raises
    ------
    OSError
        If the file cannot be opened.
    RecipeError
        If the file is not valid TOML, a key is unknown, a required key is missing, or the features
        name the label, the query or the teacher's score.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        sections = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = ". It is a model of LightGBM, which a recipe names: [teacher] booster = ..."
        is_model = content.startswith(b"tree\n")
        raise RecipeError(f"{path}: not a valid TOML file: {error}{hint * is_model}") from error
    check_keys(path, "", sections, SECTIONS[""])
    for name in ("data", "student", "teacher", "distillation", "cascade"):
        if not isinstance(sections.get(name, {}), dict):
            raise RecipeError(
                f"{path}: {name} must be a section [{name}], got the value {sections[name]!r}."
            )
    read = _read_ranker if "cascade" not in sections else _read_cascade
    return read(path, {"data": {}, "teacher": {}, "student": {}, "distillation": {}} | sections)


def _read_ranker(path: Path, sections: dict[str, Any]) -> Recipe:
    """Read the recipe of a DistilledRanker."""
    data = sections["data"]
    _check_data(path, data, sections["teacher"])
    options = sections["distillation"]
    allowed = set(inspect.signature(DistilledRanker).parameters) - {
        "teacher", "student", "memory", "query_column", "random_state",
    }  # fmt: skip
    check_keys(path, "distillation", options, allowed)
    csv_options = _csv_options(path, data.get("csv", {}))
    teacher_file, made = None, None
    if "teacher_score_column" not in data:
        teacher_file, made = _read_teacher(path, sections["teacher"])
    ranker = DistilledRanker(
        made,
        make_student(path, sections["student"], steps_of(path, sections)),
        random_state=sections.get("seed", 0),
        **options,
    )
    _check_queries(path, data, ranker.needs_queries)
    return Recipe(path, data, ranker, teacher_file, csv_options)


def _read_cascade(path: Path, sections: dict[str, Any]) -> Recipe:
    """Read the recipe of a RankingCascade."""
    data = sections["data"]
    check_cascade_sections(path, sections)
    _check_targets(path, data, sections["teacher"])
    _check_queries(path, data, True)
    csv_options = _csv_options(path, data.get("csv", {}))
    teacher_file, teacher = _read_teacher(path, sections["teacher"])
    seed = sections.get("seed", 0)
    cascade = make_cascade(path, sections["cascade"], teacher, seed)
    return Recipe(path, data, cascade, teacher_file, csv_options)


def _read_teacher(path: Path, section: dict[str, Any]) -> tuple[Path | None, Any]:
    """Make the teacher that ``[teacher]`` describes, or read its file."""
    given = [key for key in FILES if key in section]
    if not given:
        return None, make_teacher(path, section)
    check_keys(path, "teacher", section, {given[0]})
    name = section[given[0]]
    if not isinstance(name, str):
        raise RecipeError(f"{path}: [teacher] {given[0]} must be the path of a file, got {name!r}.")
    # A relative path starts at the folder of the recipe.
    file = path.parent / name
    try:
        return file, load_teacher(file, given[0])
    except ValueError as error:
        raise RecipeError(f"{path}: [teacher] {given[0]} {error}") from error


def _check_data(path: Path, data: dict[str, Any], teacher: dict[str, Any]) -> None:
    """Check the keys of ``[data]``, and that it and ``[teacher]`` go together."""
    check_keys(path, "data", data, SECTIONS["data"])
    _check_targets(path, data, teacher)
    if "teacher_score_column" in data and teacher:
        raise RecipeError(
            f"{path}: [teacher] cannot be combined with teacher_score_column in [data]. Leave one "
            "of them out."
        )
    try:
        targets = [data[key] for key in TARGETS if key in data]
        refuse_targets(data.get("features", []), targets)
    except TableError as error:
        raise RecipeError(f"{path}: [data] features: {error}") from error


def _check_targets(path: Path, data: dict[str, Any], teacher: dict[str, Any]) -> None:
    """Check that there are rows, and something to learn from."""
    if "train" not in data:
        raise RecipeError(f"{path}: [data] lacks the key train, which is required.")
    is_fitted = any(key in teacher for key in FILES)
    if "label_column" not in data and not ("teacher_score_column" in data or is_fitted):
        raise RecipeError(
            f"{path}: [data] lacks the key label_column. It may be left out only if [teacher] has "
            f"one of the keys {', '.join(FILES)}, or [data] the key teacher_score_column."
        )


def _check_queries(path: Path, data: dict[str, Any], needed: bool) -> None:
    """Check that there are queries if rows are compared."""
    if needed and "query_column" not in data:
        raise RecipeError(
            f"{path}: [data] lacks the key query_column, which is required. It may be left out "
            "only if neither the teacher nor a loss compares rows, as with the loss 'logistic'."
        )


def _csv_options(path: Path, section: Any) -> CsvOptions:
    if not isinstance(section, dict):
        raise RecipeError(f"{path}: [data] csv must be a table, got {section!r}.")
    check_keys(path, "data.csv", section, SECTIONS["data.csv"])
    try:
        return CsvOptions(**section)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: [data] csv: {error}") from error

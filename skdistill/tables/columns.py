"""Determines which columns of files a model reads and which are copied to the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skdistill.tables.column_types import (
    content_types,
    copied_type,
    field_of,
    types_of,
    used_type,
)
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.shard import TableFile
from skdistill.tables.text import is_untyped
from skdistill.tables.types import as_text, is_category, is_id, is_number, plain, plain_column

# Which columns are copied besides those that the caller names: none, those that may identify a row
# (see ``types.is_id``), or all that are not features.
Rest = Literal["none", "ids", "all"]


@dataclass(frozen=True)
class TableColumns:
    """Columns of the files of a run.

    Parameters
    ----------
    features : list of str
        Columns that the model reads.
    carried : pyarrow.Schema
        Columns that are copied to the output, with a type that holds the values of every file.
    csv_types : pyarrow.Schema
        All these columns, with the types as which text of files without types is read.
    kinds : tuple of (str or None)
        Kind of values that the model takes in each feature; see ``inputs.column_types``.
    numbers : tuple of str
        Copied columns that must hold numbers.
    """

    features: list[str]
    carried: Any
    csv_types: Any
    kinds: tuple[str | None, ...]
    numbers: tuple[str, ...]

    @classmethod
    def match(
        cls,
        files: list[TableFile],
        *,
        features: list[str] | None,
        n_features: int,
        ids: Sequence[str] = (),
        targets: Sequence[str] = (),
        rest: Rest = "none",
        added: Sequence[str] = (),
        kinds: Sequence[str | None] | None = None,
        numbers: Sequence[str] = (),
        parses_text: bool = False,
    ) -> TableColumns:
        """Determine the columns of all files.

        A column that is copied has one type in all files. If no file tells its type, that is text,
        as it stands in the file.

        Parameters
        ----------
        files : list of TableFile
            Files of the run.
        features : list of str, or None
            Columns that the model reads. None takes all columns inside of the first file, in their
            order, except ``ids`` and ``targets``.
        n_features : int
            Number of columns that the model takes.
        ids : sequence of str
            Columns that are only copied to the output. In files that do not have them they are
            null. If their types have nothing in common, they become text.
        targets : sequence of str
            Columns that are copied and used, such as that of the queries. Every file must have
            them, with types that have one in common.
        rest : {"none", "ids", "all"}, default="none"
            Which other columns are copied like ``ids``.
        added : sequence of str
            Names of columns that the output adds. Columns that are named must have other names, and
            ``rest`` leaves out those that do not.
        kinds : sequence of (str or None), optional
            Kind of values that the model takes in each feature. In files without types, features of
            unknown kind are numbers if all their cells in all files are, otherwise text.
        numbers : sequence of str, default=()
            Those of ``targets`` that must hold numbers.
        parses_text : bool, default=False
            Whether the model's features of a known kind are read from text as text, because the
            caller converts them and can put aside rows with a cell that is something else.

        Returns
        -------
        TableColumns

        Raises
        ------
        TableError
            If a column is missing, or does not hold the values that are expected.
        """
        pyarrow = pyarrow_extra()
        files = filled(files)
        first = files[0]
        named = list(dict.fromkeys([*targets, *ids]))
        if features is None:
            features = [name for name in first.stored.names if name not in named]
            if len(features) != n_features:
                raise TableError(
                    f"{first.path}: the model was fitted without column names and takes "
                    f"{n_features} columns; there are {len(features)} besides {named}. Name the "
                    "columns that are not features in id_columns."
                )
        for file in files:
            _check_unique(file, [*features, *named])
            check_there(file.path, file.schema.names, [*features, *targets])
        names = dict.fromkeys(name for file in files for name in file.schema.names)
        types = {name: types_of(files, name) for name in names}
        check_there(first.path, list(types), named)
        for name in added:
            if name in named:
                raise TableError(
                    f"{first.path}: has a column {name!r}, but the output adds one of that name."
                )
        carried = {
            name: pyarrow.float64() if name in numbers else used_type(files, name)
            for name in targets
        }
        copied = [*ids, *_others(types, rest, {*features, *named, *added})]
        carried |= {name: copied_type(files, name) for name in copied if name not in carried}
        kinds = tuple(kinds or [None] * len(features))
        by_name = dict(zip(features, kinds, strict=True))
        fields = {name: field_of(files, name, kind, parses_text) for name, kind in by_name.items()}
        unknown = [name for name, kind in by_name.items() if kind is None and name not in carried]
        fields |= _content_fields(files, unknown)
        fields |= {name: pyarrow.field(name, type_) for name, type_ in carried.items()}
        columns = cls(
            features,
            pyarrow.schema(list(carried.items())),
            pyarrow.schema(list(fields.values())),
            kinds,
            tuple(numbers),
        )
        for file in files:
            columns.check(file)
        return columns

    def check(self, file: TableFile) -> None:
        """Check the types of a file; cells of columns without a type are checked when read.

        Raises
        ------
        TableError
            If a column does not hold the values that are expected.
        """
        expected = dict(zip(self.features, self.kinds, strict=True))
        expected |= dict.fromkeys(self.numbers, "float")
        for name, kind in expected.items():
            if name not in file.schema.names:
                continue
            field = file.schema.field(name)
            type_ = plain(field.type)
            if is_untyped(field) or pyarrow_extra().types.is_null(type_):
                continue
            if kind == "float" and not is_number(type_):
                raise TableError(
                    f"{file.path}: column {name!r} holds {field.type}, expected numbers."
                )
            if kind == "text" and is_number(type_):
                raise TableError(
                    f"{file.path}: column {name!r} holds {type_}, but the model was fitted with "
                    "text. Convert the column to text in the form that it had in fit."
                )

    def plan(self) -> dict[str, Any]:
        """Return the properties that must agree between runs with the same output folder."""
        carried = {field.name: str(field.type) for field in self.carried}
        return {"features": self.features, "carried": carried}

    def carry(self, record: Any, path: Path) -> list[Any]:
        """Return the columns of a file's batch to copy, cast to their types in the output.

        Raises
        ------
        TableError
            If the type does not hold a value.
        """
        return [_cast(record.column(field.name), field, path) for field in self.carried]

    def model_input(self, record: Any, path: Path) -> Any:
        """Return the features of a batch; those of unknown kind have one type in all files."""
        columns = [
            _cast(record.column(name), self.csv_types.field(name), path)
            if kind is None and name not in self.carried.names
            else record.column(name)
            for name, kind in zip(self.features, self.kinds, strict=True)
        ]
        return pyarrow_extra().RecordBatch.from_arrays(columns, names=self.features)

    def conform(self, record: Any, path: Path) -> Any:
        """Return a batch of a file with the types that its columns have in all files."""
        columns = [_cast(record.column(field.name), field, path) for field in self.csv_types]
        return pyarrow_extra().RecordBatch.from_arrays(columns, names=self.csv_types.names)


def _cast(column: Any, field: Any, path: Path) -> Any:
    pyarrow = pyarrow_extra()
    if column.type == field.type:
        return column
    column = plain_column(column)
    if pyarrow.types.is_string(field.type):
        return as_text(column)
    try:
        return column.cast(field.type)
    except pyarrow.ArrowException as error:
        raise TableError(
            f"{path}: column {field.name!r} holds {column.type}, expected {field.type} as in fit "
            f"or other files, and not every value can be converted: {error}. Convert the column, "
            "or leave it out."
        ) from error


def _check_unique(file: TableFile, names: Sequence[str]) -> None:
    """Check that a file has no column twice.

    Raises
    ------
    TableError
        If it has.
    """
    repeated = [name for name in names if name in file.repeated]
    if repeated:
        raise TableError(f"{file.path}: several columns are named {repeated}. Rename or drop them.")


def _content_fields(files: list[TableFile], names: list[str]) -> dict[str, Any]:
    """Fields of features of unknown kind, by what the files hold.

    Raises
    ------
    TableError
        If the types of two files have none in common.
    """
    found = content_types(files, names)
    for name, type_ in found.items():
        if type_ is None:
            types = " and ".join(sorted(set(map(str, types_of(files, name)))))
            raise TableError(
                f"{files[0].path}: column {name!r} holds {types} in the files of this run, "
                "expected one type. Convert the column."
            )
    return {name: pyarrow_extra().field(name, type_) for name, type_ in found.items()}


def _others(types: dict[str, list[Any]], rest: Rest, named: set[str]) -> list[str]:
    """Columns that are copied although nobody names them."""
    if rest == "none":
        return []
    return [
        name
        for name, of_files in types.items()
        # pandas writes the index of a data frame under such a name.
        if name not in named
        and (rest == "all" or (all(map(is_id, of_files)) and not name.startswith("__index_level_")))
    ]


def filled(files: list[TableFile]) -> list[TableFile]:
    """Leave out files that have no column, which hold no rows; all of them if none has any."""
    return [file for file in files if file.schema.names] or files


def copied_columns(id_columns: Sequence[str] | str | None) -> tuple[list[str], Rest]:
    """Return the columns that ``id_columns`` names, and which others are copied to the output.

    Raises
    ------
    ValueError
        If it is the name of a column rather than a list of names.
    """
    if id_columns is None or id_columns == "all":
        return [], "ids" if id_columns is None else "all"
    if isinstance(id_columns, str):
        raise ValueError(f"id_columns must be a list of names or 'all', got {id_columns!r}.")
    return list(id_columns), "none"


def check_there(file: Path | str, present: Sequence[str], names: Sequence[str]) -> None:
    """Check that a table has all these columns.

    Raises
    ------
    TableError
        If a column is missing.
    """
    missing = [name for name in names if name not in present]
    if missing:
        way_out = ""
        if len(present) == 1 and set(",;\t|") & set(present[0]):
            way_out = " If its cells are delimited otherwise, set it: delimiter (--delimiter)."
        raise TableError(f"{file}: lacks the columns {missing}; it has {list(present)}.{way_out}")


def training_columns(
    files: list[TableFile],
    query: str | None,
    numbers: Sequence[str],
    features: Sequence[str] | None,
    ignore: Sequence[str],
    others: Sequence[str] = (),
) -> TableColumns:
    """Determine the columns for training.

    Parameters
    ----------
    files : list of TableFile
        Files of the run.
    query : str or None
        Column of query ids; None if there is none.
    numbers : sequence of str
        Columns of labels and scores.
    features : sequence of str or None
        Columns that the model reads. None takes all other columns of numbers and categories
        (dictionaries), except ``ignore``.
    ignore : sequence of str
        Columns that are not features.
    others : sequence of str, default=()
        Columns that are features by default though they may not be numbers.

    Returns
    -------
    TableColumns

    Raises
    ------
    TableError
        If a column is missing or does not hold the values that are expected, or a target is among
        the features.
    """
    targets = [*numbers] if query is None else [query, *numbers]
    refuse_targets(features or (), targets)
    if features is None:
        excluded = {*targets, *ignore}
        filled = [file for file in files if file.stored.names] or files
        _check_unique(filled[0], sorted(filled[0].repeated - excluded))
        names = [name for name in filled[0].stored.names if name not in excluded]
        names += [name for name in others if name not in names and name not in excluded]
        for file in filled:
            check_there(file.path, file.schema.names, names)
        types = content_types(filled, names)
        features = [name for name in names if name in others or _is_feature(types[name])]
    return TableColumns.match(
        files,
        features=list(features),
        n_features=len(features),
        targets=targets,
        numbers=numbers,
    )


def _is_feature(type_: Any) -> bool:
    """Whether a column is read without being named: numbers and categories; None is no type."""
    return type_ is not None and (is_number(type_) or is_category(type_))


def refuse_targets(features: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse features that a model is trained on or that identify the query.

    Raises
    ------
    TableError
        If there are any. A model that reads its own label is perfect until it is served.
    """
    leaked = [name for name in features if name in targets]
    if leaked:
        raise TableError(
            f"The features {leaked} are also named as query, label or teacher's score, which a "
            "model must not read. Remove them from the features. If a query id is meant as a "
            "feature, copy it under another name."
        )


def column_of(frame: Any, name: str | None) -> Any:
    """Return a column of a frame as an array, or None if ``name`` is None."""
    return None if name is None else frame[name].to_numpy()

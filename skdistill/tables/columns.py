"""Determines which columns of files a model reads and which are copied to the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdistill.tables.csv import Csv
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import format_of, read_batches, schema_of, shards_of
from skdistill.tables.text import TextContent
from skdistill.tables.types import (
    common_type,
    is_number,
    plain,
    plain_column,
    without_decimals,
)


@dataclass(frozen=True)
class TableColumns:
    """Columns that all files of a run must have.

    Parameters
    ----------
    features : list of str
        Columns that the model reads.
    carried : pyarrow.Schema
        Columns that are copied to the output, with a type that holds the values of every file.
    csv_types : pyarrow.Schema
        All these columns, with the types as which CSV files are read.
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
        files: list[Path],
        *,
        features: list[str] | None,
        n_features: int,
        ids: Sequence[str],
        carries_rest: bool,
        added: Sequence[str],
        kinds: Sequence[str | None] | None = None,
        numbers: Sequence[str] = (),
        parses_text: bool = False,
    ) -> TableColumns:
        """Determine the columns from the first file and check all files against it.

        A column that is copied has one type in all files. If it is in CSV files alone, that is
        text, as it stands in the file.

        Parameters
        ----------
        files : list of Path
            Files of the run.
        features : list of str, or None
            Columns that the model reads. None takes all columns except ``ids``, in their order.
        n_features : int
            Number of columns that the model takes.
        ids : sequence of str
            Columns that are copied to the output.
        carries_rest : bool
            Whether all other columns that are not features are copied too.
        added : sequence of str
            Names of columns that the output adds. Copied columns must have other names.
        kinds : sequence of (str or None), optional
            Kind of values that the model takes in each feature. In CSV files, features of unknown
            kind are numbers if all their cells in all files are, otherwise text.
        numbers : sequence of str, default=()
            Those of ``ids`` that must hold numbers.
        parses_text : bool, default=False
            Whether the model's features of a known kind are read from CSV files as text, because
            the caller converts them and can put aside rows with a cell that is something else.

        Returns
        -------
        TableColumns

        Raises
        ------
        TableError
            If a column is missing, or does not hold the values that are expected.
        """
        pyarrow = pyarrow_extra()
        schemas = {file: schema_of(file) for file in files}
        names = schemas[files[0]].names
        ids = list(dict.fromkeys(ids))
        if features is None:
            features = [name for name in names if name not in ids]
            if len(features) != n_features:
                raise TableError(
                    f"{files[0]}: the model was fitted without column names and takes "
                    f"{n_features} columns; there are {len(features)} besides {ids}. Name the "
                    "columns that are not features in id_columns."
                )
        if carries_rest:
            ids += [name for name in names if name not in features and name not in ids]
        for name in added:
            if name in ids:
                raise TableError(
                    f"{files[0]}: has a column {name!r}, but the output adds one of that name."
                )
        for file, schema in schemas.items():
            check_there(file, schema.names, [*features, *ids])
        typed = {file: schema for file, schema in schemas.items() if not _is_csv(file)}
        carried = {name: _carried_type(typed, name, name in numbers) for name in ids}
        kinds = tuple(kinds or [None] * len(features))
        unknown = [
            n for n, k in zip(features, kinds, strict=True) if k is None and n not in carried
        ]
        types = {
            n: arrow_type(None if parses_text else kind)
            for n, kind in zip(features, kinds, strict=True)
        }
        types |= carried | _content_types(schemas, unknown)
        columns = cls(
            features,
            pyarrow.schema(list(carried.items())),
            pyarrow.schema([(name, type_) for name, type_ in types.items()]),
            kinds,
            tuple(numbers),
        )
        for file, schema in typed.items():
            columns.check(file, schema)
        return columns

    def check(self, file: Path, schema: Any) -> None:
        """Check the types of a file that has types; cells of a CSV file are checked when read.

        Raises
        ------
        TableError
            If a column does not hold the values that are expected.
        """
        expected = dict(zip(self.features, self.kinds, strict=True))
        expected |= dict.fromkeys(self.numbers, "float")
        for name, kind in expected.items():
            type_ = plain(schema.field(name).type)
            if kind == "float" and not is_number(type_):
                raise TableError(
                    f"{file}: column {name!r} holds {schema.field(name).type}, expected numbers."
                )
            if kind == "text" and is_number(type_):
                raise TableError(
                    f"{file}: column {name!r} holds {type_}, but the model was fitted with text. "
                    "Convert the column to text in the form that it had in fit."
                )

    def plan(self) -> dict[str, Any]:
        """Return the properties that must agree between runs with the same output folder."""
        carried = {field.name: str(field.type) for field in self.carried}
        return {"features": self.features, "carried": carried}

    def carry(self, record: Any) -> list[Any]:
        """Return the columns of a batch to copy, cast to their types in the output."""
        return [plain_column(record.column(field.name)).cast(field.type) for field in self.carried]


def _is_csv(file: Path) -> bool:
    return isinstance(format_of(file), Csv)


def _carried_type(typed: dict[Path, Any], name: str, is_number: bool) -> Any:
    """Type that holds the values of a column of all files: text if no file has types."""
    pyarrow = pyarrow_extra()
    if is_number:
        return pyarrow.float64()
    if not typed:
        return pyarrow.string()
    (first, schema), *others = typed.items()
    type_ = plain(schema.field(name).type)
    for file, schema in others:
        other = plain(schema.field(name).type)
        common = common_type(type_, other)
        if common is None:
            raise TableError(
                f"{file}: column {name!r} holds {other}, expected {type_} as in {first.name}."
            )
        type_ = common
    return type_


def arrow_type(kind: str | None) -> Any:
    """Type that text is converted to if a model takes values of this kind; text if unknown."""
    aliases = {"integer": "int64", "float": "float64", "boolean": "bool", "date": "timestamp[us]"}
    return pyarrow_extra().type_for_alias(aliases.get(kind or "", "string"))


def _content_types(schemas: dict[Path, Any], names: list[str]) -> dict[str, Any]:
    """Types of columns: those of the first file with types, or else what all their cells are."""
    typed = [schema for file, schema in schemas.items() if not _is_csv(file)]
    if typed or not names:
        # Dictionaries stay, because estimators take them for categories.
        return {name: without_decimals(typed[0].field(name).type) for name in names}
    contents = {name: TextContent() for name in names}
    text = pyarrow_extra().schema([(name, pyarrow_extra().string()) for name in names])
    for file in schemas:
        for shard in shards_of(file):
            for _, batch in read_batches(shard, text):
                for name, content in contents.items():
                    content.see(batch.column(name))
    return {name: content.type for name, content in contents.items()}


def check_there(file: Path | str, present: Sequence[str], names: Sequence[str]) -> None:
    """Check that a table has all these columns.

    Raises
    ------
    TableError
        If a column is missing.
    """
    missing = [name for name in names if name not in present]
    if missing:
        raise TableError(f"{file}: lacks the columns {missing}; it has {list(present)}.")


def training_columns(
    files: list[Path],
    query: str,
    numbers: Sequence[str],
    features: Sequence[str] | None,
    ignore: Sequence[str],
) -> TableColumns:
    """Determine the columns for training.

    Parameters
    ----------
    files : list of Path
        Files of the run.
    query : str
        Column of query ids.
    numbers : sequence of str
        Columns of labels and scores.
    features : sequence of str or None
        Columns that the model reads. None takes all other columns of numbers, except ``ignore``.
    ignore : sequence of str
        Columns that are not features.

    Returns
    -------
    TableColumns

    Raises
    ------
    TableError
        If a column is missing or does not hold the values that are expected, or a target is among
        the features.
    """
    refuse_targets(features or (), [query, *numbers])
    if features is None:
        others = {query, *numbers, *ignore}
        names = [name for name in schema_of(files[0]).names if name not in others]
        schemas = {file: schema_of(file) for file in files}
        for file, schema in schemas.items():
            check_there(file, schema.names, names)
        types = _content_types(schemas, names)
        features = [name for name in names if is_number(types[name])]
    return TableColumns.match(
        files,
        features=list(features),
        n_features=len(features),
        ids=[query, *numbers],
        carries_rest=False,
        added=[],
        numbers=numbers,
    )


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

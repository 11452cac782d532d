"""Determines which columns of files a model reads and which are copied to the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdistill.tables.csv import Csv
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import format_of, schema_of


@dataclass(frozen=True)
class TableColumns:
    """Columns that all files of a run must have.

    Parameters
    ----------
    features : list of str
        Columns that the model reads.
    carried : pyarrow.Schema
        Columns that are copied to the output.
    csv_types : pyarrow.Schema
        All these columns, with the types as which CSV files are read.
    wants_numbers : bool
        Whether features must be numbers. If so, those of CSV files are read as text, so that an
        error can name the row of a cell that is not a number.
    """

    features: list[str]
    carried: Any
    csv_types: Any
    wants_numbers: bool

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
        wants_numbers: bool,
    ) -> TableColumns:
        """Determine the columns from the first file and check all files against it.

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
        wants_numbers : bool
            Whether features must be numbers.

        Returns
        -------
        TableColumns

        Raises
        ------
        TableError
            If a column is missing, is not numeric, or has another type than in the first file.
        """
        pyarrow = pyarrow_extra()
        schema = schema_of(files[0])
        ids = list(dict.fromkeys(ids))
        if features is None:
            features = [name for name in schema.names if name not in ids]
            if len(features) != n_features:
                raise TableError(
                    f"{files[0]}: the model was fitted without column names and takes "
                    f"{n_features} columns; there are {len(features)} besides {ids}. Name the "
                    "columns that are not features in id_columns."
                )
        if carries_rest:
            ids += [name for name in schema.names if name not in features and name not in ids]
        for name in added:
            if name in ids:
                raise TableError(
                    f"{files[0]}: has a column {name!r}, but the output adds one of that name."
                )
        check_there(files[0], schema.names, [*features, *ids])
        as_text = pyarrow.string()
        types = {n: as_text if wants_numbers else schema.field(n).type for n in features}
        types = {n: schema.field(n).type for n in ids} | types
        columns = cls(
            features,
            pyarrow.schema([schema.field(name).remove_metadata() for name in ids]),
            pyarrow.schema(list(types.items())),
            wants_numbers,
        )
        for file in files:
            columns.check(file)
        return columns

    def check(self, file: Path) -> None:
        """Check the schema of a file.

        Raises
        ------
        TableError
            If a column is missing or has another type than in the first file.
        """
        schema = schema_of(file)
        check_there(file, schema.names, self.csv_types.names)
        # The types of a CSV file are only found when it is read.
        if isinstance(format_of(file), Csv):
            return
        for name in self.features if self.wants_numbers else ():
            if not is_number(schema.field(name).type):
                raise TableError(
                    f"{file}: column {name!r} holds {schema.field(name).type}, expected numbers."
                )
        for field in self.carried:
            if not _same(schema.field(field.name).type, field.type):
                raise TableError(
                    f"{file}: column {field.name!r} holds {schema.field(field.name).type}, "
                    f"expected {field.type} as in the first file."
                )

    def plan(self) -> dict[str, Any]:
        """Return the properties that must agree between runs with the same output folder."""
        carried = {field.name: str(field.type) for field in self.carried}
        return {"features": self.features, "carried": carried}

    def carry(self, record: Any) -> list[Any]:
        """Return the columns of a batch to copy, cast to the first file's types."""
        return [record.column(field.name).cast(field.type) for field in self.carried]


def is_number(type_: Any) -> bool:
    """Whether a type can be cast to float32."""
    types = pyarrow_extra().types
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_))


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


def _same(left: Any, right: Any) -> bool:
    """Whether two types are equal; strings of either size are."""
    types = pyarrow_extra().types
    texts = [types.is_string(one) or types.is_large_string(one) for one in (left, right)]
    return all(texts) or bool(left == right)


def training_columns(
    files: list[Path], targets: Sequence[str], features: Sequence[str] | None, ignore: Sequence[str]
) -> TableColumns:
    """Determine the columns for training.

    Parameters
    ----------
    files : list of Path
        Files of the run.
    targets : sequence of str
        Columns such as query ids and labels.
    features : sequence of str or None
        Columns that the model reads. None takes all numeric columns except ``targets`` and
        ``ignore``.
    ignore : sequence of str
        Columns that are not features.

    Returns
    -------
    TableColumns

    Raises
    ------
    TableError
        If a column is missing or has another type than in the first file, or a target is among the
        features.
    """
    refuse_targets(features or (), targets)
    if features is None:
        others = {*targets, *ignore}
        fields = [field for field in schema_of(files[0]) if field.name not in others]
        features = [field.name for field in fields if is_number(field.type)]
    return TableColumns.match(
        files,
        features=list(features),
        n_features=len(features),
        ids=targets,
        carries_rest=False,
        added=[],
        wants_numbers=False,
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

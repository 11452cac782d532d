"""Which columns of files a model reads, and which go on into the output."""

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
    """Columns that all files of a run have.

    Parameters
    ----------
    features : list of str
    carried : pyarrow.Schema
        The columns that go on into the output.
    csv_types : pyarrow.Schema
        All of both, and what they are read as where the file does not say.
    wants_numbers : bool
        Whether features must be numbers. Then those of CSV files are read as text, so that what is
        no number is found by row, not by file.
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
        """By the first file; the others are held against it.

        Parameters
        ----------
        files : list of Path
        features : list of str, or None
            None: all columns but ``ids`` in their order, of which there must be ``n_features``.
        n_features : int
        ids : sequence of str
            Columns that are carried.
        carries_rest : bool
            Whether all other columns that are no features are carried too.
        added : sequence of str
            Names that the output adds, which no carried column may have.
        wants_numbers : bool

        Raises
        ------
        TableError
            For columns that are missing, hold no numbers, or are of another type in a later file.
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
                    "others by id_columns."
                )
        if carries_rest:
            ids += [name for name in schema.names if name not in features and name not in ids]
        for name in added:
            if name in ids:
                raise TableError(f"{files[0]}: has a column {name!r}, which the output adds.")
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
        """See that a file fits, as far as its schema tells.

        Raises
        ------
        TableError
            When it does not.
        """
        schema = schema_of(file)
        check_there(file, schema.names, self.csv_types.names)
        # What a CSV file holds is known once it is read.
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
        """What two runs must have in common to share a folder."""
        carried = {field.name: str(field.type) for field in self.carried}
        return {"features": self.features, "carried": carried}

    def carry(self, record: Any) -> list[Any]:
        """The carried columns of a batch, of the first file's types."""
        return [record.column(field.name).cast(field.type) for field in self.carried]


def is_number(type_: Any) -> bool:
    """Whether a type casts to float32."""
    types = pyarrow_extra().types
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_))


def check_there(file: Path | str, present: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises
    ------
    TableError
    """
    missing = [name for name in names if name not in present]
    if missing:
        raise TableError(f"{file}: lacks the columns {missing}; it has {list(present)}.")


def _same(left: Any, right: Any) -> bool:
    types = pyarrow_extra().types
    texts = [types.is_string(one) or types.is_large_string(one) for one in (left, right)]
    return all(texts) or bool(left == right)


def training_columns(
    files: list[Path], targets: Sequence[str], features: Sequence[str] | None, ignore: Sequence[str]
) -> TableColumns:
    """Columns to train on: features, and targets such as query ids and labels.

    Parameters
    ----------
    files : list of Path
    targets : sequence of str
    features : sequence of str or None
        None: all columns of numbers that are neither targets nor ignored.
    ignore : sequence of str

    Returns
    -------
    TableColumns

    Raises
    ------
    TableError
        As :meth:`TableColumns.match`.
    """
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


def column_of(frame: Any, name: str | None) -> Any:
    """Values of a frame's column as an array; None if it has no name."""
    return None if name is None else frame[name].to_numpy()

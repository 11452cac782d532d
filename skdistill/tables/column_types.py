"""Types of the columns of several files, some of which tell them and some of which do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.query_codes import tells_queries
from skdistill.tables.reading import read_batches
from skdistill.tables.shard import TableFile
from skdistill.tables.text import TextContent, is_text, is_untyped, parse, text_of_numbers
from skdistill.tables.types import common_of, common_type, measured_type, plain, plain_column


def types_of(files: list[TableFile], name: str) -> list[Any]:
    """Types of a column in the files that tell it."""
    fields = [file.schema.field(name) for file in files if name in file.schema.names]
    return [plain(field.type) for field in fields if not is_untyped(field)]


def used_type(files: list[TableFile], name: str) -> Any:
    """Type that holds the values of a column of all files: text if no file has types.

    Raises
    ------
    TableError
        If the types of two files have none in common, or a type holds several values.
    """
    common = None
    for file in files:
        for type_ in types_of([file], name):
            both = type_ if common is None else common_type(common, type_)
            if both is None:
                raise TableError(
                    f"{file.path}: column {name!r} holds {type_}, expected {common} as in the "
                    "files before."
                )
            common = both
        if common is not None and not tells_queries(common):
            raise TableError(
                f"{file.path}: column {name!r} holds {common}, which cannot tell rows apart. "
                "Convert it to text or integers."
            )
    is_unknown = common is None or pyarrow_extra().types.is_null(common)
    return pyarrow_extra().string() if is_unknown else common


def copied_type(files: list[TableFile], name: str) -> Any:
    """Type that holds the values of a column that is only copied; text if there is no other."""
    types = types_of(files, name)
    common = common_of(types) if types else None
    if common is None or pyarrow_extra().types.is_null(common):
        return pyarrow_extra().string()
    is_held = all(_holds_all(common, file, name) for file in files if name in file.schema.names)
    return common if is_held else pyarrow_extra().string()


def _holds_all(type_: Any, file: TableFile, name: str) -> bool:
    """Whether a type holds all values of a column; they are read only if it may not."""
    field = file.schema.field(name)
    if is_untyped(field):
        return is_text(type_) or not any(
            parse(text, type_)[1].any() for (text,) in _texts([file], [name])
        )
    # The year 9999 fits into microseconds, but not into nanoseconds.
    if getattr(type_, "unit", None) != "ns" or plain(field.type) == type_:
        return True
    try:
        for column in _cells(file, field):
            column.cast(type_)
    except pyarrow_extra().ArrowException:
        return False
    return True


def _cells(file: TableFile, field: Any) -> Iterator[Any]:
    """A column of all batches of a file."""
    for shard in file.shards():
        for _, batch in read_batches(shard, pyarrow_extra().schema([field])):
            yield plain_column(batch.column(0))


def _texts(files: list[TableFile], names: list[str]) -> Iterator[Any]:
    """Columns of all batches of files without types, as text."""
    fields = pyarrow_extra().schema(list(map(text_of_numbers, names)))
    for file in files:
        for shard in file.shards():
            for _, batch in read_batches(shard, fields):
                yield [batch.column(name) for name in names]


def field_of(files: list[TableFile], name: str, kind: str | None, parses_text: bool) -> Any:
    """Field of a feature: as text is read; dates keep the unit of files that have types."""
    types = types_of(files, name)
    if kind == "date" and len(types) == len(files):
        common = common_of(types)
        if common is not None and pyarrow_extra().types.is_temporal(common):
            return pyarrow_extra().field(name, common)
    if parses_text and kind in ("integer", "float"):
        return text_of_numbers(name)
    return pyarrow_extra().field(name, arrow_type(None if parses_text else kind))


def arrow_type(kind: str | None) -> Any:
    """Type that text is converted to if a model takes values of this kind; text if unknown."""
    aliases = {"integer": "int64", "float": "float64", "boolean": "bool", "date": "timestamp[us]"}
    return pyarrow_extra().type_for_alias(aliases.get(kind or "", "string"))


def content_types(files: list[TableFile], names: list[str]) -> dict[str, Any]:
    """Types of columns: those of the files that tell them, or else what all their cells are.

    The type is None if those of two files have none in common.
    """
    found, unknown = {}, []
    for name in names:
        fields = [file.schema.field(name) for file in files]
        types = [field.type for field in fields if not is_untyped(field)]
        if not types:
            unknown.append(name)
            continue
        found[name] = measured_type(types)
    contents = {name: TextContent() for name in unknown}
    if unknown:
        for columns in _texts(files, unknown):
            for content, column in zip(contents.values(), columns, strict=True):
                content.see(column)
    return found | {name: content.type for name, content in contents.items()}

"""Data frames and arrays of text in model files, which hold no code.

A data frame is the bytes of an Arrow stream, an array of text the bytes of all cells. Other arrays
and CSR matrices are stored as they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.inputs.columns import column_names
from skdistill.inputs.libraries import as_arrow, from_arrow
from skdistill.public_names import set_module
from skdistill.tables.errors import pyarrow_extra

# Largest growth of what a model file holds, when it is unpacked.
LARGEST_GROWTH = 100
# Places of fields in Arrow's format of messages.
HEADER, DICTIONARY_DATA, BATCH_COMPRESSION = 2, 1, 3


@set_module("skdistill.serving")
@dataclass(frozen=True)
class StoredTable:
    """A data frame in the form that a model file holds.

    Parameters
    ----------
    made_by : {"pandas", "polars", "pyarrow"}
        Library of the data frame.
    names : list of (str or int)
        Names of its columns; Arrow has only names that are text.
    content : ndarray of shape (n_bytes,), uint8
        An uncompressed Arrow stream.
    """

    made_by: str
    names: list[Any]
    content: NDArray[np.uint8]

    def restore(self) -> Any:
        """Make the data frame.

        Returns
        -------
        table of shape (n_rows, n_columns)

        Raises
        ------
        ValueError
            If the stream is damaged, or the data frame would be far larger than the stream.
        ImportError
            If the library is not installed.
        """
        pyarrow = pyarrow_extra()
        buffer = pyarrow.py_buffer(np.ascontiguousarray(self.content, dtype=np.uint8))
        for message in pyarrow.ipc.MessageReader.open_stream(buffer):
            if message.type != "schema" and _is_compressed(message):
                raise ValueError("a stored table is compressed, but those of model files are not")
        table = pyarrow.ipc.open_stream(buffer).read_all()
        if table.num_rows * max(table.num_columns, 1) > LARGEST_GROWTH * buffer.size:
            raise ValueError(f"a stored table of {buffer.size} bytes has {table.num_rows} rows")
        nested = _nested_columns(table.schema)
        if nested:
            raise ValueError(f"a stored table has the nested columns {nested}")
        table.validate(full=True)
        frame = from_arrow(table, self.made_by)
        is_named = self.made_by in ("polars", "pyarrow")
        return frame if is_named else frame.set_axis(self.names, axis=1)


def stored_table(table: Any, name: str) -> Any:
    """Return a table in the form that a model file holds.

    Parameters
    ----------
    table : table of shape (n_rows, n_columns)
        An array, CSR matrix or data frame.
    name : str
        The table, for messages.

    Returns
    -------
    StoredTable, ndarray or CSR matrix

    Raises
    ------
    TypeError
        If a column holds values of several types, lists, or objects of a class.
    """
    names = column_names(table)
    if names is None:
        return table
    pyarrow = pyarrow_extra()
    library = type(table).__module__.partition(".")[0]
    try:
        arrow = as_arrow(table, library)
    except Exception as error:  # pyarrow's and those of polars
        raise TypeError(f"{name} cannot be stored: {error}") from error
    nested = _nested_columns(arrow.schema)
    if nested:
        raise TypeError(f"{name} cannot be stored: its columns {nested} hold lists or structures.")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return StoredTable(library, names, np.frombuffer(sink.getvalue(), dtype=np.uint8))


def restored_table(stored: Any) -> Any:
    """Return the table that a model file holds."""
    return stored.restore() if isinstance(stored, StoredTable) else stored


@set_module("skdistill.serving")
@dataclass(frozen=True)
class StoredText:
    """An array of objects that are text, in the form that a model file holds.

    skops stores each object by itself, which takes a second for 20,000 ids.

    Parameters
    ----------
    content : ndarray of shape (n_bytes,), uint8
        All cells, one after the other.
    ends : ndarray of shape (n_cells,), int64
        Number of characters up to the end of each cell.
    """

    content: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def restore(self) -> NDArray[Any]:
        """Make the array.

        Returns
        -------
        ndarray of shape (n_cells,), object
        """
        text = self.content.tobytes().decode(errors="surrogatepass")
        cells = np.empty(len(self.ends), dtype=object)
        cells[:] = [text[start:end] for start, end in pairwise([0, *self.ends.tolist()])]
        return cells


def stored_ids(ids: Any) -> Any:
    """Return ids in the form that a model file holds: StoredText if they are text objects."""
    if not isinstance(ids, np.ndarray) or ids.dtype != object or set(map(type, ids)) != {str}:
        return ids
    content = "".join(ids).encode(errors="surrogatepass")
    ends = np.cumsum([len(one) for one in ids], dtype=np.int64)
    return StoredText(np.frombuffer(content, dtype=np.uint8), ends)


def restored_ids(stored: Any) -> Any:
    """Return the ids that a model file holds."""
    return stored.restore() if isinstance(stored, StoredText) else stored


def _nested_columns(schema: Any) -> list[str]:
    """Names of columns of lists and structures, whose size the number of rows does not bound."""
    is_nested = pyarrow_extra().types.is_nested

    def parts(type_: Any) -> list[Any]:
        inner = (getattr(type_, name, None) for name in ("value_type", "storage_type"))
        return [type_, *(part for one in inner if one is not None for part in parts(one))]

    return [field.name for field in schema if any(map(is_nested, parts(field.type)))]


def _is_compressed(message: Any) -> bool:
    """Whether a message declares a compressed body, which pyarrow would unpack to any size.

    pyarrow does not tell. A message is a table of Flatbuffers, which begins with the distance back
    to the list of its fields' places.
    """
    data = message.metadata.to_pybytes()

    def field(table: int, number: int) -> int:
        places = table - struct.unpack_from("<i", data, table)[0]
        at = 4 + 2 * number
        is_there = at < struct.unpack_from("<H", data, places)[0]
        place = struct.unpack_from("<H", data, places + at)[0] if is_there else 0
        return table + place if place else 0

    def follow(at: int) -> int:
        return at + struct.unpack_from("<I", data, at)[0]

    batch = follow(field(follow(0), HEADER))
    if message.type == "dictionary":
        batch = follow(field(batch, DICTIONARY_DATA))
    return field(batch, BATCH_COMPRESSION) != 0

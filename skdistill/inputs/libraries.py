"""Data frames of one library turned into those of another."""

from __future__ import annotations

from typing import Any

from skdistill.extras import import_extra


def library_of_frame(table: Any) -> str:
    """Name the library of a data frame: pandas, polars or pyarrow."""
    if hasattr(table, "iloc"):  # subclasses of pandas' come from other libraries
        return "pandas"
    return "polars" if hasattr(table, "with_columns") else "pyarrow"


def in_library_of(table: Any, like: Any) -> Any:
    """Return a data frame as one of the library of another.

    Parameters
    ----------
    table, like : data frames of pandas, polars or pyarrow

    Returns
    -------
    data frame
        The table itself if both are of one library.

    Raises
    ------
    ImportError
        If pyarrow is not installed, by which tables are converted.
    """
    source, target = library_of_frame(table), library_of_frame(like)
    if source == target:
        return table
    import_extra("pyarrow", "serving", f"A table of {source} beside one of {target}")
    return from_arrow(as_arrow(table, source), target)


def as_arrow(table: Any, library: str) -> Any:
    """Return a data frame of a library as a table of Arrow."""
    if library == "pandas":
        import pyarrow

        return pyarrow.Table.from_pandas(table, preserve_index=False)
    return table.to_arrow() if library == "polars" else table


def from_arrow(table: Any, library: str) -> Any:
    """Return a table of Arrow as a data frame of a library."""
    if library == "polars":
        import polars

        return polars.from_arrow(table)
    # Otherwise one missing value would make all integers floats.
    return table if library == "pyarrow" else table.to_pandas(integer_object_nulls=True)

"""Read tables in files as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skdistill.tables.columns import TableColumns
from skdistill.tables.errors import TableError, pyarrow_extra
from skdistill.tables.reading import read_batches
from skdistill.tables.shard import TableFile


def read_frame(files: list[TableFile], columns: TableColumns, name: str) -> Any:
    """Read all rows of a table.

    Parameters
    ----------
    files : list of TableFile
        Files of the table.
    columns : TableColumns
        Its columns.
    name : str
        Name of the table, for messages.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    TableError
        If the table has no rows.
    """
    batches = [
        columns.conform(batch, file.path)
        for file in files
        for shard in file.shards()
        for _, batch in read_batches(shard, columns.csv_types)
    ]
    if not batches:
        raise TableError(f"{files[0].path}: the tables of {name} hold no rows.")
    return pyarrow_extra().Table.from_batches(batches).to_pandas()


def with_categories(
    frames: Sequence[Any], features: Sequence[str], categories: Mapping[str, list[Any]]
) -> list[Any]:
    """Make categories of text, which tree ensembles take in no other form.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        Tables with some of the features. A column has the same categories in all of them.
    features : sequence of str
        Columns that models read.
    categories : dict of str to list
        Categories that a fitted model has for a column.

    Returns
    -------
    list of pandas.DataFrame
    """
    import pandas as pd

    types: dict[str, Any] = {}
    for name in features:
        columns = [frame[name] for frame in frames if name in frame]
        if name in categories:
            types[name] = pd.CategoricalDtype(categories[name])
        elif any(map(pd.api.types.is_string_dtype, columns)):
            values = pd.concat(columns, ignore_index=True)
            types[name] = pd.CategoricalDtype(sorted(values.dropna().unique()))
    return [
        frame.astype({name: type_ for name, type_ in types.items() if name in frame})
        for frame in frames
    ]

"""Train the cascade that a recipe describes, and report on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skdistill.cascade import RankingCascade
from skdistill.cascade.spec import read_stages
from skdistill.recipe.cascades import with_columns
from skdistill.recipe.errors import RecipeError
from skdistill.recipe.reading import Recipe
from skdistill.tables.columns import TableColumns, check_there, column_of
from skdistill.tables.frames import read_frame, with_categories
from skdistill.teachers.categories import categories_of


@dataclass(frozen=True)
class TrainedCascade:
    """What came of the recipe of a cascade.

    Parameters
    ----------
    ranker : RankingCascade
        The fitted cascade.
    n_rows : int
        Number of rows of the log.
    recipe : Recipe
        What was followed.
    test : pandas.DataFrame or None
        Rows of the test table.
    """

    ranker: RankingCascade
    n_rows: int
    recipe: Recipe
    test: Any

    @property
    def model(self) -> RankingCascade:
        """What is served."""
        return self.ranker

    @property
    def unread(self) -> dict[str, str]:
        """Columns that are left out because of their types: none, as the recipe names them all."""
        return {}

    def report(self) -> dict[str, float]:
        """Measure the cascade on the test table.

        Returns
        -------
        dict of str to float
            The number of rows of the log and of items. If there is a test table with labels, also
            the NDCG of the items that the cascade ranks first in the whole catalogue, at the size
            of the last stage.
        """
        data, cascade = self.recipe.data, self.ranker
        report = {"training rows": float(self.n_rows), "items": float(cascade.n_items)}
        label = data.get("label_column")
        if self.test is not None and label is not None:
            k = read_stages(cascade.stages)[-1].cut.size
            report[f"cascade ndcg@{k}"] = cascade.score(
                self.test[list(cascade.feature_names_in_)],
                self.test[label].to_numpy(dtype=float),
                qid=self.test[data["query_column"]],
            )
        return report


def train_cascade(recipe: Recipe, cascade: RankingCascade) -> TrainedCascade:
    """Train the cascade of a recipe on its tables.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    cascade : RankingCascade
        Its cascade, which is fitted in place.

    Returns
    -------
    TrainedCascade

    Raises
    ------
    TableError
        If a table, also that of the test, cannot be read or lacks a column.
    ValueError
        If the cascade's ``fit`` refuses the data.
    """
    data = recipe.data
    identifier = data.get("item_id_column")
    items, item_columns = _read_items(recipe, cascade, identifier)
    with_columns(cascade, item_columns)
    features = [*cascade.query_columns, *cascade.item_columns]
    label, weight = data.get("label_column"), data.get("weight_column")
    log = _read_log(recipe, "train", features, [label, weight])
    # The test table is read first, so that its faults do not cost a training.
    test = _read_log(recipe, "test", features, [label]) if "test" in data else None
    frames = [log, items] if test is None else [log, items, test]
    log, items, *rest = with_categories(frames, features, categories_of(cascade.teacher, features))
    cascade.fit(
        log[features],
        None if label is None else log[label].to_numpy(dtype=float),
        qid=log[data["query_column"]],
        items=items[list(cascade.item_columns)],
        sample_weight=column_of(log, weight),
    )
    if identifier is not None:
        ids = items[identifier]
        cascade.index(items[list(cascade.item_columns)], ids=ids.to_numpy())
    return TrainedCascade(cascade, len(log), recipe, rest[0] if rest else None)


def _read_items(
    recipe: Recipe, cascade: RankingCascade, identifier: str | None
) -> tuple[Any, list[str]]:
    """Read the catalogue, and determine its columns."""
    files = recipe.tables("items")
    names = cascade.item_columns
    if names is None:
        names = [name for name in files[0].schema.names if name != identifier]
    both = sorted(set(names) & set(cascade.query_columns))
    if both:
        raise RecipeError(
            f"{recipe.path}: the columns {both} describe queries, and are columns of the "
            "catalogue. Name those that describe items in item_columns of [cascade]."
        )
    targets = [] if identifier is None else [identifier]
    for file in files:
        check_there(file.path, file.schema.names, targets)
    columns = TableColumns.match(files, features=names, n_features=len(names), targets=targets)
    return read_frame(files, columns, "items"), list(names)


def _read_log(recipe: Recipe, name: str, features: list[str], numbers: list[str | None]) -> Any:
    """Read a table of pairs: features, query ids, and columns of numbers."""
    present = [column for column in numbers if column is not None]
    leaked = sorted(set(features) & set(present))
    if leaked:
        raise RecipeError(
            f"{recipe.path}: the columns {leaked} are targets, which no stage may read. Take them "
            "out of query_columns, item_columns, or the catalogue."
        )
    files = recipe.tables(name)
    columns = TableColumns.match(
        files,
        features=features,
        n_features=len(features),
        targets=[recipe.data["query_column"], *present],
        numbers=present,
    )
    return read_frame(files, columns, name)

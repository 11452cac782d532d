"""Train what a recipe describes, and report on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from skdistill.cascade.estimator import RankingCascade
from skdistill.inputs.columns import optional_positions, select_columns
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.metrics import grouped_auc, ndcg_score
from skdistill.ranker import DistilledRanker
from skdistill.recipe.cascade_training import TrainedCascade, train_cascade
from skdistill.recipe.estimators import columns_of
from skdistill.recipe.reading import TARGETS, Recipe
from skdistill.tables.columns import column_of, filled, training_columns
from skdistill.tables.frames import read_frame, with_categories
from skdistill.teachers import score_rows
from skdistill.teachers.categories import categories_of
from skdistill.teachers.columns import names_read_by

ndcg_at_10 = partial(ndcg_score, k=10)


@dataclass(frozen=True)
class Trained:
    """What came of a recipe.

    Parameters
    ----------
    ranker : DistilledRanker
        The fitted ranker.
    n_rows : int
        Number of training rows.
    recipe : Recipe
        What was followed.
    features : list of str
        Columns of the training table.
    test : pandas.DataFrame or None
        Rows of the test table.
    unread : dict of str to str
        Columns of the training table that no model reads, though neither ``ignore`` nor another key
        of ``[data]`` names them, and their types.
    """

    ranker: DistilledRanker
    n_rows: int
    recipe: Recipe
    features: list[str]
    test: Any
    unread: dict[str, str]

    @property
    def model(self) -> Any:
        """What is served: the student without its teacher."""
        return self.ranker.export_student()

    def report(self) -> dict[str, float]:
        """Measure the student on the test table.

        Returns
        -------
        dict of str to float
            The number of training rows. If there is a test table with labels, also NDCG@10 of the
            student on it and, if the teacher's scores are available, of the teacher; without
            queries, the area under the ROC curve (AUC) instead. Test rows without a label are left
            out, and their number is reported.
        """
        data, ranker = self.recipe.data, self.ranker
        label, given = data.get("label_column"), data.get("teacher_score_column")
        report = {"training rows": float(self.n_rows)}
        if self.test is None or label is None:
            return report
        test = self.test[self.test[label].notna()]
        if len(test) < len(self.test):
            report["test rows without a label"] = float(len(self.test) - len(test))
        if not len(test):
            return report
        ids = check_qid(column_of(test, data.get("query_column")), len(test))
        queries, order = sort_by_query(ids, len(test))
        test = test if order is None else test.iloc[order]
        table = test[self.features]
        y, qid = test[label].to_numpy(dtype=float), queries.segment
        name, metric = ("auc", grouped_auc) if ids is None else ("ndcg@10", ndcg_at_10)
        report[f"student {name}"] = metric(y, ranker.predict(table), qid)
        if given is not None:
            report[f"teacher {name}"] = metric(y, test[given].to_numpy(), qid)
        elif ranker.keep_teacher:
            positions = optional_positions(table, ranker.teacher_columns, "teacher_columns")
            teacher = score_rows(ranker.teacher_, select_columns(table, positions), queries)
            report[f"teacher {name}"] = metric(y, teacher, qid)
        return report


def train(recipe: Recipe) -> Trained | TrainedCascade:
    """Train the ranker or cascade of a recipe on its tables.

    Parameters
    ----------
    recipe : Recipe
        What :func:`read_recipe` returned. Its ranker is fitted in place.

    Returns
    -------
    Trained or TrainedCascade
        The fitted ranker, which can report on the test table.

    Raises
    ------
    TableError
        If a table, also that of the test, cannot be read or lacks a column.
    ValueError
        If the ranker's ``fit`` refuses the data.
    """
    data, ranker = recipe.data, recipe.ranker
    if isinstance(ranker, RankingCascade):
        return train_cascade(recipe, ranker)
    features, frame = _read(recipe, "train", data.get("features"))
    # The other tables are read first, so that their faults do not cost a training.
    validation, test = (
        _read(recipe, name, features)[1] if name in data else None
        for name in ("validation", "test")
    )
    given = _arguments(data, features, frame)
    if validation is not None:
        of_validation = _arguments(data, features, validation)
        given |= {f"{name}_val": value for name, value in of_validation.items()}
    ranker.fit(**given)
    return Trained(ranker, len(frame), recipe, features, test, _unread(recipe, features))


def follow(recipe: Recipe) -> tuple[DistilledRanker | RankingCascade, dict[str, float]]:
    """Train the ranker or cascade of a recipe on its tables, and report on it.

    Parameters
    ----------
    recipe : Recipe
        What :func:`read_recipe` returned. Its ranker is fitted in place.

    Returns
    -------
    ranker : DistilledRanker or RankingCascade
        The fitted ranker.
    report : dict of str to float
        What :meth:`Trained.report` returns.

    Raises
    ------
    TableError
        If a table cannot be read or lacks a column.
    ValueError
        If the ranker's ``fit`` refuses the data.
    """
    trained = train(recipe)
    return trained.ranker, trained.report()


def _arguments(data: dict[str, Any], features: list[str], frame: Any) -> dict[str, Any]:
    """Arguments of ``fit`` that hold the columns of a table."""
    label = data.get("label_column")
    return {
        "X": frame[features],
        "y": None if label is None else frame[label].to_numpy(dtype=float),
        "qid": column_of(frame, data.get("query_column")),
        "teacher_scores": column_of(frame, data.get("teacher_score_column")),
        "sample_weight": column_of(frame, data.get("weight_column")),
    }


def _read(recipe: Recipe, name: str, features: list[str] | None) -> tuple[list[str], Any]:
    """Read all rows of a table as a data frame, and determine its feature columns."""
    data, files = recipe.data, recipe.tables(name)
    # The report weighs no row.
    keys = ("label_column", "teacher_score_column", *(["weight_column"] if name != "test" else []))
    numbers = [data[key] for key in keys if key in data]
    names = filled(files)[0].schema.names
    categories = categories_of(recipe.ranker.teacher, names)
    # A teacher that was fitted on times says what to do about them.
    of_teacher = names_read_by(recipe.ranker.teacher, names)
    columns = training_columns(
        files,
        data.get("query_column"),
        numbers,
        features,
        data.get("ignore", []),
        [*categories, *columns_of(recipe.ranker.student), *of_teacher],
    )
    frame = read_frame(files, columns, name)
    return columns.features, with_categories([frame], columns.features, categories)[0]


def _unread(recipe: Recipe, features: list[str]) -> dict[str, str]:
    """Return the columns that are left out because of their types, and these."""
    data, schema = recipe.data, filled(recipe.tables("train"))[0].schema
    if "features" in data:
        return {}
    targets = (data[key] for key in TARGETS if key in data)
    named = {*features, *data.get("ignore", []), *targets}
    return {name: str(schema.field(name).type) for name in schema.names if name not in named}

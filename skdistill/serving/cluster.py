"""Score tables on a Dask, Ray or Spark cluster; each worker gets the scorer once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.serving.batch.rejects import unscored
from skdistill.serving.batch.table_scorer import table_scorer
from skdistill.serving.probabilities import probability_column_of
from skdistill.tables.columns import check_there
from skdistill.tables.errors import TableError, pyarrow_extra


@set_module("skdistill.serving")
class FrameScorer:
    """Score pandas frames: a picklable callable for the workers of a cluster.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A model fitted on tables with column names.
    score_column : str, default="score"
        Name of the output column with the scores.
    probability_column : str, optional
        Name of an output column with the probabilities of ``predict_proba``, float64; without a
        name there is none.
    id_columns : sequence of str, optional
        Columns to copy to the output; by default all that are not features.

    Attributes
    ----------
    features : list of str
        Columns that the model reads.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ValueError
        If the model was fitted without column names, or two output columns have one name.
    TypeError
        If the model has no probabilities for the ``probability_column``.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdistill.serving import FrameScorer
    >>> from skdistill.students import LinearRanker
    >>> X = pd.DataFrame({"price": [1.0, 2.0, 3.0], "age": [3.0, 1.0, 2.0]})
    >>> student = LinearRanker(random_state=0).fit(X, [0, 0, 1], qid=[1, 1, 1])
    >>> list(FrameScorer(student)(X.assign(item=["a", "b", "c"])).columns)
    ['item', 'score']
    """

    def __init__(
        self,
        model: Any,
        score_column: str = "score",
        id_columns: Sequence[str] | None = None,
        *,
        probability_column: str | None = None,
    ) -> None:
        self.scorer = table_scorer(model)
        self.probabilities = probability_column_of(model, probability_column, score_column)
        if self.scorer.features is None:
            raise ValueError(
                "The model was fitted without column names, so the columns of a table cannot be "
                "matched. Fit it on a data frame."
            )
        self.features = self.scorer.features
        self.score_column = score_column
        self.id_columns = None if id_columns is None else list(id_columns)

    def carried(self, names: Sequence[str]) -> list[str]:
        """Columns of a table that are copied to the output.

        Parameters
        ----------
        names : sequence of str
            Names of all columns of the table.

        Returns
        -------
        list of str
            ``id_columns`` if given, otherwise all columns that are not features.

        Raises
        ------
        TableError
            If one of ``id_columns`` is missing.
        """
        if self.id_columns is not None:
            check_there("the table", names, self.id_columns)
            return self.id_columns
        return [name for name in names if name not in self.features]

    def __call__(self, frame: Any) -> Any:
        """Score the rows of a frame.

        Parameters
        ----------
        frame : pandas.DataFrame
            A table with the model's features.

        Returns
        -------
        pandas.DataFrame
            The copied columns, the scores and, if asked for, the probabilities, with the index of
        ``frame``.

        Raises
        ------
        TableError
            If a column is missing, or a row cannot be scored.
        """
        names = list(frame.columns)
        carried = self.carried(names)
        check_there("the table", names, self.features)
        batch = pyarrow_extra().RecordBatch.from_pandas(frame[self.features], preserve_index=False)
        scores, rejects = self.scorer.scores(batch, "a partition of the table", 0)
        if rejects:
            raise TableError(unscored(rejects[0], self.scorer.expected_in(rejects[0].column)))
        added: dict[str, NDArray[Any]] = {self.score_column: scores}
        if self.probabilities is not None:
            added[self.probabilities.name] = self.probabilities.of_scores(scores)
        return frame[carried].assign(**added)


@set_module("skdistill.serving")
def score_dask(
    model: Any,
    frame: Any,
    *,
    score_column: str = "score",
    id_columns: Sequence[str] | None = None,
    probability_column: str | None = None,
) -> Any:
    """Score a Dask frame lazily; ``to_parquet`` or ``compute`` of the result runs the scoring.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A model fitted on tables with column names.
    frame : dask.dataframe.DataFrame
        A table with the model's features.
    score_column : str, default="score"
        Name of the output column with the scores.
    probability_column : str, optional
        Name of an output column with the probabilities of ``predict_proba``, float64; without a
        name there is none.
    id_columns : sequence of str, optional
        Columns to copy to the output; by default all that are not features.

    Returns
    -------
    dask.dataframe.DataFrame
        The copied columns, the scores and, if asked for, the probabilities.

    Raises
    ------
    ValueError
        If the model was fitted without column names, or two output columns have one name.
    TypeError
        If the model has no probabilities for the ``probability_column``.
    TableError
        If a column is missing; once the scoring runs, also if a row cannot be scored.
    ImportError
        If Dask is not installed (extra ``dask``).
    """
    dask = import_extra("dask", "dask", "score_dask")
    scorer = FrameScorer(model, score_column, id_columns, probability_column=probability_column)
    # A delayed scorer is one node of the graph: it is sent to each worker once, not with every
    # partition.
    return frame.map_partitions(_scored, dask.delayed(scorer, pure=True), meta=scorer(frame._meta))


@set_module("skdistill.serving")
def score_ray(
    model: Any,
    dataset: Any,
    *,
    score_column: str = "score",
    id_columns: Sequence[str] | None = None,
    probability_column: str | None = None,
) -> Any:
    """Score a Ray dataset lazily; ``write_parquet`` of the result runs the scoring.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A model fitted on tables with column names.
    dataset : ray.data.Dataset
        A table with the model's features.
    score_column : str, default="score"
        Name of the output column with the scores.
    probability_column : str, optional
        Name of an output column with the probabilities of ``predict_proba``, float64; without a
        name there is none.
    id_columns : sequence of str, optional
        Columns to copy to the output; by default all that are not features.

    Returns
    -------
    ray.data.Dataset
        The copied columns, the scores and, if asked for, the probabilities.

    Raises
    ------
    ValueError
        If the model was fitted without column names, or two output columns have one name.
    TypeError
        If the model has no probabilities for the ``probability_column``.
    TableError
        Once the scoring runs, if a column is missing or a row cannot be scored.
    ImportError
        If Ray is not installed (extra ``ray``).
    """
    ray = import_extra("ray", "ray", "score_ray")
    shared = ray.put(
        FrameScorer(model, score_column, id_columns, probability_column=probability_column)
    )
    return dataset.map_batches(lambda frame: ray.get(shared)(frame), batch_format="pandas")


@set_module("skdistill.serving")
def score_spark(
    model: Any,
    frame: Any,
    *,
    score_column: str = "score",
    id_columns: Sequence[str] | None = None,
    probability_column: str | None = None,
) -> Any:
    """Score a Spark frame lazily; ``write.parquet`` of the result runs the scoring.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A model fitted on tables with column names.
    frame : pyspark.sql.DataFrame
        A table with the model's features.
    score_column : str, default="score"
        Name of the output column with the scores.
    probability_column : str, optional
        Name of an output column with the probabilities of ``predict_proba``, float64; without a
        name there is none.
    id_columns : sequence of str, optional
        Columns to copy to the output; by default all that are not features.

    Returns
    -------
    pyspark.sql.DataFrame
        The copied columns, the scores and, if asked for, the probabilities.

    Raises
    ------
    ValueError
        If the model was fitted without column names, or two output columns have one name.
    TypeError
        If the model has no probabilities for the ``probability_column``.
    TableError
        Once the scoring runs, if a column is missing or a row cannot be scored.
    ImportError
        If PySpark is not installed (extra ``spark``).
    """
    types = import_extra("pyspark.sql.types", "spark", "score_spark")
    scorer = FrameScorer(model, score_column, id_columns, probability_column=probability_column)
    shared = frame.sparkSession.sparkContext.broadcast(scorer)
    fields = [frame.schema[name] for name in scorer.carried(frame.columns)]
    schema = types.StructType(fields).add(score_column, types.FloatType())
    if probability_column is not None:
        schema = schema.add(probability_column, types.DoubleType())

    def scored(frames: Iterator[Any]) -> Iterator[Any]:
        return map(shared.value, frames)

    return frame.mapInPandas(scored, schema)


def _scored(frame: Any, scorer: FrameScorer) -> Any:
    return scorer(frame)

"""The same scores on a cluster: Dask, Ray and Spark move the tables, a scorer is sent once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.serving.batch.table_scorer import table_scorer, unscored
from skdistill.tables.columns import check_there
from skdistill.tables.errors import TableError, pyarrow_extra


@set_module("skdistill.serving")
class FrameScorer:
    """Scores of pandas frames, as they are given to functions on a cluster; may be pickled.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        Fitted on tables with column names.
    score_column : str, default="score"
    id_columns : sequence of str, optional
        Columns that go on into the output; by default all that are no features.

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
        self, model: Any, score_column: str = "score", id_columns: Sequence[str] | None = None
    ) -> None:
        self.scorer = table_scorer(model)
        if self.scorer.features is None:
            raise ValueError("The model was fitted without column names; tables need them.")
        self.features = self.scorer.features
        self.score_column = score_column
        self.id_columns = None if id_columns is None else list(id_columns)

    def carried(self, names: Sequence[str]) -> list[str]:
        """Those of a table's columns that go on into the output."""
        if self.id_columns is not None:
            return self.id_columns
        return [name for name in names if name not in self.features]

    def __call__(self, frame: Any) -> Any:
        """Carried columns and scores of a frame's rows.

        Parameters
        ----------
        frame : pandas.DataFrame

        Returns
        -------
        pandas.DataFrame
            With the index of ``frame``.

        Raises
        ------
        TableError
            For columns that are missing and rows that can't be scored.
        """
        names = list(frame.columns)
        carried = self.carried(names)
        check_there("the table", names, [*self.features, *carried])
        batch = pyarrow_extra().RecordBatch.from_pandas(frame[self.features], preserve_index=False)
        scores, rejects = self.scorer.scores(batch, "a partition of the table", 0)
        if rejects:
            raise TableError(unscored(rejects[0], self.scorer.allows_missing))
        return frame[carried].assign(**{self.score_column: scores})


@set_module("skdistill.serving")
def score_dask(
    model: Any, frame: Any, *, score_column: str = "score", id_columns: Sequence[str] | None = None
) -> Any:
    """Score a Dask frame, lazily; ``to_parquet`` or ``compute`` on what it returns runs it.

    Parameters
    ----------
    model, score_column, id_columns
        As :class:`FrameScorer`.
    frame : dask.dataframe.DataFrame

    Returns
    -------
    dask.dataframe.DataFrame
    """
    dask = import_extra("dask", "dask", "score_dask")
    scorer = FrameScorer(model, score_column, id_columns)
    # Delayed, it is one node of the graph: sent to each worker once, not with every partition.
    return frame.map_partitions(_scored, dask.delayed(scorer, pure=True), meta=scorer(frame._meta))


@set_module("skdistill.serving")
def score_ray(
    model: Any,
    dataset: Any,
    *,
    score_column: str = "score",
    id_columns: Sequence[str] | None = None,
) -> Any:
    """Score a Ray dataset, lazily; ``write_parquet`` on what it returns runs it.

    Parameters
    ----------
    model, score_column, id_columns
        As :class:`FrameScorer`.
    dataset : ray.data.Dataset

    Returns
    -------
    ray.data.Dataset
    """
    ray = import_extra("ray", "ray", "score_ray")
    shared = ray.put(FrameScorer(model, score_column, id_columns))
    return dataset.map_batches(lambda frame: ray.get(shared)(frame), batch_format="pandas")


@set_module("skdistill.serving")
def score_spark(
    model: Any, frame: Any, *, score_column: str = "score", id_columns: Sequence[str] | None = None
) -> Any:
    """Score a Spark frame, lazily; ``write.parquet`` on what it returns runs it.

    Parameters
    ----------
    model, score_column, id_columns
        As :class:`FrameScorer`.
    frame : pyspark.sql.DataFrame

    Returns
    -------
    pyspark.sql.DataFrame
    """
    types = import_extra("pyspark.sql.types", "spark", "score_spark")
    scorer = FrameScorer(model, score_column, id_columns)
    shared = frame.sparkSession.sparkContext.broadcast(scorer)
    fields = [frame.schema[name] for name in scorer.carried(frame.columns)]
    schema = types.StructType(fields).add(score_column, types.FloatType())

    def scored(frames: Iterator[Any]) -> Iterator[Any]:
        return map(shared.value, frames)

    return frame.mapInPandas(scored, schema)


def _scored(frame: Any, scorer: FrameScorer) -> Any:
    return scorer(frame)

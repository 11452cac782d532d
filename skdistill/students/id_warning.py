"""Warn of ids that a student has read as numbers, by what it has failed to learn of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skdistill.inputs.id_columns import (
    MOST_ROWS,
    columns_like_ids,
    columns_like_query_ids,
    columns_of_places,
    missed_effects,
    name_queries,
    name_users,
    queries_of_categories,
)
from skdistill.inputs.mixed_table import MixedTable
from skdistill.inputs.queries import Queries
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.rows import Rows
from skdistill.inputs.table_encoder import TIME_KINDS
from skdistill.students.reading import names_of_numbers
from skdistill.user_warnings import warn_user

# What the values of an id explain of the labels, or of the teacher's scores, relative to what they
# and the student's scores explain together.
LEAST_SHARE = 0.08
# Labels of fewer rows than this say too little, if there is a teacher.
LEAST_LABELLED = 0.5
BLOCK = 8192


def warn_of_columns_of_lists(student: Any, data: RankingData) -> None:
    """Warn of columns that name the query, or number its rows, as in a list that was served.

    Parameters
    ----------
    student : StudentEstimator
        It has read the table.
    data : RankingData
        What it is trained on, with the table that ``read_table`` returned.
    """
    if sparse.issparse(data.X):
        return
    way_out = (
        "Leave them out of X. If the queries are users who come again, name them in "
        "categorical_features."
    )
    numbers = data.X.numbers if isinstance(data.X, MixedTable) else data.X
    names = names_of_numbers(student, numbers.shape[1])
    found = columns_like_query_ids(numbers, data.queries)
    named = [names[place] for place in found if not _is_time(student, place)]
    numbering = [names[place] for place in columns_of_places(numbers, data.queries)]
    if numbering:
        warn_user(
            f"The columns {numbering} of X number the rows of each query from 0 or 1, as the "
            "positions at which they were shown do. A service does not know these before it ranks, "
            "and a model that reads them repeats the former order: leave them out of X."
        )
    if named:
        warn_user(
            f"The columns {named} of X hold another whole number for each query, as its id or its "
            f"time does. Later ones have numbers that no model has learnt from. {way_out}"
        )
    if not isinstance(data.X, MixedTable) or student.encoder_ is None:
        return
    names, chosen = student.encoder_.category_names, _named_categories(student)
    counts = {
        names[place]: n_queries
        for place, n_queries in queries_of_categories(data.X.codes, data.queries).items()
        if names[place] not in chosen
    }
    named = [name for name, n_queries in counts.items() if name_queries(n_queries)]
    if named:
        warn_user(
            f"The columns {named} of X name the query: each query has a value of its own, so that "
            f"what a model learns of it holds for no other query. {way_out}"
        )
    few = {
        name: round(float(n_queries.mean()), 1)
        for name, n_queries in counts.items()
        if name_users(n_queries) and name not in named
    }
    if few:
        warn_user(
            f"The columns {list(few)} of X are the same in all rows of a query, as ids of users "
            f"are, and have few queries per value ({few}). A student may learn these queries by "
            "heart. Compare it, on later queries, with one that does not read the columns, or that "
            "has a larger min_frequency. If you want them, name them in categorical_features."
        )


def _named_categories(student: Any) -> list[Any]:
    """Columns that the user has named as categories, and not only by their type."""
    named = student.categorical_features
    return [] if named is None or isinstance(named, str) or callable(named) else list(named)


@dataclass(frozen=True)
class SuspectedIds:
    """Columns of integers that are spread like ids, and what tells whether a student misses them.

    That is told after training: an item that a log shows often has a weight, and whatever else it
    has, in all of its rows. So the values of its weight have effects that their neighbours do not
    have, though it is no id. But a student explains them by the other columns.

    Parameters
    ----------
    names : list
        Names of the columns.
    columns : ndarray of shape (n_rows, n_columns)
        Their numbers, NaN where one is missing.
    targets : list of ndarray of shape (n_rows,)
        Labels, unless most rows have none, and the teacher's scores, if there is a teacher.
    queries : Queries
        Segments of the rows.
    """

    names: list[Any]
    columns: NDArray[Any]
    targets: list[NDArray[np.float64]]
    queries: Queries

    @classmethod
    def of(cls, student: Any, data: RankingData) -> SuspectedIds:
        """Find the columns, of which there may be none, before a student is trained.

        Parameters
        ----------
        student : StudentEstimator
            It has read the table.
        data : RankingData
            What it is trained on, with the table that ``read_table`` returned.
        """
        given = [of for of in (data.labels, data.teacher_scores) if of is not None and of.ndim == 1]
        targets = [of[:MOST_ROWS] for of in given]
        if len(targets) == 2 and np.isfinite(targets[0]).mean() < LEAST_LABELLED:
            targets = targets[1:]
        # Rows that are one query, for want of ids, are another fault, of which users are told.
        if sparse.issparse(data.X) or not targets or data.queries.n_queries == 1:
            return cls([], np.empty((0, 0)), [], data.queries)
        numbers = data.X.numbers if isinstance(data.X, MixedTable) else data.X
        # A day of the week has an effect of its own too, which a student reads off the date.
        found = [place for place in columns_like_ids(numbers) if not _is_time(student, place)]
        names = names_of_numbers(student, numbers.shape[1])
        suspected = [names[place] for place in found]
        return cls(suspected, numbers[:MOST_ROWS, found], targets, data.queries)

    def warn(self, model: Any, params: Any, inputs: Rows) -> None:
        """Warn of the columns of which the trained student misses the effects of the values.

        Parameters
        ----------
        model : StudentModel
            The student's model, with one output.
        params : dict of str to ndarray
            Its parameters.
        inputs : Rows
            Scaled training rows.
        """
        if not self.names:
            return
        n_rows = len(self.columns)
        cuts = [*range(0, n_rows, BLOCK), n_rows]
        blocks = (inputs.take(np.arange(start, stop)) for start, stop in pairwise(cuts))
        scores = np.concatenate([model.forward(params, block)[0] for block in blocks])
        if scores.size != n_rows:
            return  # the outputs of several objectives are not one score
        missed = self._missed(scores.ravel().astype(np.float64))
        names = [self.names[place] for place in np.flatnonzero(missed >= LEAST_SHARE)]
        if names:
            warn_user(
                f"The columns {names} of X hold whole numbers, which the student reads as numbers. "
                "But they seem to be ids: each value has an effect of its own, which the student "
                f"misses. Try categorical_features={names} of the student, or a categorical type, "
                "and compare both students on rows that were not trained on. If these are amounts "
                "or counts, ignore this warning."
            )

    def _missed(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share that each column explains beyond scores, shape (n_columns,)."""
        shares = [missed_effects(self.columns, of, scores, self.queries) for of in self.targets]
        # A teacher also remembers the noise of its labels, value by value: labels come first.
        return np.where(shares[0] > 0, np.max(shares, axis=0), 0.0)


def _is_time(student: Any, place: int) -> bool:
    """Whether a number of the table is one of a date or duration."""
    encoder = student.encoder_
    return encoder is not None and encoder.kinds[encoder.columns_of_numbers[place]] in TIME_KINDS

"""Warn of ids that a student has read as numbers, by what it has failed to learn of them."""

from __future__ import annotations

from collections.abc import Collection
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
    columns_naming_queries,
    columns_of_places,
    missed_effects,
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
BLOCK = 8192

# What is said of columns that name queries, or number their rows.
LEAVE_OUT = (
    "Leave them out of X. If the values are users who come again, give each list its own qid, and "
    "keep the user as a category."
)
NUMBER_ROWS = (
    "number the rows of each query from 0 or 1, as the positions at which they were shown do. A "
    "service does not know these before it ranks, and a model that reads them repeats the former "
    "order: leave them out of X."
)
NUMBER_QUERIES = (
    "hold a different whole number for each query, such as its id or its time. Later queries have "
    f"numbers that the model has never seen. {LEAVE_OUT}"
)
TELL_TIMES = (
    "hold a different time for each query, such as that of the request. Later queries have later "
    "times, which the model has never seen: leave them out of X. If the hour or the day of the "
    "week matters, make a column of it."
)
NAME_QUERIES = (
    "name the query: nearly every query has a value of its own, so that what a model learns of it "
    f"holds for no other query. {LEAVE_OUT}"
)


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
    numbers = data.X.numbers if isinstance(data.X, MixedTable) else data.X
    names = names_of_numbers(student, numbers.shape[1])
    found = columns_like_query_ids(numbers, data.queries)
    dates = [place for place in range(len(names)) if _is_time(student, place, {"date"})]
    timed = columns_naming_queries(numbers[:, dates], data.queries)
    told = {
        NUMBER_ROWS: [names[place] for place in columns_of_places(numbers, data.queries)],
        NUMBER_QUERIES: [names[place] for place in found if not _is_time(student, place)],
        TELL_TIMES: list(dict.fromkeys(names[dates[place]] for place in timed)),
        NAME_QUERIES: _categories_naming_queries(student, data),
    }
    for what, columns in told.items():
        if columns:
            warn_user(f"In X, the columns {columns} {what}")


def _categories_naming_queries(student: Any, data: RankingData) -> list[Any]:
    """Columns of categories that name the query, unless the user has named them as categories."""
    if not isinstance(data.X, MixedTable) or student.encoder_ is None:
        return []
    names, chosen = student.encoder_.category_names, _named_categories(student)
    found = columns_naming_queries(data.X.codes, data.queries)
    return [names[place] for place in found if names[place] not in chosen]


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
        if len(targets) == 2 and not data.is_mostly_labelled:
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
                f"misses. Try categorical_features={names} of the student, or a categorical type. "
                "So that it does not learn the values by heart, try a later week as X_val, or "
                "weight_decay=3, too. Compare the students on rows that were not trained on. If "
                "these are amounts or counts, ignore this warning."
            )

    def _missed(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share that each column explains beyond scores, shape (n_columns,)."""
        shares = [missed_effects(self.columns, of, scores, self.queries) for of in self.targets]
        # A teacher also remembers the noise of its labels, value by value: labels come first.
        return np.where(shares[0] > 0, np.max(shares, axis=0), 0.0)


def _is_time(student: Any, place: int, kinds: Collection[str] = TIME_KINDS) -> bool:
    """Whether a number of the table is one of a date or duration."""
    encoder = student.encoder_
    return encoder is not None and encoder.kinds[encoder.columns_of_numbers[place]] in kinds

"""Cross-validation that keeps the rows of a query together, at random or in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from skdistill.inputs.columns import query_ids
from skdistill.inputs.ids import as_ids, id_codes, missing_ids
from skdistill.inputs.query_ids import check_qid
from skdistill.public_names import set_module


@set_module("skdistill")
class RankingGroupKFold(GroupKFold):
    """K-fold cross-validation with folds of whole queries.

    With metadata routing, the ``qid`` of ``search.fit(X, y, qid=qid)`` is routed here without
    ``set_split_request``. Without routing, the queries are read from a column of X.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether to assign queries to folds at random. Otherwise the folds are balanced by number of
        rows.
    random_state : int, RandomState or None, default=None
        Pass an int for the same folds in each call. Only used with ``shuffle``.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is routed.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import RankingGroupKFold
    >>> X = np.column_stack([np.repeat([3, 4, 5], 2), np.arange(6)])
    >>> for train, test in RankingGroupKFold(3, query_column=0).split(X):
    ...     print(train, test)
    [0 1 2 3] [4 5]
    [0 1 4 5] [2 3]
    [2 3 4 5] [0 1]
    """

    __metadata_request__split = {"groups": "qid"}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: Any = None,
        query_column: str | int | None = None,
    ) -> None:
        super().__init__(n_splits=n_splits, shuffle=shuffle, random_state=random_state)
        self.query_column = query_column

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield the training and test rows of each fold.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Rows to split.
        y : array-like of shape (n_rows,), optional
            Ignored.
        groups : array-like of shape (n_rows,), optional
            Query of each row.

        Yields
        ------
        train : ndarray of shape (n_train,), int64
            Row numbers of the training set.
        test : ndarray of shape (n_test,), int64
            Row numbers of the test set.

        Raises
        ------
        ValueError
            If there are neither groups nor a query column, or fewer queries than folds.
        """
        return super().split(X, y, _query_codes(self, X, groups))


@set_module("skdistill")
class RankingTimeSeriesSplit(TimeSeriesSplit):
    """Splits in the order of time: train on earlier queries, test on those that follow.

    A query belongs to the time of its earliest row, and its rows stay together. Queries of the same
    time are in the order in which they appear. With metadata
    routing, ``search.fit(X, y, qid=qid, time=time)`` reaches the splitter without
    ``set_split_request``. Without routing, queries and times are read from columns of X.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits.
    max_train_size : int, optional
        Largest number of queries to train on, the last ones.
    test_size : int, optional
        Number of queries to test on; by default ``n_queries // (n_splits + 1)``.
    gap : int, default=0
        Number of queries to leave out between those to train on and those to test on.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is routed.
    time_column : str or int, optional
        Column of X with the times, if no ``time`` is routed. Without any times, queries are in the
        order in which they first appear.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import RankingTimeSeriesSplit
    >>> qid = np.repeat([3, 4, 5], 2)
    >>> week = np.repeat([2, 1, 3], 2)
    >>> for train, test in RankingTimeSeriesSplit(2).split(qid, groups=qid, time=week):
    ...     print(train, test)
    [2 3] [0 1]
    [0 1 2 3] [4 5]
    """

    __metadata_request__split = {"groups": "qid", "time": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        max_train_size: int | None = None,
        test_size: int | None = None,
        gap: int = 0,
        query_column: str | int | None = None,
        time_column: str | int | None = None,
    ) -> None:
        super().__init__(
            n_splits=n_splits, max_train_size=max_train_size, test_size=test_size, gap=gap
        )
        self.query_column = query_column
        self.time_column = time_column

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: Any = None, *, time: Any = None
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups, time : object
            Ignored; a search passes what it passes to ``split``.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        time: ArrayLike | None = None,
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield the training and test rows of each split.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Rows to split.
        y : array-like of shape (n_rows,), optional
            Ignored.
        groups : array-like of shape (n_rows,), optional
            Query of each row.
        time : array-like of shape (n_rows,), optional
            Time of each row: numbers, dates, or anything else that can be sorted.

        Yields
        ------
        train : ndarray of shape (n_train,), int64
            Row numbers of the training set, ascending.
        test : ndarray of shape (n_test,), int64
            Row numbers of the test set, ascending.

        Raises
        ------
        ValueError
            If there are neither groups nor a query column, a time is missing, or there are fewer
            queries than the splits need.
        """
        queries = _query_codes(self, X, groups)
        if time is None and self.time_column is not None:
            time = query_ids(X, self.time_column, "time_column")
        place = _places_in_time(queries, time)
        n_queries = int(place.max()) + 1
        try:
            splits = list(super().split(np.empty(n_queries)))
        except ValueError as error:
            raise ValueError(
                f"The splits are too many or too large for {n_queries} queries: {error} A sample "
                "is a query here. Lower n_splits, test_size or gap."
            ) from error
        for train, test in splits:
            yield np.flatnonzero(np.isin(place, train)), np.flatnonzero(np.isin(place, test))


def _query_codes(splitter: Any, X: Any, groups: ArrayLike | None) -> NDArray[np.int64]:
    """Number the queries of rows, which are given or stand in a column of X."""
    if groups is None:
        if splitter.query_column is None:
            raise ValueError(
                f"{type(splitter).__name__} needs the query of each row: pass qid= to the search "
                "with metadata routing enabled, or name a column of X by query_column."
            )
        groups = query_ids(X, splitter.query_column)
    # scikit-learn would bring the ids to one type, and take 1 and "1" for the same query.
    ids = as_ids(groups)
    check_qid(ids, len(ids))
    return id_codes(ids)[0]


def _places_in_time(queries: NDArray[np.int64], time: ArrayLike | None) -> NDArray[np.int64]:
    """Return the place of each row's query in the order of time, then of first appearance."""
    n_rows = len(queries)
    earliest = np.zeros(n_rows, dtype=np.int64)
    if time is not None:
        times = as_ids(time)
        if times.shape != (n_rows,):
            raise ValueError(
                f"time must hold one value per row: expected shape ({n_rows},), got {times.shape}."
            )
        missing = missing_ids(times)
        if missing.any():
            row = int(np.flatnonzero(missing)[0])
            raise ValueError(f"time must be known in every row: row {row} holds {times[row]!r}.")
        earliest = id_codes(times)[0]
    # The first row of each query, if rows are sorted by time.
    order = np.argsort(earliest, kind="stable")
    codes, first = np.unique(queries[order], return_index=True)
    place = np.empty(len(codes), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(codes))
    return place[queries]

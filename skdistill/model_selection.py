"""Cross-validation that keeps the rows of a query together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold

from skdistill.inputs.columns import query_ids
from skdistill.inputs.ids import as_ids, id_codes
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
        if groups is None:
            if self.query_column is None:
                raise ValueError(
                    "RankingGroupKFold needs the query of each row: pass qid= to the search with "
                    "metadata routing enabled, or name a column of X by query_column."
                )
            groups = query_ids(X, self.query_column)
        # GroupKFold would bring the ids to one type, and take 1 and "1" for the same query.
        ids = as_ids(groups)
        check_qid(ids, len(ids))
        return super().split(X, y, id_codes(ids)[0])

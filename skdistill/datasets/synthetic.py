"""Synthetic ranking problems in which the utility of every row is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from skdistill.datasets.mixed_columns import draw_categories, effect_of_categories, mixed_frame

TRUTHS = ("linear", "interactions", "nonlinear")


def make_ranking(
    n_queries: int = 100,
    query_size: int | tuple[int, int] = (5, 40),
    n_features: int = 20,
    *,
    truth: str = "nonlinear",
    n_levels: int = 5,
    noise: float = 0.2,
    id_columns: tuple[int, ...] = (),
    categories: tuple[int, ...] = (),
    missing: float = 0.0,
    random_state: Any = None,
) -> Bunch:
    """Make a ranking table with known utility.

    Parameters
    ----------
    n_queries : int, default=100
        Number of queries.
    query_size : int or (int, int), default=(5, 40)
        Number of rows per query, or its least and largest value.
    n_features : int, default=20
        Number of numeric columns. The utility depends on the first 8 at most.
    truth : {"linear", "interactions", "nonlinear"}, default="nonlinear"
        Form of the utility: a weighted sum of columns, the sum plus products of two columns, or the
        sum plus a sine, a step and an absolute value.
    n_levels : int, default=5
        Number of grades of relevance. Grade 0 is the most frequent, and each further grade is about
        half as frequent.
    noise : float, default=0.2
        Standard deviation of the noise that is added to the utility before it is graded. The
        utility has standard deviation 1.
    id_columns : tuple of int, default=()
        Number of values of each id column. With ids, X is CSR: numeric columns, then one-hot ids,
        and the utility also depends on the ids.
    categories : tuple of int, default=()
        Number of values of each column of categories. With categories or missing values, X is a
        data frame. Every fourth number then has a heavy tail, and the utility also depends on the
        categories and on their products with numbers. If there are several, the first describes
        the query.
    missing : float, default=0.0
        Fraction of the cells that are missing. In half of the numbers, a low utility makes them
        more frequent.
    random_state : int, RandomState or None, default=None
        Pass an int for reproducible data.

    Returns
    -------
    Bunch
        With the attributes:

        - ``X``: ndarray or CSR matrix of shape (n_rows, n_features + sum of id_columns), float32,
          or data frame of shape (n_rows, n_features + number of categories);
        - ``y``: ndarray of shape (n_rows,), float64, the grade;
        - ``qid``: ndarray of shape (n_rows,), int64, the query;
        - ``utility``: ndarray of shape (n_rows,), float64, the utility without noise.

    Raises
    ------
    ValueError
        If ``truth`` is unknown, ``missing`` is not a fraction, or there are both ``id_columns``
        and ``categories`` or missing values.
    ImportError
        If pandas, which categories and missing values need, is not installed.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> data = make_ranking(n_queries=3, query_size=2, n_features=4, random_state=0)
    >>> data.X.shape, data.qid.tolist()
    ((6, 4), [0, 0, 1, 1, 2, 2])
    """
    if truth not in TRUTHS:
        raise ValueError(f"truth must be one of {list(TRUTHS)}, got {truth!r}.")
    if not 0 <= missing < 1:
        raise ValueError(f"missing must be a fraction from 0 to less than 1, got {missing}.")
    is_mixed = bool(categories) or missing > 0
    if is_mixed and id_columns:
        raise ValueError(
            "id_columns make a CSR matrix, which holds neither categories nor missing values. "
            "Leave one of them out."
        )
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    low, high = (query_size, query_size) if isinstance(query_size, int) else query_size
    sizes = rng.integers(low, high, size=n_queries, endpoint=True)
    n_rows = int(sizes.sum())
    X = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    used = X[:, :8].astype(np.float64)
    utility = utility_of(used, truth, rng)
    ids = [rng.integers(0, n_values, size=n_rows) for n_values in id_columns]
    for n_values, column in zip(id_columns, ids, strict=True):
        utility += rng.standard_normal(n_values)[column] / np.sqrt(len(ids))
    query = np.repeat(np.arange(n_queries), sizes)
    drawn = draw_categories(categories, query, rng)
    if drawn:
        utility += effect_of_categories(drawn, categories, used, rng)
    utility = (utility - utility.mean()) / utility.std()
    noisy = utility + noise * rng.standard_normal(n_rows)
    fractions = 0.5 ** np.arange(1, n_levels)
    y = np.searchsorted(np.quantile(noisy, np.cumsum(fractions)), noisy).astype(np.float64)
    table: Any = X
    if ids:
        table = _with_one_hot(X, ids, id_columns)
    if is_mixed:
        table = mixed_frame(X, drawn, utility, missing, rng)
    return Bunch(X=table, y=y, qid=query, utility=utility)


def utility_of(
    numbers: NDArray[np.float64], truth: str, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute the utility of numbers, with standard deviation 1."""
    n_numbers = numbers.shape[1]
    utility = numbers @ rng.standard_normal(n_numbers)
    if truth == "interactions":
        products = rng.standard_normal((n_numbers, n_numbers))
        utility += np.einsum("ij,jk,ik->i", numbers, np.triu(products, 1), numbers)
    elif truth == "nonlinear":
        utility += 2 * np.sin(2 * numbers[:, 0]) + 2 * (numbers[:, -1] > 0.5)
        utility += 2 * np.abs(numbers[:, n_numbers // 2])
    return utility / utility.std()


def _with_one_hot(
    X: NDArray[np.float32], ids: list[NDArray[np.int64]], sizes: tuple[int, ...]
) -> Any:
    """Append one-hot columns of ids to numbers, as a CSR matrix."""
    n_rows = len(X)
    ones, rows = np.ones(n_rows, dtype=np.float32), np.arange(n_rows)
    one_hot = [
        sparse.csr_array((ones, (rows, column)), shape=(n_rows, size))
        for column, size in zip(ids, sizes, strict=True)
    ]
    return sparse.hstack([sparse.csr_array(X), *one_hot], format="csr")

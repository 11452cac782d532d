"""Turn the numbers of a synthetic table into columns as people have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.extras import import_extra

# Every so many numbers get a heavy tail.
TAIL_STEP = 4
# A standard normal number times this, as an exponent, has the tail of prices and counts.
TAIL = 1.5


def draw_categories(
    sizes: tuple[int, ...], query: NDArray[np.int64], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Draw a category per row, frequent and rare ones, for each column.

    Parameters
    ----------
    sizes : tuple of int
        Number of categories of each column. Category k is about 1 / (k + 1) as frequent as the
        first. If there are several columns, the first describes the query: it is the same in all
        rows of a query.
    query : ndarray of shape (n_rows,), int64
        Query of each row, from 0.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    list of ndarray of shape (n_rows,), int64
    """
    columns = []
    for place, size in enumerate(sizes):
        frequency = 1 / np.arange(1, size + 1)
        of_query = place == 0 and len(sizes) > 1
        n_draws = int(query.max()) + 1 if of_query else len(query)
        drawn = rng.choice(size, size=n_draws, p=frequency / frequency.sum())
        columns.append(drawn[query] if of_query else drawn)
    return columns


def effect_of_categories(
    categories: list[NDArray[np.int64]],
    sizes: tuple[int, ...],
    numbers: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return what the categories add to the utility, with standard deviation 1.

    Half comes from the categories themselves. Half comes from products with numbers: each category
    has its own weight of a number.
    """
    effect = np.zeros(len(numbers))
    for place, (column, size) in enumerate(zip(categories, sizes, strict=True)):
        effect += rng.standard_normal(size)[column]
        effect += rng.standard_normal(size)[column] * numbers[:, place % numbers.shape[1]]
    return effect / effect.std()


def mixed_frame(
    numbers: NDArray[np.float32],
    categories: list[NDArray[np.int64]],
    utility: NDArray[np.float64],
    missing: float,
    rng: np.random.Generator,
) -> Any:
    """Make a data frame of numbers, some with a heavy tail, and categories, some cells missing.

    Missing cells are informative: in the even columns of numbers they are more frequent where the
    utility is low. In the first column of categories, nothing is missing.

    Parameters
    ----------
    numbers : ndarray of shape (n_rows, n_numbers), float32
        Standard normal numbers.
    categories : list of ndarray of shape (n_rows,), int64
        Category of each row.
    utility : ndarray of shape (n_rows,), float64
        With standard deviation 1.
    missing : float
        Fraction of the cells that are missing.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    pandas.DataFrame of shape (n_rows, n_numbers + n_categorical)

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    pandas = import_extra("pandas", "data", "make_ranking with categories or missing values")
    columns: dict[str, Any] = {}
    informative = 2 * missing / (1 + np.exp(2 * utility))
    for place, column in enumerate(numbers.T):
        values = np.exp(TAIL * column) if place % TAIL_STEP == TAIL_STEP - 1 else column.copy()
        probability = missing if place % 2 else informative
        values[rng.random(len(values)) < probability] = np.nan
        columns[f"number_{place}"] = values
    for place, codes in enumerate(categories):
        absent = (rng.random(len(codes)) < missing) & (place > 0)
        names = [f"value_{code}" for code in range(int(codes.max()) + 1)]
        columns[f"category_{place}"] = pandas.Categorical.from_codes(
            np.where(absent, -1, codes), categories=names
        )
    return pandas.DataFrame(columns)

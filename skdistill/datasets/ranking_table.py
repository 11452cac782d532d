"""Makes a learning-to-rank table from a log of ratings without leaking the future into features.

Each user's ratings are split by time. Features are computed from the earlier ratings of all users,
the history; labels come from the later ratings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch

USER_COLUMNS = ["user_age", "user_is_female", "user_n_ratings", "user_mean_rating", "user_spread"]
ITEM_COLUMNS = [
    "item_n_ratings",
    "item_n_likes",
    "item_mean_rating",
    "item_spread",
    "item_n_recent",
    "item_year",
    "item_n_genres",
    "item_mean_user_age",
    "item_share_female",
]
PAIR_COLUMNS = [
    "pair_genre_share",
    "pair_genre_rating",
    "pair_genre_cosine",
    "pair_neighbours_sum",
    "pair_neighbours_liked",
    "pair_neighbours_mean",
    "pair_lift",
    "pair_similar_users",
    "pair_latent",
    "pair_latent_liked",
    "pair_year_distance",
    "pair_age_distance",
    "pair_popularity_in_gender",
    "pair_popularity_in_occupation",
    "pair_popularity_in_age_group",
    "pair_rating_difference",
    "pair_recency_genre_share",
]


def split_by_time(ratings: Any, shares: tuple[float, ...]) -> NDArray[np.int64]:
    """Divide the ratings of each user into periods.

    Parameters
    ----------
    ratings : DataFrame
        With ``user_id``, ``item_id`` and ``timestamp``.
    shares : tuple of float
        Fraction of a user's ratings in each period, oldest first; they sum to 1.

    Returns
    -------
    ndarray of shape (n_ratings,), int64
        Period of each rating, 0 for the oldest. Ratings of the same second are ordered by
        ``item_id``.
    """
    user = ratings["user_id"].to_numpy()
    order = np.lexsort((ratings["item_id"].to_numpy(), ratings["timestamp"].to_numpy(), user))
    first = np.r_[True, user[order][1:] != user[order][:-1]]
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, len(user)))
    place = (np.arange(len(user)) - np.repeat(starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    period = np.empty(len(user), dtype=np.int64)
    period[order] = np.searchsorted(np.cumsum(shares)[:-1], place, side="right")
    return period


class PairFeatures:
    """Computes features of (user, item) pairs from a history of ratings.

    Parameters
    ----------
    history : DataFrame
        With ``user_id``, ``item_id``, ``rating`` and ``timestamp``.
    users, items : DataFrame
        As :func:`load_movielens` returns them.
    random_state : int, default=0
        Seed of the truncated singular value decomposition's start vector.
    """

    columns = [*USER_COLUMNS, *ITEM_COLUMNS, *PAIR_COLUMNS]

    def __init__(self, history: Any, users: Any, items: Any, random_state: int = 0) -> None:
        user, item = history["user_id"].to_numpy(), history["item_id"].to_numpy()
        rating = history["rating"].to_numpy().astype(np.float64)
        shape = (len(users), len(items))

        def matrix(values: NDArray[Any]) -> Any:
            return sparse.csr_array((values.astype(np.float64), (user, item)), shape=shape)

        seen, liked, rated = matrix(np.ones(len(user))), matrix(rating >= 4), matrix(rating)
        recent = split_by_time(history, (0.75, 0.25)) == 1
        female = (users["gender"] == "F").to_numpy(dtype=np.float64)
        age = users["age"].to_numpy(dtype=np.float64)
        year = items["year"].to_numpy(dtype=np.float64)
        year = np.where(np.isnan(year), np.nanmedian(year), year)
        genres = CountVectorizer(token_pattern=r"[^ ]+").fit_transform(items["genres"])
        genres = sparse.csr_array(genres.astype(np.float64))

        per_user, per_item = seen.sum(axis=1), seen.sum(axis=0)
        overall = rating.mean()
        # A prior of five average ratings keeps means of few ratings from being extreme.
        user_mean = (rated.sum(axis=1) + 5 * overall) / (per_user + 5)
        item_mean = (rated.sum(axis=0) + 5 * overall) / (per_item + 5)
        squares = matrix(rating**2)
        self._user = np.column_stack(
            [age, female, per_user, user_mean, _spread(squares, rated, per_user, 1)]
        )
        self._item = np.column_stack(
            [
                per_item,
                liked.sum(axis=0),
                item_mean,
                _spread(squares, rated, per_item, 0),
                matrix(recent).sum(axis=0),
                year,
                genres.sum(axis=1),
                (seen.T @ age + 5 * age.mean()) / (per_item + 5),
                (seen.T @ female + 5 * female.mean()) / (per_item + 5),
            ]
        )
        liked_genres = liked @ genres
        seen_genres = seen @ genres
        recent_genres = matrix(recent) @ genres
        similarity = _without_diagonal(normalize(seen.T) @ normalize(seen.T).T)
        together = _without_diagonal(seen.T @ seen)
        popularity = np.maximum(per_item, 1)
        lift = together.multiply(1 / popularity[:, None]).multiply(1 / popularity[None, :])
        neighbours = seen @ similarity
        group = _one_hot(np.floor(age / 10)), _one_hot(users["occupation"]), _one_hot(female)
        by_age, by_occupation, by_gender = (_popularity_in(g, seen) for g in group)
        latent = _latent_scores(seen, random_state)
        latent_liked = _latent_scores(liked, random_state)
        similar_users = _without_diagonal(normalize(seen) @ normalize(seen).T) @ seen
        genre_norm = np.maximum(sparse.linalg.norm(genres, axis=1), 1)
        self._dense_pairs = {
            "pair_genre_share": _fractions(seen_genres) @ genres.T,
            "pair_genre_rating": _fractions(liked_genres) @ genres.T,
            "pair_genre_cosine": normalize(seen_genres)
            @ genres.multiply(1 / genre_norm[:, None]).T,
            "pair_neighbours_sum": neighbours,
            "pair_neighbours_liked": liked @ similarity,
            "pair_neighbours_mean": neighbours.multiply(1 / np.maximum(per_user, 1)[:, None]),
            "pair_lift": seen @ lift.tocsr(),
            "pair_similar_users": similar_users,
            "pair_latent": latent,
            "pair_latent_liked": latent_liked,
            "pair_popularity_in_gender": by_gender,
            "pair_popularity_in_occupation": by_occupation,
            "pair_popularity_in_age_group": by_age,
            "pair_recency_genre_share": _fractions(recent_genres) @ genres.T,
        }
        self._dense_pairs = {
            name: (values.toarray() if sparse.issparse(values) else values).astype(np.float32)
            for name, values in self._dense_pairs.items()
        }
        self._user_year = (seen @ year + 5 * year.mean()) / (per_user + 5)

    def __call__(self, user: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute the features of pairs, shape (n_pairs, len(columns)), float32."""
        of_user, of_item = self._user[user], self._item[item]
        single = {
            "pair_year_distance": np.abs(
                of_item[:, ITEM_COLUMNS.index("item_year")] - self._user_year[user]
            ),
            "pair_age_distance": np.abs(
                of_item[:, ITEM_COLUMNS.index("item_mean_user_age")] - of_user[:, 0]
            ),
            "pair_rating_difference": of_item[:, ITEM_COLUMNS.index("item_mean_rating")]
            - of_user[:, USER_COLUMNS.index("user_mean_rating")],
        }
        pairs = [
            single[name] if name in single else self._dense_pairs[name][user, item]
            for name in PAIR_COLUMNS
        ]
        return np.column_stack([of_user, of_item, *pairs]).astype(np.float32)


def build_ranking_table(
    ratings: Any,
    users: Any,
    items: Any,
    *,
    history: float = 0.8,
    n_negatives: int = 100,
    random_state: int = 0,
) -> Bunch:
    """Make a learning-to-rank table from a log of ratings.

    Each user is a query. Its candidates are the items of the user's later ratings, and negatives
    that the user never rated.

    Parameters
    ----------
    ratings : DataFrame
        With ``user_id``, ``item_id``, ``rating`` and ``timestamp``, as :func:`load_movielens`
        returns it.
    users : DataFrame
        With ``age``, ``gender`` and ``occupation``.
    items : DataFrame
        With ``year`` and ``genres``.
    history : float, default=0.8
        Fraction of each user's ratings, the oldest, from which features are computed.
    n_negatives : int, default=100
        Number of negatives per user, drawn uniformly without replacement.
    random_state : int, default=0
        Seed of the negatives and of latent features.

    Returns
    -------
    Bunch
        With the attributes:

        - ``X``: data frame of shape (n_rows, 31), float32;
        - ``y``: ndarray of shape (n_rows,), float64, 2 for a later rating of 4 or 5, 1 for a lower
          rating, 0 for a negative;
        - ``qid``: ndarray of shape (n_rows,), int64, the user;
        - ``item``: ndarray of shape (n_rows,), int64, the item.

    Raises
    ------
    ValueError
        If ``history`` is not between 0 and 1.
    """
    if not 0 < history < 1:
        raise ValueError(f"history must lie between 0 and 1, both excluded, got {history}.")
    rng = np.random.default_rng(random_state)
    later = split_by_time(ratings, (history, 1 - history)) == 1
    features = PairFeatures(ratings[~later], users, items, random_state)
    positives = ratings[later]
    user_id, item_id = ratings["user_id"].to_numpy(), ratings["item_id"].to_numpy()
    rated = sparse.csr_array(
        (np.ones(len(user_id), dtype=bool), (user_id, item_id)), shape=(len(users), len(items))
    )
    query_users = np.unique(positives["user_id"].to_numpy())
    negatives = []
    for user in query_users:
        unrated = np.ones(len(items), dtype=bool)
        unrated[rated.indices[rated.indptr[user] : rated.indptr[user + 1]]] = False
        pool = np.flatnonzero(unrated)
        negatives.append(rng.choice(pool, size=min(n_negatives, len(pool)), replace=False))
    user = np.concatenate(
        [positives["user_id"].to_numpy(), np.repeat(query_users, [len(n) for n in negatives])]
    )
    item = np.concatenate([positives["item_id"].to_numpy(), *negatives])
    liked = positives["rating"].to_numpy() >= 4
    y = np.zeros(len(user))
    y[: len(positives)] = 1 + liked
    order = np.lexsort((item, user))
    user, item, y = user[order], item[order], y[order]
    X = type(ratings)(features(user, item), columns=PairFeatures.columns)
    return Bunch(X=X, y=y, qid=user, item=item)


def _spread(squares: Any, rated: Any, count: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Compute the standard deviation of the ratings of each user or item."""
    count = np.maximum(count, 1)
    mean = rated.sum(axis=axis) / count
    return np.sqrt(np.maximum(squares.sum(axis=axis) / count - mean**2, 0))


def _fractions(counts: Any) -> Any:
    """Divide counts by the sum of their row."""
    return normalize(counts, norm="l1")


def _without_diagonal(matrix: Any) -> Any:
    """Set the diagonal of a sparse matrix to 0."""
    matrix = sparse.csr_array(matrix)
    return matrix - sparse.diags_array(matrix.diagonal(), format="csr")


def _one_hot(values: Any) -> Any:
    """Encode values as a sparse matrix with one 1 per row."""
    codes = np.unique(np.asarray(values), return_inverse=True)[1]
    n_rows = len(codes)
    return sparse.csr_array((np.ones(n_rows), (np.arange(n_rows), codes)))


def _popularity_in(group: Any, seen: Any) -> NDArray[np.float64]:
    """Compute the fraction of each user's group that has each item in its history."""
    sizes = np.maximum(group.sum(axis=0), 1)
    per_group = (group.T @ seen).toarray() / sizes[:, None]
    return group @ per_group


def _latent_scores(matrix: Any, random_state: int, rank: int = 16) -> NDArray[np.float64]:
    """Project the row-normalised interactions onto their leading singular vectors."""
    weighted = sparse.csr_array(normalize(matrix))
    start = np.random.default_rng(random_state).standard_normal(min(weighted.shape))
    left, values, right = svds(weighted, k=rank, v0=start)
    return (left * values) @ right

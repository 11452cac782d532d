"""A synthetic log of shown ads and clicks, without queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from skdistill.extras import import_extra

DEVICES = ("desktop", "phone", "tablet", "television")
# Ads of a campaign share an effect, and differ by one of their own.
ADS_PER_CAMPAIGN = 10
# Length of the vectors whose products say which user likes which ad, and which site suits an ad.
N_FACTORS = 4
# Fractions of the variance of the log-odds, of what the ids explain.
FRACTIONS_OF_IDS = {
    "user": 0.2,
    "ad": 0.1,
    "campaign": 0.2,
    "site": 0.1,
    "user_and_campaign": 0.25,
    "site_and_campaign": 0.15,
}


def make_clicks(
    n_rows: int = 20_000,
    *,
    n_users: int = 2000,
    n_ads: int = 500,
    n_sites: int = 200,
    click_rate: float = 0.06,
    spread: float = 1.5,
    numbers_fraction: float = 0.25,
    missing: float = 0.1,
    random_state: Any = None,
) -> Bunch:
    """Make a log of shown ads: ids, categories, numbers with gaps, and whether there was a click.

    A few users, ads and sites make up many of the rows, most are rare. The log-odds of a click are
    the sum of effects of ids, of products of two ids' vectors, and of a nonlinear function of
    numbers and categories.

    Parameters
    ----------
    n_rows : int, default=20000
        Number of rows.
    n_users, n_ads, n_sites : int, default=2000, 500, 200
        Numbers of different ids; id k is about 1 / (k + 10) as frequent as the first. Ten ads make
        a campaign.
    click_rate : float, default=0.06
        Mean probability of a click.
    spread : float, default=1.5
        Standard deviation of the log-odds of a click.
    numbers_fraction : float, default=0.25
        Fraction of the variance of the log-odds that the numbers explain, alone and together with
        the device; the ids explain the rest.
    missing : float, default=0.1
        Fraction of the cells that are missing in the columns ``age`` and ``price``. The rate of an
        ad, ``ad_rate``, is missing for the rarest half of the ads.
    random_state : int, RandomState or None, default=None
        Pass an int for reproducible data.

    Returns
    -------
    Bunch
        With the attributes:

        - ``X``: DataFrame of shape (n_rows, 10), the categories ``user``, ``ad``, ``campaign``,
          ``site`` and ``device``, and the numbers ``hour``, ``position``, ``age``, ``price`` and
          ``ad_rate``;
        - ``y``: ndarray of shape (n_rows,), float64, 1 for a click and 0 for none;
        - ``probability``: ndarray of shape (n_rows,), float64, the true probability of a click.

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If ``click_rate`` is not between 0 and 1.

    Examples
    --------
    >>> from skdistill.datasets import make_clicks
    >>> log = make_clicks(n_rows=100, random_state=0)
    >>> log.X.shape, sorted(set(log.y.tolist()))
    ((100, 10), [0.0, 1.0])
    """
    if not 0 < click_rate < 1:
        raise ValueError(f"click_rate must lie between 0 and 1, got {click_rate}.")
    pandas = import_extra("pandas", "data", "make_clicks")
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    user, ad, site = (_draw_ids(n, n_rows, rng) for n in (n_users, n_ads, n_sites))
    n_campaigns = (n_ads - 1) // ADS_PER_CAMPAIGN + 1
    campaign = ad % n_campaigns
    device = rng.choice(len(DEVICES), size=n_rows, p=(0.4, 0.45, 0.1, 0.05))
    numbers = {
        "hour": rng.integers(24, size=n_rows),
        "position": np.minimum(rng.geometric(0.35, size=n_rows), 10),
        "age": np.clip(rng.normal(40, 14, size=n_users), 14, 90).round()[user],
        "price": np.exp(rng.normal(3, 1, size=n_ads))[ad],
    }
    effect_of_ad = rng.standard_normal(n_ads)
    parts = {
        "user": rng.standard_normal(n_users)[user],
        "ad": effect_of_ad[ad],
        "campaign": rng.standard_normal(n_campaigns)[campaign],
        "site": rng.standard_normal(n_sites)[site],
        "user_and_campaign": _products(user, campaign, rng),
        "site_and_campaign": _products(site, campaign, rng),
    }
    log_odds = np.sqrt(numbers_fraction) * _standardized(_effect_of_numbers(numbers, device, rng))
    for name, part in parts.items():
        fraction = (1 - numbers_fraction) * FRACTIONS_OF_IDS[name]
        log_odds += np.sqrt(fraction) * _standardized(part)
    log_odds *= spread
    level = brentq(lambda level: expit(log_odds + level).mean() - click_rate, -50, 50)
    probability = expit(log_odds + level)
    rate = click_rate * np.exp(0.4 * (effect_of_ad + rng.standard_normal(n_ads)))
    for name in ("age", "price"):
        numbers[name] = np.where(rng.random(n_rows) < missing, np.nan, numbers[name])
    numbers["ad_rate"] = np.where(ad < n_ads // 2, rate[ad], np.nan)
    ids = {"user": user, "ad": ad, "campaign": campaign, "site": site}
    columns = {name: _categories(pandas, name, codes) for name, codes in ids.items()}
    columns["device"] = pandas.Categorical.from_codes(device, categories=DEVICES)
    return Bunch(
        X=pandas.DataFrame({**columns, **numbers}),
        y=(rng.random(n_rows) < probability).astype(np.float64),
        probability=probability,
    )


def _standardized(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring values to mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std()


def _draw_ids(n_ids: int, n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ids with a power law."""
    frequency = 1 / np.arange(10, n_ids + 10)
    return rng.choice(n_ids, size=n_rows, p=frequency / frequency.sum())


def _products(
    left: NDArray[np.int64], right: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a vector per id, and return the products of the vectors of each row's two ids."""
    vectors = [rng.standard_normal((int(ids.max()) + 1, N_FACTORS)) for ids in (left, right)]
    return np.einsum("ij,ij->i", vectors[0][left], vectors[1][right])


def _effect_of_numbers(
    numbers: dict[str, NDArray[Any]], device: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Let the place on the page, the evening on a device, and a price for an age matter."""
    evening = np.cos((numbers["hour"] - 20) * np.pi / 12)
    dear = np.log(numbers["price"]) - 3
    return (
        -0.7 * np.log(numbers["position"])
        + rng.standard_normal(len(DEVICES))[device] * evening
        - 0.5 * np.abs(dear)
        + 0.5 * np.where(numbers["age"] < 30, -dear, 0.5 * dear)
    )


def _categories(pandas: Any, name: str, codes: NDArray[np.int64]) -> Any:
    """Make a column of categories from the numbers of ids."""
    categories = [f"{name}_{code}" for code in range(int(codes.max()) + 1)]
    return pandas.Categorical.from_codes(codes, categories=categories)

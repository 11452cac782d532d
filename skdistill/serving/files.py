"""save and load: model files that cannot run code when they are loaded.

A file is an uncompressed zip archive of arrays, a schema that names their types (both made by
skops), and ``skdistill.json``: format, versions, a description of the model, and two digests.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdistill._sklearn_compat import requests_set_aside
from skdistill.extras import import_extra
from skdistill.inputs.pipelines import refuse_search
from skdistill.public_names import set_module
from skdistill.serving.description import describe, versions
from skdistill.serving.file_checks import (
    FORMAT,
    METADATA,
    METADATA_DIGEST,
    ModelFileError,
    check_file,
    defects_as_errors,
    digest_of_members,
    digest_of_metadata,
)
from skdistill.serving.packing import fill_functions, missing_functions, pack, unpack
from skdistill.serving.trust import TRUSTED, trusted_types, untrusted
from skdistill.tables.atomic_write import atomic_write
from skdistill.user_warnings import warn_user


@set_module("skdistill.serving")
class FileWarning(UserWarning):
    """A model file was written by other versions of the libraries than those that load it."""


@set_module("skdistill.serving")
def save(model: Any, path: str | os.PathLike[str], *, keep_teacher: bool = False) -> None:
    """Write a fitted model to a file that :func:`load` reads without running code.

    Parameters
    ----------
    model : student, DistilledRanker, retriever, RankingCascade, or Pipeline that ends in any
        A fitted model. It may hold objects of skdistill, scikit-learn, NumPy and SciPy, models of
        LightGBM, and losses, students and teachers of your own that are registered, but no
        functions of your own. Of a cascade, one file holds all stages, the indexes and the
        catalogue; functions that build features are left out, and passed to :func:`load`.
    path : str or path
        File to write. An existing file is replaced only once the new one is complete.
    keep_teacher : bool, default=False
        Also store the teacher of a ranker, retriever or cascade. Loading then needs the teacher's
        library, as does loading a cascade that has the teacher, or its first trees, among its
        stages: these are stored in any case.

    Raises
    ------
    TypeError
        If the model holds something that cannot be stored without code.
    NotFittedError
        If the model is not fitted.
    OSError
        If the file cannot be written.
    ImportError
        If skops is not installed (extra ``serving``).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import load, save
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(student, pathlib.Path(folder) / "student.skd")
    ...     again = load(pathlib.Path(folder) / "student.skd")
    >>> bool((again.predict(data.X) == student.predict(data.X)).all())
    True
    """
    skops = import_extra("skops.io", "serving", "A file of save and load")
    refuse_search(model)
    if isinstance(model, str | os.PathLike):
        raise TypeError(f"save takes the model first, then the path: save(model, {model!r}).")
    if not Path(path).resolve().parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no such folder.")
    check_is_fitted(model[-1] if isinstance(model, Pipeline) else model)
    description = describe(model)
    way_out = " If it belongs to the teacher, set keep_teacher=False." if keep_teacher else ""
    model = pack(model, keep_teacher=keep_teacher)
    try:
        with requests_set_aside(model):
            data = skops.dumps(model)
    except Exception as error:
        raise TypeError(
            f"{type(model).__name__} holds something that cannot be stored without code: {error}."
            + way_out
        ) from error
    unknown = untrusted(skops.get_untrusted_types(data=data))
    if unknown:
        raise TypeError(
            f"{type(model).__name__} holds {unknown}, which load would refuse: it creates {TRUSTED}"
            f"{way_out} joblib.dump stores whatever can be pickled, but its files run code "
            "when they are loaded."
        )
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        metadata = {
            "format": FORMAT,
            "versions": versions(),
            "description": description,
            "digest": digest_of_members(members),
        }
        metadata[METADATA_DIGEST] = digest_of_metadata(metadata)
        archive.writestr(METADATA, json.dumps(metadata, indent=1))
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


@set_module("skdistill.serving")
def load(path: str | os.PathLike[str], *, features: Any = None) -> Any:
    """Load a model that :func:`save` wrote.

    Loading never runs code from the file. A file holds arrays, numbers, strings and names of types,
    and only types on the package's list of trusted types are created. A cache folder (``memory=``)
    is forgotten, because joblib would unpickle what is in it.

    Parameters
    ----------
    path : str or path
        File to load.
    features : callable, or dict of str to callable, optional
        The functions that build the features of a cascade's stages, as they were passed to
        :class:`RankingCascade`. Features that are columns are in the file.

    Returns
    -------
    estimator
        The fitted model.

    Raises
    ------
    ValueError
        If the file is not a model file, is damaged, has a newer format, or names a type that is not
        trusted. If a function of a cascade's features is missing; the message names its stage.
    OSError
        If the file cannot be read.
    ImportError
        If the file holds a teacher whose library is not installed, or skops is not installed (extra
        ``serving``).

    Warns
    -----
    FileWarning
        If the file was written by other versions of the libraries.
    """
    skops = import_extra("skops.io", "serving", "A file of save and load")
    data = Path(path).read_bytes()
    with defects_as_errors(path):
        metadata = check_file(data, path)
        unknown = untrusted(skops.get_untrusted_types(data=data))
        if unknown:
            raise ModelFileError(
                f"{path} is refused: it names the types {unknown}, which are not trusted: "
                f"load creates {TRUSTED}"
            )
        model = skops.loads(data, trusted=trusted_types())
        _forget_caches(model, set())
        unpack(model)
        missing = missing_functions(model)
    try:
        fill_functions(model, missing, features)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _warn_of_versions(metadata["versions"], path)
    return model


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata of a model file without loading the model.

    Parameters
    ----------
    path : str or path
        File to read.

    Returns
    -------
    dict
        ``format``, ``versions``, ``description`` and ``digest``.

    Raises
    ------
    ValueError
        If the file is not a model file, is damaged, or has a newer format.
    """
    data = Path(path).read_bytes()
    with defects_as_errors(path):
        return check_file(data, path)


def _forget_caches(value: Any, seen: set[int]) -> None:
    """Set ``memory`` of all estimators to None: joblib would unpickle what is in that folder."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, BaseEstimator) and getattr(value, "memory", None) is not None:
        value.memory = None
    inside = getattr(value, "__dict__", value)
    if isinstance(inside, dict):
        inside = list(inside.values())
    if isinstance(inside, list | tuple | set):
        for held in inside:
            _forget_caches(held, seen)


def _warn_of_versions(written: dict[str, str], path: Any) -> None:
    here = versions()
    others = [
        f"{name} {written[name]} (here {here[name]})"
        for name in here
        if name in written and _series(written[name]) != _series(here[name])
    ]
    if others:
        warn_user(
            f"{path} was written by {', '.join(others)}. Compare some scores before you serve it.",
            FileWarning,
        )


def _series(version: str) -> tuple[str, ...]:
    """Major and minor version; patch releases do not matter."""
    return tuple(version.split(".")[:2])

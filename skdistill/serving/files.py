"""save and load: model files that cannot run code when they are loaded.

A file is an uncompressed zip archive of arrays, a schema that names their types (both made by
skops), and ``skdistill.json``: format, versions, a description of the model, and a digest.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.serving.description import describe, versions
from skdistill.serving.trusted_types import is_trusted_module, trusted_types, untrusted
from skdistill.tables.atomic_write import atomic_write
from skdistill.towers.fitted import FittedTowers

FORMAT = 1
METADATA = "skdistill.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Largest compression ratio of a sparse matrix, which is a compressed zip inside the archive.
LARGEST_GROWTH = 100


@set_module("skdistill.serving")
class FileWarning(UserWarning):
    """A model file was written by other versions of the libraries than those that load it."""


@set_module("skdistill.serving")
def save(model: Any, path: str | os.PathLike[str], *, keep_teacher: bool = False) -> None:
    """Write a fitted model to a file that :func:`load` reads without running code.

    Parameters
    ----------
    model : student, DistilledRanker, TwoTowerRetriever, or Pipeline that ends in any
        A fitted model. It may hold objects of skdistill, scikit-learn, NumPy and SciPy, but neither
        functions nor classes of your own.
    path : str or path
        File to write. An existing file is replaced only once the new one is complete.
    keep_teacher : bool, default=False
        Also store the teacher of a ranker or retriever. Loading then needs the teacher's library.

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
    check_is_fitted(model[-1] if isinstance(model, Pipeline) else model)
    description = describe(model)
    if not keep_teacher:
        model = _without_teacher(model)
    try:
        data = skops.dumps(model)
    except Exception as error:
        raise TypeError(
            f"{type(model).__name__} holds something that cannot be stored without code: {error}."
            + (" Save it with keep_teacher=False." if keep_teacher else "")
        ) from error
    unknown = untrusted(skops.get_untrusted_types(data=data))
    if unknown:
        raise TypeError(
            f"{type(model).__name__} holds {unknown}, which load would refuse: only types "
            "of skdistill, scikit-learn, NumPy and SciPy can be stored. joblib.dump stores any "
            "type, but its files run code when they are loaded."
        )
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        metadata = {
            "format": FORMAT,
            "versions": versions(),
            "description": description,
            "digest": _digest(members),
        }
        archive.writestr(METADATA, json.dumps(metadata, indent=1))
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


@set_module("skdistill.serving")
def load(path: str | os.PathLike[str]) -> Any:
    """Load a model that :func:`save` wrote.

    Loading never runs code from the file. A file holds arrays, numbers, strings and names of types,
    and only types on the package's list of trusted types are created.

    Parameters
    ----------
    path : str or path
        File to load.

    Returns
    -------
    estimator
        The fitted model.

    Raises
    ------
    ValueError
        If the file is not a model file, is damaged, has a newer format, or names a type that is not
        trusted.
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
    metadata = _check(data, path)
    unknown = untrusted(_types_in(skops, data, path))
    if unknown:
        raise ValueError(
            f"{path} is refused: it names the types {unknown}, which are not trusted. Only types "
            "of skdistill, scikit-learn, NumPy and SciPy are loaded."
        )
    try:
        model = skops.loads(data, trusted=sorted(trusted_types()))
    except ImportError as error:
        raise ImportError(
            f"{path} holds a teacher whose library is not installed: {error}. Install it, or save "
            "the model with keep_teacher=False."
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}.") from error
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
    return _check(Path(path).read_bytes(), path)


def _without_teacher(model: Any) -> Any:
    """Shallow copy without the teacher and what only the teacher needs; an index is kept."""
    if isinstance(model, Pipeline):
        lean = copy.copy(model)
        name, last = model.steps[-1]
        lean.steps = [*model.steps[:-1], (name, _without_teacher(last))]
        return lean
    if not isinstance(model, DistilledRanker | FittedTowers):
        return model
    lean = copy.copy(model)
    lean.teacher = lean.teacher_ = None
    if isinstance(lean, FittedTowers):
        lean.items_ = None
        # A function cannot be stored, and this one only builds the teacher's rows.
        lean.pair_features = None
    return lean


def _digest(members: Mapping[str, bytes]) -> str:
    """Digest of all members except the metadata, which hold it."""
    digest = hashlib.sha256()
    for name in sorted(members):
        if name != METADATA:
            digest.update(name.encode() + b"\0")
            digest.update(hashlib.sha256(members[name]).digest())
    return digest.hexdigest()


def _check(data: bytes, path: Any) -> dict[str, Any]:
    """Check that a file is complete and holds nothing unexpected; return its metadata."""
    members = _read_members(data, path)
    if METADATA not in members or "schema.json" not in members:
        raise ValueError(f"{path} is not a skdistill model file: it has no {METADATA}.")
    metadata = _read_json(members, METADATA, path)
    if not {"format", "versions", "description", "digest"} <= set(metadata):
        raise ValueError(
            f"{path} is damaged: {METADATA} must have format, versions, description and digest, "
            f"got {sorted(metadata)}."
        )
    if metadata["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by skdistill {metadata['versions'].get('skdistill')} in format "
            f"{metadata['format']}; this version reads formats up to {FORMAT}. Upgrade skdistill."
        )
    if _digest(members) != metadata["digest"]:
        raise ValueError(f"{path} was changed after it was written: its digest does not match.")
    for name, content in members.items():
        if name.endswith(".npy"):
            _check_array(content, name, path)
        elif name.endswith(".npz"):
            _check_sparse(content, name, path)
    _check_types(_read_json(members, "schema.json", path), path)
    return metadata


def _read_members(data: bytes, path: Any) -> dict[str, bytes]:
    """Read all members of a file; any defect raises a ValueError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) < len(members):
                raise ValueError(f"{path} is refused: two members have the same name.")
            for member in members:
                _check_member(member, path)
            if sum(member.file_size for member in members) > len(data):
                raise ValueError(f"{path} is refused: its members overlap.")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, struct.error) as error:
        raise ValueError(
            f"{path} is not a skdistill model file, or it is damaged or truncated: "
            f"{type(error).__name__}: {error}."
        ) from error


def _check_member(member: zipfile.ZipInfo, path: Any) -> None:
    if not PLAIN_NAME.fullmatch(member.filename):
        raise ValueError(f"{path} is refused: the name {member.filename!r} is not plain.")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(
            f"{path} is refused: {member.filename} is compressed, but model files are not."
        )


def _check_array(data: bytes, name: str, path: Any) -> None:
    """Check that an array has the size that its header declares, and holds no objects."""
    file = io.BytesIO(data)
    try:
        major = np.lib.format.read_magic(file)[0]
        form = np.lib.format
        read = form.read_array_header_1_0 if major == 1 else form.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {name} is not an array: {error}.") from error
    if dtype.hasobject:
        raise ValueError(f"{path} is refused: {name} holds pickled Python objects.")
    expected = dtype.itemsize * int(np.prod(shape, dtype=object))
    if expected != len(data) - file.tell():
        raise ValueError(
            f"{path} is refused: {name} declares {expected} bytes, but has "
            f"{len(data) - file.tell()}."
        )


def _check_sparse(data: bytes, name: str, path: Any) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_GROWTH * len(data):
                raise ValueError(
                    f"{path} is refused: {name} would grow more than {LARGEST_GROWTH} times when "
                    "decompressed."
                )
            for member in archive.infolist():
                _check_array(archive.read(member), f"{name}/{member.filename}", path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged: {name}: {error}.") from error


def _check_types(schema: Any, path: Any) -> None:
    """Check that a schema names nothing from modules that are not trusted."""
    for module in _modules(schema):
        if not is_trusted_module(module):
            raise ValueError(
                f"{path} is refused: it names something of the module {module!r}, which is not "
                "trusted."
            )


def _modules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        module = node.get("__module__")
        if isinstance(module, str):
            yield module
        for value in node.values():
            yield from _modules(value)
    elif isinstance(node, list):
        for value in node:
            yield from _modules(value)


def _read_json(members: Mapping[str, bytes], name: str, path: Any) -> Any:
    try:
        content = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {name}: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is damaged: {name} must hold a JSON object, got {type(content).__name__}."
        )
    return content


def _types_in(skops: Any, data: bytes, path: Any) -> list[str]:
    try:
        return skops.get_untrusted_types(data=data)
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}.") from error


def _warn_of_versions(written: dict[str, str], path: Any) -> None:
    here = versions()
    others = [
        f"{name} {written[name]} (here {here[name]})"
        for name in here
        if name in written and _series(written[name]) != _series(here[name])
    ]
    if others:
        warnings.warn(
            f"{path} was written by {', '.join(others)}. Compare some scores before you serve it.",
            FileWarning,
            stacklevel=3,
        )


def _series(version: str) -> tuple[str, ...]:
    """Major and minor version; patch releases do not matter."""
    return tuple(version.split(".")[:2])

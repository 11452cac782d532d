"""Check a model file before anything in it is made; every defect is a ``ModelFileError``.

All members are in memory when they are checked. What may grow are arrays, whose headers declare a
size, and archives within the archive. Both are measured by their content, whatever their name.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from skdistill.serving.stored_tables import LARGEST_GROWTH
from skdistill.serving.trust import TRUSTED, is_trusted_module
from skdistill.teachers.lightgbm_text import check_model_text

FORMAT = 1
METADATA = "skdistill.json"
SCHEMA = "schema.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# What other files begin with: pickles, plain or as joblib compresses them, and LightGBM's text.
OTHER_FILES: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a pickle, as joblib.dump and pickle.dump write it. joblib.load reads it, and runs "
        "whatever code it holds; write the model with skdistill.serving.save",
    ),
    (
        (
            b"\x1f\x8b",
            b"\x78\x01",
            b"\x78\x5e",
            b"\x78\x9c",
            b"\x78\xda",
            b"BZh",
            b"\xfd7zXZ",
            b"]\x00\x00",
        ),
        "compressed, as joblib.dump(compress=) writes a pickle. joblib.load reads it, and runs "
        "whatever code it holds; write the model with skdistill.serving.save",
    ),
    (
        (b"tree\n",),
        "a model of LightGBM. lightgbm.Booster(model_file=) reads it; it can teach a student, also "
        'in a recipe ([teacher] booster = "...")',
    ),
    (
        (b"PAR1", b"ARROW1"),
        "a table of rows. On the command line the model comes first: skdistill score student.skd "
        "candidates.parquet -o folder",
    ),
)
# Types of the entries of the metadata. Files of 0.1.0 have no digest of the metadata.
ENTRIES = {"format": int, "versions": dict, "description": dict, "digest": str}
METADATA_DIGEST = "metadata_digest"


class ModelFileError(ValueError):
    """A file is not a model file, is damaged, or is refused; the message names the file."""


@contextmanager
def defects_as_errors(path: Any) -> Iterator[None]:
    """Turn whatever a damaged file provokes in a reader into a ModelFileError."""
    try:
        yield
    except ModelFileError:
        raise
    except ModuleNotFoundError as error:
        # A file may only name modules of known libraries: one that is not installed is a teacher's.
        if error.name is None or find_spec(error.name.partition(".")[0]) is not None:
            raise _damaged(error, path) from error
        raise ImportError(
            f"{path} holds a teacher whose library is not installed: {error}. Install it, or save "
            "the model with keep_teacher=False. A cascade with a stage of that library needs it."
        ) from error
    except Exception as error:
        raise _damaged(error, path) from error


def check_file(data: bytes, path: Any) -> dict[str, Any]:
    """Check that a file is complete and holds nothing unexpected; return its metadata."""
    _check_kind(data, path)
    members = _read_members(data, path)
    if METADATA not in members or SCHEMA not in members:
        raise ModelFileError(f"{path} is not a skdistill model file: it has no {METADATA}.")
    metadata = json.loads(members[METADATA])
    _check_metadata(metadata, path)
    if digest_of_members(members) != metadata["digest"]:
        raise ModelFileError(f"{path} was changed after it was written: its digest does not match.")
    # Sparse matrices are compressed zips inside the archive.
    budget = LARGEST_GROWTH * len(data)
    for name, content in members.items():
        if content.startswith(b"PK"):
            budget -= _check_archive(content, name, budget, path)
        elif content.startswith(np.lib.format.MAGIC_PREFIX) or name.endswith(".npy"):
            _check_array(io.BytesIO(content), len(content), name, path)
    _check_schema(json.loads(members[SCHEMA]), path)
    return metadata


def _check_kind(data: bytes, path: Any) -> None:
    """Refuse files that other functions write, by name."""
    if data.startswith(b"PK"):
        return
    for starts, kind in OTHER_FILES:
        if data.startswith(starts):
            raise ModelFileError(f"{path} is not a skdistill model file, but {kind}.")


def digest_of_members(members: Mapping[str, bytes]) -> str:
    """Digest of all members except the metadata, which hold it."""
    digest = hashlib.sha256()
    for name in sorted(members):
        if name != METADATA:
            digest.update(name.encode() + b"\0")
            digest.update(hashlib.sha256(members[name]).digest())
    return digest.hexdigest()


def digest_of_metadata(metadata: Mapping[str, Any]) -> str:
    """Digest of the metadata without itself."""
    rest = {name: value for name, value in metadata.items() if name != METADATA_DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _damaged(error: Exception, path: Any) -> ModelFileError:
    return ModelFileError(
        f"{path} is not a skdistill model file, or it is damaged or truncated: "
        f"{type(error).__name__}: {str(error)[:300]}."
    )


def _check_metadata(metadata: Any, path: Any) -> None:
    if not isinstance(metadata, dict) or not ENTRIES.keys() <= metadata.keys():
        raise ModelFileError(
            f"{path} is damaged: {METADATA} must be an object with {', '.join(ENTRIES)}."
        )
    for name, kind in ENTRIES.items():
        if type(metadata[name]) is not kind:
            raise ModelFileError(f"{path} is damaged: {name} is no {kind.__name__}.")
    versions = metadata["versions"]
    if not all(isinstance(version, str) for version in versions.values()):
        raise ModelFileError(f"{path} is damaged: versions must be text.")
    if metadata["format"] > FORMAT:
        raise ModelFileError(
            f"{path} was written by skdistill {versions.get('skdistill')} in format "
            f"{metadata['format']}; this version reads formats up to {FORMAT}. Upgrade "
            "skdistill."
        )
    others = metadata.keys() - ENTRIES.keys()
    if others and (
        others != {METADATA_DIGEST} or metadata[METADATA_DIGEST] != digest_of_metadata(metadata)
    ):
        raise ModelFileError(
            f"{path} was changed after it was written: the digest of its metadata does not match."
        )


def _read_members(data: bytes, path: Any) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ModelFileError(f"{path} is refused: two members have the same name.")
        for member in members:
            _check_member(member, path)
        if sum(member.file_size for member in members) > len(data):
            raise ModelFileError(f"{path} is refused: its members overlap.")
        return {member.filename: archive.read(member) for member in members}


def _check_member(member: zipfile.ZipInfo, path: Any) -> None:
    if not PLAIN_NAME.fullmatch(member.filename):
        raise ModelFileError(f"{path} is refused: the name {member.filename!r} is not plain.")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ModelFileError(
            f"{path} is refused: {member.filename} is compressed, but model files are not."
        )


def _check_array(file: IO[bytes], size: int, name: str, path: Any) -> None:
    """Check that an array has the size that its header declares, and holds no objects."""
    form = np.lib.format
    major = form.read_magic(file)[0]
    read = form.read_array_header_1_0 if major == 1 else form.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ModelFileError(f"{path} is refused: {name} holds pickled Python objects.")
    n_values = int(np.prod(shape, dtype=object))
    expected, held = dtype.itemsize * n_values, size - file.tell()
    if expected != held or (n_values and not dtype.itemsize):
        raise ModelFileError(
            f"{path} is refused: {name} declares {expected} bytes, but has {held}."
        )


def _check_archive(data: bytes, name: str, budget: int, path: Any) -> int:
    """Check the arrays of an archive within the archive, unpacking their headers only.

    Returns
    -------
    int
        Size of the unpacked members.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > budget:
            raise ModelFileError(
                f"{path} is refused: with {name} it would grow more than {LARGEST_GROWTH} times "
                "when decompressed."
            )
        for member in members:
            # Other methods may ask for a dictionary of any size.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ModelFileError(f"{path} is refused: {name} is not compressed by deflate.")
            with archive.open(member) as file:
                _check_array(file, member.file_size, f"{name}/{member.filename}", path)
    return size


def _check_schema(schema: Any, path: Any) -> None:
    """Check that a schema names nothing that is not trusted, and that its boosters are sound."""
    by_id: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    boosters = []
    for node in _nodes(schema):
        module = node.get("__module__")
        if isinstance(module, str) and not is_trusted_module(module):
            raise ModelFileError(
                f"{path} is refused: it names something of the module {module!r}, which is not "
                f"trusted: load creates {TRUSTED}"
            )
        by_id[node.get("__id__")].append(node)
        if node.get("__class__") == "Booster":
            boosters.append(node)
    for booster in boosters:
        state = booster["content"]
        text = state["content"].get("_handle", state["content"].get("handle"))
        if [node["__loader__"] for node in (booster, state, text)] != [
            "ObjectNode", "DictNode", "JsonNode",
        ]:  # fmt: skip
            raise ModelFileError(f"{path} is refused: a Booster is not stored as its text.")
        # Of several nodes with one identity, skops makes the first and uses it for all.
        if any(other != node for node in (state, text) for other in by_id[node.get("__id__")]):
            raise ModelFileError(f"{path} is refused: a Booster has another's identity.")
        check_model_text(json.loads(text["content"]))


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)

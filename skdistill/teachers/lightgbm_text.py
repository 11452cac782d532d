"""Check the text of a LightGBM model before LightGBM's native parser reads it.

The parser trusts the text: a wrong size or index makes it read outside its memory, end the process,
or walk a tree that has no end. An exception for Python arises in none of these cases.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

ALLOWED = b"0123456789+-.einfaINFA "
NOT_FINITE = (b"inf", b"-inf", b"nan", b"-nan")
PARAMETER = re.compile(rb"\[[^:\]]+: [^\n]*\]|")
# Fields with a number per tree, split and leaf, besides those that must be there. Releases of
# LightGBM write different ones. A number that cannot be parsed ends the process.
PER_TREE = ("shrinkage",)
PER_SPLIT = ("split_gain", "internal_value", "internal_weight", "internal_count")
PER_LEAF = ("leaf_weight", "leaf_count")

Fields = dict[bytes, bytes]


def check_model_text(text: str) -> None:
    """Check that a text is a model of consistent sizes, indices and trees.

    Parameters
    ----------
    text : str
        What ``Booster.model_to_string`` returns, or the content of a file of ``save_model``.

    Raises
    ------
    ValueError
        If LightGBM cannot read or apply the model safely. The message names the tree and the field.
    """
    data = text.encode()
    first_tree = max(data.find(b"\nTree="), 0)
    end = data.find(b"\nend of trees", first_tree) + 1
    if not end or not data.startswith(b"tree\n") or b"\0" in data or b"\r" in data:
        _refuse("it has no header, or no end of trees")
    # After the end of trees, a line "Tree=" is the importance of a feature of this name.
    head, *trees = re.split(rb"^(?=Tree=)", data[:end], flags=re.MULTILINE)
    header = _fields(head, "the header")
    n_features = _check_header(header, len(trees))
    if b"tree_sizes" in header:
        declared = _integers(header, "tree_sizes", len(trees), "the header")
        if not np.array_equal(declared, [len(tree) for tree in trees]):
            _refuse("tree_sizes are not the sizes of the trees")
    for number, tree in enumerate(trees):
        place = f"tree {number}"
        if not tree.endswith(b"\n\n"):
            _refuse(f"{place} has no end")
        _check_tree(_fields(tree.rstrip(b"\n"), place), n_features, place)
    _, _, parameters = data[end:].partition(b"\nparameters:\n")
    for line in parameters.partition(b"\nend of parameters")[0].split(b"\n"):
        if not PARAMETER.fullmatch(line):
            _refuse(f"the parameters have a line {line[:40]!r}")


def _check_header(header: Fields, n_trees: int) -> int:
    """Check the numbers of classes and features; return the number of features."""
    place = "the header"
    n_classes = _integer(header, "num_class", 1, max(n_trees, 1), place)
    if n_trees % n_classes:
        _refuse("the number of trees is no multiple of num_class")
    if b"num_tree_per_iteration" in header:
        _integer(header, "num_tree_per_iteration", n_classes, n_classes, place)
    for declared in re.findall(rb"num_class:(\S*)", header.get(b"objective", b"")):
        if declared != b"%d" % n_classes:
            _refuse("objective and num_class disagree")
    n_features = 1 + _integer(header, "max_feature_idx", 0, 2**31 - 2, place)
    for name in (b"feature_names", b"feature_infos", b"monotone_constraints"):
        if name in header and len(header[name].split(b" ")) != n_features:
            _refuse(f"{name.decode()} does not have {n_features} entries, as max_feature_idx says")
    if b"feature_names" not in header or b"feature_infos" not in header:
        _refuse("feature_names or feature_infos is missing")
    return n_features


def _check_tree(fields: Fields, n_features: int, place: str) -> None:
    n_leaves = _integer(fields, "num_leaves", 1, 2**31 - 1, place)
    n_splits = n_leaves - 1
    n_categorical = _integer(fields, "num_cat", 0, n_splits, place)
    _reals(fields, "leaf_value", n_leaves, place)
    for names, length in ((PER_SPLIT, n_splits), (PER_LEAF, n_leaves), (PER_TREE, 1)):
        for name in names:
            # A tree of one leaf leaves its weight empty.
            if name.encode() in fields and (n_splits or fields[name.encode()]):
                _reals(fields, name, length, place)
    _check_range(_integers(fields, "split_feature", n_splits, place), 0, n_features, place)
    thresholds = np.array(_reals(fields, "threshold", n_splits, place))
    kind = np.zeros(n_splits, dtype=np.int64)
    if b"decision_type" in fields:
        kind = _integers(fields, "decision_type", n_splits, place)
    # Bit 0: by category. Bit 1: where missing values go. Then the kind of missing values, 0 to 2.
    _check_range(kind, 0, 12, place)
    children = [_integers(fields, f"{side}_child", n_splits, place) for side in ("left", "right")]
    # Every split but the first, and every leaf (~leaf), is the child of exactly one split.
    if not np.array_equal(np.sort(np.concatenate(children)), _nodes(n_leaves)):
        _refuse(f"the children of {place} do not make a tree")
    if not set(thresholds[(kind & 1) == 1]) <= {b"%d" % code for code in range(n_categorical)}:
        _refuse(f"{place} names categories that it does not have")
    if n_categorical:
        bounds = _integers(fields, "cat_boundaries", n_categorical + 1, place)
        n_words = len(fields.get(b"cat_threshold", b"").split())
        if bounds[0] != 0 or (np.diff(bounds) < 0).any() or bounds[-1] != n_words:
            _refuse(f"cat_boundaries of {place} do not fit")
        _check_range(_integers(fields, "cat_threshold", n_words, place), 0, 2**32, place)
    if _integer({b"is_linear": b"0"} | fields, "is_linear", 0, 1, place):
        _check_linear(fields, n_leaves, n_features, place)


def _check_linear(fields: Fields, n_leaves: int, n_features: int, place: str) -> None:
    """Check the linear models in the leaves of a tree."""
    _reals(fields, "leaf_const", n_leaves, place)
    counts = _integers(fields, "num_features", n_leaves, place)
    _check_range(counts, 0, n_features + 1, place)
    features = _integers(fields, "leaf_features", int(counts.sum()), place)
    _check_range(features, 0, n_features, place)
    _reals(fields, "leaf_coeff", int(counts.sum()), place)


def _nodes(n_leaves: int) -> NDArray[np.int64]:
    """The children of all splits of a tree, sorted: its leaves, then its splits but the first."""
    return np.concatenate([np.arange(-n_leaves, 0), np.arange(1, n_leaves)])[: 2 * n_leaves - 2]


def _fields(lines: bytes, place: str) -> Fields:
    """Parse lines of the form ``key=value``, each key once."""
    fields: Fields = {}
    for line in lines.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if place != "the header" and not equals:
            _refuse(f"{place} has a line without '='")
        if key in fields and key:
            _refuse(f"{place} has {key!r} twice")
        fields[key] = value
    return fields


def _integer(fields: Fields, name: str, least: int, most: int, place: str) -> int:
    value = int(_integers(fields, name, 1, place)[0])
    if not least <= value <= most:
        _refuse(f"{name} of {place} is {value}, expected {least} to {most}")
    return value


def _integers(fields: Fields, name: str, length: int, place: str) -> NDArray[np.int64]:
    tokens = _tokens(fields, name, length, place)
    try:
        return np.array([int(token) for token in tokens], dtype=np.int64)
    except (ValueError, OverflowError):
        _refuse(f"{name} of {place} holds something else than integers")


def _reals(fields: Fields, name: str, length: int, place: str) -> list[bytes]:
    tokens = _tokens(fields, name, length, place)
    for token in tokens:
        try:
            is_sound = isfinite(float(token)) or token in NOT_FINITE
        except ValueError:
            is_sound = False
        if not is_sound:
            _refuse(f"{name} of {place} holds {token!r}, expected a number")
    return tokens


def _tokens(fields: Fields, name: str, length: int, place: str) -> list[bytes]:
    """Split a field of numbers, of which LightGBM parses as many as it expects."""
    value = fields.get(name.encode(), b"")
    tokens = value.split()
    # Python's numbers may have underscores, and split takes tabs; LightGBM's parser stops there.
    if len(tokens) != length or value.translate(None, ALLOWED):
        _refuse(f"{name} of {place} must hold {length} numbers, got {value[:40]!r}")
    return tokens


def _check_range(numbers: NDArray[np.int64], least: int, end: int, place: str) -> None:
    if ((numbers < least) | (numbers >= end)).any():
        _refuse(f"{place} has an index outside {least} to {end - 1}")


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"not a sound LightGBM model: {what}.")

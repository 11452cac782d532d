"""Reader of LETOR files, which are svmlight text with a ``qid`` in each line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy import sparse
from sklearn.datasets import load_svmlight_files
from sklearn.utils import Bunch

PathLike = str | os.PathLike[str]

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
NUMBER = rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:nan|inf(?:inity)?))"
LABEL = re.compile(NUMBER)
FEATURE = re.compile(rb"(\d+):" + NUMBER)
QUERY = re.compile(rb"qid:(-?\d+)")
INT64 = range(-(2**63), 2**63)


def load_letor(
    path: PathLike | Sequence[PathLike],
    *,
    dense: bool = True,
    dtype: type = np.float32,
    n_features: int | None = None,
    zero_based: bool = False,
) -> Bunch:
    """Read one or several LETOR/svmlight files, plain or compressed (.gz, .bz2).

    Parameters
    ----------
    path : path or list of path
        Files to read. The rows of several files are stacked.
    dense : bool, default=True
        Whether X is an array; otherwise it is a CSR matrix.
    dtype : type, default=np.float32
        Type of X.
    n_features : int, optional
        Number of columns of X. By default, the highest number of a feature in these files. Pass it
        if the files of a data set are read by several calls: a file of test rows may lack the last
        features.
    zero_based : bool, default=False
        Whether features are numbered from 0. Files alone do not tell: feature 0 may happen to be
        absent from one of them. Pass the same for all files of a data set.

    Returns
    -------
    Bunch
        With the attributes:

        - ``X``: ndarray or CSR matrix of shape (n_rows, n_features);
        - ``y``: ndarray of shape (n_rows,), float64, the relevance;
        - ``qid``: ndarray of shape (n_rows,), int64, the query.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a line is not svmlight text, has no qid or names a feature 0 without ``zero_based``, or
        there are more features than ``n_features``. The message names the file and the line.

    References
    ----------
    Qin, Liu, "Introducing LETOR 4.0 Datasets", 2013.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(_opened(file)) for file in paths]
            parts = load_svmlight_files(
                files, n_features=n_features, zero_based=zero_based, query_id=True, dtype=dtype
            )
    except (ValueError, OverflowError) as error:
        for file in paths:
            for problem in _problems(file, zero_based, n_features):
                raise ValueError(f"{file}: {problem}") from error
        raise
    tables, labels, qids = parts[0::3], parts[1::3], parts[2::3]
    for file, table, qid in zip(paths, tables, qids, strict=True):
        if len(qid) != table.shape[0]:
            raise ValueError(
                f"{file}: a LETOR file names a qid in every line, but here only {len(qid)} of "
                f"{table.shape[0]} lines do."
            )
    X = sparse.vstack(tables, format="csr")
    return Bunch(
        X=X.toarray() if dense else X,
        y=np.concatenate(labels).astype(np.float64),
        qid=np.concatenate(qids).astype(np.int64),
    )


def _opened(path: PathLike) -> BinaryIO:
    """Open a file behind its byte order mark, which some editors write."""
    file = OPENERS.get(Path(path).suffix, open)(path, "rb")
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file


def _problems(path: PathLike, zero_based: bool, n_features: int | None) -> Iterator[str]:
    """Yield what is wrong in the lines of a file."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            label, *cells = line.partition(b"#")[0].split() or [b"0"]
            if not LABEL.fullmatch(label):
                yield f"line {number} must begin with a label, got {_shown(label)}."
            for cell in cells:
                query, feature = QUERY.fullmatch(cell), FEATURE.fullmatch(cell)
                if query and int(query[1]) not in INT64:
                    yield f"line {number}: {_shown(cell)} does not fit into 64 bits."
                if query:
                    continue
                if not feature:
                    yield f"line {number}: expected feature:value with numbers, got {_shown(cell)}."
                elif not zero_based and int(feature[1]) == 0:
                    yield (
                        f"line {number} names a feature 0, but LETOR files number features from "
                        "1. If this data set counts from 0, pass zero_based=True for all of its "
                        "files."
                    )
                elif n_features is not None and int(feature[1]) >= n_features + (not zero_based):
                    yield (
                        f"line {number} names feature {int(feature[1])}, but n_features is "
                        f"{n_features}."
                    )


def _shown(cell: bytes) -> str:
    return repr(cell.decode(errors="replace"))

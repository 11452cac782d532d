"""LETOR files: svmlight text with a ``qid`` and a comment in each line."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.datasets import load_svmlight_files
from sklearn.utils import Bunch

PathLike = str | os.PathLike[str]


def load_letor(
    path: PathLike | Sequence[PathLike], *, dense: bool = True, dtype: type = np.float32
) -> Bunch:
    """Read one or several LETOR/svmlight files, plain or compressed (.gz, .bz2).

    Parameters
    ----------
    path : path or list of path
        Several files are stacked; all have the same columns.
    dense : bool, default=True
        X as an array; False: CSR.
    dtype : type, default=np.float32

    Returns
    -------
    Bunch
        ``X`` (n_rows, n_features), ``y`` (n_rows,) float64, ``qid`` (n_rows,) int64.

    Raises
    ------
    FileNotFoundError
        When a file is not there.
    ValueError
        When a line is not svmlight or has no qid.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    parts = load_svmlight_files([str(p) for p in paths], query_id=True, dtype=dtype)
    tables, labels, qids = parts[0::3], parts[1::3], parts[2::3]
    for file, table, qid in zip(paths, tables, qids, strict=True):
        if len(qid) != table.shape[0]:
            raise ValueError(f"{file}: a LETOR file names a qid in every line; not all here do.")
    X = sparse.vstack(tables, format="csr")
    return Bunch(
        X=X.toarray() if dense else X,
        y=np.concatenate(labels).astype(np.float64),
        qid=np.concatenate(qids).astype(np.int64),
    )

"""Reader of LETOR files, which are svmlight text with a ``qid`` in each line."""

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
        Files to read. The rows of several files are stacked.
    dense : bool, default=True
        Whether X is an array; otherwise it is a CSR matrix.
    dtype : type, default=np.float32
        Type of X.

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
        If a line is not svmlight text or has no qid.

    References
    ----------
    Qin, Liu, "Introducing LETOR 4.0 Datasets", 2013.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    parts = load_svmlight_files([str(p) for p in paths], query_id=True, dtype=dtype)
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

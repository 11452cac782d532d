"""explain, and the explanation that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdistill.distilled import FittedDistillation
from skdistill.extras import import_extra
from skdistill.inputs.columns import as_table, column_names, without_query_column
from skdistill.inputs.query_ids import check_qid, sort_by_query
from skdistill.inspection.explanation.contributions import contributions
from skdistill.inspection.explanation.scaled_rows import ScaledRows
from skdistill.inspection.models import unwrapped
from skdistill.metrics.scorers import queries_of
from skdistill.public_names import set_module
from skdistill.students.estimator import StudentEstimator
from skdistill.text_tables import Rows, Table, html, text_table


@set_module("skdistill.inspection")
@dataclass(frozen=True, repr=False)
class Explanation:
    """What each column contributes to the scores of rows, against the other rows of the query.

    Attributes
    ----------
    contributions : ndarray of shape (n_rows, n_columns), float64
        Contribution of each column, in the order of the rows.
    pairs : ndarray of shape (n_rows, n_columns, n_columns), float64, or None
        Of a factorization machine: what pairs of columns contribute, half of it on either side of
        the diagonal, where each column stands by itself.
    scores : ndarray of shape (n_rows,), float64
        Score of each row less the mean score of its query.
    names : list of str
        Names of the columns.
    queries : ndarray of shape (n_rows,), int64
        Number of the query of each row.
    error : float
        Largest difference between the sum of a row's contributions and its score, which is rounded
        to float32.
    """

    contributions: NDArray[np.float64]
    pairs: NDArray[np.float64] | None
    scores: NDArray[np.float64]
    names: list[str]
    queries: NDArray[np.int64]
    error: float

    def rows(self, row: int, than: int | None = None, n_columns: int = 10) -> Rows:
        """Return the table of the columns that matter most for a row.

        Parameters
        ----------
        row : int
            Number of the row.
        than : int, optional
            Another row of the same query, to say why the first ranks above or below it; by default,
            the mean row of the query.
        n_columns : int, default=10
            Number of columns to list; the others are summed.

        Returns
        -------
        list of list
            The heading, then a row per column, and the sum. It prints as a table.

        Raises
        ------
        ValueError
            If the rows are of different queries.
        """
        values, score = self.contributions[row], self.scores[row]
        if than is not None:
            if self.queries[row] != self.queries[than]:
                raise ValueError(
                    f"Rows {row} and {than} are of different queries, in which scores are not "
                    "compared. Pass another row of the same query as than=."
                )
            values, score = values - self.contributions[than], score - self.scores[than]
        order = np.argsort(-np.abs(values), kind="stable")
        shown, rest = order[:n_columns].tolist(), order[n_columns:]
        table = Table([["column", "contribution"]])
        table += [[self.names[column], float(values[column])] for column in shown]
        if len(rest):
            table.append([f"{len(rest)} others", float(values[rest].sum())])
        table.append(["score", float(score)])
        return table

    def frame(self) -> Any:
        """Return the contributions as a data frame.

        Returns
        -------
        DataFrame
            A row per row, and a column per column.

        Raises
        ------
        ImportError
            If pandas is not installed (extra ``data``).
        """
        pandas = import_extra("pandas", "data", "Explanation.frame")
        return pandas.DataFrame(self.contributions, columns=self.names)

    def mean_table(self, n_columns: int = 20) -> Rows:
        """Return the mean size of the contributions, the largest first.

        Parameters
        ----------
        n_columns : int, default=20
            Number of columns to list.

        Returns
        -------
        list of list
            The heading, then a row per column.
        """
        sizes = np.abs(self.contributions).mean(axis=0)
        order = np.argsort(-sizes, kind="stable")[:n_columns]
        return Table([["column", "mean size"], *([self.names[c], float(sizes[c])] for c in order)])

    def __str__(self) -> str:
        return text_table(self.mean_table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self.mean_table())


@set_module("skdistill.inspection")
def explain(model: Any, X: Any, *, qid: ArrayLike | None = None) -> Explanation:
    r"""Explain scores by what each column contributes, against the mean row of the query.

    Contributions of a row sum to its score less the mean score of its query, and so the difference
    of two rows of a query is the difference of their scores.

    ================================  ============================================================
    student                           contribution of a column
    ================================  ============================================================
    linear, also with knots           its term, exactly
    factorization machine             its terms, and half of each interaction with another column,
                                      exactly; ``pairs`` has the interactions
    MLP                               integrated gradients from the mean row of the query, in steps
                                      that add up
    ================================  ============================================================

    Parameters
    ----------
    model : student, DistilledRanker, Pipeline or search
        Fitted. Of a Pipeline, the columns are those that its last step gets.
    X : table of shape (n_rows, n_features)
        The columns of ``fit``; rows in any order.
    qid : array-like of shape (n_rows,), optional
        Query of each row; by default, that of the model's ``query_column``. Without one, all rows
        are one query.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        If the student is no linear one, factorization machine or MLP with one score, or the table
        is a CSR matrix of more than 1,024 columns.
    NotFittedError
        If the model is not fitted.
    ValueError
        If the columns differ from those of ``fit``.

    References
    ----------
    Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.inspection import explain
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, n_features=3, random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> explanation = explain(student, data.X, qid=data.qid)
    >>> explanation.contributions.shape == data.X.shape
    True
    >>> explanation.error < 1e-5
    True
    """
    X = as_table(X)
    n_rows = X.shape[0]
    ids = check_qid(queries_of(model, X, qid), n_rows)
    student, table, names = _innermost(model, X)
    if student.served_formula is not None:
        raise TypeError("explain takes students of one score; a function combines this one's.")
    queries, order = sort_by_query(ids, n_rows)
    rows = ScaledRows.of(student, table, queries).sorted_by(order)
    found = contributions(*student.served_model(), rows)
    scores = np.asarray(unwrapped(model).predict(X), dtype=np.float64)
    scores = rows.centred(scores if order is None else scores[order])
    back = slice(None) if order is None else np.argsort(order)
    return Explanation(
        found.values[back],
        None if found.pairs is None else found.pairs[back],
        scores[back],
        names or [f"column {number}" for number in range(rows.n_columns)],
        queries.segment[back],
        float(np.abs(found.values.sum(axis=1) - scores).max()),
    )


def _innermost(model: Any, X: Any) -> tuple[StudentEstimator, Any, list[str] | None]:
    """Return the student that scores, the table that it gets, and the names of its features."""
    model = unwrapped(model)
    if isinstance(model, Pipeline) and len(model) > 1:
        check_is_fitted(model)
        student, table, names = _innermost(model[-1], model[:-1].transform(X))
        return student, table, names or _output_names(model[:-1], student)
    if isinstance(model, Pipeline):
        return _innermost(model[-1], X)
    if isinstance(model, FittedDistillation):
        return _innermost(model.export_student(), model.student_table(X))
    if not isinstance(model, StudentEstimator):
        raise TypeError(
            "explain takes students, a DistilledRanker, or a Pipeline that ends in either, got "
            f"{type(model).__name__}."
        )
    check_is_fitted(model)
    names = column_names(without_query_column(X, model.query_column))
    return model, X, None if names is None else [str(name) for name in names]


def _output_names(head: Any, student: StudentEstimator) -> list[str] | None:
    """Names of what the steps before a student return; None if a step has none."""
    try:
        names = [str(name) for name in head.get_feature_names_out()]
    except (AttributeError, ValueError):
        return None
    return names if len(names) == student.n_features_in_ and student.query_column is None else None

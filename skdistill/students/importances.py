"""What a fitted student has learnt of each column: coefficients and importances.

scikit-learn's tools for feature selection and SHAP's linear explainer read these attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skdistill.base import RankingEstimator
from skdistill.inputs.queries import Queries
from skdistill.inputs.rows import Rows
from skdistill.models import Network
from skdistill.protocols import Parameters, StudentModel
from skdistill.students.fitted import FittedStudent

# Importances are means over so many training rows at most.
SAMPLED_ROWS = 1024
# The sampled rows of a CSR table become dense, and so it must not have more columns.
MOST_SPARSE_COLUMNS = 1024
# Columns with two views exchange their values with those of so many other rows.
EXCHANGES = 4


class Interpretable(FittedStudent):
    """Base class of students that know a coefficient or an importance of each column."""

    # None if fit could not compute them, and in files of 0.1.0.
    _importances: NDArray[np.float64] | None = None

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weight of each column of X in the score, shape (n_features,), of a linear student.

        ``predict(X)`` is ``X @ coef_ + intercept_``. As in every linear model, the weights depend
        on the units of the columns, while ``feature_importances_`` do not. Not available for
        columns with a softsign, see ``squash``, nor for tables with categories, dates or missing
        values.
        """
        return self._linear_form()[0]

    @property
    def intercept_(self) -> float:
        """Constant in the score of a linear student; see ``coef_``."""
        return self._linear_form()[1]

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Importance of each column of X, shape (n_features,); the sum is 1.

        The importance of a column says how much a typical deviation of it moves the scores of rows
        against the others of their query. It is computed by ``fit`` from the gradients of scores,
        and for a column that is read twice (see ``scaler_``) from scores with its values exchanged.
        :func:`skdistill.inspection.ranking_importance` measures the effect on a metric instead.

        Not available after ``partial_fit``, nor for tables with categories, dates or missing
        values.
        """
        check_is_fitted(self)
        if self._importances is None:
            raise AttributeError(
                f"This {type(self).__name__} has no feature_importances_. They are computed by "
                "fit, not by partial_fit, for tables of numbers without missing values, with at "
                f"most {MOST_SPARSE_COLUMNS} columns if they are CSR. There are none if a function "
                "combines objectives, or the model has no input_gradient. Use "
                "skdistill.inspection.ranking_importance, which takes all rankers and tables."
            )
        return with_query_column(self._importances, self)

    def measure_importances(self, inputs: Rows, queries: Queries) -> NDArray[np.float64] | None:
        """Compute the importances from training rows, after the parameters are set.

        Parameters
        ----------
        inputs : Rows
            Scaled training rows.
        queries : Queries
            Segments of the rows.

        Returns
        -------
        ndarray of shape (n_columns,), float64, or None
            None where ``feature_importances_`` explains that there are none.
        """
        model, params = self.served_model()
        is_wide = sparse.issparse(inputs.X) and inputs.n_features > MOST_SPARSE_COLUMNS
        if is_wide or self._has_further_inputs or self.served_formula is not None:
            return None
        # Without comparisons of rows, a score means something by itself.
        queries = queries if self.compares_rows else Queries.single(queries.n_rows)
        rows, queries = _sample(queries)
        X = inputs.take(rows).X
        X = X.toarray() if sparse.issparse(X) else X
        return column_effects(model, params, X, queries, self.scaler_.sources)

    @property
    def compares_rows(self) -> bool:
        """Whether all losses compare the rows of a query."""
        return True

    @property
    def _has_further_inputs(self) -> bool:
        """Whether several inputs of the model belong to a column of the table."""
        encoder = self.encoder_
        return self.scaler_.flagged is not None or (
            encoder is not None and not encoder.reads_only_numbers
        )

    def _importance_to_use(self) -> str:
        """Name what there is in place of coefficients, for messages."""
        function = "skdistill.inspection.ranking_importance"
        return function if self._importances is None else f"feature_importances_, or {function}"

    def _linear_form(self) -> tuple[NDArray[np.float64], float]:
        """Return the weights and the constant of the score as a linear function of X."""
        check_is_fitted(self)
        model, params = self.served_model()
        is_linear = isinstance(model, Network) and model.n_layers == model.n_outputs == 1
        if self._has_further_inputs or self.served_formula is not None or not is_linear:
            raise AttributeError(
                f"This {type(self).__name__} has no coef_, because its score is not a sum of one "
                f"number times each column. Use {self._importance_to_use()}."
            )
        scaler = self.scaler_
        if scaler.applies_softsign:
            heavy = with_query_column(scaler.has_softsign[: scaler.n_columns], self)
            names = getattr(self, "feature_names_in_", np.arange(len(heavy)))
            raise AttributeError(
                f"This {type(self).__name__} has no coef_, because its score is not linear in the "
                f"columns {names[heavy > 0].tolist()}, which have a heavy tail and get a softsign. "
                f"Set squash=False, or use {self._importance_to_use()}."
            )
        weights = params["weights_0"][:, 0].astype(np.float64) * scaler.scale
        shift = scaler.shift + (0.0 if scaler.origin is None else scaler.origin)
        return with_query_column(weights, self), float(params["bias_0"][0] - weights @ shift)


class WithStudentsImportances(RankingEstimator):
    """Base class of rankers that know the importances of the columns for their student."""

    student_: Any
    student_positions_: list[int] | None

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Importance of each column of X for the student, shape (n_features,); the sum is 1.

        Columns that the student does not see have 0. See :class:`MLPRanker`.
        """
        check_is_fitted(self, "student_")
        if not isinstance(self.student_, Interpretable):
            raise AttributeError(
                f"This {type(self).__name__} has no feature_importances_, because the columns of "
                f"its student are not those of X: it is a {type(self.student_).__name__}. Use "
                "skdistill.inspection.ranking_importance."
            )
        values = np.zeros(self.n_features_in_ - (self.query_column is not None))
        seen = self.student_positions_
        values[slice(None) if seen is None else seen] = self.student_.feature_importances_
        return with_query_column(values, self)


def with_query_column(values: NDArray[Any], ranker: RankingEstimator) -> NDArray[Any]:
    """Insert 0 for a ranker's query column into values of its features."""
    place = ranker.query_column
    if place is None:
        return values
    if isinstance(place, str):
        place = ranker.feature_names_in_.tolist().index(place)
    return np.insert(values, place % ranker.n_features_in_, 0)


def column_effects(
    model: StudentModel,
    params: Parameters,
    X: NDArray[np.float32],
    queries: Queries,
    sources: NDArray[np.int64] | None = None,
) -> NDArray[np.float64] | None:
    """Compute how much each column moves the scores of rows against each other.

    A deviation of a column has a part within its query and a part that is the same for the query.
    The first moves each row by the gradient of its score. The second moves all rows of the query,
    and changes their order only as far as their gradients differ.

    A deviation moves both views of a column along a curve, of which gradients know too little. The
    effect of such a column is measured by exchanging its values with those of other rows.

    Parameters
    ----------
    model : StudentModel
        A model with one output.
    params : dict of str to ndarray
        Its parameters.
    X : ndarray of shape (n_rows, n_views), float32
        Scaled rows.
    queries : Queries
        Segments of the rows.
    sources : ndarray of shape (n_views,), int64, or None
        Column of each view; the views of all columns come first. None if each column has one.

    Returns
    -------
    ndarray of shape (n_columns,), float64, or None
        Root mean square of both parts for each column, divided by the sum over columns. None if the
        model has no gradient with respect to its inputs.
    """
    scores, cache = model.forward(params, Rows(X))
    gradient = model.input_gradient(params, cache, np.ones_like(scores))
    if gradient is None:
        return None
    gradient = gradient.astype(np.float64)
    within, between = _variances(X.astype(np.float64), queries)
    common = _variances(gradient, queries)[0]
    squares = within * (gradient**2).mean(axis=0) + between * common
    if sources is not None:
        n_columns = int(sources.max()) + 1
        squares = squares[:n_columns]
        for column in sources[n_columns:].tolist():
            views = np.flatnonzero(sources == column)
            squares[column] = _effect_of_exchange(model, params, X, scores, queries, views)
    effects = np.sqrt(squares)
    return effects / (effects.sum() or 1.0)


def _effect_of_exchange(
    model: StudentModel,
    params: Parameters,
    X: NDArray[np.float32],
    scores: NDArray[np.float32],
    queries: Queries,
    views: NDArray[np.int64],
) -> float:
    """Return half the mean square by which scores of a query's rows move against each other.

    Each row takes the values of some inputs from a row of another query. Two rows differ by twice
    the variance of a column: half the square is comparable with that of a typical deviation.
    """
    squares = []
    for part in np.arange(1, EXCHANGES + 1) / (EXCHANGES + 1):
        other = (np.arange(queries.n_queries) + int(part * queries.n_queries)) % queries.n_queries
        other = other[queries.segment]
        place = np.arange(queries.n_rows) - queries.starts[queries.segment]
        sizes = queries.sizes[other]
        row = queries.starts[other] + (place + (part * sizes).astype(np.int64)) % sizes
        moved = X.copy()
        moved[:, views] = X[np.ix_(row, views)]
        change = model.forward(params, Rows(moved))[0] - scores
        squares.append(_variances(change.astype(np.float64)[:, None], queries)[0][0])
    return float(np.mean(squares)) / 2


def _variances(
    values: NDArray[np.float64], queries: Queries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the variance of each column within queries, and that of its means over queries."""
    means = np.add.reduceat(values, queries.starts, axis=0) / queries.sizes[:, None]
    means = np.repeat(means, queries.sizes, axis=0)
    return ((values - means) ** 2).mean(axis=0), means.var(axis=0)


def _sample(queries: Queries) -> tuple[NDArray[np.int64], Queries]:
    """Choose queries at even distances, and rows at even distances if these are too many."""
    n_chosen = max(SAMPLED_ROWS * queries.n_queries // queries.n_rows, 1)
    chosen = np.arange(0, queries.n_queries, -(-queries.n_queries // n_chosen))
    rows, taken = queries.take(chosen)
    kept = np.arange(0, len(rows), -(-len(rows) // SAMPLED_ROWS))
    sizes = np.unique(taken.segment[kept], return_counts=True)[1]
    return rows[kept], Queries.from_sizes(sizes)

"""The base class of all rankers: queries, metadata requests and score.

Methods without an underscore that the reference does not list are internal: other modules of the
package call them, but users need not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import RegressorTags, Tags, check_random_state, get_tags
from sklearn.utils.validation import validate_data

from skdistill._sklearn_compat import DocumentationLink
from skdistill.inputs.checks import check_labels
from skdistill.inputs.columns import column_names, has_numbered_columns, query_ids
from skdistill.inputs.queries import Queries
from skdistill.inputs.query_ids import QuerySample, check_qid
from skdistill.metrics.scorers import default_scorer
from skdistill.user_warnings import warn_user

Estimator = TypeVar("Estimator")
Arguments = ParamSpec("Arguments")


def all_or_nothing(
    fit: Callable[Concatenate[Estimator, Arguments], Any],
) -> Callable[Concatenate[Estimator, Arguments], Estimator]:
    """Decorate a method that fits, so that it changes its estimator at the end or not at all.

    The method runs on a draft with the same attributes. After an error or an interrupt, the
    estimator is as it was; until the end, other threads see the former model. Arrays and other
    objects are shared with the draft: the method must replace them, not change them.
    """

    @wraps(fit)
    def fit_draft(
        estimator: Estimator, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Estimator:
        draft = object.__new__(type(estimator))
        draft.__dict__ = vars(estimator).copy()
        fit(draft, *args, **kwargs)
        estimator.__dict__ = draft.__dict__
        return estimator

    return fit_draft


def inherit_input_tags(tags: Tags, readers: Iterable[Any]) -> Tags:
    """Let an estimator take the values that all the estimators take that read its table."""
    of_readers = [
        get_tags(reader).input_tags for reader in readers if hasattr(reader, "__sklearn_tags__")
    ]
    for name in ("allow_nan", "string", "categorical"):
        is_taken = bool(of_readers) and all(getattr(one, name) for one in of_readers)
        setattr(tags.input_tags, name, is_taken)
    return tags


@cache
def parameters_of(cls: type[RankingEstimator]) -> list[str] | None:
    """Names of the parameters of a class; None if it takes any."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


class RankingEstimator(DocumentationLink, CallbackSupportMixin, BaseEstimator):
    """Base class of rankers, which take queries as metadata ``qid`` or from a column of X.

    Attributes
    ----------
    fitted_with_qid_ : bool
        Whether ``fit`` got queries. If so, scoring without queries is an error.
    fitted_with_offset_ : bool
        Whether ``fit`` got an offset. If so, ``score`` without one is an error.
    """

    __metadata_request__fit = {"qid": True, "teacher_scores": True}
    __metadata_request__partial_fit = {"qid": True, "teacher_scores": True}
    __metadata_request__score = {"qid": True, "offset": True}

    query_column: Any = None
    random_state: Any = None
    fitted_with_offset_: bool = False
    # Not stored with the model: it holds ids of users.
    _queries_of_fit: QuerySample | None = None

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """Make an instance; refuse parameters that the class does not have.

        Raises
        ------
        TypeError
            If there is no such parameter. The message names one that is spelt like it, or the
            estimator to which it belongs.
        """
        known = parameters_of(cls)  # type: ignore[arg-type]  # a class is hashable
        for name in params:
            if known is not None and name not in known:
                hint = cls._hint_of_parameter(name, known)
                raise TypeError(f"{cls.__name__} has no parameter {name!r}. {hint}")
        return super().__new__(cls)

    @classmethod
    def _hint_of_parameter(cls, name: str, known: list[str]) -> str:
        """Say which parameter may be meant by a name that none of those known has."""
        alike = get_close_matches(name, known, n=1)
        return f"Did you mean {alike[0]!r}?" if alike else f"Its parameters are {sorted(known)}."

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_queries_of_fit"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Scores are numbers, so that ensembles of regressors and partial dependence apply. The
        # method score returns no R^2, which the other tag says.
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags(poor_score=True)
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        tags.target_tags.single_output = True
        tags.input_tags.sparse = True
        return tags

    def set_params(self, **params: Any) -> RankingEstimator:
        """Set parameters, also those of nested estimators, such as ``student__alpha``.

        Parameters
        ----------
        **params
            Values by name.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If there is no such parameter, or it is one of an estimator that is None.
        """
        for name in params:
            outer, is_nested, _ = name.partition("__")
            if is_nested and outer not in params and getattr(self, outer, self) is None:
                example = ", such as MLPRanker(), which None stands for"
                raise ValueError(
                    f"{name} cannot be set, because {outer} is None. Pass an estimator: "
                    f"{type(self).__name__}({outer}=...){example if outer == 'student' else ''}."
                )
        super().set_params(**params)
        return self

    def score(
        self,
        X: Any,
        y: ArrayLike,
        *,
        qid: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Compute the mean NDCG@10 of the predicted rankings, or the AUC of rows without queries.

        Queries without a relevant row are left out. If ``fit`` took each row by itself (see
        ``qid`` there) and no queries are passed here, the score is the area under the ROC curve
        over all rows: the fraction of the pairs of a relevant and an irrelevant row that are in the
        right order. With several objectives this is the mean over the columns of y.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Rows to rank.
        y : array-like of shape (n_rows,) or (n_rows, n_label_objectives)
            Relevance, 0 or more. Rows with NaN are left out.
        qid : array-like of shape (n_rows,), optional
            Query of each row. Required if the model was fitted with queries and has no
            ``query_column``.
        sample_weight : array-like of shape (n_rows,), optional
            Row weights. A query counts with the mean weight of its rows.
        offset : array-like of shape (n_rows,), optional
            Such as a log bid. It is added to the scores, and each row's gain is multiplied by its
            exponential, so that clicks count with their bids. Required if the model was fitted with
            an offset.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If queries are missing, or given both by ``qid`` and by ``query_column``, or if the
            offset is missing.
        """
        return self.mean_score(X, y, qid, sample_weight, offset)

    def mean_score(
        self,
        X: Any,
        y: Any,
        qid: ArrayLike | None,
        sample_weight: ArrayLike | None,
        offset: ArrayLike | None,
    ) -> float:
        """Compute what ``score`` returns."""
        metadata = {"qid": qid, "sample_weight": sample_weight, "offset": offset}
        return default_scorer(self, qid)(self, X, y, **metadata)

    def resolve_offset(self, offset: ArrayLike | None) -> Any:
        """Return the offset for scoring.

        Raises
        ------
        ValueError
            If it is missing although the model was fitted with an offset.
        """
        if offset is None and self.fitted_with_offset_:
            raise ValueError(
                f"{type(self).__name__} was fitted with an offset, so scoring needs offset too: "
                "without it another order would be measured than the one that was learnt. Pass "
                "offset=, or zeros to measure the scores alone. In a Pipeline or a "
                "cross-validation, enable metadata routing "
                "(sklearn.set_config(enable_metadata_routing=True))."
            )
        return offset

    def resolve_qid(self, X: Any, qid: ArrayLike | None) -> Any:
        """Return the queries for scoring, from ``qid`` or from the query column of X.

        Warns if many queries are also those of ``fit``, with another number of rows.

        Raises
        ------
        ValueError
            If queries are given twice, or are missing although the model was fitted with queries.
        """
        if self.query_column is not None:
            self._refuse_two_sources(qid)
            qid = query_ids(X, self.query_column)
        elif qid is None and getattr(self, "fitted_with_qid_", False):
            raise ValueError(
                f"{type(self).__name__} was fitted with qid, so scoring needs qid too: without it "
                "the whole table would count as one query. Pass qid=. In a Pipeline or a "
                "cross-validation, enable metadata routing "
                "(sklearn.set_config(enable_metadata_routing=True)), or name a column of X by "
                "query_column."
            )
        if qid is not None and self._queries_of_fit is not None:
            self._warn_if_cut(self._queries_of_fit, qid)
        return qid

    @property
    def needs_queries(self) -> bool:
        """Whether ``fit`` compares the rows of a query, so that rows without queries are one."""
        return True

    def scores_single_rows(self, qid: ArrayLike | None) -> bool:
        """Whether ``score`` has no queries, and the ranker was fitted on rows by themselves."""
        return qid is None and self.query_column is None and not self.needs_queries

    def queries_without_ids(self, n_rows: int) -> Queries:
        """Make the queries of rows without ids: one of all rows, or one of each."""
        return Queries.single(n_rows) if self.needs_queries else Queries.even(n_rows, 1)

    def check_ids(self, X: Any, qid: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
        """Return checked query ids for fitting; warn if there are none, but rows are compared."""
        if self.query_column is not None:
            self._refuse_two_sources(qid)
            qid = query_ids(X, self.query_column)
        ids = check_qid(qid, n_rows)
        if ids is None and self.needs_queries:
            warn_user(
                f"{type(self).__name__} got no qid: all {n_rows} rows are taken as one query. "
                "Pass qid=, or name a column of X by query_column. A Pipeline or a "
                "cross-validation passes qid on after "
                "sklearn.set_config(enable_metadata_routing=True). If all rows are indeed one "
                "query, pass qid=np.zeros(len(X)).",
            )
        self._queries_of_fit = None if ids is None else QuerySample(ids)
        return ids

    def sub_teachers(self) -> dict[str, Any]:
        """Return the estimators that ``fit`` fits as teachers, by the name for their metadata."""
        return {}

    def check_columns(self, X: Any, reset: bool, **checks: Any) -> Any:
        """Remember the columns of a table, as in ``fit``, or compare them with those remembered.

        scikit-learn's ``validate_data`` compares names that are text. The integer names that a data
        frame made of an array has are compared here.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The user's table.
        reset : bool
            Whether to remember the columns.
        **checks
            Arguments of ``validate_data``; by default only the columns are checked.

        Returns
        -------
        table of shape (n_rows, n_features)
            What ``validate_data`` returned.

        Raises
        ------
        ValueError
            If the number, the names or the order of the columns differ from those of ``fit``.
        """
        names = column_names(X)
        is_numbered = has_numbered_columns(names)
        try:
            table = validate_data(self, X, reset=reset, **(checks or {"skip_check_array": True}))
        except ValueError as error:
            fitted = set(getattr(self, "feature_names_in_", ()))
            if "feature names should match" in str(error) and fitted <= set(names or ()):
                names_of_fit = "list(model.feature_names_in_)"
                is_pandas = hasattr(X, "iloc")
                taken = f"X[{names_of_fit}]" if is_pandas else f"X.select({names_of_fit})"
                raise ValueError(
                    f"{error}X has all columns of fit. Pass {taken}, in their order."
                ) from error
            raise
        if reset:
            self._column_numbers = names if is_numbered else None
        expected = getattr(self, "_column_numbers", None)
        if is_numbered and expected is not None and names != expected:
            raise ValueError(
                f"The columns of X should be those that were passed during fit, in the same order: "
                f"expected {expected}, got {names}."
            )
        return table

    def read_labels(self, y: Any, n_rows: int) -> NDArray[np.float64]:
        """Return checked labels, one per row; NaN means no label."""
        return check_labels(y, n_rows)

    def generator(self) -> np.random.Generator:
        """Make a NumPy generator that is seeded by ``random_state``."""
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _warn_if_cut(self, fitted: QuerySample, qid: ArrayLike) -> None:
        """Warn if queries are scored of which fit had some of the rows."""
        if fitted.is_cut_by(qid):
            warn_user(
                f"{type(self).__name__} is scored on queries that fit had too, with other rows. If "
                "folds cut queries, the score is too high, and that of shorter lists: use "
                "RankingGroupKFold. If qid names users, give each list an id of its own.",
            )

    def _refuse_two_sources(self, qid: ArrayLike | None) -> None:
        """Raise a ValueError if there is a ``qid`` besides the query column."""
        if qid is not None:
            raise ValueError(
                f"The queries are given twice: by qid= and by query_column={self.query_column!r}. "
                "Leave one of them out."
            )

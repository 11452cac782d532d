"""compile_cascade: a cascade whose stages score faster."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.cascade import Stage
from skdistill.cascade.fitted import FittedCascade
from skdistill.inputs.columns import column_names
from skdistill.inputs.pipelines import thawed
from skdistill.public_names import set_module
from skdistill.serving.compiled import CompiledScorer, compile_scorer
from skdistill.teachers.boosters import is_plain_lightgbm


@set_module("skdistill.serving")
def compile_cascade(cascade: FittedCascade, engine: str = "auto") -> FittedCascade:
    """Compile the stages of a fitted cascade for a service or a batch job.

    The result ranks as the cascade does, by ``rank`` with the same arguments, and any number of
    threads may use it. Students score by a :class:`CompiledScorer`, whose scores agree to 1e-5.
    An ``LGBMRanker`` or ``LGBMRegressor`` scores by its Booster, with the same scores. Other
    models, and Pipelines with steps that cannot be folded, score as before. Save the cascade
    itself, and compile it when it is loaded.

    Parameters
    ----------
    cascade : RankingCascade
        A fitted cascade. It is not changed.
    engine : {"auto", "numpy", "onnxruntime"}, default="auto"
        As for :func:`compile_scorer`.

    Returns
    -------
    RankingCascade
        A copy with other stages; the catalogue and the indexes are shared.

    Raises
    ------
    TypeError
        If it is not a cascade.
    ValueError
        If ``engine`` is invalid.
    NotFittedError
        If the cascade is not fitted.
    ImportError
        If ``engine="onnxruntime"`` and ONNX Runtime is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import RankingCascade, TwoTowerRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> from skdistill.serving import compile_cascade
    >>> from skdistill.students import LinearRanker
    >>> data = make_retrieval(n_queries=50, n_items=40, random_state=0)
    >>> towers = TwoTowerRetriever(
    ...     query_columns=data.query_columns, item_columns=data.item_columns, teacher_check=False
    ... )
    >>> cascade = RankingCascade(
    ...     [("retrieve", towers, 20), ("rank", LinearRanker(), 5)],
    ...     teacher=lambda X: X[:, 0] - X[:, -1],
    ...     random_state=0,
    ... )
    >>> cascade = cascade.fit(data.X, qid=data.qid, items=data.items)
    >>> compiled = compile_cascade(cascade)
    >>> bool(np.allclose(compiled.rank(data.queries)[1], cascade.rank(data.queries)[1], atol=1e-5))
    True
    """
    if not isinstance(cascade, FittedCascade):
        raise TypeError(
            f"compile_cascade takes a RankingCascade, got {type(cascade).__name__}. Use "
            "compile_scorer for other models."
        )
    check_is_fitted(cascade, "funnel_")
    funnel = cascade.funnel_
    compiled = copy.copy(cascade)
    compiled.funnel_ = replace(
        funnel, stages=tuple(_compiled(stage, engine) for stage in funnel.stages)
    )
    return compiled


def _compiled(stage: Stage, engine: str) -> Stage:
    """Return a stage that scores faster, or the stage itself if there is no such."""
    if isinstance(stage.model, CompiledModel | BoosterModel):
        return stage
    model = thawed(stage.model)
    if is_plain_lightgbm(model):
        return replace(stage, model=BoosterModel(model, _number_of_threads(model.n_jobs)))
    with suppress(TypeError):
        scorer = compile_scorer(stage.model, engine)
        return replace(stage, model=CompiledModel(scorer, stage.model))
    return stage


def _number_of_threads(n_jobs: int | None) -> int:
    """Return the number of threads that LightGBM's estimators take ``n_jobs`` for."""
    if n_jobs is None:
        return joblib.cpu_count(only_physical_cores=True)
    return n_jobs if n_jobs >= 0 else max(joblib.cpu_count() + 1 + n_jobs, 1)


@dataclass(frozen=True)
class BoosterModel:
    """A LightGBM estimator in a stage of a compiled cascade.

    Its own ``predict`` validates and copies all its parameters, which takes about a millisecond per
    request.

    Parameters
    ----------
    model : LGBMRanker or LGBMRegressor
        Fitted.
    n_threads : int
        Threads that score a request.
    """

    model: Any
    n_threads: int

    @property
    def booster_(self) -> Any:
        """The Booster, which knows its categories."""
        return self.model.booster_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns that the model was fitted on."""
        return self.model.feature_names_in_

    @property
    def n_features_in_(self) -> int:
        """Number of the columns that the model was fitted on."""
        return self.model.n_features_in_

    def predict(self, X: Any) -> NDArray[Any]:
        """Score rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of the model, in its order.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        return np.asarray(self.booster_.predict(X, num_threads=self.n_threads))


@dataclass(frozen=True)
class CompiledModel:
    """A student in a stage of a compiled cascade.

    Parameters
    ----------
    scorer : CompiledScorer
        Scores data frames, and arrays of finite numbers or what else it takes.
    model : estimator
        The student, which scores the rows that the scorer does not take, or says what is wrong with
        them: CSR matrices, arrays of objects, and missing values that it does not impute.
    """

    scorer: CompiledScorer
    model: Any

    def predict(self, X: Any) -> NDArray[Any]:
        """Score rows.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The columns of the stage.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        if column_names(X) is not None:
            return self.scorer(X)
        if type(X) is not np.ndarray or X.dtype.kind not in "iufb" or self.scorer.n_codes:
            return self.model.predict(X)
        is_narrow = X.dtype == np.float32 or not self.scorer.needs_float64
        rows = np.ascontiguousarray(X, dtype=np.float32 if is_narrow else np.float64)
        if not (self.scorer.allows_missing or np.isfinite(rows.sum())):
            return self.model.predict(X)
        return self.scorer(rows)

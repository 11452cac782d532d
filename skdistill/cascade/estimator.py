"""RankingCascade: retrieval, pre-ranking and ranking as one estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metadata_routing import MetadataRouter

from skdistill._sklearn_compat import Interval, StrOptions
from skdistill.base import all_or_nothing
from skdistill.cascade.catalogue import check_item_offset
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.problem import (
    CascadeProblem,
    PairTeacher,
    check_tables,
    fit_pair_teacher,
    read_features,
)
from skdistill.cascade.spec import FirstTrees, StageSpec, check_models, read_stages
from skdistill.cascade.stage_students import check_unit_of_stages
from skdistill.cascade.training import StageTraining, next_targets
from skdistill.cascade.training_rows import SOURCES
from skdistill.inputs.checks import check_sample_weight
from skdistill.inputs.columns import as_table
from skdistill.inputs.offsets import log_floor
from skdistill.inputs.query_ids import check_qid
from skdistill.inputs.ranking_data import RankingData
from skdistill.inputs.row_errors import rows_of_user
from skdistill.public_names import set_module
from skdistill.step_progress import StepProgress
from skdistill.teachers.asking import warn_of_unit
from skdistill.teachers.fitting import check_teacher, warn_of_refit
from skdistill.teachers.routing import check_metadata_reaches, is_prefit, teacher_router
from skdistill.towers.catalogue_match import (
    NOT_PER_PAIR,
    differing_columns,
    warn_of_catalogue,
)
from skdistill.towers.pair_table import PairColumns, PairTable


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class RankingCascade(FittedCascade):
    """A funnel of stages that are distilled from one teacher: retrieve, pre-rank, rank.

    The first stage finds candidates in the catalogue, and each later stage scores what the stage
    before it passes on. All learn the order of one teacher, so that no stage works against the
    last one. :func:`skdistill.cascade.plan_cascade` computes how many items each stage must pass
    on, :func:`skdistill.cascade.cascade_report` where items are lost.

    With ``offset``, such as the log bids of ads, all stages order by score plus offset: ``fit``
    takes one per item, and ``set_offset`` changes it.

    Parameters
    ----------
    stages : list of (str, estimator, int or Cut)
        Name, estimator and size of each stage, from the first to the last. The size is the number
        of items that the stage returns per query; a :class:`skdistill.cascade.Cut` also limits
        scores.

        The first stage is a :class:`TwoTowerRetriever` or another object with ``retrieve``, or a
        list of them, each as (name, retriever, quota). Later stages are students, alone or in a
        Pipeline, which learn the first 30 places of the teacher's order unless they set a loss, or
        in a :class:`DistilledRanker`; regressors, which learn the teacher's scores;
        :class:`skdistill.cascade.FirstTrees`; or "teacher". Estimators are cloned and fitted, those
        in a ``FrozenEstimator`` are used as they are.
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable
        The ranker to distil, as in :class:`DistilledRanker`.
    features : callable, columns, or dict of these by name of the stage, optional
        What a stage after the first, or the "teacher", sees of a pair. A callable
        ``features(queries, items)`` takes two aligned tables, one with the query columns and one
        with the item columns, and returns one row per pair. Columns are selected from the two
        tables. All columns of queries and items by default. A teacher that is not named sees what
        its stage sees, or the last stage if it is none.
    query_columns, item_columns : columns as in ColumnTransformer, optional
        Columns of X that describe the query and the item; by default those of the first retriever
        that has any. Features may need more columns than the retriever, such as a user id.
    targets : {"teacher", "next"}, default="teacher"
        Whose scores a stage learns: those of the teacher, or of the stage after it. The latter
        trains all stages once more.
    alpha : float, default=1.0
        Weight of the teacher for students that set none themselves. Logged labels have the rest.
    sources : "auto", tuple of {"passed", "logged", "random"}, or dict of these by stage, \
default="auto"
        Rows that a stage is trained on, all scored by the teacher: what the stage before passes on
        for the queries of the log, the logged rows, and random items. With "auto", held-out queries
        decide, by the fraction of the teacher's best items that are among those that the stage
        returns. See ``source_scores_``.
    exploration : float, default=0.2
        Fraction of random rows: items that were neither logged nor passed on. Without them, a stage
        never learns what it should not have let pass.
    stage_scores : bool, default=True
        Give the scores of earlier stages to later students as further columns.
    teacher_cv : int, optional
        Number of folds of queries. The scores that the stages learn then come from teachers that
        were not fitted on the query.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. Without either, rows with equal
        query columns are one query.
    verbose : bool, default=False
        Print how long the teacher and each stage took. Students and retrievers print their epochs
        if they are verbose themselves.
    random_state : int, RandomState or None, default=None
        Seeds folds, random rows and those random states of teacher and stages that are not set.

    Attributes
    ----------
    teacher_ : estimator, Booster or callable
        The fitted teacher.
    funnel_ : Funnel
        The fitted stages and the catalogue.
    source_scores_ : dict of str to dict of str to float
        For each stage that chose its rows: the measure of each choice, 1 at best.
    pair_columns_ : PairColumns
        Columns that describe the query and columns that describe the item.
    item_ids_ : ndarray of shape (n_items,) or None
        Ids of the items, as passed to ``index``; None if they are positions.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    References
    ----------
    Qin et al., "RankFlow: Joint Optimization of Multi-Stage Cascade Ranking Systems as Flows",
    SIGIR 2022.
    Zhao et al., "A Hybrid Cross-Stage Coordination Pre-ranking Model for Online Recommendation
    Systems", 2025.

    Examples
    --------
    >>> from lightgbm import LGBMRanker
    >>> from skdistill import RankingCascade, TwoTowerRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> from skdistill.students import LinearRanker
    >>> data = make_retrieval(n_queries=200, n_items=300, random_state=0)
    >>> towers = TwoTowerRetriever(
    ...     query_columns=data.query_columns, item_columns=data.item_columns
    ... )
    >>> cascade = RankingCascade(
    ...     [("retrieve", towers, 50), ("prerank", LinearRanker(), 20), ("rank", "teacher", 5)],
    ...     teacher=LGBMRanker(n_estimators=20, verbose=-1),
    ...     random_state=0,
    ... )
    >>> cascade = cascade.fit(data.X, data.y, qid=data.qid, items=data.items)
    >>> ids, scores = cascade.rank(data.queries[:2])
    >>> ids.shape
    (2, 5)
    """

    stages: Any = field(default=None, kw_only=False)
    teacher: Any = None
    features: Any = None
    query_columns: Any = None
    item_columns: Any = None
    targets: str = "teacher"
    alpha: float = 1.0
    sources: Any = "auto"
    exploration: float = 0.2
    stage_scores: bool = True
    teacher_cv: int | None = None
    query_column: str | int | None = None
    verbose: bool = False
    random_state: Any = None

    __metadata_request__fit = {"items": True, "offset": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "targets": [StrOptions({"teacher", "next"})],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "exploration": [Interval(Real, 0, 1, closed="left")],
        "stage_scores": ["boolean"],
        "teacher_cv": [Interval(Integral, 2, None, closed="left"), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.estimator_type, tags.regressor_tags = None, None  # it ranks and has no predict
        return tags

    def sub_teachers(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": self.teacher}

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that the cascade consumes, and that it routes to its teacher.

        Returns
        -------
        MetadataRouter
            A teacher that requests nothing gets queries and row weights.
        """
        return teacher_router(self)

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        qid: ArrayLike | None = None,
        items: Any = None,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> RankingCascade:
        """Fit the teacher, then the stages one after the other, and index the catalogue.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            The log, one row per pair, with query and item columns. The rows may be in any order.
        y : array-like of shape (n_rows,), optional
            Relevance, 0 or more, NaN for unlabelled rows. Only needed by a teacher that is to be
            fitted, and by students with ``alpha`` below 1.
        qid : array-like of shape (n_rows,), optional
            Query of each row. The query columns must not differ between the rows of a query.
        items : table of shape (n_items, n_item_columns)
            The catalogue, with the item columns of X.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each logged row, for the teacher and the students.
        offset : array-like of shape (n_items,), optional
            Added to the scores of each item of the catalogue before any comparison, such as the
            logarithms of bids: the cascade then orders by bid x probability. One per item and not
            per row of the log, because stages also learn from items that were never logged, and
            rank them. See Notes.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, a stage or a table is invalid, or there is no catalogue; all this is
            checked before the teacher is fitted. Also if scores are not finite, or training
            diverges.
        TypeError
            If the teacher or a stage cannot score.

        Notes
        -----
        With an offset, all scores are in its unit. If the teacher's scores of the logged rows all
        lie between 0 and 1, they are taken as probabilities, and stages learn their logarithms. So
        they are for the order of a stage that is the teacher, its first trees, or a model that was
        fitted before. Students learn with the offset if their loss compares rows; regressors and
        towers learn the logarithms alone, and the index of the towers adds the offset. Their loss
        must keep the unit of the teacher's scores, as ``loss="listwise"`` does. A retriever
        whose ``index`` takes no offset, such as :class:`skdistill.cascade.PopularityRetriever`,
        keeps its order. The columns of scores that later stages get do not contain the offset,
        which may change at any time; see :meth:`set_offset`.
        """
        self._validate_params()
        specs = read_stages(self.stages)
        check_models(specs)
        sources = _read_sources(self.sources, specs)
        problem = self._read(specs, X, y, qid, items, sample_weight, offset)
        check_tables(problem, specs, self.teacher)
        seeds = self._draw_seeds(specs)
        progress = StepProgress(type(self).__name__, self.verbose)
        target = self._teach(problem, seeds)
        self.teacher_ = target.model
        progress.ended("the teacher is ready")
        training = StageTraining(
            specs,
            problem,
            target,
            self.alpha,
            sources,
            self.exploration,
            self.stage_scores,
            seeds,
            progress,
        )
        funnel, self.source_scores_ = training.train([target] * len(specs))
        if self.targets == "next":
            funnel, self.source_scores_ = training.train(next_targets(funnel, problem, target))
        self.funnel_, self.item_ids_ = funnel, None
        self.teacher_table_, self.teacher_log_floor_ = problem.teacher_table, target.log_floor
        return self

    def _read(
        self,
        specs: list[StageSpec],
        X: Any,
        y: Any,
        qid: Any,
        items: Any,
        sample_weight: Any,
        offset: Any,
    ) -> CascadeProblem:
        """Check the input, sort the log by query, and split it into queries and items."""
        if items is None:
            raise ValueError("RankingCascade needs the catalogue that it ranks: pass items=.")
        X = as_table(X)
        self.check_columns(X, reset=True)
        n_rows = X.shape[0]
        labels = None if y is None else self.read_labels(y, n_rows)
        weight = check_sample_weight(sample_weight, n_rows)
        self._check_models(specs, labels, weighted=weight is not None)
        self.pair_columns_ = columns = PairColumns.find(X, *self._columns(specs))
        items = self.check_items(items)
        added = check_item_offset(offset, items.shape[0])
        if added is not None:
            check_unit_of_stages(specs, self.alpha)
        features = read_features(self.features, specs, columns, X)
        ids = check_qid(self.resolve_qid(X, qid), n_rows)
        data = RankingData.sort(ids, X, labels, sample_weight=weight)
        log = columns.queries(data.X), columns.items(data.X)
        with rows_of_user(data.order):
            pairs = PairTable.split(*log, data.queries.segment, items)
        if (pairs.item >= pairs.n_catalogue).all():
            raise ValueError(
                "No item of the log is in the catalogue items=, in which all item columns have to "
                f"agree{differing_columns(log[1], items)}. float32 and float64 differ, too. "
                f"{NOT_PER_PAIR}"
            )
        warn_of_catalogue(pairs, log[1], items)
        return CascadeProblem(data, columns, pairs, features, added)

    def _check_models(
        self, specs: list[StageSpec], labels: NDArray[np.float64] | None, *, weighted: bool
    ) -> None:
        """Refuse a teacher that is missing or cannot be fitted, and warn of what is fitted anew."""
        if self.teacher is None:
            raise ValueError(
                "RankingCascade needs a teacher, whose order all stages learn: pass teacher=, "
                "unfitted, or fitted in a FrozenEstimator."
            )
        check_teacher(self.teacher)
        check_metadata_reaches(self.teacher, weighted=weighted)
        warn_of_refit(self.teacher)
        if labels is None and not is_prefit(self.teacher):
            raise ValueError(
                "RankingCascade requires y to be passed, but the target y is None and the teacher "
                "is not fitted. Pass y, or a fitted teacher in a FrozenEstimator."
            )
        models = [*specs[0].model.values(), *(spec.model for spec in specs[1:])]
        for model in models:
            if not isinstance(model, str | FirstTrees):
                warn_of_refit(model, role="stage")

    def _columns(self, specs: list[StageSpec]) -> tuple[Any, Any]:
        """Query and item columns: given, or those of the first retriever that has any."""
        given = {"query_columns": self.query_columns, "item_columns": self.item_columns}
        for name in given:
            for retriever in specs[0].model.values():
                if given[name] is None:
                    given[name] = getattr(retriever, name, None)
            if given[name] is None:
                raise ValueError(
                    f"No retriever of the stage {specs[0].name!r} has {name}: pass {name}= to "
                    "RankingCascade."
                )
        return given["query_columns"], given["item_columns"]

    def _draw_seeds(self, specs: list[StageSpec]) -> dict[str, int]:
        """Draw a seed for the teacher, the folds, each retriever and each later stage."""
        names = ["teacher", "folds", *specs[0].model, *(spec.name for spec in specs[1:])]
        seeds = check_random_state(self.random_state).randint(2**31 - 2, size=len(names))
        return dict(zip(names, map(int, seeds), strict=True))

    def _teach(self, problem: CascadeProblem, seeds: Mapping[str, int]) -> PairTeacher:
        """Fit the teacher, whose scores label pairs."""
        target = fit_pair_teacher(self.teacher, problem, self.teacher_cv, seeds)
        if problem.offset is not None:
            scores = target(problem.pairs.query, problem.pairs.item)
            warn_of_unit(target.model, scores)
            target = replace(target, log_floor=log_floor(scores))
        return target


def _read_sources(given: Any, specs: list[StageSpec]) -> dict[str, Any]:
    """Return the sources of each later stage, checked: "auto" or a tuple."""
    by_stage = given if isinstance(given, Mapping) else {}
    unknown = sorted(set(by_stage) - {spec.name for spec in specs[1:]})
    if unknown:
        raise ValueError(f"sources names {unknown}, which are not stages after the first.")
    sources = {}
    for spec in specs[1:]:
        chosen = by_stage.get(spec.name, "auto") if isinstance(given, Mapping) else given
        if chosen != "auto":
            if isinstance(chosen, str) or not chosen or not set(chosen) <= set(SOURCES):
                raise ValueError(
                    f'sources must be "auto" or a tuple of {", ".join(SOURCES)}, got {chosen!r}.'
                )
            chosen = tuple(chosen)
        sources[spec.name] = chosen
    return sources

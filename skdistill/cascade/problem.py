"""What a cascade learns from: the log as queries, items and pairs, and a teacher of any pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from skdistill.cascade.pair_tables import ChosenColumns, StageTable, is_function
from skdistill.cascade.spec import TEACHER, FirstTrees, StageSpec
from skdistill.cascade.stage_errors import naming_stage
from skdistill.inputs.columns import column_names
from skdistill.inputs.offsets import log_above
from skdistill.inputs.ranking_data import RankingData
from skdistill.teachers.asking import BLOCK, check_scores, name_of, unchecked_scores
from skdistill.teachers.columns import positions_among
from skdistill.teachers.fitting import fit_teacher, labelled_rows, seeded
from skdistill.teachers.routing import is_prefit
from skdistill.towers.pair_table import PairColumns, PairTable

# Entry of ``features`` for the teacher where it is not a stage, and for all stages not named.
EVERY = "*"


@dataclass(frozen=True)
class CascadeProblem:
    """The checked input of a fit.

    Parameters
    ----------
    data : RankingData
        The log, sorted by query.
    columns : PairColumns
        Which of its columns describe the query and which the item.
    pairs : PairTable
        The log as distinct queries, the catalogue, and pairs of them.
    features : dict of str to callable
        By name of the stage and for the teacher: builds rows of two aligned tables.
    offset : ndarray of shape (n_items,), float64, or None
        What is added to the scores of each item of the catalogue before they are compared.
    """

    data: RankingData
    columns: PairColumns
    pairs: PairTable
    features: Mapping[str, Any]
    offset: NDArray[np.float64] | None = None

    @property
    def n_queries(self) -> int:
        return self.pairs.n_queries

    @property
    def n_items(self) -> int:
        return self.pairs.n_catalogue

    def table(self, stage: str, score_columns: tuple[str, ...] = ()) -> StageTable:
        """Return what builds the rows of a stage."""
        return StageTable(f"features[{stage!r}]", self.features[stage], score_columns)

    @property
    def teacher_table(self) -> StageTable:
        """What builds the rows of the teacher."""
        return self.table(TEACHER)


def read_features(
    given: Any, specs: list[StageSpec], columns: PairColumns, X: Any
) -> dict[str, Any]:
    """Read the parameter ``features``: what builds the rows of each stage and of the teacher.

    Parameters
    ----------
    given : None, callable, columns, or dict of str to callable or columns
        What the user passed.
    specs : list of StageSpec
        The stages.
    columns : PairColumns
        Query and item columns of the log.
    X : table of shape (n_rows, n_features)
        The log.

    Returns
    -------
    dict of str to callable
        By name of each later stage, and "teacher".

    Raises
    ------
    ValueError
        If an entry names no stage, or a column that is not in the log.
    """
    return {
        name: entry
        if is_function(entry)
        else ChosenColumns.find(columns, X, entry, f"features[{name!r}]")
        for name, entry in choose_features(given, specs).items()
    }


def choose_features(given: Any, specs: list[StageSpec]) -> dict[str, Any]:
    """Look up what the parameter ``features`` says of each stage and of the teacher.

    Parameters
    ----------
    given : None, callable, columns, or dict of str to callable or columns
        What the user passed.
    specs : list of StageSpec
        The stages.

    Returns
    -------
    dict of str to (callable, columns or None)
        By name of each later stage, and "teacher"; None for all columns.

    Raises
    ------
    ValueError
        If an entry names no stage.
    """
    names = [spec.name for spec in specs[1:]]
    by_stage = given if isinstance(given, Mapping) else {EVERY: given}
    unknown = sorted(set(by_stage) - {*names, TEACHER, EVERY})
    if unknown:
        raise ValueError(
            f"features names {unknown}, but only stages after the first have features, and the "
            f"teacher: {[*names, TEACHER]}."
        )
    of_teacher = [spec.name for spec in specs[1:] if isinstance(spec.model, str)]
    chosen = {name: by_stage.get(name, by_stage.get(EVERY)) for name in names}
    for name in of_teacher:
        chosen[name] = by_stage.get(name, by_stage.get(TEACHER, by_stage.get(EVERY)))
    default = chosen[(of_teacher or names)[-1]]
    chosen[TEACHER] = by_stage.get(TEACHER, default)
    return chosen


def check_tables(problem: CascadeProblem, specs: list[StageSpec], teacher: Any) -> None:
    """Build the first rows of every stage and of the teacher, before anything is fitted.

    Parameters
    ----------
    problem : CascadeProblem
        The log.
    specs : list of StageSpec
        The stages.
    teacher : estimator, FrozenEstimator, Booster or callable
        The teacher.

    Raises
    ------
    ValueError
        If features are no rows, need a column that pairs lack, or lack one of a fitted model. It
        names the stage.
    """
    models = {TEACHER: teacher}
    models |= {spec.name: teacher if spec.is_teacher else spec.model for spec in specs[1:]}
    pairs = problem.pairs
    first = pairs.query[:2], pairs.item[:2]
    for name, model in models.items():
        try:
            rows = problem.table(name).rows(pairs.queries, pairs.items, *first, {})
            if not isinstance(model, FirstTrees) and is_prefit(model):
                positions_among(model, rows, None)
        except KeyError as error:
            query, item = (column_names(table) for table in (pairs.queries, pairs.items))
            raise ValueError(
                f"The stage {name!r} has no table: its features ask for {error}. A function gets "
                f"the query columns {query} and the item columns {item}. Name all that it needs in "
                "query_columns= and item_columns= of the cascade."
            ) from error
        except ValueError as error:
            raise ValueError(f"The stage {name!r} has no table: {error}") from error


@dataclass(frozen=True)
class PairTeacher:
    """Scores any pair by a teacher, for training by one that was not fitted on the query.

    Parameters
    ----------
    model : estimator, Booster or callable
        The teacher, fitted on all queries.
    folds : tuple of estimator
        Teachers that were fitted on all queries but those of one fold; empty if there are none.
    fold : ndarray of shape (n_queries,), int64, or None
        Number of each query's fold.
    table : StageTable
        Builds the rows.
    queries, items : tables
        The query table and the item table.
    log_floor : float or None
        If the scores are probabilities that an offset is added to: what those count as that are
        smaller. Their logarithms are returned. None for scores that are returned as they are.
    """

    model: Any
    folds: tuple[Any, ...]
    fold: NDArray[np.int64] | None
    table: StageTable
    queries: Any
    items: Any
    log_floor: float | None = None

    def __call__(self, query: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score pairs.

        Parameters
        ----------
        query, item : ndarray of shape (n_pairs,), int64
            Rows of the two tables.

        Returns
        -------
        ndarray of shape (n_pairs,), float64
        """
        if self.fold is None:
            return self._score(self.model, query, item)
        scores = np.empty(len(query))
        for number, model in enumerate(self.folds):
            chosen = np.flatnonzero(self.fold[query] == number)
            if len(chosen):
                scores[chosen] = self._score(model, query[chosen], item[chosen])
        return scores

    def _score(
        self, model: Any, query: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        blocks = []
        for start in range(0, len(query), BLOCK):
            pairs = query[start : start + BLOCK], item[start : start + BLOCK]
            rows = self.table.rows(self.queries, self.items, *pairs, {})
            blocks.append(unchecked_scores(model, rows))
        scores = np.concatenate(blocks) if blocks else np.empty(0)
        check_scores(
            scores,
            len(query),
            name_of(model),
            lambda pair: f"query {query[pair]} (sorted by query id) and item {item[pair]}",
        )
        return log_above(scores, self.log_floor)


def fit_pair_teacher(
    teacher: Any, problem: CascadeProblem, cv: int | None, seeds: Mapping[str, int]
) -> PairTeacher:
    """Fit the teacher on the log, unless it is prefit, and one more per fold.

    Parameters
    ----------
    teacher : estimator, FrozenEstimator, Booster or callable
        The teacher.
    problem : CascadeProblem
        The log.
    cv : int or None
        Number of folds of queries; None for no further teachers.
    seeds : dict of str to int
        Seeds of the "teacher" and of the "folds".

    Returns
    -------
    PairTeacher
    """
    pairs, table = problem.pairs, problem.teacher_table
    if is_prefit(teacher):
        return PairTeacher(teacher, (), None, table, pairs.queries, pairs.items)
    rows = table.rows(pairs.queries, pairs.items, pairs.query, pairs.item, {})
    teacher = seeded(teacher, seeds["teacher"])
    data = labelled_rows(teacher, problem.data.with_table(rows))
    with naming_stage(TEACHER, "cannot be fitted:", data.X):
        model = fit_teacher(teacher, data)
    folds, fold = [], None
    if cv is not None:
        fold = np.zeros(problem.n_queries, dtype=np.int64)
        splitter = GroupKFold(cv, shuffle=True, random_state=seeds["folds"])
        query = np.arange(problem.n_queries)
        of_row = pairs.query[problem.data.is_labelled]
        for number, (_, test) in enumerate(splitter.split(query, groups=query)):
            fold[test] = number
            folds.append(fit_teacher(teacher, data.subset(~np.isin(of_row, test))))
    return PairTeacher(model, tuple(folds), fold, table, pairs.queries, pairs.items)

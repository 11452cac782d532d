"""Trains the stages of a cascade, from the first to the last.

Candidates flow forward: a stage is trained on what the stages before it pass. Targets flow
backward: it learns the order of the teacher, or of the stage after it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.cascade.blocks import query_blocks, stack_padded
from skdistill.cascade.candidates import Candidates
from skdistill.cascade.funnel import Funnel, Stage
from skdistill.cascade.problem import CascadeProblem, PairTeacher
from skdistill.cascade.retrieval import Retrieval, indexed
from skdistill.cascade.spec import FirstTrees, StageSpec
from skdistill.cascade.stage_errors import naming_stage
from skdistill.cascade.stage_students import around_student, is_student, taught_with_offset
from skdistill.cascade.training_rows import PairRows, gather_rows
from skdistill.inputs.columns import take_rows
from skdistill.inputs.offsets import log_above, log_floor
from skdistill.inputs.queries import Queries
from skdistill.ranker import DistilledRanker
from skdistill.step_progress import StepProgress
from skdistill.teachers.asking import name_of
from skdistill.teachers.first_trees import first_trees
from skdistill.teachers.fitting import seeded
from skdistill.teachers.pair_scores import IndexedScores
from skdistill.teachers.qid_adapter import clone_or_deepcopy
from skdistill.teachers.routing import is_prefit
from skdistill.towers.catalogue_match import ForeignItemsWarning

# Scores pairs by their rows in the query table and the catalogue.
PairTarget = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]

# Rows that "auto" tries; random ones are added to each of them if there is exploration.
TRIED_SOURCES: tuple[tuple[str, ...], ...] = (("passed", "logged"), ("passed",), ("logged",))
# Fraction of the queries on which it compares them.
HELD_OUT = 0.2
# Queries whose candidates are computed at once.
QUERY_BLOCK = 256


@dataclass(frozen=True)
class StageTraining:
    """How the stages are trained.

    Parameters
    ----------
    specs : list of StageSpec
        The stages.
    problem : CascadeProblem
        The log.
    teacher : PairTeacher
        Scores any pair.
    alpha : float
        Weight of the teacher for students that have none of their own.
    sources : dict of str to ("auto" or tuple of str)
        Sources of the rows of each later stage.
    exploration : float
        Fraction of random rows.
    stage_scores : bool
        Whether the scores of earlier stages are columns of later ones.
    seeds : dict of str to int
        One per stage and retriever.
    progress : StepProgress
        Is told when a stage has been fitted.
    """

    specs: list[StageSpec]
    problem: CascadeProblem
    teacher: PairTeacher
    alpha: float
    sources: dict[str, Any]
    exploration: float
    stage_scores: bool
    seeds: dict[str, int]
    progress: StepProgress

    def train(self, targets: list[PairTarget]) -> tuple[Funnel, dict[str, dict[str, float]]]:
        """Train all stages, each on its target.

        Parameters
        ----------
        targets : list of callable
            What each stage learns: scores of pairs.

        Returns
        -------
        funnel : Funnel
            The fitted stages.
        compared : dict of str to dict of str to float
            For each later stage that chose its sources: the measure of each choice.
        """
        first = self.specs[0]
        retrieval = self.fit_retrieval(first, targets[0])
        funnel = Funnel(first.name, retrieval, (), self.problem.pairs.catalogue)
        self.progress.ended(f"the stage {first.name!r} is fitted")
        compared = {}
        for spec, target in zip(self.specs[1:], targets[1:], strict=True):
            stage, measures = self._fit_stage(spec, funnel, target)
            if measures:
                compared[spec.name] = measures
            funnel = replace(funnel, stages=(*funnel.stages, stage))
            self.progress.ended(f"the stage {spec.name!r} is fitted")
        return funnel, compared

    def fit_retrieval(self, spec: StageSpec, target: PairTarget) -> Retrieval:
        """Fit the retrievers that are not prefit, and let them index the catalogue."""
        problem, catalogue = self.problem, self.problem.pairs.catalogue
        fitted = {}
        for name, retriever in spec.model.items():
            if is_prefit(retriever):
                fitted[name] = indexed(retriever, catalogue, problem.offset)
                continue
            given = {
                "qid": problem.data.queries.segment,
                "items": catalogue,
                "sample_weight": problem.data.sample_weight,
                "teacher_scores": IndexedScores(target, name_of(self.teacher.model)),
            }
            clone = seeded(clone_or_deepcopy(retriever), self.seeds[name])
            taken = {n: v for n, v in given.items() if n in signature(clone.fit).parameters}
            if getattr(clone, "wants_teacher", True) is False:
                taken.pop("teacher_scores", None)
            with warnings.catch_warnings():
                # The cascade has told of them, by the item columns of all stages.
                warnings.simplefilter("ignore", ForeignItemsWarning)
                fitted[name] = clone.fit(problem.data.X, problem.data.labels, **taken)
            if problem.offset is not None:
                fitted[name] = indexed(fitted[name], catalogue, problem.offset)
        return Retrieval(fitted, spec.quotas, problem.offset)

    def _fit_stage(
        self, spec: StageSpec, funnel: Funnel, target: PairTarget
    ) -> tuple[Stage, dict[str, float]]:
        """Fit a later stage on what the stages before it pass."""
        plain = Stage(spec.name, None, self.problem.table(spec.name))
        if isinstance(spec.model, str):
            stage = replace(plain, model=self.teacher.model)
            return replace(stage, log_floor=self.teacher.log_floor), {}
        if isinstance(spec.model, FirstTrees):
            model = first_trees(self.teacher.model, spec.model.n_trees)
            return self._in_unit(replace(plain, model=model, table=self.problem.teacher_table)), {}
        if is_prefit(spec.model):
            return self._in_unit(replace(plain, model=spec.model)), {}
        columns = funnel.columns if self.stage_scores else ()
        stage = replace(plain, table=self.problem.table(spec.name, columns))
        rng = np.random.default_rng(self.seeds[spec.name])
        rows = gather_rows(self.problem, self._passed(funnel), self.exploration, rng)
        taught = self._stage_rows(stage, funnel, rows, target)
        sources = self.sources[spec.name]
        measures: dict[str, float] = {}
        if sources == "auto":
            sources, measures = self._choose_sources(spec, taught)
        model = self._fit_model(spec, taught.take(rows.of_sources(sources)))
        return replace(stage, model=model), measures

    def _in_unit(self, stage: Stage) -> Stage:
        """Find out whether a model that was not trained here gives probabilities."""
        if self.problem.offset is None:
            return stage
        pairs = self.problem.pairs
        scores = stage.score(pairs.queries, pairs.items, pairs.query, pairs.item, {})
        return replace(stage, log_floor=log_floor(scores))

    def _passed(self, funnel: Funnel) -> Candidates:
        """Let the queries of the log pass through the stages so far."""
        cuts = [spec.cut for spec in self.specs[: 1 + len(funnel.stages)]]
        queries = self.problem.pairs.queries
        parts = [
            funnel.run(table, cuts).lists[-1].head(cuts[-1]).item
            for _, table, _ in query_blocks(queries, QUERY_BLOCK)
        ]
        item = stack_padded(parts, -1)
        return Candidates(item, np.zeros(item.shape))

    def _stage_rows(
        self, stage: Stage, funnel: Funnel, rows: PairRows, target: PairTarget
    ) -> StageRows:
        """Build the table of the rows, with the scores of the stages so far, and their targets."""
        pairs, queries = self.problem.pairs, self.problem.pairs.queries
        scores = {}
        if stage.table.score_columns:
            scores = funnel.score_pairs(queries, pairs.items, rows.query, rows.item)
        table = stage.table.rows(queries, pairs.items, rows.query, rows.item, scores)
        offset = None if self.problem.offset is None else self.problem.offset[rows.item]
        return StageRows(table, rows, target(rows.query, rows.item), offset)

    def _choose_sources(
        self, spec: StageSpec, taught: StageRows
    ) -> tuple[tuple[str, ...], dict[str, float]]:
        """Compare sources by what the stage keeps of held-out queries."""
        tried = list(TRIED_SOURCES)
        if self.exploration:
            tried = [*((*sources, "random") for sources in tried), *tried]
        n = self.problem.n_queries
        if n == 1:  # there is nothing to compare them on
            return tried[0], {}
        rng = np.random.default_rng(self.seeds[spec.name] + 1)
        held_out = np.isin(np.arange(n), rng.choice(n, max(round(HELD_OUT * n), 1), replace=False))
        is_held_out = held_out[taught.rows.query]
        passed = taught.take(is_held_out & taught.rows.is_passed)
        k = self.specs[-1].cut.size
        measures = {}
        for sources in tried:
            shown = taught.take(~is_held_out & taught.rows.of_sources(sources))
            with warnings.catch_warnings():
                # The fit with the chosen sources warns of the same.
                warnings.simplefilter("ignore")
                model = self._fit_model(spec, shown)
            kept = passed.fraction_kept(model.predict(passed.table), k, spec.cut.size)
            measures["+".join(sources)] = kept
        best = max(measures, key=lambda name: measures[name])  # the first of equals
        return tuple(best.split("+")), measures

    def _fit_model(self, spec: StageSpec, taught: StageRows) -> Any:
        """Fit a student, or another estimator, on the targets of some rows."""
        if not len(taught.target):
            raise ValueError(
                f"The stage {spec.name!r} has no rows to learn from: the stages before it pass "
                "nothing, or no logged item is in the catalogue. Check sources, limits on scores, "
                "and the columns of items=."
            )
        model = seeded(clone_or_deepcopy(spec.model), self.seeds[spec.name])
        named = naming_stage(spec.name, "cannot be fitted:", taught.table)
        if not is_student(model):
            with named:
                return model.fit(taught.table, taught.target)
        is_ranker = isinstance(model, DistilledRanker)
        ranker = model if is_ranker else around_student(model, self.alpha, self.seeds[spec.name])
        labels, target, offset = taught.rows.label, taught.target, None
        if taught.offset is not None:
            target, offset = taught_with_offset(spec.name, ranker, target, taught.offset)
        with named:
            ranker.fit(
                taught.table,
                None if np.isnan(labels).all() else labels,
                qid=taught.rows.query,
                sample_weight=taught.rows.weight,
                teacher_scores=target,
                offset=offset,
            )
        return ranker if is_ranker else ranker.export_student()


@dataclass(frozen=True)
class StageRows:
    """The rows that a stage is taught on, with its columns and targets.

    Parameters
    ----------
    table : table of shape (n_pairs, n_features)
        Columns of the stage.
    rows : PairRows
        The pairs.
    target : ndarray of shape (n_pairs,), float64
        Scores that the stage learns.
    offset : ndarray of shape (n_pairs,), float64, or None
        What is added to scores and targets before they are compared.
    """

    table: Any
    rows: PairRows
    target: NDArray[np.float64]
    offset: NDArray[np.float64] | None = None

    def take(self, mask: NDArray[np.bool_]) -> StageRows:
        """Select rows by a mask."""
        offset = None if self.offset is None else self.offset[mask]
        rows = self.rows.take(mask)
        return StageRows(take_rows(self.table, mask), rows, self.target[mask], offset)

    def fraction_kept(self, scores: NDArray[Any], k: int, size: int) -> float:
        """Mean fraction of the k rows of highest target that are among the first by score.

        If the stage returns no more than k rows, those count that are in their very order: the mean
        over the sizes up to k.
        """
        _, counts = np.unique(self.rows.query, return_counts=True)
        lists = Queries.from_sizes(counts)
        added = 0.0 if self.offset is None else self.offset
        by_target = lists.rank_descending(self.target + added)
        by_score = lists.rank_descending(scores + added)
        sizes = [size] if size > k else range(1, size + 1)
        kept = []
        for m in sizes:
            top = min(k, m)
            found = lists.sum(((by_target < top) & (by_score < m)).astype(np.float64))
            kept.append(float((found / np.minimum(counts, top)).mean()))
        return float(np.mean(kept))


def next_targets(funnel: Funnel, problem: CascadeProblem, teacher: PairTeacher) -> list[PairTarget]:
    """Targets of a second training: the scores of the next stage of the first, last the teacher's.

    Parameters
    ----------
    funnel : Funnel
        The stages, trained on the teacher's scores.
    problem : CascadeProblem
        The log.
    teacher : PairTeacher
        The teacher.

    Returns
    -------
    list of callable
    """
    queries, items = problem.pairs.queries, problem.pairs.catalogue

    def scores_of(stage: Stage) -> PairTarget:
        def score(query: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float64]:
            chosen, row = np.unique(query, return_inverse=True)
            table = take_rows(queries, chosen)
            scores = funnel.score_pairs(table, items, row, item)[stage.column]
            return log_above(scores, stage.log_floor)

        return score

    return [*map(scores_of, funnel.stages), teacher]

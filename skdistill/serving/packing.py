"""What of a fitted model goes into a file, and how it is put together again.

A teacher is left out unless it is kept. Data frames become :class:`StoredTable`. The functions that
build the features of a cascade's stages cannot be stored: a :class:`MissingFunction` takes the
place of each, until ``load`` gets the function from the user.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skdistill.cascade import FirstTrees, Funnel, PopularityRetriever, Stage, StageTable
from skdistill.cascade.fitted import FittedCascade
from skdistill.cascade.pair_tables import is_function
from skdistill.cascade.problem import EVERY, choose_features
from skdistill.cascade.spec import TEACHER, StageSpec, read_stages
from skdistill.index import ExactIndex
from skdistill.public_names import set_module
from skdistill.ranker import DistilledRanker
from skdistill.serving.compiled_cascade import CompiledModel
from skdistill.serving.stored_tables import (
    restored_ids,
    restored_table,
    stored_ids,
    stored_table,
)
from skdistill.towers.fitted import FittedTowers


@set_module("skdistill.serving")
@dataclass(frozen=True)
class MissingFunction:
    """The place of a user's function in a model file.

    Parameters
    ----------
    name : str
        Module and name of the function, for messages.
    """

    name: str


def pack(model: Any, *, keep_teacher: bool) -> Any:
    """Return a shallow copy of a model that holds what a file shall hold.

    Parameters
    ----------
    model : estimator
        Fitted. It is not changed.
    keep_teacher : bool
        Whether teachers are kept.

    Returns
    -------
    estimator

    Raises
    ------
    TypeError
        If a catalogue cannot be stored.
    """
    return Packing(keep_teacher).pack(model)


class Packing:
    """Packs a model and its parts; what occurs twice in it is one object in the file.

    Parameters
    ----------
    keep_teacher : bool
        Whether teachers are kept.
    """

    def __init__(self, keep_teacher: bool) -> None:
        self.keep_teacher = keep_teacher
        self.packed: dict[int, Any] = {}

    def pack(self, model: Any) -> Any:
        """Return a shallow copy of an estimator, or a model that needs no change itself."""
        if id(model) not in self.packed:
            self.packed[id(model)] = self._pack(model)
        return self.packed[id(model)]

    def _pack(self, model: Any) -> Any:
        if isinstance(model, Pipeline):
            lean = copy.copy(model)
            name, last = model.steps[-1]
            lean.steps = [*model.steps[:-1], (name, self.pack(last))]
        elif isinstance(model, FrozenEstimator):
            lean = copy.copy(model)
            lean.estimator = self.pack(model.estimator)
        elif isinstance(model, DistilledRanker | FittedTowers):
            lean = copy.copy(model)
            self._pack_teacher(lean)
            if isinstance(lean, FittedTowers) and not self.keep_teacher:
                # A function cannot be stored, and this one only builds the teacher's rows.
                lean.pair_features = None
                if hasattr(lean, "items_"):
                    lean.items_ = None
        elif isinstance(model, PopularityRetriever):
            lean = copy.copy(model)
        elif isinstance(model, FittedCascade):
            lean = copy.copy(model)
            self._pack_teacher(lean)
            self._pack_cascade(lean)
        else:
            return model
        if isinstance(getattr(lean, "index_", None), ExactIndex):
            lean.index_ = copy.copy(lean.index_)
            lean.index_.ids = stored_ids(lean.index_.ids)
        if getattr(lean, "items_", None) is not None:
            lean.items_ = stored_table(lean.items_, f"The catalogue of {type(lean).__name__}")
        return lean

    def _pack_teacher(self, lean: Any) -> None:
        """Leave the teacher out, unless it is kept; what is not fitted has no ``teacher_``."""
        for name in ("teacher", "teacher_"):
            if hasattr(lean, name):
                kept = self.pack(getattr(lean, name)) if self.keep_teacher else None
                setattr(lean, name, kept)

    def _pack_cascade(self, lean: Any) -> None:
        """Pack the stages, as parameters and as fitted models, and the catalogue."""
        lean.item_ids_ = stored_ids(lean.item_ids_)
        lean.stages = [self._pack_entry(entry) for entry in lean.stages]
        if isinstance(lean.features, Mapping):
            lean.features = {name: _without_function(one) for name, one in lean.features.items()}
        else:
            lean.features = _without_function(lean.features)
        # What builds the teacher's rows is of no use without the teacher.
        lean.teacher_table_ = _packed_table(lean.teacher_table_) if lean.teacher_ else None
        funnel = lean.funnel_
        retrievers = funnel.retrieval.retrievers
        retrievers = {name: self.pack(retriever) for name, retriever in retrievers.items()}
        lean.funnel_ = Funnel(
            funnel.name,
            replace(funnel.retrieval, retrievers=retrievers),
            tuple(self._pack_stage(stage) for stage in funnel.stages),
            stored_table(funnel.items, "The catalogue of the cascade"),
        )

    def _pack_entry(self, entry: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
        """Pack an entry of the parameter ``stages``."""
        name, model, size = entry
        if isinstance(model, list):
            return name, [self._pack_entry(member) for member in model], size
        return name, self.pack(model), size

    def _pack_stage(self, stage: Stage) -> Stage:
        if isinstance(stage.model, CompiledModel):
            raise TypeError(
                "A compiled cascade cannot be stored. Save the cascade itself, and compile it when "
                "it is loaded."
            )
        return replace(stage, model=self.pack(stage.model), table=_packed_table(stage.table))


def _packed_table(table: StageTable) -> StageTable:
    """Return what builds a table, with a gap in the place of the user's function."""
    return replace(table, features=_without_function(table.features))


def unpack(model: Any) -> None:
    """Restore the data frames of a model that was loaded, in place.

    Parameters
    ----------
    model : estimator
        What a file held.
    """
    if isinstance(model, Pipeline):
        unpack(model.steps[-1][1])
    elif isinstance(model, FrozenEstimator):
        unpack(model.estimator)
    elif isinstance(model, FittedTowers | PopularityRetriever):
        if hasattr(model, "items_"):
            model.items_ = restored_table(model.items_)
        if isinstance(getattr(model, "index_", None), ExactIndex):
            model.index_.ids = restored_ids(model.index_.ids)
    elif isinstance(model, FittedCascade):
        for spec in read_stages(model.stages):
            for part in spec.model.values() if isinstance(spec.model, Mapping) else [spec.model]:
                unpack(part)
        for retriever in model.funnel_.retrieval.retrievers.values():
            unpack(retriever)
        model.funnel_ = replace(model.funnel_, items=restored_table(model.funnel_.items))
        model.item_ids_ = restored_ids(model.item_ids_)


def missing_functions(model: Any) -> dict[str, str]:
    """Look up which functions of the user a model lacks that was loaded.

    Parameters
    ----------
    model : estimator
        What a file held.

    Returns
    -------
    dict of str to str
        Name of each function by its entry in ``features``, which is that of a stage or "teacher".
    """
    if not isinstance(model, FittedCascade):
        return {}
    specs = {spec.name: spec for spec in read_stages(model.stages)}
    found: dict[str, Any] = {
        _place_of(specs[s.name]): s.table.features for s in model.funnel_.stages
    }
    if model.teacher_table_ is not None:
        found[TEACHER] = model.teacher_table_.features
    return {place: one.name for place, one in found.items() if isinstance(one, MissingFunction)}


def fill_functions(model: Any, missing: Mapping[str, str], features: Any) -> None:
    """Put the functions that build features into a model that was loaded, in place.

    Parameters
    ----------
    model : estimator
        What a file held.
    missing : dict of str to str
        What :func:`missing_functions` returned.
    features : callable, dict of str to callable, or None
        What the user passed to ``load``.

    Raises
    ------
    ValueError
        If a function is missing, or one is given where the file needs none.
    """
    by_stage = features if isinstance(features, Mapping) else {EVERY: features}
    allowed = {*missing, TEACHER, EVERY} if missing else set()
    needless = [name for name, one in by_stage.items() if is_function(one) and name not in allowed]
    if needless:
        needed = f"It needs those of {list(missing)}." if missing else "It needs none."
        raise ValueError(
            f"features= holds functions for {needless}, which the file does not need. {needed}"
        )
    if not missing:
        return
    specs = {spec.name: spec for spec in read_stages(model.stages)}
    given = choose_features(features, list(specs.values()))
    lacking = [place for place in missing if not is_function(given[place])]
    if lacking:
        shown = ", ".join(f"{place!r} (it was {missing[place]})" for place in lacking)
        example = "{" + ", ".join(f"{place!r}: ..." for place in lacking) + "}"
        raise ValueError(
            "A file cannot hold the functions that build the features of a cascade's stages. "
            f"Missing are those of {shown}: pass them, load(path, features={example}). "
            "The command line cannot: use rank_table in Python."
        )
    stages = tuple(_filled(stage, specs[stage.name], given) for stage in model.funnel_.stages)
    model.funnel_ = replace(model.funnel_, stages=stages)
    if TEACHER in missing and model.teacher_table_ is not None:
        model.teacher_table_ = replace(model.teacher_table_, features=given[TEACHER])
    model.features = _filled_parameter(model.features, features)


def _filled_parameter(stored: Any, features: Any) -> Any:
    """Return the parameter ``features`` with the user's functions."""
    if not isinstance(stored, Mapping):
        return features
    kept = {name: one for name, one in stored.items() if not isinstance(one, MissingFunction)}
    filled = features if isinstance(features, Mapping) else dict.fromkeys(stored, features)
    return {**filled, **kept}


def _filled(stage: Stage, spec: StageSpec, given: Mapping[str, Any]) -> Stage:
    """Return a stage with its function."""
    if not isinstance(stage.table.features, MissingFunction):
        return stage
    return replace(stage, table=replace(stage.table, features=given[_place_of(spec)]))


def _place_of(spec: StageSpec) -> str:
    """Name of the features of a stage: the first trees of a teacher see what the teacher sees."""
    return TEACHER if isinstance(spec.model, FirstTrees) else spec.name


def _without_function(features: Any) -> Any:
    """Return features, or a gap in the place of a function."""
    if not is_function(features):
        return features
    name = getattr(features, "__qualname__", type(features).__qualname__)
    return MissingFunction(f"{getattr(features, '__module__', '')}.{name}".lstrip("."))

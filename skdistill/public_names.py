"""Public names of classes and functions, and their former names.

A public name is not a file path. The ``__module__`` of each public class and function is the
package that publishes it, so that saved files, pickles and the documentation name
``skdistill.students.MLPRanker`` wherever its code is. ``FORMER_NAMES`` maps the names in files of
earlier releases to the public names, so that these files can still be loaded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

# Names in files of earlier releases, and the current public names.
FORMER_NAMES = {
    # 0.1.0
    "skdistill.approximate_index.FaissIndex": "skdistill.index.FaissIndex",
    "skdistill.approximate_index.HnswlibIndex": "skdistill.index.HnswlibIndex",
    "skdistill.approximate_index.UsearchIndex": "skdistill.index.UsearchIndex",
    "skdistill.losses.listwise.Listwise": "skdistill.losses.Listwise",
    "skdistill.losses.listwise.PlackettLuce": "skdistill.losses.PlackettLuce",
    "skdistill.losses.pairwise.Lambda": "skdistill.losses.Lambda",
    "skdistill.losses.pairwise.Margin": "skdistill.losses.Margin",
    "skdistill.losses.pairwise.Pairwise": "skdistill.losses.Pairwise",
    "skdistill.losses.pointwise.Logistic": "skdistill.losses.Logistic",
    "skdistill.losses.pointwise.Pointwise": "skdistill.losses.Pointwise",
    "skdistill.losses.top_k.TopK": "skdistill.losses.TopK",
    "skdistill.multi_objective_retriever.MultiObjectiveRetriever": (
        "skdistill.MultiObjectiveRetriever"
    ),
    "skdistill.optimizers.AdaGrad": "skdistill.training.AdaGrad",
    "skdistill.optimizers.Adam": "skdistill.training.Adam",
    "skdistill.pair_table.PairColumns": "skdistill.towers.PairColumns",
    "skdistill.queries.Queries": "skdistill.inputs.Queries",
    "skdistill.ranker.DistilledRanker": "skdistill.DistilledRanker",
    "skdistill.retriever.TwoTowerRetriever": "skdistill.TwoTowerRetriever",
    "skdistill.scaling.ColumnScaler": "skdistill.inputs.ColumnScaler",
    "skdistill.students.factorization_machine.FactorizationMachineRanker": (
        "skdistill.students.FactorizationMachineRanker"
    ),
    "skdistill.students.linear.LinearRanker": "skdistill.students.LinearRanker",
    "skdistill.students.mlp.MLPRanker": "skdistill.students.MLPRanker",
    "skdistill.students.multi_objective.MultiObjectiveRanker": (
        "skdistill.students.MultiObjectiveRanker"
    ),
    "skdistill.teacher_check.TeacherCheck": "skdistill.TeacherCheck",
    "skdistill.teacher_check.TeacherWarning": "skdistill.TeacherWarning",
    "skdistill.teachers.ensembles.MLPEnsembleRanker": "skdistill.teachers.MLPEnsembleRanker",
    "skdistill.teachers.ensembles.RankEnsemble": "skdistill.teachers.RankEnsemble",
}


def publish(package: str) -> None:
    """Set ``__module__`` of the classes and functions in a package's ``__all__`` to the package.

    A package calls this at the end of its ``__init__``.
    """
    module = sys.modules[package]
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, type | FunctionType) and thing.__module__.startswith(f"{package}."):
            thing.__module__ = package


def set_module(home: str) -> Callable[[T], T]:
    """Decorator that sets ``__module__``, for packages that import their names lazily."""

    def name(thing: T) -> T:
        thing.__module__ = home
        return thing

    return name


def public_name(thing: type) -> str:
    """Return the name under which files refer to a class."""
    return f"{thing.__module__}.{thing.__qualname__}"


def lazy_names(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """Make a ``__getattr__`` for a package that imports names when they are first used.

    Parameters
    ----------
    package : str
        Name of the package, for the message of an AttributeError.
    homes : dict of str to str
        Module in which each name is defined.

    Returns
    -------
    callable
    """

    def get(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


class FormerModules:
    """Import finder for modules that pickles of earlier releases name.

    A module that does not exist any more is imported as an empty module, whose former names resolve
    to the current classes.
    """

    def __init__(self) -> None:
        self.modules: dict[str, dict[str, str]] = {}
        for former, current in FORMER_NAMES.items():
            module, _, name = former.rpartition(".")
            self.modules.setdefault(module, {})[name] = current

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for former modules, None for others."""
        return ModuleSpec(name, self) if name in self.modules else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Make the former names of a module resolve to the current classes."""
        names = self.modules[module.__name__]

        def get(name: str) -> Any:
            if name not in names:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            home, _, current = names[name].rpartition(".")
            return getattr(importlib.import_module(home), current)

        module.__dict__["__getattr__"] = get

    def install(self) -> None:
        """Add the finder after those that look for files, unless it is installed."""
        if not any(isinstance(finder, FormerModules) for finder in sys.meta_path):
            sys.meta_path.append(self)  # type: ignore[arg-type]

"""Types that ``load`` trusts: named by the package and the running process, never by a file."""

from __future__ import annotations

from collections.abc import Iterable

from skdistill.cascade import (
    ChosenColumns,
    Cut,
    FirstTrees,
    Funnel,
    PopularityRetriever,
    RankingCascade,
    Retrieval,
    Stage,
    StageTable,
)
from skdistill.index import ExactIndex
from skdistill.index.score_bounds import ScoreBounds
from skdistill.inputs import CategoryCodes, ColumnScaler, TableEncoder
from skdistill.losses import LOSSES
from skdistill.public_names import FORMER_NAMES, public_name, set_module
from skdistill.ranker import DistilledRanker
from skdistill.serving.packing import MissingFunction
from skdistill.serving.stored_tables import StoredTable, StoredText
from skdistill.students import STUDENTS
from skdistill.teachers import TEACHERS, QidAdapter
from skdistill.towers import RETRIEVERS, PairColumns, TeacherCheck
from skdistill.training import OPTIMIZERS

# Types that are not registered, but occur in fitted estimators.
PARTS = (
    *(CategoryCodes, ColumnScaler, DistilledRanker, ExactIndex, PairColumns),
    *(QidAdapter, ScoreBounds, TableEncoder, TeacherCheck),
    *(RankingCascade, Retrieval, Stage, StageTable, ChosenColumns, Cut, Funnel),
    *(FirstTrees, PopularityRetriever, MissingFunction, StoredTable, StoredText),
)
# Types of other libraries that skops does not trust by itself.
FOREIGN = frozenset({"collections.OrderedDict", "lightgbm.basic.Booster", "numpy.dtype"})
# Libraries whose types a file may name; registered types may come from elsewhere.
ROOTS = frozenset({"builtins", "collections", "lightgbm", "numpy", "scipy", "skdistill", "sklearn"})
# For messages: what ``load`` creates, and how it creates more.
TRUSTED = (
    "only types of skdistill, scikit-learn, NumPy and SciPy, models of LightGBM, and registered "
    "losses, students and teachers. Register your own before save and load: "
    "skdistill.losses.LOSSES, skdistill.students.STUDENTS, skdistill.teachers.TEACHERS. If a step "
    "of a Pipeline is a function of your own, save the last step alone, and transform rows before."
)


@set_module("skdistill.serving")
def trusted_types() -> list[str]:
    """List the types that :func:`load` creates, for other programs that read skops files.

    Such are ``skops.io.loads(data, trusted=trusted_types())`` and MLflow, whose flavor of
    scikit-learn takes the list as ``skops_trusted_types``. Every loss, student and teacher that the
    running process has registered is among them.

    Returns
    -------
    list of str
        Names of types, including those in files of former releases, in alphabetical order.

    Examples
    --------
    >>> from skdistill.serving import trusted_types
    >>> "skdistill.students.MLPRanker" in trusted_types()
    True
    """
    # The registries are read at each call, because classes may be registered at any time.
    registries = (LOSSES, OPTIMIZERS, STUDENTS, RETRIEVERS)
    registered = [entry for registry in registries for entry in registry.values()]
    types = [entry for entry in (*registered, *PARTS) if isinstance(entry, type)]
    current = FOREIGN | set(TEACHERS.values()) | {public_name(entry) for entry in types}
    return sorted(current | {former for former, now in FORMER_NAMES.items() if now in current})


def untrusted(names: Iterable[str]) -> list[str]:
    """Names of types that ``load`` does not create, sorted."""
    return sorted(set(names).difference(trusted_types()))


def is_trusted_module(module: str) -> bool:
    """Whether a file may name types and functions of a module."""
    if module.split(".")[0] in ROOTS:
        return True
    return any(name.rpartition(".")[0] == module for name in trusted_types())

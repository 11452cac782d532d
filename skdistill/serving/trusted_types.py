"""What ``load`` trusts: types that the package and the running process name, never a file."""

from __future__ import annotations

from collections.abc import Iterable

from skdistill.index import ExactIndex
from skdistill.inputs import ColumnScaler
from skdistill.losses import LOSSES
from skdistill.public_names import FORMER_NAMES, public_name
from skdistill.ranker import DistilledRanker
from skdistill.students import STUDENTS
from skdistill.teachers import TEACHERS
from skdistill.towers import RETRIEVERS, PairColumns, TeacherCheck
from skdistill.training import OPTIMIZERS

# What fitted estimators hold besides registered types.
PARTS = (ColumnScaler, DistilledRanker, ExactIndex, PairColumns, TeacherCheck)
# Of other libraries, besides the types of scikit-learn, NumPy and SciPy that skops vouches for.
FOREIGN = frozenset({"collections.OrderedDict", "lightgbm.basic.Booster", "numpy.dtype"})
# Libraries that types in a file may come from at all; registered types may come from elsewhere.
ROOTS = frozenset({"builtins", "collections", "lightgbm", "numpy", "scipy", "skdistill", "sklearn"})


def trusted_types() -> frozenset[str]:
    """Names of the types that ``load`` makes, those of former releases included.

    Derived from the registries at each call: a loss, student or teacher that the running process
    has registered is trusted like the package's own.
    """
    registries = (LOSSES, OPTIMIZERS, STUDENTS, RETRIEVERS)
    registered = [entry for registry in registries for entry in registry.values()]
    types = [entry for entry in (*registered, *PARTS) if isinstance(entry, type)]
    current = FOREIGN | set(TEACHERS.values()) | {public_name(entry) for entry in types}
    return current | {former for former, now in FORMER_NAMES.items() if now in current}


def untrusted(names: Iterable[str]) -> list[str]:
    """Those of some type names that ``load`` does not make, sorted."""
    return sorted(set(names) - trusted_types())


def is_trusted_module(module: str) -> bool:
    """Whether a file may name anything of a module."""
    if module.split(".")[0] in ROOTS:
        return True
    return any(name.rpartition(".")[0] == module for name in trusted_types())

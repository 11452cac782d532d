"""The contracts of the package: loss, model, teacher.

Each contract names everything that the training loop, the compiled scorer, the ONNX export, files
and recipes ask for. Subclass a contract to inherit its defaults. ``skdistill.testing`` checks
whether a class that you wrote keeps it.
"""

from skdistill.protocols.graphs import GraphBuilder
from skdistill.protocols.losses import Loss
from skdistill.protocols.models import ScoringModel, StudentModel, TrainableModel
from skdistill.protocols.teachers import Teacher
from skdistill.protocols.types import Array, Gradients, Parameters
from skdistill.public_names import publish

__all__ = [
    "Array",
    "Gradients",
    "GraphBuilder",
    "Loss",
    "Parameters",
    "ScoringModel",
    "StudentModel",
    "Teacher",
    "TrainableModel",
]

publish(__name__)

"""Names of the types that contracts speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from skdistill.inputs.rows import RowGradient

Array = NDArray[Any]
Parameters = dict[str, Array]
Gradients = Mapping[str, "Array | RowGradient"]

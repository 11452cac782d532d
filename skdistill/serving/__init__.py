"""Serving: compiled scorers, ONNX, safe files, and tables larger than memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdistill.serving.batch_scoring import score_table
    from skdistill.serving.compiled import CompiledScorer, compile_scorer
    from skdistill.serving.files import FileWarning, load, save
    from skdistill.serving.onnx_export import register_converters, to_onnx
    from skdistill.serving.runs import Progress
    from skdistill.serving.table_files import OutputError, TableError

# Resolved at first use: each of them has libraries of its own.
_HOMES = {
    "CompiledScorer": "skdistill.serving.compiled",
    "Progress": "skdistill.serving.runs",
    "FileWarning": "skdistill.serving.files",
    "OutputError": "skdistill.serving.table_files",
    "TableError": "skdistill.serving.table_files",
    "compile_scorer": "skdistill.serving.compiled",
    "load": "skdistill.serving.files",
    "register_converters": "skdistill.serving.onnx_export",
    "save": "skdistill.serving.files",
    "score_table": "skdistill.serving.batch_scoring",
    "to_onnx": "skdistill.serving.onnx_export",
}

__all__ = [
    "CompiledScorer",
    "FileWarning",
    "OutputError",
    "Progress",
    "TableError",
    "compile_scorer",
    "load",
    "register_converters",
    "save",
    "score_table",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'skdistill.serving' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

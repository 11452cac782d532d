"""Serving: compiled scorers, ONNX, safe files, and tables larger than memory."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdistill.serving.batch_retrieval import retrieve_table
    from skdistill.serving.batch_scoring import score_table
    from skdistill.serving.cluster import FrameScorer, score_dask, score_ray, score_spark
    from skdistill.serving.compiled import CompiledScorer, compile_scorer
    from skdistill.serving.evaluation import evaluate_table
    from skdistill.serving.files import FileWarning, load, save
    from skdistill.serving.onnx_export import register_converters, to_onnx
    from skdistill.serving.runs import Progress
    from skdistill.serving.table_files import OutputError, TableError

# Resolved at first use: each of them has libraries of its own.
_HOMES = {
    "CompiledScorer": "skdistill.serving.compiled",
    "Progress": "skdistill.serving.runs",
    "FrameScorer": "skdistill.serving.cluster",
    "FileWarning": "skdistill.serving.files",
    "OutputError": "skdistill.serving.table_files",
    "TableError": "skdistill.serving.table_files",
    "compile_scorer": "skdistill.serving.compiled",
    "load": "skdistill.serving.files",
    "register_converters": "skdistill.serving.onnx_export",
    "save": "skdistill.serving.files",
    "evaluate_table": "skdistill.serving.evaluation",
    "retrieve_table": "skdistill.serving.batch_retrieval",
    "score_dask": "skdistill.serving.cluster",
    "score_ray": "skdistill.serving.cluster",
    "score_spark": "skdistill.serving.cluster",
    "score_table": "skdistill.serving.batch_scoring",
    "to_onnx": "skdistill.serving.onnx_export",
}

__all__ = [
    "CompiledScorer",
    "FileWarning",
    "FrameScorer",
    "OutputError",
    "Progress",
    "TableError",
    "compile_scorer",
    "evaluate_table",
    "load",
    "register_converters",
    "retrieve_table",
    "save",
    "score_dask",
    "score_ray",
    "score_spark",
    "score_table",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'skdistill.serving' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

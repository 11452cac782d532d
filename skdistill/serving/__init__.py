"""Serving: compiled scorers, ONNX, safe files, and tables larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skdistill.public_names import lazy_names

if TYPE_CHECKING:
    from skdistill.serving.batch.evaluation import evaluate_table
    from skdistill.serving.batch.retrieval import rank_table, retrieve_table
    from skdistill.serving.batch.runs import Progress
    from skdistill.serving.batch.scoring import score_table
    from skdistill.serving.cluster import FrameScorer, score_dask, score_ray, score_spark
    from skdistill.serving.compiled import CompiledScorer, compile_scorer
    from skdistill.serving.compiled_cascade import compile_cascade
    from skdistill.serving.files import FileWarning, load, save
    from skdistill.serving.onnx_export import register_converters, to_onnx
    from skdistill.serving.search_engines import (
        as_pyterrier,
        to_elasticsearch_ltr,
        to_solr,
        to_vespa,
    )
    from skdistill.serving.trust import trusted_types
    from skdistill.tables.csv import CsvOptions
    from skdistill.tables.errors import OutputError, TableError

__all__ = [
    "CompiledScorer",
    "CsvOptions",
    "FileWarning",
    "FrameScorer",
    "OutputError",
    "Progress",
    "TableError",
    "as_pyterrier",
    "compile_cascade",
    "compile_scorer",
    "evaluate_table",
    "load",
    "rank_table",
    "register_converters",
    "retrieve_table",
    "save",
    "score_dask",
    "score_ray",
    "score_spark",
    "score_table",
    "to_elasticsearch_ltr",
    "to_onnx",
    "to_solr",
    "to_vespa",
    "trusted_types",
]


# Resolved at first use, because each of them imports further libraries. MissingFunction,
# StoredTable and StoredText are names in model files, and no part of the interface.
__getattr__ = lazy_names(
    __name__,
    {
        "CompiledScorer": "skdistill.serving.compiled",
        "CsvOptions": "skdistill.tables.csv",
        "Progress": "skdistill.serving.batch.runs",
        "FrameScorer": "skdistill.serving.cluster",
        "FileWarning": "skdistill.serving.files",
        "MissingFunction": "skdistill.serving.packing",
        "OutputError": "skdistill.tables.errors",
        "StoredTable": "skdistill.serving.stored_tables",
        "StoredText": "skdistill.serving.stored_tables",
        "TableError": "skdistill.tables.errors",
        "as_pyterrier": "skdistill.serving.search_engines",
        "compile_cascade": "skdistill.serving.compiled_cascade",
        "compile_scorer": "skdistill.serving.compiled",
        "load": "skdistill.serving.files",
        "rank_table": "skdistill.serving.batch.retrieval",
        "register_converters": "skdistill.serving.onnx_export",
        "save": "skdistill.serving.files",
        "evaluate_table": "skdistill.serving.batch.evaluation",
        "retrieve_table": "skdistill.serving.batch.retrieval",
        "score_dask": "skdistill.serving.cluster",
        "score_ray": "skdistill.serving.cluster",
        "score_spark": "skdistill.serving.cluster",
        "score_table": "skdistill.serving.batch.scoring",
        "to_elasticsearch_ltr": "skdistill.serving.search_engines",
        "to_onnx": "skdistill.serving.onnx_export",
        "to_solr": "skdistill.serving.search_engines",
        "to_vespa": "skdistill.serving.search_engines",
        "trusted_types": "skdistill.serving.trust",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)

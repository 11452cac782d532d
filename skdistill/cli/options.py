"""The options of the commands, many of which several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """Formats of the output files."""

    parquet = "parquet"
    csv = "csv"


class ReportFormat(StrEnum):
    """Formats of a report."""

    text = "text"
    markdown = "markdown"
    html = "html"
    json = "json"


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file written by save.")]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...", help="Parquet, CSV, JSON lines or Arrow: files, folders or globs."
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="Output folder: new, or that of an earlier run.")
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id-column",
        help="Column to copy to the output; default: text, integers, UUIDs and dates that are not "
        "features, and with --top-k categories that are.",
    ),
]
AllColumns = Annotated[
    bool, typer.Option("--all-columns", help="Copy all columns that are not features.")
]
Delimiter = Annotated[
    str | None, typer.Option(help="Between the cells of CSV files; default: ',', tab in .tsv.")
]
Decimal = Annotated[str, typer.Option(help="Decimal point in CSV files.")]
Encoding = Annotated[
    str | None, typer.Option(help="Of CSV files, such as latin-1; default: UTF-8, or as marked.")
]
Format = Annotated[OutputFormat, typer.Option("--format", help="Format of the output files.")]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Continue where an earlier run stopped.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=-1, help="Number of processes; -1: one per core.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ScoreColumn = Annotated[str, typer.Option(help="Name of the output column.")]
ProbabilityColumn = Annotated[
    str | None, typer.Option(help="Output column with the probabilities of predict_proba.")
]
TopK = Annotated[
    int | None, typer.Option(min=1, help="Best rows to keep per query; they keep their order.")
]
TeacherFile = Annotated[
    Path | None,
    typer.Option(
        "--teacher", help="File of the teacher: of LightGBM, XGBoost or CatBoost, or of save."
    ),
]
TeacherColumn = Annotated[str | None, typer.Option(help="Column of teacher scores.")]

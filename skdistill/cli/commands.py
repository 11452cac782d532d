"""The commands: thin wrappers around functions of :mod:`skdistill.serving`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from skdistill.cli.exit_codes import exit_codes, load_model, messages
from skdistill.cli.progress import ProgressReport
from skdistill.recipe import follow, read_recipe
from skdistill.serving import save, score_table
from skdistill.serving.batch.evaluation import evaluate_table
from skdistill.serving.batch.retrieval import retrieve_table
from skdistill.serving.batch.runs import Progress
from skdistill.serving.files import read_metadata
from skdistill.tables.errors import OutputError
from skdistill.tables.overwriting import check_replaces_none

app = typer.Typer(
    name="skdistill",
    help="Distil strong, slow rankers into small, fast ones; inspect, evaluate and serve them. "
    "Exit codes: 0 success, 2 invalid options or recipe, 3 a table cannot be read or scored, 4 the "
    "model file cannot be loaded, 5 the output cannot be written.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Names of columns may look like markup.
results = Console(soft_wrap=True, highlight=False, markup=False)


class OutputFormat(StrEnum):
    """Formats of the output files."""

    parquet = "parquet"
    csv = "csv"


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file written by save.")]
Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT...", help="Parquet, CSV or Arrow: files, folders or globs."),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="Output folder: new, or that of an earlier run.")
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id-column", help="Column to copy to the output; default: all but features."),
]
Format = Annotated[OutputFormat, typer.Option("--format", help="Format of the output files.")]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Continue where an earlier run stopped.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=-1, help="Number of processes; -1: one per core.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def score(
    model: ModelFile,
    inputs: Inputs,
    output: Output,
    score_column: Annotated[str, typer.Option(help="Name of the output column.")] = "score",
    query_column: Annotated[str | None, typer.Option(help="Query ids; for --top-k.")] = None,
    id_columns: Ids = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Rows to keep per query.")] = None,
    output_format: Format = OutputFormat.parquet,
    rejects: Annotated[
        Path | None, typer.Option(help="CSV file for rows that cannot be scored.")
    ] = None,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Score tables of any size, shard by shard; resume a run that was interrupted."""
    with exit_codes(), ProgressReport() as report:
        if rejects is not None:
            check_replaces_none([rejects], [model])
        progress = score_table(
            load_model(model),
            inputs,
            output,
            score_column=score_column,
            query_column=query_column,
            id_columns=id_columns,
            top_k=top_k,
            output_format=output_format.value,
            rejects=rejects,
            resume=resume,
            n_jobs=jobs,
            on_progress=report,
        )
    if progress.n_rejected:
        messages.print(f"{progress.n_rejected:,} rows cannot be scored: see {rejects}")
    _tell_repeated(progress)


@app.command()
def retrieve(
    model: ModelFile,
    queries: Inputs,
    output: Output,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Items per query.")] = 10,
    id_columns: Ids = None,
    output_format: Format = OutputFormat.parquet,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Retrieve the best items of a retriever's index for each query in tables of queries."""
    with exit_codes(), ProgressReport("queries") as report:
        progress = retrieve_table(
            load_model(model),
            queries,
            output,
            k=k,
            id_columns=id_columns,
            output_format=output_format.value,
            resume=resume,
            n_jobs=jobs,
            on_progress=report,
        )
    _tell_repeated(progress)


@app.command()
def evaluate(
    model: ModelFile,
    inputs: Inputs,
    query_column: Annotated[str, typer.Option(help="Column of query ids.")],
    label_column: Annotated[str, typer.Option(help="Column of relevance labels.")],
    teacher_column: Annotated[str | None, typer.Option(help="Column of teacher scores.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Cut-off of NDCG and MRR.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on labelled tables, and compare it with a teacher."""
    with exit_codes():
        figures = evaluate_table(
            load_model(model),
            inputs,
            query_column=query_column,
            label_column=label_column,
            teacher_column=teacher_column,
            k=k,
        )
    _print(figures, as_json)


@app.command(name="inspect")
def inspect_file(model: ModelFile, as_json: AsJson = False) -> None:
    """Load a model file and describe the model."""
    with exit_codes():
        load_model(model)
        metadata = read_metadata(model)
    figures = metadata["description"] | {
        "bytes": model.stat().st_size,
        "format": metadata["format"],
        "versions": metadata["versions"],
    }
    _print(figures, as_json)


@app.command()
def distill(
    recipe: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Recipe to follow.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write.")],
    as_json: AsJson = False,
) -> None:
    """Train a student by a recipe, and save it without its teacher."""
    with exit_codes():
        parsed = read_recipe(recipe)
        check_replaces_none([output], parsed.files())
        if not output.resolve().parent.is_dir():
            raise OutputError(f"{output}: cannot be written: there is no such folder.")
        ranker, report = follow(parsed)
        save(ranker.export_student(), output)
    _print(report, as_json)


def _tell_repeated(progress: Progress) -> None:
    if progress.n_repeated:
        messages.print(
            f"{progress.n_repeated:,} shards were done again: their files were missing or changed"
        )


def _print(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in figures.items():
        if value is not None:
            table.add_row(name.replace("_", " "), _shown(value))
    results.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)

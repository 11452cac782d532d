"""The commands themselves: thin faces of functions in :mod:`skdistill.serving`."""

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
from skdistill.serving.files import read_metadata

app = typer.Typer(
    name="skdistill",
    help="Small, fast rankers distilled from strong, slow ones: train, inspect, evaluate, score. "
    "Exit codes: 0 done, 2 wrong options or recipe, 3 tables that cannot be read or scored, 4 a "
    "model file that can't be loaded, 5 output that cannot be written.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
results = Console(soft_wrap=True, highlight=False)


class OutputFormat(StrEnum):
    """Of the parts that are written."""

    parquet = "parquet"
    csv = "csv"


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that save wrote.")]
Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT...", help="Parquet, CSV or Arrow: files, folders, globs."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="A folder, new or of an earlier run.")]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id-column", help="Goes on into the output; default: all that are no features."),
]
Format = Annotated[OutputFormat, typer.Option("--format", help="Of the output.")]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on where an earlier run stopped.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=-1, help="Processes; -1: one a core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def score(
    model: ModelFile,
    inputs: Inputs,
    output: Output,
    score_column: Annotated[str, typer.Option(help="Name of the scores.")] = "score",
    query_column: Annotated[str | None, typer.Option(help="Needed for --top-k.")] = None,
    id_columns: Ids = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Rows to keep of each query.")] = None,
    output_format: Format = OutputFormat.parquet,
    rejects: Annotated[
        Path | None, typer.Option(help="A CSV file for rows that can't be scored.")
    ] = None,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Score tables of any size, shard by shard; a killed run goes on where it stopped."""
    with exit_codes(), ProgressReport() as report:
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
        messages.print(f"{progress.n_rejected:,} rows can't be scored: see {rejects}")


@app.command()
def retrieve(
    model: ModelFile,
    queries: Inputs,
    output: Output,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Items for each query.")] = 10,
    id_columns: Ids = None,
    output_format: Format = OutputFormat.parquet,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Retrieve the best items of a retriever's index for tables of queries."""
    with exit_codes(), ProgressReport("queries") as report:
        retrieve_table(
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


@app.command()
def evaluate(
    model: ModelFile,
    inputs: Inputs,
    query_column: Annotated[str, typer.Option(help="Query of each row.")],
    label_column: Annotated[str, typer.Option(help="Relevance of each row.")],
    teacher_column: Annotated[str | None, typer.Option(help="Scores of a teacher.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Of NDCG and MRR.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Hold a model's order of labelled tables against the labels, and against a teacher's."""
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
    """Say what a model file holds, and whether it loads."""
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
    recipe: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File for the student.")],
    as_json: AsJson = False,
) -> None:
    """Train a student as a recipe says, and save it without its teacher."""
    with exit_codes():
        ranker, report = follow(read_recipe(recipe))
        save(ranker.export_student(), output)
    _print(report, as_json)


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
        return f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)

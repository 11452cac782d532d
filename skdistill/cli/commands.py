"""The commands: thin wrappers around functions of :mod:`skdistill.serving`.

What takes long to import is imported by the command that needs it, so that ``--help`` is fast.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from skdistill import __version__
from skdistill.cli.exit_codes import exit_codes, load_model, load_recipe, messages
from skdistill.cli.options import (
    AllColumns,
    AsJson,
    Decimal,
    Delimiter,
    Encoding,
    Format,
    Ids,
    Inputs,
    Jobs,
    ModelFile,
    Output,
    OutputFormat,
    ProbabilityColumn,
    ReportFormat,
    Resume,
    ScoreColumn,
    TeacherColumn,
    TeacherFile,
    TopK,
)
from skdistill.cli.progress import ProgressReport

if TYPE_CHECKING:
    from skdistill.serving.batch.runs import Progress
    from skdistill.tables.csv import CsvOptions

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


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"skdistill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def score(
    model: ModelFile,
    inputs: Inputs,
    output: Output,
    score_column: ScoreColumn = "score",
    probability_column: ProbabilityColumn = None,
    query_column: Annotated[str | None, typer.Option(help="Query ids; for --top-k.")] = None,
    id_columns: Ids = None,
    all_columns: AllColumns = False,
    top_k: TopK = None,
    output_format: Format = OutputFormat.parquet,
    rejects: Annotated[
        Path | None, typer.Option(help="CSV file for rows that cannot be scored.")
    ] = None,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Score tables of any size, shard by shard; resume a run that was interrupted."""
    from skdistill.serving import score_table
    from skdistill.tables.overwriting import check_replaces_none

    with exit_codes(), ProgressReport() as report:
        if rejects is not None:
            check_replaces_none([rejects], [model])
        progress = score_table(
            load_model(model),
            inputs,
            output,
            score_column=score_column,
            probability_column=probability_column,
            query_column=query_column,
            id_columns=_copied(id_columns, all_columns),
            top_k=top_k,
            output_format=output_format.value,
            rejects=rejects,
            csv_options=_csv_options(delimiter, decimal, encoding),
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
    all_columns: AllColumns = False,
    output_format: Format = OutputFormat.parquet,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Retrieve the best items of a retriever's index for each query in tables of queries."""
    from skdistill.serving import retrieve_table

    with exit_codes(), ProgressReport("queries") as report:
        progress = retrieve_table(
            load_model(model),
            queries,
            output,
            k=k,
            id_columns=_copied(id_columns, all_columns),
            output_format=output_format.value,
            csv_options=_csv_options(delimiter, decimal, encoding),
            resume=resume,
            n_jobs=jobs,
            on_progress=report,
        )
    _tell_repeated(progress)


@app.command()
def rank(
    cascade: Annotated[
        Path, typer.Argument(metavar="CASCADE", help="File of a cascade, written by save.")
    ],
    queries: Inputs,
    output: Output,
    k: Annotated[
        int | None,
        typer.Option(
            "--k", "-k", min=1, help="Items per query; default: what the last stage returns."
        ),
    ] = None,
    id_columns: Ids = None,
    all_columns: AllColumns = False,
    output_format: Format = OutputFormat.parquet,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    resume: Resume = True,
    jobs: Jobs = 1,
) -> None:
    """Rank the best items of a cascade's catalogue for each query in tables of queries."""
    from skdistill.serving import rank_table

    with exit_codes(), ProgressReport("queries") as report:
        progress = rank_table(
            load_model(cascade),
            queries,
            output,
            k=k,
            id_columns=_copied(id_columns, all_columns),
            output_format=output_format.value,
            csv_options=_csv_options(delimiter, decimal, encoding),
            resume=resume,
            n_jobs=jobs,
            on_progress=report,
        )
    _tell_repeated(progress)


@app.command()
def evaluate(
    model: ModelFile,
    inputs: Inputs,
    label_column: Annotated[str, typer.Option(help="Column of relevance labels.")],
    query_column: Annotated[str | None, typer.Option(help="Query ids; else AUC.")] = None,
    teacher: TeacherFile = None,
    teacher_column: TeacherColumn = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Cut-off of NDCG and MRR.")] = 10,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on labelled tables, beside its teacher if that is given."""
    from skdistill.serving import evaluate_table
    from skdistill.serving.teacher_files import load_teacher

    with exit_codes():
        figures = evaluate_table(
            load_model(model),
            inputs,
            query_column=query_column,
            label_column=label_column,
            teacher=None if teacher is None else load_teacher(teacher),
            teacher_column=teacher_column,
            k=k,
            csv_options=_csv_options(delimiter, decimal, encoding),
        )
    _print(figures, as_json)


@app.command()
def report(
    model: ModelFile,
    inputs: Inputs,
    label_column: Annotated[str, typer.Option(help="Column of relevance labels.")],
    query_column: Annotated[str, typer.Option(help="Column of query ids.")],
    teacher: TeacherFile = None,
    teacher_column: TeacherColumn = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Tables that the model was fitted on: for rivals and more checks."),
    ] = None,
    slices: Annotated[
        list[str] | None, typer.Option("--slice", help="Column to break quality down by.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Cut-off of NDCG.")] = 10,
    delimiter: Delimiter = None,
    decimal: Decimal = ".",
    encoding: Encoding = None,
    style: Annotated[
        ReportFormat, typer.Option("--format", help="Format of the report.")
    ] = ReportFormat.text,
) -> None:
    """Report what a student is worth beside its teacher and smaller trees, and what looks wrong."""
    from skdistill.inspection import report_table
    from skdistill.serving.teacher_files import load_teacher

    with exit_codes():
        found = report_table(
            load_model(model),
            inputs,
            label_column=label_column,
            query_column=query_column,
            teacher=None if teacher is None else load_teacher(teacher),
            teacher_column=teacher_column,
            train=train or None,
            slices=slices or (),
            k=k,
            csv_options=_csv_options(delimiter, decimal, encoding),
            verbose=sys.stderr.isatty(),
        )
    typer.echo(found.shown_as(style.value))


@app.command(name="inspect")
def inspect_file(model: ModelFile, as_json: AsJson = False) -> None:
    """Load a model file and describe the model."""
    from skdistill.serving.files import read_metadata

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
    """Train a student or a cascade by a recipe, and save it without its teacher."""
    from skdistill.recipe import train
    from skdistill.serving import save
    from skdistill.tables.errors import OutputError
    from skdistill.tables.overwriting import check_replaces_none

    with exit_codes():
        parsed = load_recipe(recipe)
        check_replaces_none([output], parsed.files())
        if not output.resolve().parent.is_dir():
            raise OutputError(f"{output}: cannot be written: there is no such folder.")
        trained = train(parsed)
        if trained.unread:
            columns = ", ".join(f"{name} ({kind})" for name, kind in trained.unread.items())
            messages.print(
                f"not read, because they hold neither numbers nor categories: {columns}. Name the "
                "columns that are features in [data] features, the others in ignore.",
                markup=False,
            )
        read = getattr(trained.model, "feature_names_in_", [])
        messages.print(f"the model reads {len(read)} columns: {', '.join(read)}", markup=False)
        save(trained.model, output)
        messages.print(f"wrote {output}", markup=False)
        report = trained.report()
    _print(report, as_json)


def _copied(id_columns: list[str] | None, all_columns: bool) -> Any:
    if all_columns and id_columns:
        raise ValueError("--all-columns cannot be combined with --id-column.")
    return "all" if all_columns else id_columns


def _csv_options(delimiter: str | None, decimal: str, encoding: str | None) -> CsvOptions:
    from skdistill.serving import CsvOptions

    # Shells pass a tab as these two characters.
    return CsvOptions("\t" if delimiter == r"\t" else delimiter, decimal, encoding)


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

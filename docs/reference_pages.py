"""The pages of the reference: one for each public object, and the list that leads to them.

``conf.py`` calls :func:`write` before a build. The pages are written to ``reference/``, which is
not under version control.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

FOLDER = Path(__file__).parent / "reference"
# By group: public objects, and the methods on the page of a class; "*" are all that the class
# itself documents. A package stands for everything that it publishes.
REFERENCE: dict[str, dict[str, str]] = {
    "Rankers and retrievers": {
        "skdistill.DistilledRanker": (
            "fit, predict, predict_proba, predict_objectives, score, export_student"
        ),
        "skdistill.TwoTowerRetriever": (
            "fit, partial_fit, predict, score, transform_queries, transform_items, index, "
            "retrieve, teacher_recall"
        ),
        "skdistill.MultiObjectiveRetriever": (
            "fit, partial_fit, predict, predict_objectives, score, transform_queries, "
            "transform_items, index, retrieve"
        ),
        "skdistill.RankingCascade": "fit, rank, index, score, get_params, set_params",
        "skdistill.TeacherCheck": "",
        "skdistill.TeacherWarning": "",
        "skdistill.RankingGroupKFold": "split",
        "skdistill.RankingTimeSeriesSplit": "split",
        "skdistill.callbacks.Checkpoint": "",
    },
    "Cascades": {
        "skdistill.cascade.plan_cascade": "",
        "skdistill.cascade.CascadePlan": "apply, frame",
        "skdistill.cascade.cascade_report": "",
        "skdistill.cascade.CascadeReport": "frame, to_markdown, rows, rival_rows, summary",
        "skdistill.cascade.fit_rivals": "",
        "skdistill.cascade.Cut": "",
        "skdistill.cascade.FirstTrees": "",
        "skdistill.cascade.PopularityRetriever": "fit, index, retrieve, score_pairs",
        "skdistill.cascade.StageCost": "of",
        "skdistill.cascade.RankingTrace": "",
        "skdistill.cascade.DeadlineWarning": "",
    },
    "Students": {
        "skdistill.students.LinearRanker": "fit, partial_fit, predict, predict_proba, score",
        "skdistill.students.FactorizationMachineRanker": (
            "fit, partial_fit, predict, predict_proba, score"
        ),
        "skdistill.students.MLPRanker": "fit, partial_fit, predict, predict_proba, score",
        "skdistill.students.MultiObjectiveRanker": (
            "fit, partial_fit, predict, predict_objectives, score"
        ),
        "skdistill.students.BaseStudent": "",
        "skdistill.students.mean_student": "",
        "skdistill.streaming.fit_from_files": "",
        "skdistill.dask_training.fit_teacher_dask": "",
        "skdistill.dask_training.label_dask": "",
        "skdistill.dask_training.fit_student_dask": "",
    },
    "Teachers": {
        "skdistill.teachers.MLPEnsembleRanker": "fit, predict, score",
        "skdistill.teachers.RankEnsemble": "fit, predict, score, get_params, set_params",
        "skdistill.teachers.QidAdapter": "fit, get_params, set_params",
        "skdistill.teachers.fit_and_score": "",
        "skdistill.teachers.TeacherScores": "",
        "skdistill.teachers.score_rows": "",
        "skdistill.teachers.first_trees": "",
    },
    "Losses": {
        "skdistill.losses.Pointwise": "",
        "skdistill.losses.Logistic": "",
        "skdistill.losses.Pairwise": "",
        "skdistill.losses.Margin": "",
        "skdistill.losses.Lambda": "",
        "skdistill.losses.Listwise": "",
        "skdistill.losses.PlackettLuce": "",
        "skdistill.losses.TopK": "",
        "skdistill.losses.RankListwise": "",
        "skdistill.losses.get_loss": "",
    },
    "Metrics": {
        "skdistill.metrics": "*",
    },
    "Inspection": {
        "skdistill.inspection": "*",
    },
    "Serving": {
        "skdistill.serving.compile_scorer": "",
        "skdistill.serving.CompiledScorer": "__call__, into",
        "skdistill.serving.compile_cascade": "",
        "skdistill.serving.to_onnx": "",
        "skdistill.serving.register_converters": "",
        "skdistill.serving.to_solr": "",
        "skdistill.serving.to_elasticsearch_ltr": "",
        "skdistill.serving.to_vespa": "",
        "skdistill.serving.as_pyterrier": "",
        "skdistill.serving.save": "",
        "skdistill.serving.load": "",
        "skdistill.serving.FileWarning": "",
        "skdistill.serving.trusted_types": "",
        "skdistill.serving.score_table": "",
        "skdistill.serving.retrieve_table": "",
        "skdistill.serving.rank_table": "",
        "skdistill.serving.evaluate_table": "",
        "skdistill.serving.CsvOptions": "",
        "skdistill.serving.Progress": "",
        "skdistill.serving.TableError": "",
        "skdistill.serving.OutputError": "",
        "skdistill.serving.FrameScorer": "__call__",
        "skdistill.serving.score_dask": "",
        "skdistill.serving.score_ray": "",
        "skdistill.serving.score_spark": "",
    },
    "Recipes": {
        "skdistill.recipe.read_recipe": "*",
        "skdistill.recipe.train": "*",
        "skdistill.recipe.follow": "*",
        "skdistill.recipe.Recipe": "*",
        "skdistill.recipe.Trained": "*",
        "skdistill.recipe.TrainedCascade": "*",
        "skdistill.recipe.RecipeError": "*",
    },
    "Indexes": {
        "skdistill.index.ExactIndex": "search, set_offset, add, remove",
        "skdistill.index.FaissIndex": "",
        "skdistill.index.UsearchIndex": "",
        "skdistill.index.HnswlibIndex": "",
        "skdistill.index.make_index": "",
    },
    "Data": {
        "skdistill.datasets": "*",
    },
    "Models and optimizers": {
        "skdistill.models": "",
        "skdistill.training.Adam": "",
        "skdistill.training.AdaGrad": "",
    },
    "Contracts": {
        "skdistill.protocols.Loss": "*",
        "skdistill.protocols.TrainableModel": "*",
        "skdistill.protocols.ScoringModel": "*",
        "skdistill.protocols.StudentModel": "*",
        "skdistill.protocols.Teacher": "*",
        "skdistill.protocols.GraphBuilder": "*",
        "skdistill.testing": "*",
        "skdistill.inputs.Queries": "*",
        "skdistill.inputs.Rows": "take, dot, gradient",
        "skdistill.inputs.RowGradient": "",
        "skdistill.inputs.ColumnScaler": "fit, softsign, transform, fold_layer",
        "skdistill.inputs.MixedTable": "",
        "skdistill.inputs.TableEncoder": "fit, transform, read_rows",
        "skdistill.inputs.CategoryCodes": "fit, encode",
        "skdistill.inputs.CodeRows": "dot",
        "skdistill.inputs.FoldsCodes": "fold_codes",
    },
}


def entries(group: dict[str, str]) -> dict[str, str]:
    """Expand the packages of a group to their objects."""
    found: dict[str, str] = {}
    for name, members in group.items():
        thing = resolve(name)
        if inspect.ismodule(thing):
            public = getattr(thing, "__all__", None) or own_names(thing)
            found |= {f"{name}.{one}": members for one in public}
        else:
            found[name] = members
    return found


def own_names(module: object) -> list[str]:
    """Public functions and classes that a module without ``__all__`` defines."""
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__
    ]


def resolve(name: str) -> object:
    """Return a module, or an object of one."""
    package, _, last = name.rpartition(".")
    # A function and its module may have the same name.
    found = getattr(importlib.import_module(package), last, None) if package else None
    return importlib.import_module(name) if found is None else found


def page(name: str, members: str) -> str:
    """Return the page of an object as reStructuredText."""
    thing = resolve(name)
    package, _, last = name.rpartition(".")
    lines = [last, "=" * len(last), "", f".. currentmodule:: {package}", ""]
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        lines.append(f".. {kind}:: {last}")
        if members:
            lines.append("   :members:" + ("" if members == "*" else f" {members}"))
    elif callable(thing):
        lines.append(f".. autofunction:: {last}")
    else:
        lines.append(f".. autodata:: {last}")
    return "\n".join(lines) + "\n"


def summary(name: str) -> str:
    """Return the first sentence of an object's docstring."""
    thing = resolve(name)
    if not callable(thing):
        return ""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def listing() -> str:
    """Return a table of links for each group, as reStructuredText."""
    lines = []
    for group, content in REFERENCE.items():
        lines += [group, "-" * len(group), "", ".. list-table::", "   :widths: 35 65", ""]
        names = entries(content)
        for name in names:
            lines += [f"   * - :doc:`reference/{name}`", f"     - {summary(name)}"]
        lines += ["", ".. toctree::", "   :hidden:", ""]
        lines += [f"   reference/{name}" for name in names]
        lines.append("")
    return "\n".join(lines)


def write() -> None:
    """Write the pages that have changed, and remove those of objects that are gone."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {"listing.inc": listing()}
    for group in REFERENCE.values():
        wanted |= {f"{name}.rst": page(name, members) for name, members in entries(group).items()}
    for path in FOLDER.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = FOLDER / name
        # Sphinx reads what has changed.
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")

"""Score a large table: compiled scorers and ``predict`` against trees, runtimes and products."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import Close
from benchmarks.declaring import Benchmark, Comparison, Contender, Run, Setting, Timed
from benchmarks.speed import models
from benchmarks.speed.models import FEW, KINDS, LEAVES, MANY, folder_of

# Trees score so few rows in a call that the call takes about a second.
ROWS_OF_TREES = 20_000
TREES = f"LightGBM, {FEW} trees of {LEAVES} leaves"
LLEAVES = "lleaves 1.3 needs llvmlite 0.44, which is too old for the other peers"
OTHER_STUDENTS = ("LinearRanker", "FactorizationMachineRanker")


def data(setting: Setting) -> None:
    """Fit the models of each kind of table, and store rows to score."""
    names = () if setting.short else ("many", "equal")
    for kind in KINDS:
        folder = folder_of(setting, kind)
        table = models.numeric_data(setting.size(2000, 150), kind)
        train, scores = models.write_models(folder, table, names)
        models.write_rows(folder, setting.size(1_000_000, 40_000), kind)
        if kind == KINDS[0] and not setting.short:
            write_other_models(folder, train, scores)
    folder = folder_of(setting, "mixed")
    table = models.mixed_data(setting.size(2000, 200))
    models.write_models(folder, table, names)
    rows = np.resize(np.arange(len(table.X)), setting.size(200_000, 10_000))
    models.store(table.X.iloc[rows].reset_index(drop=True), folder / "frame")


def write_other_models(folder: Path, train: Any, scores: np.ndarray) -> None:
    """Fit other students, and the network of scikit-learn."""
    from sklearn.neural_network import MLPRegressor

    from skdistill import students

    X, y, qid = train
    for name in OTHER_STUDENTS:
        student = getattr(students, name)(random_state=0)
        models.store(student.fit(X, y, qid=qid, teacher_scores=scores), folder / name)
    net = MLPRegressor(hidden_layer_sizes=models.HIDDEN, early_stopping=True, random_state=0)
    models.store(net.fit(X, scores.astype(np.float32)), folder / "MLPRegressor")


def compiled(setting: Setting, kind: str, engine: str = "numpy") -> Run:
    from skdistill.serving import compile_scorer

    folder = folder_of(setting, kind)
    scorer = compile_scorer(models.stored(folder / "student"), engine, n_threads=setting.threads)
    rows, test = models.load_rows(folder), models.stored(folder / "test")
    quality = {"NDCG@10": models.ndcg(scorer(test[0]), test)}
    return Timed(lambda: scorer(rows), len(rows), quality)


def predicted(setting: Setting, kind: str, name: str = "student") -> Run:
    folder = folder_of(setting, kind)
    student, rows = models.stored(folder / name), models.load_rows(folder)
    test = models.stored(folder / "test")
    quality = {"NDCG@10": models.ndcg(student.predict(test[0]), test)}
    return Timed(lambda: student.predict(rows), len(rows), quality)


def trees(setting: Setting, kind: str, name: object) -> Run:
    folder = folder_of(setting, kind)
    booster = models.stored(folder / f"trees {name}").booster_
    n_rows = setting.size(ROWS_OF_TREES, 3000)
    rows, test = models.load_rows(folder, n_rows), models.stored(folder / "test")
    quality = {"NDCG@10": models.ndcg(booster.predict(test[0]), test)}
    return Timed(lambda: booster.predict(rows, num_threads=setting.threads), len(rows), quality)


def onnx(setting: Setting, kind: str) -> Run:
    folder = folder_of(setting, kind)
    rows = models.load_rows(folder)
    call = models.onnx_by_hand(models.stored(folder / "student"), setting.threads)
    score = models.in_best_blocks(call, rows)
    return Timed(lambda: score(rows), len(rows))


def pytorch(setting: Setting, kind: str) -> Run:
    folder = folder_of(setting, kind)
    rows = models.load_rows(folder)
    call = models.torch_by_hand(models.stored(folder / "student"), setting.threads)
    score = models.in_best_blocks(call, rows)
    return Timed(lambda: score(rows), len(rows))


def regressor(setting: Setting, kind: str) -> Run:
    folder = folder_of(setting, kind)
    net = models.stored(folder / "MLPRegressor")
    rows, test = models.load_rows(folder), models.stored(folder / "test")
    score = models.in_best_blocks(net.predict, rows)
    quality = {"NDCG@10": models.ndcg(net.predict(test[0]), test)}
    return Timed(lambda: score(rows), len(rows), quality)


def lleaves(setting: Setting, kind: str) -> Run:
    import lleaves as library

    folder = folder_of(setting, kind)
    path = folder / "trees.txt"
    models.stored(folder / f"trees {FEW}").booster_.save_model(path)
    model = library.Model(model_file=str(path))
    model.compile(cache=str(folder / "lleaves.bin"))
    # Its functions take float64; the conversion is not timed.
    rows = models.load_rows(folder, ROWS_OF_TREES).astype(np.float64)
    return Timed(lambda: model.predict(rows, n_jobs=setting.threads), len(rows))


def tl2cgen(setting: Setting, kind: str) -> Run:
    import tl2cgen as library
    import treelite

    folder = folder_of(setting, kind)
    path, compiled_path = folder / "trees.txt", folder / "tl2cgen.so"
    models.stored(folder / f"trees {FEW}").booster_.save_model(path)
    if not compiled_path.exists():
        model = treelite.frontend.load_lightgbm_model(path)
        library.export_lib(
            model, toolchain="gcc", libpath=compiled_path, params={"parallel_comp": 32}
        )
    predictor = library.Predictor(compiled_path, nthread=setting.threads)
    # Its functions take a matrix of its own; making it is not timed.
    rows = library.DMatrix(models.load_rows(folder, ROWS_OF_TREES), dtype="float32")
    return Timed(lambda: predictor.predict(rows, pred_margin=True), ROWS_OF_TREES)


def products(setting: Setting, kind: str) -> Run:
    rows, call = models.load_rows(folder_of(setting, kind)), models.bare_products()
    return Timed(lambda: call(rows), len(rows))


def compiled_frame(setting: Setting) -> Run:
    from skdistill.serving import compile_scorer

    folder = folder_of(setting, "mixed")
    scorer = compile_scorer(models.stored(folder / "student"), n_threads=setting.threads)
    frame, test = models.stored(folder / "frame"), models.stored(folder / "test")
    quality = {"NDCG@10": models.ndcg(scorer(test[0]), test)}
    return Timed(lambda: scorer(frame), len(frame), quality)


def trees_on_frame(setting: Setting, name: object) -> Run:
    folder = folder_of(setting, "mixed")
    ranker = models.stored(folder / f"trees {name}")
    frame, test = models.stored(folder / "frame"), models.stored(folder / "test")
    frame = frame[: setting.size(ROWS_OF_TREES, 3000)]
    quality = {"NDCG@10": models.ndcg(ranker.predict(test[0]), test)}
    return Timed(lambda: ranker.predict(frame, num_threads=setting.threads), len(frame), quality)


def tree_contenders(
    prepare: Any, goals: tuple[float | None, float | None], floor: float | None
) -> list[Contender]:
    few, equal = goals
    return [
        Contender(
            TREES, partial(prepare, name=FEW), goal=few,
            floor=floor,
        ),
        Contender(f"LightGBM, {MANY} trees", partial(prepare, name=MANY), in_short=False),
        Contender(
            "the smallest LightGBM that is as good", partial(prepare, name="equal"), goal=equal,
            in_short=False,
        ),
    ]  # fmt: skip


def compiled_comparison(kind: str) -> Comparison:
    """The compiled scorer on one kind of table."""
    goal = 85 if kind == KINDS[0] else 60
    theirs = tree_contenders(partial(trees, kind=kind), (goal, 5), 15)
    theirs[0] = replace(theirs[0], in_short=kind == KINDS[0])
    scores = Close(1e-3, 1e-4)
    theirs += [
        Contender(
            "ONNX Runtime", partial(onnx, kind=kind), ("onnxruntime", "onnx"), 1.0, 0.5, scores
        ),
        Contender("PyTorch", partial(pytorch, kind=kind), ("torch",), 1.1, agrees=scores),
    ]
    if kind == KINDS[0]:
        theirs += [
            Contender("MLPRegressor", partial(regressor, kind=kind), goal=2.5, in_short=False),
            Contender(
                f"lleaves, {FEW} trees", partial(lleaves, kind=kind), ("lleaves",), 20,
                agrees=scores, agrees_with=TREES, in_short=False, install=LLEAVES,
            ),
            Contender(
                f"tl2cgen, {FEW} trees", partial(tl2cgen, kind=kind), ("tl2cgen", "treelite"), 20,
                agrees=scores, agrees_with=TREES, in_short=False,
            ),
        ]  # fmt: skip
    theirs.append(
        Contender("the matrix products alone", partial(products, kind=kind), is_bound=True)
    )
    ours = Contender("compiled scorer, NumPy", partial(compiled, kind=kind))
    return Comparison(f"compiled scorer, {kind}", "row", ours, theirs)


def predict_comparison(label: str, name: str, kind: str, goal: float | None) -> Comparison:
    """``predict``, checks of its input included."""
    floor = 15 if name == "student" else None
    few, *_ = tree_contenders(partial(trees, kind=kind), (goal, None), floor)
    theirs = [few]
    if name == "student":
        theirs.append(
            Contender("the matrix products alone", partial(products, kind=kind), is_bound=True)
        )
    ours = Contender("predict", partial(predicted, kind=kind, name=name))
    in_short = (name, kind) == ("student", KINDS[0])
    return Comparison(label, "row", ours, theirs, in_short=in_short)


BENCHMARK = Benchmark(
    name="scoring",
    title="Score a table",
    about=(
        "A million rows of 136 columns, scored by an MLP of 64 and 32 units that was distilled "
        "from LightGBM. With a squash, every column goes through a softsign first. The smallest "
        "LightGBM that is as good was chosen on validation queries; if none is, the best one is "
        "shown. Runtimes score in blocks of the size that suits them best. The frame has 20 "
        "columns of numbers, 4 of categories and missing values. Goals are ratios. The rows in "
        "italics time work that nobody can leave out."
    ),
    comparisons=[
        *(compiled_comparison(kind) for kind in KINDS),
        *(predict_comparison(f"predict, {kind}", "student", kind, None) for kind in KINDS),
        Comparison(
            "compiled scorer, a frame",
            "row",
            Contender("compiled scorer", compiled_frame),
            tree_contenders(trees_on_frame, (None, 5), 5),
        ),
        *(
            predict_comparison(f"predict, {name}", name, KINDS[0], 100 if number == 0 else None)
            for number, name in enumerate(OTHER_STUDENTS)
        ),
    ],
    data=data,
)

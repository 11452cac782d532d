"""Every front door that takes a table: columns are matched by name, or the table is refused."""

import re
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMRanker
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from skdistill import DistilledRanker, MultiObjectiveRetriever, TwoTowerRetriever
from skdistill.dask_training import label_dask
from skdistill.recipe import follow, read_recipe
from skdistill.serving import (
    FrameScorer,
    compile_scorer,
    evaluate_table,
    retrieve_table,
    score_dask,
    score_table,
)
from skdistill.streaming import fit_from_files
from skdistill.students import FactorizationMachineRanker, LinearRanker, MultiObjectiveRanker
from skdistill.teachers import MLPEnsembleRanker, RankEnsemble, score_rows

N_QUERIES, LENGTH = 40, 8
QID = np.repeat(np.arange(N_QUERIES), LENGTH)
rng = np.random.default_rng(0)
# The first two columns describe the query, the others the item.
NAMES = ["age", "visits", "unit price", "stock", "size"]
X = pd.DataFrame(rng.normal(size=(len(QID), 5)), columns=NAMES)
X[NAMES[:2]] = X.loc[QID * LENGTH, NAMES[:2]].to_numpy()
Y = np.digitize(X["unit price"] + 0.5 * X["age"] * X["stock"], [0.5, 1.5]).astype(float)
EXTRA = ["day", "row number"]


TEACHER = LGBMRanker(n_estimators=20, min_child_samples=5, verbose=-1).fit(
    X, Y, group=[LENGTH] * N_QUERIES
)


def fit(model, table=X, y=Y, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(table, y, qid=QID, **arguments)


linear = partial(LinearRanker, max_iter=2, random_state=0)
towers = partial(
    TwoTowerRetriever,
    query_columns=NAMES[:2],
    item_columns=NAMES[2:],
    query_transformer=StandardScaler(),
    item_transformer=StandardScaler(),
    max_iter=2,
    teacher_check=False,
    random_state=0,
)
STUDENT = fit(linear())
RANKER = fit(DistilledRanker(TEACHER.booster_, linear(), random_state=0))
RETRIEVER = fit(towers(FrozenEstimator(TEACHER)), items=X[NAMES[2:]])
PIPELINE = make_pipeline(QuantileTransformer(n_quantiles=20), linear())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    PIPELINE.fit(X, Y, linearranker__qid=QID)
HEADS = fit(
    MultiObjectiveRanker({"click": "listwise"}, (4,), max_iter=2, random_state=0), y=Y[:, None]
)
OBJECTIVES = fit(
    MultiObjectiveRetriever(
        objectives={"click": "listwise"},
        query_columns=NAMES[:2],
        item_columns=NAMES[2:],
        max_iter=2,
        random_state=0,
    ),
    y=Y[:, None],
)


def in_files(answer):
    """A front door that reads files."""

    def door(table, folder):
        if not isinstance(table, pd.DataFrame):
            table = table.to_pandas()
        file = folder / "table.parquet"
        table.assign(query=QID, label=Y).to_parquet(file)
        return answer(file, folder)

    return door


def read(folder, column):
    return np.concatenate([pd.read_parquet(f)[column] for f in sorted(folder.glob("*.parquet"))])


def scored(model, file, folder):
    score_table(model, file, folder / "scored", query_column="query", resume=False)
    return read(folder / "scored", "score")


def retrieved(file, folder):
    retrieve_table(RETRIEVER, file, folder / "found", k=3, resume=False)
    return read(folder / "found", "item")


def trained_further(file, folder):
    student = fit_from_files(
        fit(linear()), file, query_column="query", label_column="label", features=NAMES
    )
    return student.predict(X)


def in_dask(answer):
    def door(table, folder):
        import dask.dataframe as dd

        if not isinstance(table, pd.DataFrame):
            table = table.to_pandas()
        return answer(dd.from_pandas(table, npartitions=2)).to_numpy()

    return door


# Front doors that take the columns they know by name, whatever else there is.
BY_NAME = {
    "score_rows": lambda table, folder: score_rows(TEACHER, table),
    "score_rows of a Booster": lambda table, folder: score_rows(TEACHER.booster_, table),
    "score_rows of a ranker": lambda table, folder: score_rows(RANKER, table),
    "transform_queries": lambda table, folder: RETRIEVER.transform_queries(table),
    "transform_items": lambda table, folder: RETRIEVER.transform_items(table),
    "retrieve": lambda table, folder: RETRIEVER.retrieve(table, 3)[1],
    "index": lambda table, folder: RETRIEVER.index(table).retrieve(X, 3)[1],
    "retrieve by objectives": lambda table, folder: OBJECTIVES.transform_queries(table),
    "FrameScorer": lambda table, folder: FrameScorer(STUDENT)(table)["score"].to_numpy(),
    "score_table": in_files(partial(scored, STUDENT)),
    "score_table of a ranker": in_files(partial(scored, RANKER)),
    "score_table of a Pipeline": in_files(partial(scored, PIPELINE)),
    "evaluate_table": in_files(
        lambda file, folder: [
            evaluate_table(STUDENT, file, query_column="query", label_column="label")["ndcg@10"]
        ]
    ),
    "retrieve_table": in_files(retrieved),
    "fit_from_files": in_files(trained_further),
    "score_dask": in_dask(lambda frame: score_dask(STUDENT, frame).compute()["score"]),
    "label_dask": in_dask(
        lambda frame: label_dask(TEACHER, frame, features=list(frame.columns)).compute()[
            "teacher_score"
        ]
    ),
}
# Front doors of scikit-learn's convention: another table than that of fit is an error.
AS_IN_FIT = {
    "student": lambda table, folder: STUDENT.predict(table),
    "student of ids": lambda table, folder: MACHINE.predict(table),
    "student of several objectives": lambda table, folder: HEADS.predict(table),
    "score": lambda table, folder: [STUDENT.score(table, Y, qid=QID)],
    "partial_fit": lambda table, folder: fit(linear()).partial_fit(table, Y, qid=QID).predict(X),
    "ranker": lambda table, folder: RANKER.predict(table),
    "ranker's score": lambda table, folder: [RANKER.score(table, Y, qid=QID)],
    "Pipeline": lambda table, folder: PIPELINE.predict(table),
    "RankEnsemble": lambda table, folder: ENSEMBLE.predict(table),
    "MLPEnsembleRanker": lambda table, folder: NETWORKS.predict(table),
    "retriever": lambda table, folder: RETRIEVER.predict(table),
    "retriever's objectives": lambda table, folder: OBJECTIVES.predict_objectives(table)["click"],
    "teacher_recall": lambda table, folder: [RETRIEVER.teacher_recall(table, qid=QID, k=2, m=4)],
}
MACHINE = fit(FactorizationMachineRanker(4, max_iter=2, random_state=0))
ENSEMBLE = fit(RankEnsemble([("booster", TEACHER.booster_), ("linear", linear())]))
NETWORKS = fit(MLPEnsembleRanker(2, mlp_parameters={"max_iter": 2}, random_state=0))
DOORS = BY_NAME | AS_IN_FIT

# Doors that read the columns of one side alone.
OF_QUERIES = {"transform_queries", "retrieve", "retrieve by objectives", "retrieve_table"}
OF_ITEMS = {"transform_items", "index"}

orders = st.permutations(NAMES + EXTRA)
left_out = st.sets(st.sampled_from(EXTRA))
kinds = st.sampled_from(["pandas", "polars"])


def of_kind(kind, frame):
    if kind == "pandas":
        return frame
    return pl.DataFrame({name: frame[name].to_numpy() for name in frame})


def only_pandas(door):
    return door == "FrameScorer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def right(folder):
    return {name: np.asarray(door(X, folder)) for name, door in DOORS.items()}


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=12, deadline=None)
@given(order=orders, without=left_out, kind=kinds)
def test_any_order_and_further_columns(door, order, without, kind, folder, right):
    frame = X.assign(**dict.fromkeys(EXTRA, -2 * X["unit price"]))
    frame = frame[[name for name in order if name not in without]]
    table = frame if only_pandas(door) else of_kind(kind, frame)
    if door in AS_IN_FIT and list(frame) != NAMES:
        with pytest.raises(ValueError, match="feature names should match") as refused:
            DOORS[door](table, folder)
        way_out = re.search(r"X has all columns of fit. Pass (.*), in", str(refused.value))
        is_ours = door != "Pipeline"  # whose first step is scikit-learn's
        assert (way_out is not None) == (is_ours and set(NAMES) <= set(frame))
        if way_out:
            taken = eval(
                way_out[1], {"X": table, "model": SimpleNamespace(feature_names_in_=NAMES)}
            )
            assert_allclose(DOORS[door](taken, folder), right[door], rtol=1e-6)
    else:
        assert_allclose(DOORS[door](table, folder), right[door], rtol=1e-6)


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=6, deadline=None)
@given(name=st.sampled_from(NAMES), is_renamed=st.booleans(), kind=kinds)
def test_missing_and_renamed_columns(door, name, is_renamed, kind, folder, right):
    frame = X.rename(columns={name: "other"}) if is_renamed else X.drop(columns=name)
    table = frame if only_pandas(door) else of_kind(kind, frame)
    reads_query, reads_item = door not in OF_ITEMS, door not in OF_QUERIES
    if reads_query if name in NAMES[:2] else reads_item:
        # Text as a model's own message shows it, whether LightGBM's name or the table's.
        with pytest.raises(ValueError, match=name.replace(" ", "[ _]")):
            DOORS[door](table, folder)
    else:
        assert_allclose(DOORS[door](table, folder), right[door], rtol=1e-6)


@pytest.mark.parametrize("door", ["student", "ranker", "RankEnsemble", "retriever"])
def test_integer_names_are_names(door):
    """scikit-learn ignores names that are no text; another order gave other scores."""
    models = {
        "student": linear(),
        "ranker": DistilledRanker(student=linear(), alpha=0.0),
        "RankEnsemble": RankEnsemble([("linear", linear())]),
        "retriever": towers(query_columns=[0, 1], item_columns=[2, 3, 4]),
    }
    frame = X.set_axis(range(5), axis=1)
    model = fit(models[door], frame)
    assert model.predict(frame).std() > 0
    with pytest.raises(ValueError, match=r"expected \[0, 1, 2, 3, 4\], got \[4, 3, 2, 1, 0\]"):
        model.predict(frame[[4, 3, 2, 1, 0]])


def test_a_compiled_scorer_takes_columns_by_name():
    turned = X[NAMES[::-1]].assign(more="text")
    assert_allclose(compile_scorer(STUDENT)(turned), STUDENT.predict(X), atol=1e-5)
    with pytest.raises(ValueError, match=rf"X lacks the columns \['{NAMES[0]}'\]"):
        compile_scorer(STUDENT)(turned.drop(columns=NAMES[0]))


def correlation(model, table):
    return np.corrcoef(model.predict(table), TEACHER.predict(X))[0, 1]


def taught(model):
    """Fit on a table; return how well the model follows the teacher."""

    def learn(table, folder):
        return correlation(fit(model(), table), table)

    return learn


def retriever_without_catalogue(table, folder):
    return correlation(fit(towers(TEACHER.booster_, max_iter=30), table), table)


def retriever_with_catalogue(table, folder):
    items = table[NAMES[2:]].iloc[:100]
    model = fit(towers(TEACHER.booster_, max_iter=30), table, items=items)
    scores = TEACHER.predict(
        pd.concat(
            [
                X[NAMES[:2]].iloc[np.repeat(np.arange(8) * LENGTH, 100)].reset_index(drop=True),
                X[NAMES[2:]].iloc[np.tile(np.arange(100), 8)].reset_index(drop=True),
            ],
            axis=1,
        )
    )
    queries = X[NAMES[:2]].iloc[np.arange(8) * LENGTH]
    grid = model.transform_queries(queries) @ model.transform_items(items).T
    return np.corrcoef(grid.ravel(), scores)[0, 1]


def recipe(table, folder):
    table.assign(query=QID, label=Y).to_parquet(folder / "train.parquet")
    TEACHER.booster_.save_model(folder / "teacher.txt")
    (folder / "recipe.toml").write_text(
        '[data]\ntrain = "train.parquet"\nquery_column = "query"\nlabel_column = "label"\n'
        'test = "train.parquet"\n[teacher]\nbooster = "teacher.txt"\n[distillation]\nalpha = 1.0\n'
    )
    ranker, report = follow(read_recipe(folder / "recipe.toml"))
    assert report["teacher ndcg@10"] > 0.95
    return correlation(ranker, table)


machine = partial(FactorizationMachineRanker, 4, max_iter=60, random_state=0)
distilled = partial(DistilledRanker, student=machine(), alpha=1.0, loss="pointwise", random_state=0)
PUPILS = {
    "DistilledRanker": taught(lambda: distilled(TEACHER.booster_)),
    "its teacher_columns": taught(
        lambda: distilled(FrozenEstimator(TEACHER), teacher_columns=[*NAMES[::-1], "day"])
    ),
    "synthetic rows": taught(lambda: distilled(TEACHER.booster_, augment=0.8)),
    "RankEnsemble": taught(lambda: RankEnsemble([("booster", TEACHER.booster_)])),
    "a log": retriever_without_catalogue,
    "a catalogue": retriever_with_catalogue,
    "recipe": recipe,
}


@pytest.mark.parametrize("pupil", PUPILS)
def test_a_frozen_teacher_teaches_the_same_on_another_table(pupil, folder):
    other = X[NAMES[2:] + NAMES[:2]]
    other.insert(1, "day", rng.normal(size=len(X)))
    in_order = PUPILS[pupil](X.assign(day=other["day"]), folder)
    assert in_order > 0.7
    assert PUPILS[pupil](other, folder) == pytest.approx(in_order, abs=0.1)


def test_another_table_is_refused_before_anything_is_fitted():
    class Counting(LGBMRanker):
        n_fits = 0

        def fit(self, *args, **kwargs):
            type(self).n_fits += 1
            return super().fit(*args, **kwargs)

    table = X.rename(columns={"stock": "shelf"})
    for model in (
        RankEnsemble([("new", Counting(verbose=-1)), ("frozen", TEACHER.booster_)]),
        DistilledRanker(TEACHER.booster_, machine()),
        towers(TEACHER.booster_, item_columns=["unit price", "shelf", "size"]),
    ):
        with pytest.raises(ValueError, match=r"columns that the table lacks: \['stock'\]"):
            fit(model, table)
    assert not Counting.n_fits

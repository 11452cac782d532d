"""The report of a distillation: its figures, and what trips each check and what does not."""

import json
import pickle
from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import DistilledRanker, RankingGroupKFold
from skdistill.datasets import make_ranking
from skdistill.inspection import AgreementDisplay, ParetoDisplay, distillation_report
from skdistill.inspection.report.findings import NEEDS_TRAIN
from skdistill.metrics import bootstrap_ratio, kendall_tau, ndcg_per_query, ndcg_score
from skdistill.students import LinearRanker, MLPRanker

DATA = make_ranking(n_queries=160, n_features=6, truth="linear", noise=0.3, random_state=0)
TRAIN, TEST = DATA.qid < 100, DATA.qid >= 100
X, y, qid = DATA.X[TEST], DATA.y[TEST], DATA.qid[TEST]
TRAINING = {"X_train": DATA.X[TRAIN], "y_train": DATA.y[TRAIN], "qid_train": DATA.qid[TRAIN]}


def trees(n_trees=20, **settings):
    return lightgbm.LGBMRanker(n_estimators=n_trees, verbose=-1, n_jobs=1, **settings)


def distil(student=None, table=DATA.X, labels=DATA.y, rows=TRAIN, teacher=None, **settings):
    student = LinearRanker() if student is None else student
    teacher = trees() if teacher is None else teacher
    ranker = DistilledRanker(teacher, student, random_state=0, **settings)
    taken = table.loc[rows] if isinstance(table, pd.DataFrame) else table[rows]
    return ranker.fit(taken, labels[rows], qid=DATA.qid[rows])


@pytest.fixture(scope="module")
def ranker():
    return distil()


@pytest.fixture(scope="module")
def report(ranker):
    slices = {"half": np.where(X[:, 0] > 0, "upper", "lower"), "number": X[:, 1]}
    return distillation_report(ranker, X, y, qid=qid, slices=slices, **TRAINING)


def check(name, report):
    return next(check for check in report.checks if check.name == name)


def test_the_models_are_measured_side_by_side(report, ranker):
    points = {point.name: point for point in report.points}
    assert list(points)[:3] == ["teacher", "student", "on labels alone"]
    assert [name for name in points if name.startswith("first")] == [
        "first 5 trees", "first 10 trees",
    ]  # fmt: skip
    assert sum("leaves" in name for name in points) == 5
    teachers = ndcg_per_query(y, ranker.teacher_.predict(X), qid, k=10)
    ours = ndcg_per_query(y, ranker.predict(X), qid, k=10)
    np.testing.assert_allclose(points["student"].values, ours)
    np.testing.assert_allclose(points["teacher"].values, teachers)
    ratio = bootstrap_ratio(ours, teachers, random_state=0)
    assert points["student"].ratio.ratio == pytest.approx(ratio.ratio)
    alone = LinearRanker(loss="plackett_luce", alpha=0.0, random_state=0)
    assert points["on labels alone"].quality == pytest.approx(
        alone.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN]).score(X, y, qid=qid), abs=0.02
    )
    assert points["student"].cost.seconds < points["teacher"].cost.seconds
    assert report.sizes["student"] < report.sizes["teacher"]
    assert report.n_queries == 60


def test_fidelity_slices_and_queries_are_those_of_the_metrics(report, ranker):
    taught, learnt = ranker.teacher_.predict(X), ranker.predict(X)
    assert report.fidelity.tau == pytest.approx(kendall_tau(taught, learnt, qid))
    upper = next(part for part in report.slices if part.value == "upper")
    rows = X[:, 0] > 0
    assert upper.n_rows == rows.sum()
    # An order of one row says nothing.
    ids, sizes = np.unique(qid[rows], return_counts=True)
    rows &= np.isin(qid, ids[sizes > 1])
    assert upper.n_rows > rows.sum()
    assert upper.ndcg == pytest.approx(ndcg_score(y[rows], learnt[rows], qid[rows], k=10))
    assert upper.teacher_ndcg == pytest.approx(ndcg_score(y[rows], taught[rows], qid[rows], k=10))
    assert upper.tau == pytest.approx(kendall_tau(taught[rows], learnt[rows], qid[rows]))
    quarters = [part for part in report.slices if part.name == "number"]
    assert len(quarters) == 4
    assert sum(part.n_rows for part in quarters) == len(y)
    by_length = [part for part in report.slices if part.name == "rows per query"]
    assert sum(part.n_queries for part in by_length) == 60
    taus = {q: kendall_tau(taught[qid == q], learnt[qid == q], None) for q in np.unique(qid)}
    worst = sorted(taus, key=taus.get)[:5]
    assert [query.query for query in report.queries] == worst
    assert [query.tau for query in report.queries] == pytest.approx([taus[q] for q in worst])


def test_the_summary_counts_the_checks_that_were_made(report):
    look, ok = (replace(report.checks[0], status=status) for status in ("look", "ok"))
    unmade = replace(ok, status="not checked")
    lacking = replace(unmade, message=NEEDS_TRAIN)
    ends = {
        f" Checks: 1 of 1 needs attention: {look.name}.": [look],
        f" Checks: 2 of 3 need attention: {look.name}, {look.name}.": [look, ok, look],
        " Checks: none of 1 needs attention.": [ok, unmade],
        " 1 more was skipped for lack of the training rows: X_train=, y_train=, qid_train= "
        "(--train).": [ok, lacking],
        "are in the student's.": [unmade],
    }
    for end, checks in ends.items():
        assert replace(report, checks=checks).summary().endswith(end)


def test_it_is_shown_as_text_markdown_html_and_json(report):
    text = str(report)
    assert repr(report) == text
    assert text.startswith(f"{len(y):,} rows in 60 queries. The student's NDCG@10 is ")
    for piece in ("Checks", "Models", "Slices", "on labels alone", "upper"):
        assert piece in text
        assert piece in report.to_markdown()
        assert piece in report._repr_html_()
    assert "| --- |" in report.to_markdown()
    assert max(map(len, text.split("Models")[0].splitlines()[1:])) <= 100
    assert str(report.rows()) in text
    made = [check for check in report.checks if check.status != "not checked"]
    assert f" Checks: {len(report.to_look_at)} of {len(made)} need" in report.summary()
    assert all(check.name in report.summary() for check in report.to_look_at)
    assert f"the teacher's top {report.k} are in the student's" in report.summary()
    document = json.loads(report.to_json())
    assert document["n_queries"] == 60
    assert document["models"][1]["name"] == "student"
    assert document["models"][1]["ratio"]["low"] < document["models"][1]["ratio"]["high"]
    assert {check["status"] for check in document["checks"]} <= {"ok", "look", "not checked"}
    frame = report.frame()
    assert frame.loc["teacher", "ratio"] == 1
    assert list(frame.columns)[:2] == ["kind", "ndcg"]


def test_the_order_of_the_rows_does_not_matter(ranker, report):
    order = np.random.default_rng(0).permutation(len(y))
    other = distillation_report(ranker, X[order], y[order], qid=qid[order])
    by_name = {point.name: point.quality for point in report.points}
    for point in other.points:
        assert point.quality == pytest.approx(by_name[point.name], abs=1e-6)
    assert [query.query for query in other.queries] == [query.query for query in report.queries]


def test_its_steps_are_told_beside_what_is_printed(ranker, capsys):
    distillation_report(ranker, X, y, qid=qid, verbose=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    steps = [line.rpartition(",")[0] for line in printed.err.splitlines()]
    assert steps == [
        f"distillation_report: {step}"
        for step in ("rows are scored", "smaller trees are ready", "models are timed",
                     "checks are made")
    ]  # fmt: skip
    distillation_report(ranker, X, y, qid=qid)
    assert capsys.readouterr().err == ""


def test_rows_without_a_label_are_left_out(ranker):
    some = np.where(qid < 110, np.nan, y)
    found = distillation_report(ranker, X, some, qid=qid)
    kept = ~np.isnan(some)
    assert found.n_rows == kept.sum()
    assert found.points[1].quality == pytest.approx(
        ndcg_score(y[kept], ranker.predict(X[kept]), qid[kept], k=10)
    )


def test_a_teacher_can_be_given_by_its_scores(ranker):
    scores = ranker.teacher_.predict(X)
    student = ranker.export_student()
    found = distillation_report(student, X, y, qid=qid, teacher_scores=scores)
    points = {point.name: point for point in found.points}
    assert list(points) == ["teacher", "student"]
    assert np.isnan(points["teacher"].cost.seconds)
    assert points["teacher"].quality == pytest.approx(ndcg_score(y, scores, qid, k=10))
    assert "times its speed" not in found.summary()
    assert json.loads(found.to_json())["models"][0]["seconds_per_row"]["seconds"] is None
    alone = distillation_report(student, X, y, qid=qid)
    assert [point.name for point in alone.points] == ["student"]
    assert alone.fidelity is None
    assert "of the teacher's" not in alone.summary()
    assert "6 more were skipped for lack of the teacher: teacher= (--teacher)." in alone.summary()
    assert "ok  ties" in str(alone)


def test_pipelines_searches_and_query_columns_are_read():
    frame = pd.DataFrame(DATA.X, columns=[*"abcdef"]).assign(query=DATA.qid)
    ranker = DistilledRanker(trees(), LinearRanker(), query_column="query", random_state=0)
    ranker.fit(frame[TRAIN], DATA.y[TRAIN])
    training = {"X_train": frame[TRAIN], "y_train": DATA.y[TRAIN]}
    found = distillation_report(ranker, frame[TEST], y, **training, slices=["a"])
    assert found.points[1].quality == pytest.approx(ranker.score(frame[TEST], y))
    assert check("gain by the teacher", found).status != "not checked"
    assert {part.name for part in found.slices} == {"rows per query", "a"}
    pipeline = make_pipeline(StandardScaler(), LinearRanker(random_state=0))
    taught = ranker.teacher_.predict(frame[TRAIN].drop(columns="query"))
    pipeline.fit(
        DATA.X[TRAIN], DATA.y[TRAIN],
        linearranker__qid=DATA.qid[TRAIN], linearranker__teacher_scores=taught,
    )  # fmt: skip
    found = distillation_report(pipeline, X, y, qid=qid, teacher=ranker.teacher_, **TRAINING)
    assert found.points[1].name == "student"
    assert "on labels alone" in [point.name for point in found.points]


def test_the_teacher_of_a_ranker_in_a_pipeline_gets_transformed_rows():
    ranker = DistilledRanker(trees(), LinearRanker(), teacher_columns=[0, 1, 2], random_state=0)
    pipeline = make_pipeline(StandardScaler(), ranker)
    pipeline.fit(DATA.X[TRAIN], DATA.y[TRAIN], distilledranker__qid=DATA.qid[TRAIN])
    teacher = pipeline[-1].teacher_
    found = distillation_report(pipeline, X, y, qid=qid)
    wanted = ndcg_score(y, teacher.predict(pipeline[0].transform(X)[:, :3]), qid, k=10)
    assert found.points[0].name == "teacher"
    assert found.points[0].quality == pytest.approx(wanted)
    assert check("columns that the student ignores", found).status != "not checked"
    # A service stores no teacher.
    alone = make_pipeline(StandardScaler(), pipeline[-1].export_student())
    assert found.sizes["student"] == pytest.approx(len(pickle.dumps(alone)), rel=0.3)


def test_small_trees_do_without_times():
    frame = pd.DataFrame(DATA.X, columns=[*"abcdef"])
    frame.insert(2, "day", pd.Timestamp("2026-01-01") + pd.to_timedelta(DATA.qid % 50, unit="D"))
    student = LinearRanker(max_iter=3, random_state=0)
    student.fit(frame[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN])
    training = TRAINING | {"X_train": frame[TRAIN]}
    found = distillation_report(student, frame[TEST], y, qid=qid, teacher_scores=y, **training)
    assert sum(point.kind == "small trees" for point in found.points) == 5


def test_dates_are_cut_into_quarters(ranker):
    days = np.datetime64("2026-01-01") + np.arange(len(y)).astype("timedelta64[h]")
    days[:5] = np.datetime64("NaT")
    found = distillation_report(ranker, X, y, qid=qid, slices={"day": days})
    parts = [part for part in found.slices if part.name == "day"]
    assert [part.value[:18] for part in parts[:1]] == ["2026-01-01 05:00:0"]
    assert parts[-1].value == "missing"
    assert parts[-1].n_rows == 5
    assert len(parts) == 5
    assert sum(part.n_rows for part in parts) == len(y)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_times_with_a_zone_and_missing_integers_are_compared_as_they_are_ordered(library):
    hour = pd.to_datetime("2026-01-01", utc=True) + pd.to_timedelta(np.arange(len(DATA.y)), "h")
    count = pd.Series(np.arange(len(DATA.y)) % 50, dtype="Int64")
    count[::9] = pd.NA
    frame = pd.DataFrame(DATA.X, columns=[*"abcdef"]).assign(
        hour=hour.tz_convert("Europe/Paris"), count=count, best=pd.Series(DATA.y, dtype="Int64")
    )

    def rows(mask):
        part = frame.loc[mask]
        if library == "pandas":
            return part
        return pl.from_pandas(part) if library == "polars" else pa.Table.from_pandas(part)

    student = LinearRanker(max_iter=3, random_state=0, categorical_features=None)
    with pytest.warns(UserWarning, match=r"\['best'\] of X equal y"):
        student.fit(rows(TRAIN), DATA.y[TRAIN], qid=DATA.qid[TRAIN])
    found = distillation_report(
        student, rows(TEST), y, qid=qid, teacher_scores=DATA.utility[TEST],
        slices=["hour", "count"], **TRAINING | {"X_train": rows(TRAIN)},
    )  # fmt: skip
    of_hour, of_count = (
        [part.value for part in found.slices if part.name == name] for name in ("hour", "count")
    )
    assert len(of_hour) == 4
    assert of_hour[0].startswith(f"{hour[TEST][0]:%Y-%m-%d %H:%M:%S} to 2026-")
    assert len(of_count) == 5
    assert of_count[-1] == "missing"
    assert (
        "hour: 100.0% of the rows beyond the training range"
        in check("rows outside the training range", found).message
    )
    # A whole number that may be missing is a number, whatever the library.
    assert check("a column that is too good", found).message.startswith("best alone has")
    given = {"hour": frame["hour"][TEST].reset_index(drop=True)}
    same = distillation_report(student, rows(TEST), y, qid=qid, teacher_scores=y, slices=given)
    assert [part.value for part in same.slices if part.name == "hour"] == of_hour


def test_offsets_are_part_of_the_order():
    bid = np.random.default_rng(0).normal(size=len(DATA.y))
    labels = (DATA.y > 2).astype(float)
    classifier = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1)
    ranker = DistilledRanker(classifier, LinearRanker(), loss="listwise", random_state=0)
    ranker.fit(DATA.X[TRAIN], labels[TRAIN], qid=DATA.qid[TRAIN], offset=bid[TRAIN])
    with pytest.raises(ValueError, match="needs offset too"):
        distillation_report(ranker, X, labels[TEST], qid=qid)
    found = distillation_report(ranker, X, labels[TEST], qid=qid, offset=bid[TEST])
    wanted = ndcg_score(labels[TEST], ranker.predict(X), qid, k=10, offset=bid[TEST])
    assert found.points[1].quality == pytest.approx(wanted)
    probability = ranker.teacher_.predict_proba(X)[:, 1]
    both = np.log(probability) + bid[TEST], ranker.predict(X) + bid[TEST]
    assert found.fidelity.tau == pytest.approx(kendall_tau(*both, qid))
    # The first trees predict probabilities too.
    first = np.log(ranker.teacher_.predict_proba(X, num_iteration=5)[:, 1])
    wanted = ndcg_score(labels[TEST], first, qid, k=10, offset=bid[TEST])
    trees_of = {point.name: point for point in found.points}["first 5 trees"]
    assert trees_of.quality == pytest.approx(wanted)
    with pytest.raises(ValueError, match="needs offset too"):
        ParetoDisplay.from_estimator({"student": ranker}, X, labels[TEST], qid=qid)
    display = ParetoDisplay.from_estimator(
        {"student": ranker}, X, labels[TEST], qid=qid, teacher=ranker.teacher_, offset=bid[TEST]
    )
    for point in display.points:
        same = next(one for one in found.points if one.name == point.name)
        assert point.quality == pytest.approx(same.quality)
    with pytest.raises(ValueError, match="needs offset too"):
        AgreementDisplay.from_estimator(ranker, X, qid=qid)
    agreement = AgreementDisplay.from_estimator(ranker, X, qid=qid, offset=bid[TEST])
    assert agreement.tau == pytest.approx(found.fidelity.tau)


def test_what_cannot_be_reported_is_refused(ranker):
    with pytest.raises(ValueError, match="qid"):
        distillation_report(ranker, X, y)
    with pytest.raises(ValueError, match="all rows are one query"):
        distillation_report(ranker, X, y, qid=np.zeros(len(y)))
    with pytest.raises(ValueError, match="A report needs 2 queries .* 1 of 60 have one"):
        distillation_report(ranker, X, np.where(qid == 110, y, 0), qid=qid)
    with pytest.raises(ValueError, match="X_train and y_train together"):
        distillation_report(ranker, X, y, qid=qid, X_train=X)
    with pytest.raises(ValueError, match=r"slices\['a'\] must hold one value per row"):
        distillation_report(ranker, X, y, qid=qid, slices={"a": [1, 2]})
    with pytest.raises(ValueError, match="slices=\\['price'\\] names a column"):
        distillation_report(ranker, X, y, qid=qid, slices=["price"])
    with pytest.raises(ValueError, match="teacher_scores"):
        distillation_report(ranker, X, y, qid=qid, teacher_scores=[1.0])
    with pytest.raises(ValueError, match="y is NaN in all rows"):
        distillation_report(ranker, X, np.full(len(y), np.nan), qid=qid)
    with pytest.raises(ValueError, match="X_train has 1. Pass qid_train="):
        distillation_report(ranker, X, y, qid=qid, X_train=X, y_train=y)
    with pytest.raises(TypeError, match="teacher must be an estimator instance"):
        distillation_report(ranker, X, y, qid=qid, teacher="ranker.txt")
    with pytest.raises(TypeError, match="model must be a fitted model with predict, got 'x.skd'"):
        distillation_report("x.skd", X, y, qid=qid)
    frame = pd.DataFrame(X, columns=[*"abcdef"])
    named = distil(table=pd.DataFrame(DATA.X, columns=[*"abcdef"]))
    twice = pd.concat([frame, frame[["b"]]], axis=1)
    with pytest.raises(ValueError, match=r"several columns of the names \['b'\]"):
        distillation_report(named, twice, y, qid=qid)
    whole = distillation_report(named, frame, y, qid=qid, slices="a")
    assert {part.name for part in whole.slices} == {"rows per query", "a"}


# Each check: a table that trips it, and one that does not.


def test_a_student_that_falls_short_of_its_teacher_trips(ranker, report):
    name = "student beside its teacher"
    assert check(name, report).status == "ok"
    hasty = distil(MLPRanker((8,), max_iter=1, learning_rate_init=1e-6))
    found = distillation_report(hasty, X, y, qid=qid)
    ratio = next(point.ratio for point in found.points if point.name == "student")
    assert ratio.high < 0.99
    assert check(name, found).status == "look"
    assert f"{ratio.ratio:.3f}" in check(name, found).message
    alone = distillation_report(ranker.export_student(), X, y, qid=qid)
    assert check(name, alone).status == "not checked"


def test_checks_that_were_not_made_say_what_they_lack(ranker):
    student, scores = ranker.export_student(), ranker.teacher_.predict(X)
    lacking = {
        "pass teacher=": {},
        "only its scores are known": {"teacher_scores": scores},
    }
    for reason, given in lacking.items():
        found = distillation_report(student, X, y, qid=qid, **given)
        for name in ("teacher on its training rows", "smaller trees"):
            assert reason in check(name, found).message
    function = distillation_report(student, X, y, qid=qid, teacher=ranker.teacher_.predict)
    assert "not a bare model of LightGBM" in check("smaller trees", function).message
    # Small trees read the table, and not what a function computes from it.
    function = distillation_report(
        ranker, X, y, qid=qid, teacher=lambda table: ranker.teacher_.predict(table),
        X_train=X, y_train=y, qid_train=qid,
    )  # fmt: skip
    found = check("smaller trees", function)
    assert found.status == "look" or "the teacher may compute others" in found.message
    assert found.status != "ok"


def _add_product(table):
    return np.column_stack([table, table[:, 0] * table[:, 1]])


def test_rivals_stand_behind_the_steps_of_the_teacher():
    """What the steps take is part of what the rivals take, and of what they read."""
    learner = trees().fit(
        _add_product(DATA.X[TRAIN]), DATA.y[TRAIN], group=np.bincount(DATA.qid[TRAIN])
    )
    teacher = make_pipeline(FunctionTransformer(_add_product), learner.booster_)
    report = distillation_report(distil(teacher=teacher), X, y, qid=qid, **TRAINING)
    bare = distillation_report(
        distil(table=_add_product(DATA.X), teacher=FrozenEstimator(learner)),
        *(_add_product(X), y),
        qid=qid,
        **TRAINING | {"X_train": _add_product(DATA.X[TRAIN])},
    )
    quality = {point.name: point.quality for point in report.points}
    of_bare = {point.name: point.quality for point in bare.points}
    assert list(quality) == list(of_bare)
    beside = [name for name in quality if "trees" in name or name == "teacher"]
    assert len(beside) == 8
    assert [quality[name] for name in beside] == pytest.approx([of_bare[name] for name in beside])
    assert set(report.sizes) == set(quality)
    assert check("smaller trees", report).status != "not checked"


def test_a_teacher_that_remembers_its_rows_trips():
    name = "teacher on its training rows"
    noisy = np.where(np.random.default_rng(0).random(len(DATA.y)) < 0.5, 0, DATA.y)
    deep = trees(150, num_leaves=63, min_child_samples=2)
    rows = {**TRAINING, "y_train": noisy[TRAIN]}
    remembers = distil(labels=noisy, teacher=deep)
    found = check(name, distillation_report(remembers, X, noisy[TEST], qid=qid, **rows))
    assert found.status == "ok"
    assert "but the student ranks these no worse" in found.message
    learns_little = distil(labels=noisy, teacher=deep, student_columns=[5])
    found = check(name, distillation_report(learns_little, X, noisy[TEST], qid=qid, **rows))
    assert found.status == "look"
    assert "teacher_cv" in found.message
    shallow = distil(teacher=FrozenEstimator(Ridge().fit(DATA.X[TRAIN], DATA.y[TRAIN])))
    assert check(name, distillation_report(shallow, X, y, qid=qid, **TRAINING)).status == "ok"
    folds = distil(labels=noisy, teacher=deep, teacher_cv=3)
    found = check(name, distillation_report(folds, X, noisy[TEST], qid=qid, **rows))
    assert found.status == "ok"
    assert "out-of-fold" in found.message
    assert check(name, distillation_report(shallow, X, y, qid=qid)).status == "not checked"


def test_a_student_that_a_smaller_tree_beats_trips(report):
    name = "smaller trees"
    steps = make_ranking(n_queries=160, n_features=2, random_state=0)
    # Trees need one split for what a wide net learns badly from few rows.
    labels = (np.abs(steps.X[:, 0]) > 0.6).astype(float)
    table = np.where(np.abs(steps.X) > 0.6, np.sign(steps.X) * 1.0, 0.0)
    rows = steps.qid < 100
    teacher = trees(10, num_leaves=4).fit(
        table[rows], labels[rows], group=np.unique(steps.qid[rows], return_counts=True)[1]
    )
    student = MLPRanker((512, 512), max_iter=1, learning_rate_init=1e-6, random_state=0)
    student.fit(table[rows], labels[rows], qid=steps.qid[rows])
    rest = table[~rows], labels[~rows]
    found = check(name, distillation_report(student, *rest, qid=steps.qid[~rows], teacher=teacher))
    assert found.status == "look"
    assert "first 5 trees" in found.message
    assert check(name, report).status == "ok"


def test_a_gain_within_noise_trips():
    name = "gain by the teacher"
    # The teacher knows the labels of queries that have none here.
    knows = Ridge().fit(DATA.X[TRAIN], DATA.y[TRAIN])
    few = np.where(DATA.qid < 3, DATA.y, np.nan)
    taught = distil(labels=few, alpha=0.9, teacher=FrozenEstimator(knows))
    rows = {**TRAINING, "y_train": few[TRAIN]}
    found = check(name, distillation_report(taught, X, y, qid=qid, **rows))
    assert found.status == "ok"
    same = distil(alpha=0.0)
    found = check(name, distillation_report(same, X, y, qid=qid, **TRAINING))
    assert found.status == "look"
    assert "within noise" in found.message
    wrong = DistilledRanker(None, LinearRanker(), alpha=1.0, random_state=0)
    wrong.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN], teacher_scores=-DATA.y[TRAIN])
    found = check(name, distillation_report(wrong, X, y, qid=qid, **TRAINING))
    assert "does harm" in found.message


@pytest.mark.parametrize(
    ("alphas", "status"), [([0.2, 0.4], "look"), ([0.0, 1.0], "ok"), ([1.0], "ok")]
)
def test_the_edge_of_a_grid_trips(alphas, status):
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            DistilledRanker(trees(5), LinearRanker(max_iter=2), random_state=0),
            {"alpha": alphas},
            cv=RankingGroupKFold(2),
        )
        search.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN])
    found = check("edge of the grid", distillation_report(search, X, y, qid=qid))
    assert found.status == status
    if status == "look":
        assert "alpha=" in found.message


@pytest.mark.parametrize(("alphas", "status"), [((0.0, 1.0), "look"), ((1.0,), "ok")])
def test_a_search_with_a_teacher_that_knows_the_folds_trips(ranker, alphas, status):
    """The scores of a fitted teacher carry the labels of the held-out fold to the student."""
    teacher = FrozenEstimator(ranker.teacher_)
    fitted = DistilledRanker(teacher, LinearRanker(max_iter=5), random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(fitted, {"alpha": alphas}, cv=RankingGroupKFold(2))
        search.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN])
    assert search.best_params_ == {"alpha": 1.0}
    found = check("edge of the grid", distillation_report(search, X, y, qid=qid))
    assert found.status == status
    assert ("favours a large alpha" in found.message) == (status == "look")


def test_all_edges_of_a_grid_are_told(ranker):
    fitted = DistilledRanker(
        FrozenEstimator(ranker.teacher_), LinearRanker(max_iter=5), random_state=0
    )
    with sklearn.config_context(enable_metadata_routing=True):
        grid = {"alpha": [0.0, 1.0], "student__max_iter": [1, 30]}
        search = GridSearchCV(fitted, grid, cv=RankingGroupKFold(2))
        search.fit(DATA.X[TRAIN], DATA.y[TRAIN], qid=DATA.qid[TRAIN])
    found = check("edge of the grid", distillation_report(search, X, y, qid=qid))
    assert "alpha=1.0 is the largest" in found.message
    assert "student__max_iter=" in found.message


def test_rows_outside_the_training_range_trip(ranker, report):
    name = "rows outside the training range"
    assert check(name, report).status == "ok"
    beyond = X.copy()
    beyond[::10, 2] += 100
    found = check(name, distillation_report(ranker, beyond, y, qid=qid, **TRAINING))
    assert found.status == "look"
    assert "column 2: 10" in found.message
    frame = pd.DataFrame(DATA.X, columns=[*"abcdef"]).assign(city="Rome")
    reader = distil(table=frame.assign(city=frame["city"].astype("category")))
    new = frame[TEST].assign(city="Oslo")
    new["city"] = new["city"].astype(pd.CategoricalDtype(["Rome", "Oslo"]))
    training = {**TRAINING, "X_train": frame[TRAIN].assign(city=frame["city"].astype("category"))}
    found = check(name, distillation_report(reader, new, y, qid=qid, **training))
    assert "city: 100.0% of the rows with a new value" in found.message


def test_a_column_that_is_too_good_trips(report):
    name = "a column that is too good"
    assert check(name, report).status == "ok"
    leaky = np.column_stack([DATA.X, DATA.y + 0.01 * DATA.X[:, 0]])
    seen = slice(0, 6)
    private = distil(table=leaky, student_columns=seen)
    found = check(name, distillation_report(private, leaky[TEST], y, qid=qid))
    assert found.status == "look"
    assert "column 6 alone" in found.message
    assert "privileged" in found.message
    public = distil(table=leaky)
    found = check(name, distillation_report(public, leaky[TEST], y, qid=qid))
    assert found.status == "look"
    assert "privileged" not in found.message
    frame = pd.DataFrame(leaky, columns=[*"abcdefg"])
    named = distil(table=frame, student_columns=[*"abcdef"])
    found = check(name, distillation_report(named, frame[TEST], y, qid=qid))
    assert found.message.startswith("g alone")
    assert "privileged" in found.message


def test_a_column_that_the_student_ignores_trips(ranker, report):
    name = "columns that the student ignores"
    assert check(name, report).status == "ok"
    strongest = int(np.argmax(ranker.teacher_.booster_.feature_importance("gain")))
    seen = [column for column in range(6) if column != strongest]
    blind = distil(student_columns=seen)
    found = check(name, distillation_report(blind, X, y, qid=qid))
    assert found.status == "look"
    assert found.message.startswith(f"column {strongest} ")


def test_ties_trip(ranker, report):
    name = "ties"
    assert check(name, report).status == "ok"
    twice = np.repeat(np.arange(len(y)), 2)
    found = check(name, distillation_report(ranker, X[twice], y[twice], qid=qid[twice]))
    assert found.status == "look"
    assert found.message.startswith("100.0% of the queries")


def test_queries_of_two_rows_are_not_said_to_disagree(ranker):
    """Their Kendall's tau can be -1 or 1 only, so that they would hide all others."""
    pairs = qid < 110
    kept = ~pairs | (np.arange(len(qid)) - np.searchsorted(qid, qid) < 2)
    scores = ranker.teacher_.predict(X) * np.where(pairs, -1.0, 1.0)
    found = distillation_report(
        ranker.export_student(), X[kept], y[kept], qid=qid[kept], teacher_scores=scores[kept]
    )
    assert check("queries on which they disagree", found).message.startswith("0 of 50 queries")
    assert all(query.n_rows > 2 for query in found.queries)


def test_queries_that_are_ranked_the_other_way_round_trip(ranker, report):
    name = "queries on which they disagree"
    assert check(name, report).status == "ok"
    scores = ranker.teacher_.predict(X)
    scores[qid == 105] *= -1
    scores[qid == 120] *= -1
    found = distillation_report(ranker.export_student(), X, y, qid=qid, teacher_scores=scores)
    assert check(name, found).status == "look"
    assert {query.query for query in found.queries[:2]} == {105, 120}
    assert f"query {found.queries[0].query}" in check(name, found).message

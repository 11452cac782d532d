"""Lines and files that a long fit leaves: ``verbose`` and checkpoints."""

import re

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.callback import FitCallback
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import DistilledRanker
from skdistill.callbacks import Checkpoint
from skdistill.students import STUDENTS, LinearRanker, MLPRanker
from tests.small_cascade import fit_cascade


def rule(X):
    return X[:, 0]


class Stop(FitCallback):
    """Ends the fit like a crash, after some epochs."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == f"epoch {self.epoch}":
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", STUDENTS)
def test_a_verbose_student_prints_a_line_per_epoch(name, table, capsys):
    objectives = {"objectives": {"label": "listwise"}} if "Objective" in name else {}
    student = STUDENTS[name](**objectives, max_iter=2, verbose=True)
    student.fit(table.X, table.y, qid=table.qid)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{name}: epoch 1 of 2, loss {student.loss_curve_[0]:.6f}"
    assert second.startswith(f"{name}: epoch 2 of 2, loss ")
    student.fit(table.X, table.y, qid=table.qid, X_val=table.X, y_val=table.y, qid_val=table.qid)
    score = student.validation_scores_[0]
    assert f", validation score {score:.4f}" in capsys.readouterr().out
    student.set_params(verbose=False).fit(table.X, table.y, qid=table.qid)
    assert capsys.readouterr().out == ""


def test_a_verbose_ranker_prints_what_its_teacher_and_student_do(table, capsys):
    ranker = DistilledRanker(rule, LinearRanker(max_iter=2), verbose=True)
    ranker.fit(table.X, table.y, qid=table.qid)
    teacher, *epochs = capsys.readouterr().out.splitlines()
    assert teacher == f"DistilledRanker: teacher has scored {len(table.y)} rows"
    assert len(epochs) == 2
    ranker.set_params(verbose=False).fit(table.X, table.y, qid=table.qid)
    assert capsys.readouterr().out == ""


def test_a_verbose_cascade_prints_how_long_its_stages_took(capsys):
    fit_cascade(verbose=True)
    lines = capsys.readouterr().out.splitlines()
    expected = [
        "the teacher is ready",
        *(f"the stage {name!r} is fitted" for name in ("retrieve", "prerank", "rank")),
    ]
    assert len(lines) == 4
    for line, step in zip(lines, expected, strict=True):
        assert re.fullmatch(rf"RankingCascade: {step}, \d+\.\d s", line)
    fit_cascade()
    assert capsys.readouterr().out == ""


def test_a_fit_that_ends_early_leaves_its_last_checkpoint(table, tmp_path):
    path = tmp_path / "student.joblib"
    student = MLPRanker((8,), max_iter=9, learning_rate="constant", random_state=0)
    interrupted = sklearn.clone(student).set_callbacks(Checkpoint(path, every=2), Stop(5))
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(table.X, table.y, qid=table.qid)
    saved = joblib.load(path)
    four = sklearn.clone(student).set_params(max_iter=4).fit(table.X, table.y, qid=table.qid)
    assert saved.n_iter_ == 4
    assert_array_equal(saved.predict(table.X), four.predict(table.X))
    resumed = saved.set_params(warm_start=True, max_iter=5).fit(table.X, table.y, qid=table.qid)
    assert resumed.loss_curve_[0] < four.loss_curve_[1]
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_checkpoint_is_the_fitted_model(table, tmp_path):
    path = tmp_path / "student.joblib"
    student = LinearRanker(max_iter=3).set_callbacks(Checkpoint(path, every=2))
    student.fit(table.X, table.y, qid=table.qid)
    saved = joblib.load(path)
    assert saved.n_iter_ == 3
    assert_array_equal(saved.predict(table.X), student.predict(table.X))
    assert not [name for name in vars(saved) if "callback" in name]


@pytest.mark.parametrize("head", [False, True])
def test_a_ranker_saves_its_student_and_no_training_rows(head, table, tmp_path):
    path = tmp_path / "ranker.joblib"
    student = MLPRanker((4,), max_iter=4, random_state=0)
    if head:
        student = make_pipeline(StandardScaler(), student)
    ranker = DistilledRanker(rule, student, random_state=0).set_callbacks(Checkpoint(path), Stop(4))
    with pytest.raises(KeyboardInterrupt):
        ranker.fit(table.X, table.y, qid=table.qid)
    saved = joblib.load(path)
    assert path.stat().st_size < table.X.nbytes / 4
    scores = saved.predict(table.X)
    assert np.isfinite(scores).all()
    assert_array_equal(scores, saved.student_.predict(table.X))


class Spread(FitCallback):
    """Notes how far the scores of the model spread after each epoch."""

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if fitted_estimator is not None:
            self.seen.append(fitted_estimator.predict(X).std())


def test_callbacks_of_a_ranker_see_the_whole_pipeline_of_its_student(table):
    """Without its first steps, the student would get columns of another scale."""
    student = make_pipeline(
        StandardScaler(), LinearRanker(max_iter=3, squash=False, standardize=False)
    )
    spread = Spread()
    ranker = DistilledRanker(rule, student, random_state=0).set_callbacks(spread)
    X = table.X * 1e3
    ranker.fit(X, table.y, qid=table.qid)
    assert len(spread.seen) == 3 + 1 + 1  # epochs, the student's fit, the ranker's
    assert max(spread.seen) <= ranker.predict(X).std() * 1.01


def test_a_checkpoint_is_checked_before_the_fit(table, tmp_path):
    student = LinearRanker().set_callbacks(Checkpoint(tmp_path / "no" / "student.joblib"))
    with pytest.raises(FileNotFoundError, match="no folder"):
        student.fit(table.X, table.y, qid=table.qid)
    with pytest.raises(ValueError, match="every must be an integer of at least 1"):
        Checkpoint("student.joblib", every=0)

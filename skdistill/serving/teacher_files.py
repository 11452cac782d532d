"""Fitted teachers in files: of LightGBM, XGBoost, CatBoost, of ``save``, or pickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.frozen import FrozenEstimator

from skdistill.teachers.lightgbm_text import check_model_text

# Libraries of teachers. Of other modules it is not known whether pip installs them.
LIBRARIES = ("lightgbm", "xgboost", "catboost")


def load_teacher(file: Path, kind: str | None = None) -> Any:
    """Load a fitted teacher from a file.

    Parameters
    ----------
    file : Path
        The file.
    kind : {"booster", "model", "pickle"}, optional
        A model file of LightGBM, XGBoost or CatBoost, told apart by the ending; one of ``save``; or
        one of joblib or pickle, which runs code when it is read. By default, a file that ends in
        ``.skd`` is one of ``save`` and any other one that of a booster.

    Returns
    -------
    FrozenEstimator or lightgbm.Booster
        The teacher.

    Raises
    ------
    ValueError
        If the file cannot be read.
    ImportError
        If the library of the teacher is not installed.
    """
    if kind is None:
        kind = "model" if file.suffix.lower() == ".skd" else "booster"
    read = READERS[kind] if kind != "booster" else BOOSTERS.get(file.suffix.lower(), _lightgbm)
    try:
        teacher = read(file)
    except ModuleNotFoundError as error:
        raise ImportError(not_installed(f"The teacher {file}", error.name)) from error
    except ImportError:
        raise
    except Exception as error:  # each library has errors of its own
        what = "a LightGBM model" if read is _lightgbm else "a model"
        is_ours = kind == "booster" and file.suffix.lower() == ".skd"
        hint = ". It is a file of skdistill.serving.save: name it by model = ..." * is_ours
        raise ValueError(f"{file} cannot be read as {what}: {error}{hint}") from error
    is_used_as_it_is = isinstance(teacher, FrozenEstimator) or not hasattr(teacher, "fit")
    return teacher if is_used_as_it_is else FrozenEstimator(teacher)


def not_installed(what: str, library: str | None) -> str:
    """Say that something needs a library, which no extra of skdistill installs."""
    way_out = f": pip install {library}" if library in LIBRARIES else ""
    return f"{what} needs {library}, which is not installed{way_out}."


def _lightgbm(file: Path) -> Any:
    from lightgbm import Booster

    text = file.read_bytes().decode()
    check_model_text(text)
    return Booster(model_str=text)


def _xgboost(file: Path) -> Any:
    import xgboost

    with open(file, "rb"):  # XGBoost's own error is a stack of calls
        pass
    # It scores frames, which a Booster does not. ``predict`` adds no transformation for a ranker.
    teacher = xgboost.XGBRanker()
    teacher.load_model(file)
    return teacher


def _catboost(file: Path) -> Any:
    import catboost

    return catboost.CatBoost().load_model(str(file))


def _skdistill(file: Path) -> Any:
    from skdistill.serving.files import load

    return load(file)


def _pickle(file: Path) -> Any:
    import joblib

    return joblib.load(file)


BOOSTERS: dict[str, Callable[[Path], Any]] = {
    ".json": _xgboost,
    ".ubj": _xgboost,
    ".cbm": _catboost,
}
READERS: dict[str, Callable[[Path], Any]] = {"model": _skdistill, "pickle": _pickle}

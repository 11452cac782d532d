"""Fitted teachers that a recipe names by the path of their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.frozen import FrozenEstimator

from skdistill.extras import import_extra
from skdistill.recipe.errors import RecipeError
from skdistill.teachers.lightgbm_text import check_model_text


def read_teacher(path: Path, key: str, given: Any) -> tuple[Path, Any]:
    """Read a fitted teacher.

    Parameters
    ----------
    path : Path
        The recipe. A relative path starts at its folder.
    key : {"booster", "model", "pickle"}
        What kind of file it is: a model file of LightGBM, XGBoost or CatBoost, one of ``save``, or
        one of joblib or pickle, which runs code when it is read.
    given : object
        Path of the file.

    Returns
    -------
    file : Path
        The file.
    teacher : FrozenEstimator or lightgbm.Booster
        The teacher.

    Raises
    ------
    RecipeError
        If the file cannot be read.
    """
    if not isinstance(given, str):
        raise RecipeError(f"{path}: [teacher] {key} must be the path of a file, got {given!r}.")
    file = path.parent / given
    try:
        read = READERS[key] if key != "booster" else BOOSTERS.get(file.suffix.lower(), _lightgbm)
        teacher = read(file)
    except ImportError:
        raise
    except Exception as error:  # each library has errors of its own
        kind = "a LightGBM model" if key == "booster" and read is _lightgbm else "a model"
        raise RecipeError(
            f"{path}: [teacher] {key} {file} cannot be read as {kind}: {error}"
        ) from error
    is_used_as_it_is = isinstance(teacher, FrozenEstimator) or not hasattr(teacher, "fit")
    return file, teacher if is_used_as_it_is else FrozenEstimator(teacher)


def _lightgbm(file: Path) -> Any:
    from lightgbm import Booster

    text = file.read_bytes().decode()
    check_model_text(text)
    return Booster(model_str=text)


def _xgboost(file: Path) -> Any:
    xgboost = import_extra("xgboost", "dev", f"The teacher {file}")
    with open(file, "rb"):  # XGBoost's own error is a stack of calls
        pass
    # It scores frames, which a Booster does not. ``predict`` adds no transformation for a ranker.
    teacher = xgboost.XGBRanker()
    teacher.load_model(file)
    return teacher


def _catboost(file: Path) -> Any:
    catboost = import_extra("catboost", "dev", f"The teacher {file}")
    return catboost.CatBoost().load_model(str(file))


def _skdistill(file: Path) -> Any:
    from skdistill.serving import load

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

"""Teachers: fitting any estimator with queries, asking it for scores, and ensembles of several."""

from skdistill.public_names import publish
from skdistill.teachers.asking import score_rows
from skdistill.teachers.mlp_ensemble import MLPEnsembleRanker
from skdistill.teachers.out_of_fold import TeacherScores, fit_and_score
from skdistill.teachers.rank_ensemble import RankEnsemble

__all__ = [
    "TEACHERS",
    "MLPEnsembleRanker",
    "RankEnsemble",
    "TeacherScores",
    "fit_and_score",
    "score_rows",
]

# Type of every teacher that recipes can name and files can hold, by its short name. The types are
# given as text, so that no library is imported before it is needed. Enter a teacher of your own by
# ``TEACHERS["MyTeacher"] = "my_module.MyTeacher"``.
TEACHERS: dict[str, str] = {
    "LGBMRanker": "lightgbm.sklearn.LGBMRanker",
    "LGBMClassifier": "lightgbm.sklearn.LGBMClassifier",
    "LGBMRegressor": "lightgbm.sklearn.LGBMRegressor",
    "MLPEnsembleRanker": "skdistill.teachers.MLPEnsembleRanker",
    "RankEnsemble": "skdistill.teachers.RankEnsemble",
}

publish(__name__)

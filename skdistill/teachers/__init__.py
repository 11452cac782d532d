"""Teachers: fit any estimator with queries, get scores from it, and build ensembles."""

from skdistill.public_names import publish
from skdistill.teachers.asking import score_rows
from skdistill.teachers.first_trees import first_trees
from skdistill.teachers.mlp_ensemble import MLPEnsembleRanker
from skdistill.teachers.out_of_fold import TeacherScores, fit_and_score
from skdistill.teachers.qid_adapter import QidAdapter
from skdistill.teachers.rank_ensemble import RankEnsemble

__all__ = [
    "TEACHERS",
    "MLPEnsembleRanker",
    "QidAdapter",
    "RankEnsemble",
    "TeacherScores",
    "first_trees",
    "fit_and_score",
    "score_rows",
]

# Every teacher that recipes can name and files can hold, by its short name. The types are text, so
# that no library is imported before it is needed. Enter another teacher with
# ``TEACHERS["MyTeacher"] = "my_module.MyTeacher"``.
TEACHERS: dict[str, str] = {
    "LGBMRanker": "lightgbm.sklearn.LGBMRanker",
    "LGBMClassifier": "lightgbm.sklearn.LGBMClassifier",
    "LGBMRegressor": "lightgbm.sklearn.LGBMRegressor",
    "MLPEnsembleRanker": "skdistill.teachers.MLPEnsembleRanker",
    "RankEnsemble": "skdistill.teachers.RankEnsemble",
}

publish(__name__)

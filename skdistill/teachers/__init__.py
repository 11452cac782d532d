"""Teachers: how any estimator is fitted with queries and asked for scores."""

from skdistill.teachers.augmentation import draw_rows, split_thresholds
from skdistill.teachers.ensembles import MLPEnsembleRanker, RankEnsemble
from skdistill.teachers.labelling import (
    Labels,
    fit_on_labelled,
    fit_teacher,
    fresh_copy,
    is_fitted_for_good,
    label,
    score_rows,
)
from skdistill.teachers.pair_scores import (
    PairScores,
    check_pair_scores,
    teacher_scores_of,
)

__all__ = [
    "Labels",
    "MLPEnsembleRanker",
    "PairScores",
    "RankEnsemble",
    "check_pair_scores",
    "draw_rows",
    "fit_on_labelled",
    "fit_teacher",
    "fresh_copy",
    "is_fitted_for_good",
    "label",
    "score_rows",
    "split_thresholds",
    "teacher_scores_of",
]

"""What a retriever asks its teacher for: to be fitted, to score lists, and to be checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRouter

from skdistill.teachers.routing import is_prefit, teacher_router
from skdistill.towers.catalogue_supervision import CatalogueSupervision
from skdistill.towers.fitted import FittedTowers
from skdistill.towers.setup import TowerSetup
from skdistill.towers.supervision import PairFeatures, PairSupervision
from skdistill.towers.teacher_check import TeacherCheck, check_teacher_fitness


class TaughtTowers(FittedTowers):
    """Base of the retrievers: everything about the teacher.

    Attributes
    ----------
    teacher_ : estimator or None
        The fitted teacher, if one was needed and kept.
    """

    teacher: Any
    teacher_check: bool
    pair_features: Callable[[Any, Any], Any] | None

    @property
    def wants_teacher(self) -> bool:
        """Whether the objective uses the teacher's scores."""
        return True

    def sub_teachers(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": self.teacher}

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that the retriever consumes, and that it routes to its teacher.

        Returns
        -------
        MetadataRouter
            A teacher that requests nothing gets queries and row weights.
        """
        return teacher_router(self)

    def asks_teacher(self, supervision: PairSupervision) -> bool:
        """Whether the teacher is needed: there are no scores, and the objective uses them."""
        return (
            self.wants_teacher and self.teacher is not None and not supervision.has_teacher_scores
        )

    def _check_taught(self, supervision: PairSupervision) -> None:
        """Check that there are the teacher's scores that the objective cannot do without.

        Raises
        ------
        ValueError
            If they are lacking; by default, the objective learns from labels then.
        """

    def _teach(
        self, supervision: PairSupervision, validation: PairSupervision | None
    ) -> tuple[PairSupervision, PairSupervision | None]:
        """Add the teacher's scores, if it is needed, to what is learnt and what is watched."""
        self.teacher_ = None
        if not self.asks_teacher(supervision):
            return supervision, validation
        make_rows = self._teacher_rows(supervision)
        supervision, self.teacher_ = supervision.taught_by(self.teacher, make_rows, validation)
        if validation is not None and not validation.has_teacher_scores:
            validation = validation.scored_by(self.teacher_, make_rows)
        return supervision, validation

    def _score_further(self, supervision: PairSupervision) -> PairSupervision:
        """Add the scores of a fitted teacher to a further log, if they are needed."""
        if not self.asks_teacher(supervision):
            return supervision
        if is_prefit(self.teacher):
            self.teacher_ = self.teacher
        if self.teacher_ is None:
            raise ValueError(
                "partial_fit fits no teacher, and that of fit was not kept. Pass teacher_scores=, "
                "set a fitted teacher in a FrozenEstimator, or fit and save with keep_teacher=True."
            )
        return supervision.scored_by(self.teacher_, self._teacher_rows(supervision))

    def _check_teacher(
        self,
        supervision: PairSupervision,
        validation: PairSupervision | None,
        setup: TowerSetup,
        rng: np.random.Generator,
    ) -> TeacherCheck | None:
        if not self.teacher_check or not isinstance(supervision, CatalogueSupervision):
            return None

        def teach_again(rest: CatalogueSupervision) -> CatalogueSupervision:
            return rest.taught_by(self.teacher, self._teacher_rows(rest), validation)[0]

        return check_teacher_fitness(supervision, setup, teach_again, rng.spawn(1)[0])

    def _teacher_rows(self, supervision: PairSupervision) -> PairFeatures | None:
        """Function that builds the teacher's rows; None if the teacher reads the log as it is."""
        if self.pair_features is None and supervision.catalogue is not None:
            return self.pair_columns_.side_by_side
        return self.pair_features

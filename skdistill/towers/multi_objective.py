"""MultiObjectiveRetriever: one query vector per objective, one item vector for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skdistill.inputs.columns import as_table
from skdistill.models.two_tower import TwoTower
from skdistill.multi_objective import OBJECTIVES_CONSTRAINTS, WithObjectives, labels_for_teacher
from skdistill.protocols import Loss
from skdistill.public_names import set_module
from skdistill.teachers.routing import is_prefit
from skdistill.towers.estimator import TowerEstimator
from skdistill.towers.objectives import SeveralObjectives
from skdistill.towers.supervision import PairSupervision


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class MultiObjectiveRetriever(WithObjectives, TowerEstimator):
    """Towers that learn clicks, purchases and the teacher's order side by side.

    The query tower returns one vector per objective, the item tower one vector for all of them. The
    combined score is a weighted sum over objectives, and so the dot product of the item vector with
    a weighted sum of query vectors. One index therefore serves any weights, and the weights may be
    changed after fitting (``set_params(combine=...)``).

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable, optional
        The ranker to distil, as in :class:`DistilledRanker`. Needed for the objective "teacher",
        unless ``fit`` gets ``teacher_scores``.
    objectives : dict of str to (str or Loss)
        Loss of each objective. The keys are the column names of a data frame y, or name the columns
        of an array y in order. The key "teacher" is the objective that learns the teacher's scores.
    query_columns, item_columns : columns as in ColumnTransformer
        Columns of X that describe the query and the item. The other columns describe pairs; they
        reach the teacher only if there is no catalogue.
    objective_weights : dict of str to float, optional
        Weight of each objective in training; 1 for those that are not named.
    balance : {"fixed", "gradient"}, default="fixed"
        With "gradient", the loss of each objective is rescaled so that its weight sets how much it
        moves the parameters, whatever the scale of the loss.
    combine : dict of str to float, optional
        Weight of each objective in the combined score; 0 for those that are not named. By default,
        all weights are 1. Logistic objectives enter with their log-odds.
    teacher_target : str, optional
        Objective whose labels an unfitted teacher is fitted on.
    embedding_dim : int, default=32
        Length of the embeddings, the item bias included.
    query_hidden, item_hidden : tuple of int, default=()
        Sizes of the towers' hidden layers; by default the towers are linear.
    query_transformer, item_transformer : transformer or "auto", default="auto"
        Turns the columns into numbers; fitted on the distinct queries and items. With "auto",
        floats, dates and durations are numbers, and integers, strings, booleans and categories are
        categories. Any value may be missing. Unknown categories and those seen once share one
        code. An unknown id gets no code, so that new queries and items are embedded by their other
        columns. All columns of numeric arrays and CSR matrices are taken as numbers. Tables
        passed after ``fit`` are converted to the types of ``fit``, or refused if that is not exact.
    pair_features : callable, optional
        ``pair_features(queries, items)`` takes two aligned tables, one with the query columns and
        one with the item columns, and returns the teacher's input rows. Both tables have the same
        new index if they are pandas data frames, and so must the rows. By default, these are the
        columns side by side in the order of X.
    temperature : float, default=1.0
        Divides the teacher's and the towers' scores in losses that have a temperature.
    n_candidates : int, optional
        Number of catalogue items that the teacher scores per query: its best items, if its scores
        are a matrix, or else logged items and those that are logged together with them; uniform
        draws; then the items that the towers rank highest. Each takes 12 bytes. By default, the
        teacher scores the whole catalogue, which takes 12 bytes per pair at first and 4 bytes
        later.
    logq_correction : float, default=0.5
        Strength of the correction for the probability of the uniform draws. With 1, a sampled list
        gives an unbiased estimate of the loss over the whole catalogue, but a draw of importance
        100 is noisy; with 0, sampled lists are not corrected. Teacher and towers are corrected
        alike, so that the optimum stays the same.
    known_items : {"keep", "mask"}, default="keep"
        Given a catalogue, whether the lists on which the towers follow the teacher contain the
        items that the query's log holds with a label other than 0, or without labels. Use "mask"
        if ``retrieve`` will exclude them, as recommenders do: their scores are then not learnt, and
        the dimensions go to the order of the other items. Search engines want them, and keep them.
    similarity : {"dot", "cosine"}, default="dot"
        With "cosine", embeddings have length 1 and scores are cosines times a learnt scale, the
        inverse of a temperature.
    item_bias : bool, default=True
        Use the last dimension as a bias per item; ignored with "cosine".
    spectral_start : bool, default=True
        Given a catalogue, initialise the towers from the singular vectors of the teacher's scores,
        or without a teacher from those of the logged pairs.
    teacher_check : bool, default=True
        Given a catalogue, a teacher and labels, compare the teacher with popularity and with towers
        trained on labels alone, and warn if it is worse. This fits an unfitted teacher once more.
        See ``teacher_check_``.
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``.
    max_iter : int or "auto", default="auto"
        Number of epochs. "auto" is 40 if the towers learn a catalogue from a teacher alone and know
        queries by their ids (the query tower has at least as many inputs as there are queries), and
        20 otherwise.
    batch_size : int, default=64
        Number of queries per step.
    max_batch_rows : int, default=65536
        Largest number of rows per step without a catalogue.
    optimizer : {"adam", "adagrad"}, default="adam"
        "adagrad" suits id columns of very different frequency.
    learning_rate_init : float or "auto", default="auto"
        Learning rate before the schedule. "auto" is 0.05 where ``max_iter="auto"`` is 40 and the
        towers have no hidden layers, and 0.02 otherwise.
    learning_rate : {"constant", "cosine", "linear"}, default="cosine"
        Schedule over the whole training.
    weight_decay : float or "auto", default="auto"
        Decoupled weight decay. "auto" is 0.2 if the towers learn a catalogue from labels alone, and
        0 otherwise.
    early_stopping : bool or "auto", default="auto"
        Whether to stop when the score of held-out queries stops improving, and restore the best
        epoch. They are those of ``X_val``; without it, True holds out queries of X, and "auto" does
        not stop. The score is the fraction of the teacher's top 10 in the towers' top 50 of the
        catalogue; without a catalogue or without a teacher it is NDCG@10. A query that is described
        by ids alone, which training does not see, has no embedding.
    validation_fraction : float, default=0.1
        Fraction of the queries that ``early_stopping=True`` holds out.
    n_iter_no_change : int, default=5
        Number of epochs without improvement after which early stopping stops.
    tol : float, default=1e-4
        Least gain in the validation score that counts as an improvement.
    warm_start : bool, default=False
        If True, ``fit`` starts from the parameters of the previous fit, and keeps how the columns
        are read. New categories get weights of their own. See also ``partial_fit``.
    verbose : bool, default=False
        Print the loss, and the validation score if there is one, after each epoch.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. Without either, rows with equal
        query columns are one query.
    random_state : int, RandomState or None, default=None
        Pass an int to get bitwise the same towers for a given machine and thread count.
    draw_correction : float, deprecated
        Former name of ``logq_correction``.

        .. deprecated:: 0.2
            It will be removed in 0.3.

    Attributes
    ----------
    objective_names_ : list of str
        Names of the objectives, in the order of the query vectors.
    params_ : dict of ndarray
        Parameters of both towers.
    query_transformer_, item_transformer_ : TableEncoder or transformer
        What reads the columns: with "auto" a TableEncoder, else the fitted transformer.
    query_scaler_, item_scaler_ : ColumnScaler
        Softsign, shift and scale of each encoded column, twice if its tail is very heavy.
    teacher_ : estimator or None
        The fitted teacher, if one was needed and ``keep_teacher`` is True.
    teacher_check_ : TeacherCheck or None
        Recall of held-out positives by the teacher, by popularity and by towers trained on labels.
    items_ : table or None
        The catalogue, kept along with the teacher for ``teacher_recall``.
    index_ : ExactIndex or another index
        Index of the catalogue, or of the items last passed to ``index``.
    pair_columns_ : PairColumns
        Columns that describe the query and columns that describe the item.
    loss_curve_ : list of float
        Objective of each epoch.
    validation_scores_ : list of float
        Validation score after each epoch; empty without ``early_stopping``.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only for tables that have names.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import MultiObjectiveRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> data = make_retrieval(n_queries=200, n_items=300, random_state=0)
    >>> retriever = MultiObjectiveRetriever(
    ...     objectives={"click": "listwise", "teacher": "listwise"},
    ...     query_columns=data.query_columns,
    ...     item_columns=data.item_columns,
    ...     random_state=0,
    ... )
    >>> retriever = retriever.fit(
    ...     data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility
    ... )
    >>> ids, scores = retriever.retrieve(data.queries[:2], k=5)
    >>> sorted(retriever.predict_objectives(data.X[:3]))
    ['click', 'teacher']
    """

    objectives: Mapping[str, str | Loss]
    objective_weights: Mapping[str, float] | None = None
    balance: str = "fixed"
    combine: Mapping[str, float] | None = None
    teacher_target: str | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TowerEstimator._parameter_constraints,
        **OBJECTIVES_CONSTRAINTS,
        "combine": [Mapping, None],
        "teacher_target": [str, None],
    }

    def check_parameters(self) -> None:
        """Check all parameters before anything expensive runs.

        Raises
        ------
        ValueError
            If a parameter is invalid, or names an objective that does not exist.
        """
        super().check_parameters()
        self.check_objectives()

    def make_pair_objective(self) -> SeveralObjectives:
        """Learn one query vector per objective."""
        return SeveralObjectives(self)

    @property
    def wants_teacher(self) -> bool:
        """Whether the teacher's scores are one of the objectives."""
        return self.has_teacher_objective

    def split_labels(self, labels: Any, asks_teacher: bool) -> tuple[Any, Any]:
        """Labels for the teacher, and the labels of all objectives."""
        if labels is None:
            return None, None
        is_needed = asks_teacher and not is_prefit(self.teacher)
        chosen = labels_for_teacher(labels, self.label_names, self.teacher_target, is_needed)
        return chosen, labels

    def transform_queries(self, queries: Any) -> NDArray[np.float32]:
        """Embed queries so that their dot products with items are the combined scores.

        Parameters
        ----------
        queries : table of shape (n_queries, n_query_columns)
            The query columns of ``fit``. A data frame may have further columns.

        Returns
        -------
        ndarray of shape (n_queries, embedding_dim), float32

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If a column is missing, or ``combine`` names an unknown objective.
        """
        return np.einsum("nhd,h->nd", self._embed_objectives(queries), self.combination)

    def predict_objectives(self, X: Any) -> dict[str, NDArray[np.float32]]:
        """Score pairs by each objective: probabilities for logistic losses, scores for others.

        Parameters
        ----------
        X : table of shape (n_rows, n_features)
            Pairs, with the columns of ``fit``. Only the query and item columns are read.

        Returns
        -------
        dict of str to ndarray of shape (n_rows,), float32
            Scores by name of the objective.

        Raises
        ------
        NotFittedError
            If the retriever is not fitted.
        ValueError
            If the columns differ from those of ``fit``.
        """
        check_is_fitted(self)
        X = as_table(X)
        self.check_columns(X, reset=False)
        left = self._embed_objectives(self.pair_columns_.queries(X))
        right = self.transform_items(self.pair_columns_.items(X))
        scores = np.einsum("nhd,nd->nh", left, right)
        if self.similarity == "cosine":
            scores *= np.exp(self.params_["log_scale_bias"][0])
        return self.by_name(scores)

    @property
    def served_combination(self) -> NDArray[np.float32]:
        """Weight of each query vector in the combined score."""
        return self.combination

    def make_model(self) -> TwoTower:
        """Make a two-tower model with one query vector per objective.

        Returns
        -------
        TwoTower
        """
        return replace(super().make_model(), n_objectives=len(self.objectives))

    def _embed_objectives(self, queries: Any) -> NDArray[np.float32]:
        """Embed queries by each objective, shape (n_queries, n_objectives, embedding_dim)."""
        embeddings = self._embed(queries, "query")
        return embeddings.reshape(-1, len(self.objective_names_), self.embedding_dim)

    def _check_taught(self, supervision: PairSupervision) -> None:
        """Check that there are teacher scores if they are one of the objectives.

        Raises
        ------
        ValueError
            If there are none.
        """
        if self.wants_teacher and not supervision.has_teacher_scores:
            raise ValueError(
                'The objective "teacher" needs a teacher: pass teacher=, or teacher_scores= to fit.'
            )

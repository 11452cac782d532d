"""TwoTowerRetriever: distil a teacher's order of a catalogue into dot products."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from skdistill._sklearn_compat import Interval
from skdistill.losses import LOSS_CONSTRAINTS, get_loss
from skdistill.protocols import Loss
from skdistill.public_names import set_module
from skdistill.towers.estimator import TowerEstimator
from skdistill.towers.objectives import MixedObjective

AUTO = "auto"


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class TwoTowerRetriever(TowerEstimator):
    """Two networks map queries and items to vectors whose dot products follow a teacher's scores.

    With a catalogue (``fit(..., items=)``), the towers learn the teacher's scores of every item, or
    of ``n_candidates`` items per query. Without one, they learn from the logged rows alone, which
    makes a pre-ranking scorer.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator, Booster or callable, optional
        The ranker to distil, as in :class:`DistilledRanker`. Not needed if the towers learn from
        labels alone, or if ``fit`` gets ``teacher_scores``.
    query_columns, item_columns : columns as in ColumnTransformer
        Columns of X that describe the query and the item. The other columns describe pairs; they
        reach the teacher only if there is no catalogue.
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
    loss : str or Loss, default="auto"
        How the towers' scores are compared with the teacher's. "auto" is "rank_listwise" given a
        catalogue, which follows the order of the teacher's first ranks, and "listwise" without one
        or with a temperature other than 1.
    hard_loss : str or Loss, optional
        How the towers' scores are compared with labels; the same as ``loss`` by default, and
        "listwise" if that is "auto".
    alpha : float, default=1.0
        Weight of the teacher; labels have the rest. With 0, the towers learn from labels alone.
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

    References
    ----------
    Covington, Adams, Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    Kang, Hwang, Kweon, Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System",
    CIKM 2020.

    Examples
    --------
    >>> from skdistill import TwoTowerRetriever
    >>> from skdistill.datasets import make_retrieval
    >>> data = make_retrieval(n_queries=200, n_items=300, random_state=0)
    >>> retriever = TwoTowerRetriever(
    ...     query_columns=data.query_columns, item_columns=data.item_columns, random_state=0
    ... )
    >>> retriever = retriever.fit(
    ...     data.X, data.y, qid=data.qid, items=data.items, teacher_scores=data.utility
    ... )
    >>> ids, scores = retriever.retrieve(data.queries[:2], k=5)
    >>> ids.shape
    (2, 5)
    """

    loss: str | Loss = AUTO
    hard_loss: str | Loss | None = None
    alpha: float = 1.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TowerEstimator._parameter_constraints,
        "loss": LOSS_CONSTRAINTS,
        "hard_loss": [*LOSS_CONSTRAINTS, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
    }

    def make_pair_objective(self) -> MixedObjective:
        """Mix the losses: ``(1 - alpha) * hard_loss(y) + alpha * loss(teacher)``."""
        is_auto = isinstance(self.loss, str) and self.loss == AUTO
        loss = "listwise" if is_auto else self.loss
        soft = soft_on_log = get_loss(loss, self.temperature)
        if is_auto and self.temperature == 1:
            soft = get_loss("rank_listwise")
        hard = get_loss(loss if self.hard_loss is None else self.hard_loss)
        return MixedObjective(soft, hard, self.alpha, soft_on_log)

    @property
    def wants_teacher(self) -> bool:
        """Whether the teacher has a weight above 0."""
        return self.alpha > 0

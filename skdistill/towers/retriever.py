"""TwoTowerRetriever: the teacher's order over a catalogue, as dot products."""

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


@set_module("skdistill")
@dataclass(kw_only=True, eq=False, repr=False)
class TwoTowerRetriever(TowerEstimator):
    """Two networks map queries and items to vectors whose dot products follow a teacher's scores.

    With a catalogue (``fit(..., items=)``) each query's list is all of it, or ``n_candidates`` of
    it, and the teacher scores every pair of the list. Without one the lists are the logged rows,
    which makes a pre-ranking scorer.

    Parameters
    ----------
    teacher : estimator, Pipeline, FrozenEstimator or ``lightgbm.Booster``, optional
        As in :class:`DistilledRanker`. None if the labels teach, or if ``fit`` gets
        ``teacher_scores``.
    query_columns, item_columns : columns as in ColumnTransformer
        Columns of X that describe the query and the item. The other columns describe pairs; only a
        teacher without a catalogue sees them.
    embedding_dim : int, default=32
        Length of the embeddings, the item bias included.
    query_hidden, item_hidden : tuple of int, default=()
        Sizes of the towers' hidden layers; by default the towers are linear.
    query_transformer, item_transformer : transformer or "auto", default="auto"
        Turns the columns into numbers; fitted on the distinct queries and items. With "auto",
        floats are imputed and standardised, and integers, strings, booleans and categories are
        one-hot encoded. Unknown categories and those seen once share one code. An unknown id has no
        code at all, so that new queries and items are embedded by their other columns. Arrays and
        CSR matrices hold numbers.
    pair_features : callable, optional
        ``pair_features(queries, items)`` of two aligned tables with the query and the item columns
        returns the teacher's input rows. By default the columns side by side, in the order of X.
    loss : str or Loss, default="listwise"
        How the towers' scores are compared with the teacher's.
    hard_loss : str or Loss, optional
        How the towers' scores are compared with labels; the same as ``loss`` by default.
    alpha : float, default=1.0
        Weight of the teacher; labels have the rest. With 0, labels alone teach.
    temperature : float, default=1.0
        Divides the teacher's and the towers' scores in losses that have a temperature.
    n_candidates : int, optional
        Budget of teacher scores per query of the catalogue: logged items, uniform draws, then items
        that the towers themselves rank highest. Each costs 12 bytes. None: the whole catalogue, at
        12 bytes per pair in the beginning and 4 bytes later.
    logq_correction : float, default=0.5
        How far the probability of the uniform draws is corrected for. With 1, a sampled list gives
        an unbiased estimate of the whole catalogue's loss, but a draw of importance 100 is noisy;
        with 0, sampled lists count as they are. Teacher and towers are corrected alike, so that the
        optimum stays the same.
    similarity : {"dot", "cosine"}, default="dot"
        With "cosine", embeddings have length 1 and scores are cosines times a learnt scale, which
        is the inverse of a temperature.
    item_bias : bool, default=True
        Use the last dimension for a bias of items; no effect on cosines.
    spectral_start : bool, default=True
        Start from the singular vectors of the teacher's scores of the catalogue.
    teacher_check : bool, default=True
        With a catalogue, a teacher and labels, compare the teacher with popularity and with towers
        trained on labels. An unfitted teacher is fitted once more for it. See ``teacher_check_``.
    keep_teacher : bool, default=True
        Keep the fitted teacher as ``teacher_``.
    max_iter : int, default=20
        Number of epochs.
    batch_size : int, default=64
        Number of queries per step.
    max_batch_rows : int, default=65536
        Largest number of rows per step without a catalogue.
    optimizer : {"adam", "adagrad"}, default="adam"
        "adagrad" suits id columns of very different frequency.
    learning_rate_init : float, default=0.02
        Learning rate before the schedule.
    learning_rate : {"constant", "cosine", "linear"}, default="cosine"
        Schedule over the whole training.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    early_stopping : bool, default=False
        Hold out queries, stop when their validation score stops improving, and restore the best
        epoch. The score is the fraction of the teacher's top 10 in the towers' top 50 of the
        catalogue; without a catalogue or without a teacher it is NDCG@10. A held-out query that is
        described by ids alone has no embedding.
    validation_fraction : float, default=0.1
        Fraction of the queries that early stopping holds out.
    n_iter_no_change : int, default=5
        Number of epochs without improvement after which early stopping stops.
    tol : float, default=1e-4
        Least gain in the validation score that counts as an improvement.
    query_column : str or int, optional
        Column of X with the query ids, if no ``qid`` is passed. Without either, rows with equal
        query columns are one query.
    random_state : int, RandomState or None, default=None
        Pass an int to get the same towers for a given machine and thread count.
    draw_correction : float, deprecated
        Former name of ``logq_correction``.

        .. deprecated:: 0.2
            It will be removed in 0.3.

    Attributes
    ----------
    params_ : dict of ndarray
        Parameters of both towers.
    query_transformer_, item_transformer_ : transformer
        The fitted transformers.
    query_scaler_, item_scaler_ : ColumnScaler
        Softsign, shift and scale of each encoded column.
    teacher_ : estimator or None
        The fitted teacher, if it was needed and is kept.
    teacher_check_ : TeacherCheck or None
        Recall of held-out positives by teacher, popularity and towers trained on labels.
    items_ : table or None
        The catalogue, kept if the teacher is: ``teacher_recall`` shows it to both.
    index_ : ExactIndex or another index
        Of the catalogue, or of what ``index`` was given.
    pair_columns_ : PairColumns
        Which columns describe the query and which the item.
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

    loss: str | Loss = "listwise"
    hard_loss: str | Loss | None = None
    alpha: float = 1.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TowerEstimator._parameter_constraints,
        "loss": LOSS_CONSTRAINTS,
        "hard_loss": [*LOSS_CONSTRAINTS, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
    }

    def make_pair_objective(self) -> MixedObjective:
        """``(1 - alpha) * hard_loss(y) + alpha * loss(teacher)``."""
        soft = get_loss(self.loss, self.temperature)
        hard = get_loss(self.loss if self.hard_loss is None else self.hard_loss)
        return MixedObjective(soft, hard, self.alpha)

    @property
    def wants_teacher(self) -> bool:
        """Whether the teacher has any weight."""
        return self.alpha > 0

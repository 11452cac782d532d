"""What a report finds: checks, slices, queries and fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skdistill.metrics import RatioInterval

OK, LOOK, SKIPPED = "ok", "look", "not checked"
NEEDS_TRAIN = "needs the training rows: pass X_train, y_train and qid_train (--train)"
NEEDS_TEACHER = "needs the teacher: pass teacher= (--teacher)"
NEEDS_MODEL = "needs a teacher that reads the columns of this table; here only its scores are known"


@dataclass(frozen=True)
class Check:
    """One thing that may be wrong with a student, a teacher or a table.

    Attributes
    ----------
    name : str
        What was checked.
    status : {"ok", "look", "not checked"}
        "look" means that the message needs attention.
    message : str
        What was found, and what to do about it; for checks that were not made, what they need.
    """

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class SliceReport:
    """Student and teacher on some of the rows.

    Attributes
    ----------
    name : str
        Name of the column, or "rows per query".
    value : str
        Value, or range of values.
    n_queries, n_rows : int
        Number of queries and rows.
    ndcg : float
        NDCG of the student.
    teacher_ndcg : float
        That of the teacher; NaN without a teacher.
    ratio : RatioInterval
        Student over teacher, with the 95% interval of a paired bootstrap over queries; NaN without
        a teacher, or with fewer than two queries.
    tau : float
        Kendall's tau of student and teacher.
    """

    name: str
    value: str
    n_queries: int
    n_rows: int
    ndcg: float
    teacher_ndcg: float
    ratio: RatioInterval
    tau: float


@dataclass(frozen=True)
class QueryReport:
    """A query on which student and teacher disagree.

    Attributes
    ----------
    query : object
        Its id.
    n_rows : int
        Number of rows.
    tau : float
        Kendall's tau of student and teacher.
    ndcg, teacher_ndcg : float
        NDCG by both; NaN if no row is relevant.
    """

    query: Any
    n_rows: int
    tau: float
    ndcg: float
    teacher_ndcg: float


@dataclass(frozen=True)
class Fidelity:
    """How well a student keeps its teacher's order.

    Attributes
    ----------
    tau : float
        Mean over queries of Kendall's tau.
    overlap : float
        Mean rank-biased overlap, which weighs the first places most.
    recall : float
        Fraction of the teacher's top k rows in the student's top k.
    """

    tau: float
    overlap: float
    recall: float

"""Data sets: MovieLens, LETOR files, ranking tables from logs, and synthetic problems."""

from skdistill.datasets.auction import make_auction
from skdistill.datasets.clicks import make_clicks
from skdistill.datasets.letor import load_letor
from skdistill.datasets.movielens import load_movielens
from skdistill.datasets.ranking_table import build_ranking_table
from skdistill.datasets.retrieval import make_retrieval
from skdistill.datasets.synthetic import make_ranking
from skdistill.public_names import publish

__all__ = [
    "build_ranking_table",
    "load_letor",
    "load_movielens",
    "make_auction",
    "make_clicks",
    "make_ranking",
    "make_retrieval",
]

publish(__name__)

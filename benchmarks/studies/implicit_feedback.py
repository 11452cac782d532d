"""What towers of ids keep of strong recommenders, on logs that hold nothing but saved items.

    python -m benchmarks implicit_feedback users.dat.gz [--split file|random] [--seeds 5] [--short]

The file is that of CiteULike-t: per line a user's number of articles, and their ids. Users with
fewer than five articles are left out. Of each user's articles, 0.8 are for training, 0.1 for
validation and the rest for testing: in the order of the file, as published comparisons have it, or
in a random order. The file lists articles by ascending id, so that its order measures how well a
model finds a user's highest ids. Without a file, or with ``--short``, a log is drawn.

Teachers are matrix factorizations of the library implicit (ALS of 200 factors, BPR of 400), which
is optional, and EASE. Towers of 20 dimensions know a user and an article by their ids alone. They
learn from a teacher in one of several ways, or from labels alone; the rivals of the latter are ALS
and BPR of 20 factors. All other settings are the defaults, which were chosen by one seed on
validation articles. Training articles are excluded from all lists. The teacher is the same for all
seeds. Intervals are 95%, by the paired bootstrap over the users of all seeds.
"""

import argparse
import gzip
import time

import numpy as np
import pandas as pd
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from skdistill import TwoTowerRetriever
from skdistill.metrics import bootstrap_ratio, per_query, retrieval_ndcg, retrieval_recall

K = 10
DIMENSIONS = 20
# Ways to distil: by default settings, and with lists that fit most users' memory and time.
MASKED = {"known_items": "mask"}
WAYS = {
    "known items masked": MASKED,
    "the same, 400 candidates": {"n_candidates": 400, **MASKED},
    "known items kept": {},
}


def read_log(path):
    """Articles of each user with at least five, numbered anew."""
    with gzip.open(path, "rt") as file:
        articles = [np.array(line.split()[1:], dtype=int) for line in file]
    articles = [one for one in articles if len(one) >= 5]
    numbers = np.unique(np.concatenate(articles))
    return [np.searchsorted(numbers, one) for one in articles], len(numbers)


def draw_log(n_users=300, n_items=500, rng=None):
    """A log of users with tastes, for a machine that has no file."""
    rng = np.random.default_rng(0) if rng is None else rng
    tastes, kinds = rng.standard_normal((n_users, 6)), rng.standard_normal((n_items, 6))
    utility = tastes @ kinds.T + rng.gumbel(size=(n_users, n_items))
    return list(np.argsort(-utility, axis=1)[:, :15]), n_items


def split(articles, n_items, order):
    """Training, validation and test articles as matrices of shape (n_users, n_items)."""
    rng = np.random.default_rng(0)
    parts = [[], [], []]
    for own in articles:
        own = rng.permutation(own) if order == "random" else own
        ends = max(int(0.8 * len(own)), 1), int(0.9 * len(own))
        for part, chosen in zip(parts, np.split(own, ends), strict=True):
            part.append(chosen)
    return [matrix_of(part, n_items) for part in parts]


def matrix_of(items, n_items):
    users = np.repeat(np.arange(len(items)), [len(own) for own in items])
    pairs = users, np.concatenate(items).astype(int)
    return sparse.csr_array((np.ones(len(users), np.float32), pairs), shape=(len(items), n_items))


def factorize(kind, train, factors, seed=0):
    """Scores of a matrix factorization of the library implicit."""
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking

    if kind == "ALS":
        model = AlternatingLeastSquares(
            factors, alpha=20, regularization=0.1, random_state=seed, num_threads=1
        )
    else:
        epochs, rate = (200, 0.05) if factors > DIMENSIONS else (100, 0.05)
        model = BayesianPersonalizedRanking(
            *(factors, rate, 0.01), iterations=epochs, random_state=seed, num_threads=1
        )
    model.fit(sparse.csr_matrix(train), show_progress=False)
    return model.user_factors @ model.item_factors.T


def ease(train, ridge=50.0):
    """Scores of EASE (Steck, 2019), by the matrix of users instead of that of items."""
    log = train.toarray().astype(np.float64)
    gram = log @ log.T
    inverse = linalg.solve(gram + ridge * np.eye(len(gram)), log, assume_a="pos")
    projected = (log - gram @ inverse) / ridge
    diagonal = (1 - np.einsum("ij,ij->j", log, inverse)) / ridge
    return (log - projected / diagonal).astype(np.float32)


def best_items(scores, train):
    """The first items of each user among those that are not for training."""
    found = []
    for start in range(0, len(scores), 500):
        block = np.array(scores[start : start + 500])
        block[train[start : start + 500].nonzero()] = -np.inf
        found.append(np.argsort(-block, axis=1, kind="stable")[:, :K])
    return np.concatenate(found)


def fit_towers(train, seed, teacher_scores=None, **parameters):
    """Items that towers retrieve for each user, and the seconds that fit takes."""
    user, article = train.nonzero()
    log = pd.DataFrame({"user": user.astype(str), "article": article.astype(str)})
    catalogue = pd.DataFrame({"article": np.arange(train.shape[1]).astype(str)})
    towers = TwoTowerRetriever(
        query_columns=["user"],
        item_columns=["article"],
        embedding_dim=DIMENSIONS,
        teacher_check=False,
        random_state=seed,
        **parameters,
    )
    start = time.perf_counter()
    towers.fit(log, np.ones(len(log)), qid=user, items=catalogue, teacher_scores=teacher_scores)
    seconds = time.perf_counter() - start
    users = pd.DataFrame({"user": np.arange(train.shape[0]).astype(str)})
    return towers.retrieve(users, K, exclude=train)[0], seconds


def measure(lists, test):
    """Recall and NDCG of each user with test articles."""
    return np.stack(
        [per_query(metric, test, lists, k=K) for metric in (retrieval_recall, retrieval_ndcg)]
    )


def show(name, runs, baseline):
    """Print means over seeds, and ratios to the baseline."""
    values = np.concatenate(runs, axis=1)
    texts = []
    for value, other in zip(values, np.tile(baseline, len(runs)), strict=True):
        kept = ~np.isnan(value)
        ratio = bootstrap_ratio(value[kept], other[kept], random_state=0)
        texts.append(
            f"{np.mean(value[kept]):.4f}  {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
        )
    print(f"{name:44} {'   '.join(texts)}", flush=True)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="users.dat.gz of CiteULike-t")
    parser.add_argument("--split", choices=["file", "random"], default="random")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--teachers", nargs="*", default=["ALS", "BPR", "EASE"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS)[:2])
    parser.add_argument("--no-labels", action="store_true", help="leave out labels alone")
    parser.add_argument("--short", action="store_true", help="a small log, one seed, EASE alone")
    options = parser.parse_args(arguments)
    if options.short:
        options.file, options.seeds, options.teachers = None, 1, ["EASE"]
    articles, n_items = draw_log() if options.file is None else read_log(options.file)
    train, _, test = split(articles, n_items, options.split)
    print(
        f"{train.shape[0]:,} users, {n_items:,} articles, {train.nnz:,} training and {test.nnz:,} "
        f"test pairs, {options.split} order; {options.seeds} seed(s), one thread\n"
        f"{'':44} {f'recall@{K} and its ratio':32} {f'NDCG@{K} and its ratio':32}"
    )
    with threadpool_limits(1):
        for name in options.teachers:
            scores = ease(train) if name == "EASE" else None
            if scores is None:
                scores = factorize(name, train, 200 if name == "ALS" else 400)
            taught_by = measure(best_items(scores, train), test)
            show(f"teacher {name}", [taught_by], taught_by)
            for way in options.ways:
                runs, seconds = [], []
                for seed in range(options.seeds):
                    lists, took = fit_towers(train, seed, scores, **WAYS[way])
                    runs.append(measure(lists, test))
                    seconds.append(took)
                show(f"  {way} ({np.median(seconds):.0f} s)", runs, taught_by)
        if not options.no_labels:
            labels_alone(train, test, options.seeds, with_implicit=not options.short)


def labels_alone(train, test, seeds, *, with_implicit):
    """Towers and factorizations of as many dimensions, relative to the towers."""
    runs = [measure(fit_towers(train, seed, alpha=0.0)[0], test) for seed in range(seeds)]
    towers = np.mean(runs, axis=0)
    show("labels alone", runs, towers)
    for kind in ("ALS", "BPR") if with_implicit else ():
        rivals = [
            measure(best_items(factorize(kind, train, DIMENSIONS, seed), train), test)
            for seed in range(seeds)
        ]
        show(f"{kind} of {DIMENSIONS} factors by implicit", rivals, towers)

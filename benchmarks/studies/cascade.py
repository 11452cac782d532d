"""What a distilled cascade keeps of its teacher, at what cost, beside the same stages otherwise.

    python -m benchmarks cascade [--part kept|recall] [--variant 100k|1m] [--short]

kept
    Users whose films of the last period are unknown. Towers pass 60 films on, and a student orders
    them. The large student reads columns in pieces, and is trained five times as long, without
    weight decay, on the first 120 films: it is to fit the teacher's scores of these users. NDCG@10
    by labels, and by the teacher's order (gains fall from 1 for its best film to 0 after the
    tenth), relative to the teacher over the whole catalogue; the cost of requests of one and of a
    hundred users, relative to the teacher's. The models' share leaves out features and the reading
    of tables.
recall
    Users that no stage has seen. Fraction of the teacher's top ten that come through 200 films and
    a linear or small MLP pre-ranker, to the teacher in the last stage.

Intervals are 95% and paired, by the bootstrap over the queries of all seeds.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from skdistill import DistilledRanker, RankingCascade, TeacherWarning, TwoTowerRetriever
from skdistill.cascade import FirstTrees
from skdistill.losses import PlackettLuce
from skdistill.metrics import bootstrap_ratio, per_query, retrieval_ndcg
from skdistill.students import LinearRanker, MLPRanker

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))
from plot_cascade import Films, make_cascade, make_ranker

K = 10
# The decay of students on labels that is best for them, by the test itself: in their favour.
DECAYS = (0.01, 0.1, 0.3)


def ratio_text(values, baseline):
    ratio = bootstrap_ratio(values, baseline, random_state=0)
    return f"{ratio.ratio:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


def score_catalogue(ranker, films, users):
    """The teacher's scores of all films, block by block."""
    n_items = len(films.items)
    grid = np.empty((len(users), n_items))
    for start in range(0, len(users), 50):
        block = users[start : start + 50]
        left = films.users.iloc[np.repeat(block, n_items)]
        right = films.items.iloc[np.tile(np.arange(n_items), len(block))]
        grid[start : start + 50] = ranker.predict(films.features(left, right)).reshape(-1, n_items)
    return grid


def gains_of_order(best, n_items):
    rows = np.repeat(np.arange(len(best)), best.shape[1])
    gains = np.tile(1 - np.arange(best.shape[1]) / best.shape[1], len(best))
    return sparse.csr_array((gains, (rows, best.ravel())), shape=(len(best), n_items))


def cost_of_teacher(ranker, films, users):
    """Seconds per user of features and of the ranker for all films, for some users at once."""
    n_items = len(films.items)
    left = films.users.iloc[np.repeat(users, n_items)]
    right = films.items.iloc[np.tile(np.arange(n_items), len(users))]
    start = time.perf_counter()
    rows = films.features(left, right)
    built = time.perf_counter()
    ranker.predict(rows)
    scored = time.perf_counter()
    return (scored - start) / len(users), (scored - built) / len(users)


def cost_of_cascade(cascade, films, users):
    """Seconds per user of a request of some users, and of the models' share of it."""
    queries = films.users.iloc[users]
    funnel, sizes = cascade.funnel_, [size for _, _, size in cascade.stages]
    towers = next(iter(funnel.retrieval.retrievers.values()))
    start = time.perf_counter()
    cascade.rank(queries, K)
    whole = time.perf_counter() - start
    vectors = towers.transform_queries(queries)
    start = time.perf_counter()
    towers.index_.search(vectors, sizes[0])
    models = time.perf_counter() - start
    for stage, size in zip(funnel.stages, sizes, strict=False):
        pairs = np.repeat(np.arange(len(users)), size), np.tile(np.arange(size), len(users))
        scores = {name: np.zeros(len(pairs[0])) for name in stage.table.score_columns}
        rows = stage.table.rows(queries, funnel.items, *pairs, scores)
        start = time.perf_counter()
        stage.model.predict(rows)
        models += time.perf_counter() - start
    return whole / len(users), models / len(users)


def median_costs(ranker, cascade, films, users, at_once, repeats=9):
    """Median ratios of the teacher's cost to the cascade's, and both in milliseconds."""
    costs = []
    for repeat in range(repeats + 1):
        chosen = np.roll(users, repeat * at_once)[:at_once]
        teacher, its_model = cost_of_teacher(ranker, films, chosen)
        whole, models = cost_of_cascade(cascade, films, chosen)
        costs.append((teacher / whole, its_model / models, 1e3 * teacher, 1e3 * whole))
    return np.median(costs[1:], axis=0)  # the first one warms up


def kept(films, seeds, n_estimators, max_iter, decays):
    """Distilled, on logged rows only, on labels, and first trees: 60 pairs after retrieval."""
    users = np.unique(films.labels.nonzero()[0])
    queries, n_items = films.users.iloc[users], len(films.items)
    seen = (films.history + films.labels)[users]
    seen.data[:] = 1
    relevant = films.test[users]
    found, costs = {}, []
    for seed in range(seeds):
        X, y, user = films.log(users, seed)
        student = MLPRanker((128, 64), max_iter=max_iter)
        small_student = DistilledRanker(student=student, loss=PlackettLuce(30), alpha=0.9)
        large_student = DistilledRanker(
            student=MLPRanker(
                (192, 64),
                n_knots=8,
                max_iter=5 * max_iter,
                learning_rate_init=0.01,
                weight_decay=0.0,
            ),
            loss=PlackettLuce(60),
            alpha=1.0,
        )
        first = TwoTowerRetriever(
            query_columns=films.columns_of_users,
            item_columns=list(films.items),
            teacher_check=False,
        )

        def fit(last, retriever, teacher, seed=seed, log=(X, y, user), size=60, **parameters):
            cascade = RankingCascade(
                [("retrieve", retriever, size), ("rank", last, K)],
                teacher=teacher,
                features=films.features,
                query_columns=list(films.users),
                random_state=seed,
                **parameters,
            )
            cascade.fit(log[0], log[1], qid=log[2], items=films.items)
            return cascade.set_params(retrieve__size=60)

        small = fit(
            small_student, first, make_ranker(seed, n_estimators), sources=("passed", "logged")
        )
        ranker = FrozenEstimator(small.teacher_)
        towers = FrozenEstimator(small.funnel_.retrieval.retrievers["retrieve"])
        large = fit(large_student, towers, ranker, size=120, sources=("passed",))
        cascades = {
            "large student": large,
            "large, logged rows only": fit(large_student, towers, ranker, sources=("logged",)),
            "small student": small,
            "small, logged rows only": fit(small_student, towers, ranker, sources=("logged",)),
            "first 10 trees": fit(FirstTrees(10), towers, ranker),
            "teacher behind towers": fit("teacher", towers, ranker),
        }
        for decay in decays:
            on_labels = DistilledRanker(
                student=MLPRanker((128, 64), weight_decay=decay, max_iter=max_iter), alpha=0.0
            )
            cascades[f"on labels, decay {decay}"] = fit(
                on_labels, first.__class__(**{**first.get_params(), "alpha": 0.0,
                                              "weight_decay": decay}),
                ranker, sources=("logged",),
            )  # fmt: skip
        grid = score_catalogue(small.teacher_, films, users)
        grid[seen.nonzero()] = -np.inf
        best = np.argsort(-grid, axis=1, kind="stable")[:, :K]
        order = gains_of_order(best, n_items)
        lists = {name: cascade.rank(queries, exclude=seen)[0] for name, cascade in cascades.items()}
        for name, ids in {"teacher": best, **lists}.items():
            by_labels = per_query(retrieval_ndcg, relevant, ids, k=K)
            by_order = per_query(retrieval_ndcg, order, ids, k=K, gain="linear")
            found.setdefault(name, []).append((by_labels, by_order))
        costs.append(
            {
                (name, n): median_costs(small.teacher_, cascade, films, users, n)
                for name, cascade in {"large": large, "small": small}.items()
                for n in (1, 100)
            }
        )
    defined = ~np.isnan(np.concatenate([labels for labels, _ in found["teacher"]]))
    teacher = [np.concatenate([pair[n] for pair in found["teacher"]])[defined] for n in (0, 1)]
    print(f"{'':24} {'labels, of the teacher':28} {'order, of the teacher':28}")
    for name, pairs in found.items():
        values = [np.concatenate([pair[n] for pair in pairs])[defined] for n in (0, 1)]
        ratios = [ratio_text(mine, its) for mine, its in zip(values, teacher, strict=True)]
        print(f"{name:24} {ratios[0]:28} {ratios[1]:28}")
    print()
    for name, at_once in costs[0]:
        mean = np.mean([of_seed[name, at_once] for of_seed in costs], axis=0)
        print(
            f"{name} student, requests of {at_once:3d}: teacher over the catalogue "
            f"{mean[2]:.2f} ms per user, cascade {mean[3]:.2f} ms: 1/{mean[0]:.0f} with features, "
            f"1/{mean[1]:.0f} of the models"
        )


def recall(films, seeds, n_estimators, max_iter, sizes):
    """Pre-rankers for users that no stage has seen."""
    found = {}
    for seed in range(seeds):
        train, held_out = films.split_users(seed)
        X, y, user = films.log(train, seed)
        queries = films.users.iloc[held_out]
        students = {
            "linear": LinearRanker(max_iter=max_iter),
            "MLP(16)": MLPRanker((16,), max_iter=max_iter),
        }
        ranker = towers = None
        for name, student in students.items():
            for size in sizes:
                cascade = make_cascade(
                    films, ranker or make_ranker(seed, n_estimators), seed, size=size
                )
                cascade.set_params(prerank=student)
                if towers is not None:
                    cascade.set_params(retrieve=towers)
                cascade.fit(X, y, qid=user, items=films.items)
                ranker = FrozenEstimator(cascade.teacher_)
                towers = FrozenEstimator(cascade.funnel_.retrieval.retrievers["retrieve"])
                grid = score_catalogue(cascade.teacher_, films, held_out)
                best = np.argsort(-grid, axis=1, kind="stable")[:, :K]
                rows = [np.isin(a, b).mean() for a, b in
                        zip(best, cascade.rank(queries)[0], strict=True)]  # fmt: skip
                found.setdefault((name, size), []).append(rows)
                ids, _ = towers.retrieve(queries, 200)
                alone = [np.isin(a, b[:size]).mean() for a, b in zip(best, ids, strict=True)]
                found.setdefault(("towers alone", size), []).append(alone)
    print("recall of the teacher's top ten, 200 -> size -> teacher, mean over seeds")
    for (name, size), runs in found.items():
        values = np.concatenate(runs)
        interval = ratio_text(values, np.ones(len(values)))
        by_seed = ", ".join(f"{np.mean(run):.4f}" for run in runs[:seeds])
        print(f"{name:14} {size:4d}  {interval}   ({by_seed})")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["kept", "recall"], help="all by default")
    parser.add_argument("--variant", choices=["100k", "1m"], default="100k", help="MovieLens")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--short", action="store_true", help="only check that it runs")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", TeacherWarning)
    seeds, trees, max_iter = (1, 10, 2) if options.short else (options.seeds, 150, None)
    with threadpool_limits(1):
        films = Films(options.variant)
        if options.part in (None, "kept"):
            kept(films, seeds, trees, max_iter or 60, DECAYS[:1] if options.short else DECAYS)
        if options.part in (None, "recall"):
            recall(films, seeds, trees, max_iter or 30, (20,) if options.short else (20, 50))

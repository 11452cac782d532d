"""Draw quality versus speed: students, the teacher's first trees, and small trees, on four tables.

    python -m benchmarks pareto --ohsumed FOLDER --out pictures     # S1.txt.gz to S5.txt.gz in it
    python -m benchmarks pareto --tables "MovieLens 100k" --seeds 2
    python -m benchmarks pareto --short                             # only check that it runs

The teacher is a LightGBM model that was chosen among six by validation queries. Students learn from
it with default settings. Small trees are chosen by ``fit_small_trees``, compiled ones are the same
in lleaves, if it is installed. MLPRegressor is that of scikit-learn with 64 and 32 units. Test
queries choose nothing. Numbers are NDCG@10 on test queries over the seeds, with the 95% interval of
the ratio to the teacher by paired bootstrap over queries. A row costs what it costs on one thread,
in turns. A student is beaten if trees that are at least as fast are better by more than noise.
"""

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from benchmarks.studies.quality import TREES as SETTINGS
from benchmarks.studies.quality import best_of, boosted, fit_trees, joined
from benchmarks.studies.quality_rivals import mlp_regressor
from benchmarks.studies.quality_tables import all_tables, per_query
from skdistill import DistilledRanker
from skdistill.inspection import ParetoDisplay, ParetoPoint, fit_small_trees, row_costs
from skdistill.metrics import bootstrap_ratio
from skdistill.students import FactorizationMachineRanker, LinearRanker, MLPRanker
from skdistill.teachers import first_trees, score_rows

TABLES = ("MovieLens 100k", "MovieLens 1M", "OHSUMED", "interactions")
STUDENTS = {
    "linear": LinearRanker(),
    "linear, 4 knots": LinearRanker(n_knots=4),
    "FM 16": FactorizationMachineRanker(16),
    "MLP 8": MLPRanker((8,)),
    "MLP 16": MLPRanker((16,)),
    "MLP 32-16": MLPRanker((32, 16)),
    "MLP 64-32": MLPRanker((64, 32)),
    "MLP 16, 4 knots": MLPRanker((16,), n_knots=4),
    "MLP 32-16, 4 knots": MLPRanker((32, 16), n_knots=4),
    "MLP 64-32, 4 knots": MLPRanker((64, 32), n_knots=4),
}
BEGINNINGS = (5, 10, 20, 50, 100)
SIZES = (64, 32)


def compiled(model):
    """The same trees in lleaves, as a function of the table."""
    import lleaves

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trees.txt"
        model.booster_.save_model(path)
        trees = lleaves.Model(model_file=path)
        trees.compile()
    return lambda X: trees.predict(X, n_jobs=1)


def fit_models(split, seed, students):
    """Fit all models of a table, by name; and say of what kind they are."""
    train, valid, _ = split
    teacher = best_of([fit_trees(train, boosted(seed, **settings)) for settings in SETTINGS], valid)
    models, kinds = {"teacher": teacher}, {"teacher": "teacher"}
    for n_trees in BEGINNINGS:
        if n_trees < teacher.booster_.num_trees():
            models[f"first {n_trees} trees"] = first_trees(teacher, n_trees)
            kinds[f"first {n_trees} trees"] = "first trees of the teacher"
    labelled = train.labelled
    template = boosted(seed)
    small = fit_small_trees(
        labelled.X, labelled.y, qid=labelled.qid, template=template, random_state=seed
    )
    # The sizes that are chosen differ between seeds.
    for name, trees in small.items():
        n_trees = name.split()[0]
        models[f"{n_trees} small trees"] = trees
        kinds[f"{n_trees} small trees"] = "small trees"
        if find_spec("lleaves"):
            models[f"{n_trees} compiled trees"] = compiled(trees)
            kinds[f"{n_trees} compiled trees"] = "compiled trees"
    taught = score_rows(teacher, train.X)
    nets = {"MLPRegressor on labels": labelled.y, "MLPRegressor of the teacher": taught}
    for name, target in nets.items():
        rows = labelled.X if len(target) == len(labelled.y) else train.X
        models[name] = mlp_regressor(SIZES, seed, train.X).fit(rows, target)
        kinds[name] = "other model"
    for name, student in students.items():
        ranker = DistilledRanker(FrozenEstimator(teacher), student, random_state=seed)
        models[name] = ranker.fit(train.X, train.y, qid=train.qid)
        kinds[name] = "student"
    return models, kinds


def measure(make, n_seeds, students):
    """Return the NDCG of each test query for all seeds, and costs and kinds, by model."""
    values, costs, kinds = [], {}, {}
    for seed in range(n_seeds):
        split = make(seed)
        models, kinds = fit_models(split, seed, students)
        costs = costs or row_costs(models, split.test.X)
        values.append(
            {
                n: per_query(score_rows(model, split.test.X), split.test)
                for n, model in models.items()
            }
        )
    return values, costs, kinds


def draw(values, costs, kinds, table):
    """Draw the models that all seeds have."""
    of_table = joined(values, table)
    points = [
        ParetoPoint(name, kinds[name], of, bootstrap_ratio(of, of_table["teacher"], random_state=0),
                    costs[name])
        for name, of in of_table.items()
        if name in costs
    ]  # fmt: skip
    return ParetoDisplay(points, 10).plot()


def report(display, table):
    """Print the numbers of a picture."""
    print(f"\n{table}\n\n| | NDCG@10 | of teacher | ns/row | times |\n|---|---:|---:|---:|---:|")
    first = display.points[0]
    for point in display.points:
        ratio, low, high = point.ratio
        print(
            f"| {point.name} | {point.quality:.4f} | {ratio:.3f} [{low:.3f}, {high:.3f}] "
            f"| {1e9 * point.cost.seconds:,.0f} | {first.cost.seconds / point.cost.seconds:.3g} |"
        )
    beaten = display.beaten()
    print("\nBeaten by trees: " + ("; ".join(f"{a} by {b}" for a, b in beaten.items()) or "none"))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ohsumed", type=Path, help="folder with S1.txt.gz to S5.txt.gz")
    parser.add_argument("--tables", nargs="+", help="names of tables; four by default")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--short", action="store_true", help="only check that it runs")
    options = parser.parse_args(arguments)
    makers = all_tables(options.ohsumed)
    tables, students = options.tables or [name for name in TABLES if name in makers], STUDENTS
    if options.short:
        makers, tables = all_tables(n_queries=60), ["interactions"]
        students, options.seeds = {"linear": STUDENTS["linear"]}, 1
    for table in tables:
        with threadpool_limits(1):
            measured = measure(makers[table], options.seeds, students)
        display = draw(*measured, table)
        display.ax_.set_title(table)
        report(display, table)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            display.figure_.savefig(options.out / f"{table.replace(' ', '_')}.png", dpi=150)

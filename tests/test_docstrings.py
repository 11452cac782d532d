"""Docstrings of public classes and functions: examples run, and nothing is left undescribed."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from numpydoc.docscrape import ClassDoc, NumpyDocString

import skdistill
from skdistill.students import STUDENTS
from skdistill.towers import RETRIEVERS

PACKAGES = [
    "skdistill",
    "skdistill.callbacks",
    "skdistill.cli",
    "skdistill.dask_training",
    "skdistill.datasets",
    "skdistill.index",
    "skdistill.inputs",
    "skdistill.inspection",
    "skdistill.losses",
    "skdistill.metrics",
    "skdistill.models",
    "skdistill.protocols",
    "skdistill.recipe",
    "skdistill.serving",
    "skdistill.streaming",
    "skdistill.students",
    "skdistill.teachers",
    "skdistill.testing",
    "skdistill.training",
]


def public_things():
    """Every public class and function by its name; of modules without ``__all__``, their own."""
    things = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        own = [name for name in vars(module) if not name.startswith("_")]
        for name in getattr(module, "__all__", own):
            thing = getattr(module, name)
            is_code = inspect.isclass(thing) or inspect.isfunction(thing)
            if is_code and thing.__module__ == package:
                things[f"{package}.{name}"] = thing
    return things


THINGS = public_things()
# Methods that other rooms of the package call and that users need not know.
INTERNAL = {
    "add_products_to_graph",
    "by_name",
    "check_ids",
    "check_labels",
    "check_objectives",
    "asks_teacher",
    "check_parameters",
    "combine_by_formula",
    "fit_ranking_data",
    "fitted_attributes",
    "generator",
    "gradient_balance",
    "heads_objective",
    "labels_of",
    "loss_of",
    "scores_single_rows",
    "queries_without_ids",
    "needs_queries",
    "mean_score",
    "make_objective",
    "make_pair_objective",
    "make_validator",
    "publish",
    "read_labels",
    "split_labels",
    "read_table",
    "resolve_offset",
    "resolve_qid",
    "score_unit",
    "sub_teachers",
    "served_model",
    "teachers_loss",
}


def public_functions():
    """Public functions, and public methods that are written in this package."""
    for name, thing in THINGS.items():
        if inspect.isfunction(thing):
            yield name, thing
            continue
        for method in dir(thing):
            function = getattr(thing, method)
            if method.startswith("_") or method in INTERNAL or not callable(function):
                continue
            if not (inspect.isfunction(function) or inspect.ismethod(function)):
                continue
            if inspect.unwrap(function).__globals__["__name__"].startswith("skdistill"):
                yield f"{name}.{method}", function


FUNCTIONS = dict(public_functions())
CLASSES = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing)}


def undescribed(entries, expected):
    """Names of a section's entries that have no description, and names that it lacks."""
    described = {}
    for entry in entries:
        for name in entry.name.replace("*", "").split(","):
            described[name.strip()] = bool("".join(entry.desc).strip())
    return [name for name in expected if not described.get(name, False)]


def documentation(function):
    """Parsed docstring; a method without one inherits that of the contract it keeps."""
    return NumpyDocString(inspect.getdoc(function) or "")


def parameters_of(function):
    return [
        name
        for name in inspect.signature(function).parameters
        if name not in ("self", "cls") and not name.startswith("_")
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_describe_their_parameters_and_results(name):
    function = FUNCTIONS[name]
    doc = documentation(function)
    assert doc["Summary"], "no summary"
    assert not undescribed(doc["Parameters"], parameters_of(function))
    returns = inspect.signature(function).return_annotation
    if returns not in (None, "None", "NoReturn", inspect.Signature.empty):
        assert doc["Returns"] or doc["Yields"], "no Returns"


@pytest.mark.parametrize("name", CLASSES)
def test_classes_describe_their_parameters_and_attributes(name):
    cls = CLASSES[name]
    doc = ClassDoc(cls, config={"show_class_members": False})
    assert doc["Summary"], "no summary"
    if issubclass(cls, Exception) or getattr(cls, "_is_protocol", False):
        return
    assert not undescribed(doc["Parameters"] + doc["Attributes"], parameters_of(cls))


def raises(function):
    """Whether the source of a function raises something itself."""
    return "raise " in inspect.getsource(inspect.unwrap(function))


@pytest.mark.parametrize("name", [n for n, function in FUNCTIONS.items() if raises(function)])
def test_functions_say_what_they_raise(name):
    assert documentation(FUNCTIONS[name])["Raises"], "no Raises"


def shared_sections(classes):
    """Parameters of several classes, each with all the ways in which it is described."""
    found = {}
    for cls in classes:
        for section in ("Parameters", "Attributes"):
            for entry in ClassDoc(cls, config={"show_class_members": False})[section]:
                text = f"{entry.type.partition(', default=')[0]}: {' '.join(entry.desc)}"
                found.setdefault(entry.name, {})[cls.__name__] = text
    return found


# What is meant to be told differently: these classes mean something else by it.
OWN_WORDS = {"combine", "teacher", "weight_decay", "hidden_layer_sizes", "objective_names_"}


@pytest.mark.parametrize("registry", [STUDENTS, RETRIEVERS], ids=["students", "retrievers"])
def test_a_shared_parameter_is_described_alike_everywhere(registry):
    """The classes repeat their docstrings, so that editors see them; they must not drift apart."""
    for name, texts in shared_sections(registry.values()).items():
        assert name in OWN_WORDS or len(set(texts.values())) == 1, f"{name}: {texts}"


@pytest.mark.parametrize("name", THINGS)
def test_examples_in_docstrings_run(name):
    thing = THINGS[name]
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner()
    for example in finder.find(thing, name, module=False, globs={}):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize(
    "name", [m.name for m in pkgutil.walk_packages(skdistill.__path__, "skdistill.")]
)
def test_every_module_says_what_it_is(name):
    if not name.endswith("__main__"):
        assert importlib.import_module(name).__doc__

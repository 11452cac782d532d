"""Students in search engines: Solr, Elasticsearch and OpenSearch, Vespa, PyTerrier."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skdistill.extras import import_extra
from skdistill.public_names import set_module
from skdistill.serving.decomposition import decompose
from skdistill.serving.dense_layers import check_float32, dense_layers

SOLR = "org.apache.solr.ltr.model"
# Names of fields and profiles of Vespa.
FIELD = r"[A-Za-z_][A-Za-z0-9_]*"
PHASES = ("first-phase", "second-phase", "global-phase")


@set_module("skdistill.serving")
def to_solr(
    model: Any,
    name: str,
    *,
    feature_names: Sequence[str] | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """Export a linear student or an MLP as a model of Solr's Learning To Rank module.

    A linear student becomes a ``LinearModel``, which has no constant: all its scores are lower by
    the same number. An MLP becomes a ``NeuralNetworkModel``.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted on columns of numbers without gaps, without a softsign (``squash=False``).
    name : str
        Name of the model in Solr.
    feature_names : sequence of str, optional
        Names of the features in Solr's feature store, one per column; by default, the names of the
        columns.
    store : str, optional
        Feature store of Solr; its default store by default.

    Returns
    -------
    dict
        What ``json.dump`` writes for Solr's ``/schema/model-store``.

    Raises
    ------
    TypeError
        If Solr cannot express the model. The message says why, and names columns.
    ValueError
        If names are missing.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import to_solr
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, n_features=2, random_state=0)
    >>> student = LinearRanker(squash=False, random_state=0)
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> model = to_solr(student, "student", feature_names=["bm25", "clicks"])
    >>> model["class"], sorted(model["params"]["weights"])
    ('org.apache.solr.ltr.model.LinearModel', ['bm25', 'clicks'])
    """
    layers = dense_layers(model, feature_names, "to_solr")
    solr: dict[str, Any] = {"name": name, "features": [{"name": one} for one in layers.names]}
    if store is not None:
        solr["store"] = store
    if len(layers.weights) == 1:
        weights = dict(zip(layers.names, layers.weights[0][:, 0].tolist(), strict=True))
        return {"class": f"{SOLR}.LinearModel", **solr, "params": {"weights": weights}}
    last = len(layers.weights) - 1
    return {
        "class": f"{SOLR}.NeuralNetworkModel",
        **solr,
        "params": {
            "layers": [
                {
                    "matrix": weights.T.tolist(),
                    "bias": bias.tolist(),
                    "activation": "identity" if layer == last else "relu",
                }
                for layer, (weights, bias) in enumerate(
                    zip(layers.weights, layers.biases, strict=True)
                )
            ]
        },
    }


@set_module("skdistill.serving")
def to_elasticsearch_ltr(
    model: Any, name: str, *, feature_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Export a linear student for the Learning to Rank plugin of Elasticsearch and OpenSearch.

    The plugin's linear model has no constant: all scores are lower by the same number.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted on columns of numbers without gaps, without a softsign (``squash=False``).
    name : str
        Name of the model.
    feature_names : sequence of str, optional
        Names of the features in the feature set, one per column; by default, the names of the
        columns.

    Returns
    -------
    dict
        Body of ``POST _ltr/_featureset/{features}/_createmodel``.

    Raises
    ------
    TypeError
        If the model is not linear in its columns. The message says why, and names columns.
    ValueError
        If names are missing.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import to_elasticsearch_ltr
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, n_features=2, random_state=0)
    >>> student = LinearRanker(squash=False, random_state=0)
    >>> student = student.fit(data.X, data.y, qid=data.qid)
    >>> body = to_elasticsearch_ltr(student, "student", feature_names=["bm25", "clicks"])
    >>> body["model"]["model"]["type"]
    'model/linear'
    """
    layers = dense_layers(model, feature_names, "to_elasticsearch_ltr")
    if len(layers.weights) > 1:
        raise TypeError(
            "to_elasticsearch_ltr takes linear students, because the plugin knows no networks. "
            "Distil a LinearRanker, or serve the MLP by ONNX (to_onnx)."
        )
    weights = dict(zip(layers.names, layers.weights[0][:, 0].tolist(), strict=True))
    return {"model": {"name": name, "model": {"type": "model/linear", "definition": weights}}}


@set_module("skdistill.serving")
def to_vespa(
    model: Any,
    name: str,
    *,
    features: Sequence[str] | Mapping[str, str] | None = None,
    file: str | None = None,
    inherits: str = "default",
    phase: str = "second-phase",
) -> str:
    """Write a rank profile of Vespa that scores by the model's ONNX file.

    Save the file by ``to_onnx(model)`` under the path ``file`` of the application package, and put
    the profile into the schema.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted on columns of numbers.
    name : str
        Name of the profile and of the model in it: letters, digits and underscores.
    features : sequence of str or dict of str to str, optional
        Rank features of Vespa, such as ``bm25(title)``, one per column, in the order of the columns
        or by the name of the column. By default ``attribute(column)``.
    file : str, optional
        Path of the ONNX file in the application package; ``files/{name}.onnx`` by default.
    inherits : str, default="default"
        Profile that this one inherits from.
    phase : {"first-phase", "second-phase", "global-phase"}, default="second-phase"
        Where the model scores.

    Returns
    -------
    str
        The profile.

    Raises
    ------
    TypeError
        If the model reads categories, which a tensor of Vespa does not hold, or columns that
        float32 would round.
    ValueError
        If there is not one feature per column, or a name or the phase is invalid.

    Examples
    --------
    >>> from skdistill.datasets import make_ranking
    >>> from skdistill.serving import to_vespa
    >>> from skdistill.students import LinearRanker
    >>> data = make_ranking(n_queries=20, n_features=2, random_state=0)
    >>> student = LinearRanker(random_state=0).fit(data.X, data.y, qid=data.qid)
    >>> print(to_vespa(student, "student", features=["bm25(title)", "attribute(clicks)"]))
    rank-profile student inherits default {
        function student_columns() {
            expression: tensor<float>(d0[1],d1[2]):[[bm25(title), attribute(clicks)]]
        }
        onnx-model student {
            file: files/student.onnx
            input "X": student_columns
            output "scores": scores
        }
        second-phase {
            expression: sum(onnx(student).scores)
        }
    }
    """
    if not re.fullmatch(FIELD, name):
        raise ValueError(f"name must consist of letters, digits and underscores, got {name!r}.")
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {list(PHASES)}, got {phase!r}.")
    served = decompose(model)
    net = served.nets[0]
    if net.n_codes or (served.encoder is not None and not served.encoder.reads_only_numbers):
        raise TypeError(
            "to_vespa takes models of numbers, but this one reads categories or dates, which a "
            "tensor of Vespa does not hold. Encode them as numbers before fit."
        )
    check_float32(net, served.feature_names, "to_vespa")
    listed = ", ".join(_rank_features(served, features))
    return f"""rank-profile {name} inherits {inherits} {{
    function {name}_columns() {{
        expression: tensor<float>(d0[1],d1[{net.n_features}]):[[{listed}]]
    }}
    onnx-model {name} {{
        file: {f"files/{name}.onnx" if file is None else file}
        input "X": {name}_columns
        output "scores": scores
    }}
    {phase} {{
        expression: sum(onnx({name}).scores)
    }}
}}"""


def _rank_features(served: Any, features: Sequence[str] | Mapping[str, str] | None) -> list[str]:
    """Rank feature of each column."""
    names = served.feature_names
    if features is None or isinstance(features, Mapping):
        if names is None:
            raise ValueError(
                "The model was fitted without column names. Pass features= as a list, one rank "
                "feature per column."
            )
        by_name = dict(features or {})
        unknown = sorted(set(by_name) - set(names))
        if unknown:
            raise ValueError(f"features names {unknown}, but the columns are {list(names)}.")
        odd = [name for name in names if name not in by_name and not re.fullmatch(FIELD, str(name))]
        if odd:
            raise ValueError(
                f"The columns {odd} cannot be names of Vespa's fields, which consist of letters, "
                "digits and underscores. Pass their rank features by features=, such as "
                f"{{{odd[0]!r}: 'attribute(...)'}}."
            )
        return [by_name.get(name, f"attribute({name})") for name in names]
    n_features = served.nets[0].n_features
    if isinstance(features, str) or len(features) != n_features:
        raise ValueError(
            f"features must list {n_features} rank features, one per column, got {features!r}."
        )
    return [str(feature) for feature in features]


@set_module("skdistill.serving")
def as_pyterrier(model: Any, *, feature_names: Sequence[str] | None = None) -> Any:
    """Make a transformer of PyTerrier that ranks the documents of each query anew.

    Parameters
    ----------
    model : student, DistilledRanker, or Pipeline that ends in either
        Fitted.
    feature_names : sequence of str, optional
        Columns of the results that the model reads; by default, the names of its columns if they
        are there. Otherwise it reads the arrays in the column ``features``, which PyTerrier's
        feature pipelines (``**``) make.

    Returns
    -------
    pyterrier.Transformer
        It takes and returns a frame of results. The columns ``score`` and ``rank`` are new.

    Raises
    ------
    ImportError
        If PyTerrier is not installed (extra ``pyterrier``).

    Examples
    --------
    >>> from skdistill.serving import as_pyterrier
    >>> pipeline = bm25 >> features >> as_pyterrier(student)  # doctest: +SKIP
    """
    pyterrier = import_extra("pyterrier", "pyterrier", "as_pyterrier")
    scored = frame_scorer(model, feature_names)

    def transform(self: Any, results: Any) -> Any:
        """Score and rank a frame of results."""
        return pyterrier.model.add_ranks(scored(results))

    made = type("StudentTransformer", (pyterrier.Transformer,), {"transform": transform})
    return made()


def frame_scorer(model: Any, feature_names: Sequence[str] | None) -> Callable[[Any], Any]:
    """Return a function that scores a frame of results, which may be empty.

    Parameters
    ----------
    model, feature_names
        As for :func:`as_pyterrier`.

    Returns
    -------
    callable
        From a frame to one with another column ``score``.
    """
    named = feature_names
    if named is None:
        named = getattr(model, "feature_names_in_", None)

    def table(results: Any) -> Any:
        if named is not None and set(named) <= set(results.columns):
            columns = results[list(named)]
            return columns if hasattr(model, "feature_names_in_") else columns.to_numpy()
        if "features" not in results.columns:
            raise ValueError(
                "The results hold neither the columns of the model"
                + ("" if named is None else f", {list(named)},")
                + f" nor features; they have {list(results.columns)}."
            )
        return np.stack(results["features"].to_list())

    def scored(results: Any) -> Any:
        if not len(results):
            return results.assign(score=np.empty(0))
        return results.assign(score=np.asarray(model.predict(table(results)), dtype=np.float64))

    return scored

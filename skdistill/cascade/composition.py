"""Parameters of stages as parameters of the cascade: ``prerank__size``, ``prerank__max_iter``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from skdistill.cascade.cuts import Cut
from skdistill.towers.pair_table import WithPairColumns

LIMITS = ("size", "min_score", "max_drop")


class ComposedOfStages(WithPairColumns):
    """Base of an estimator whose parameter ``stages`` is a list of (name, estimator, size)."""

    stages: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, with those of the stages.

        Parameters
        ----------
        deep : bool, default=True
            Also return each stage by its name, its ``size``, ``min_score`` and ``max_drop``, and
            the parameters of its estimator, as ``name__parameter``.

        Returns
        -------
        dict of str to object
        """
        params = super().get_params(deep=deep)
        if deep:
            for name, model, cut in _entries(self.stages):
                params[name] = model
                if isinstance(cut, Cut):
                    params |= {f"{name}__{limit}": getattr(cut, limit) for limit in LIMITS}
                else:
                    params[f"{name}__size"] = cut
                if hasattr(model, "get_params") and not isinstance(model, type):
                    inner = model.get_params(deep=True)
                    params |= {f"{name}__{key}": value for key, value in inner.items()}
        return params

    def set_params(self, **params: Any) -> ComposedOfStages:
        """Set parameters, also of stages.

        Parameters
        ----------
        **params : dict
            Parameters by the names that :meth:`get_params` returns. ``name__min_score`` and
            ``name__max_drop`` can be set for every stage.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        if "stages" in params:
            self.stages = params.pop("stages")
        names = {name for name, _, _ in _entries(self.stages)}
        of_stages: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for key, value in params.items():
            name, _, limit = key.partition("__")
            is_own = name in names and (not limit or limit in LIMITS)
            (of_stages if is_own else others)[key] = value
        if of_stages:
            self.stages = [_changed(entry, of_stages) for entry in self.stages]
        super().set_params(**others)
        return self


def _entries(stages: Any) -> Iterator[tuple[str, Any, Any]]:
    """Iterate over well-formed stages and retrievers; what is not is an error only in fit."""
    if not isinstance(stages, list | tuple):
        return
    for entry in stages:
        if isinstance(entry, tuple) and len(entry) == 3 and isinstance(entry[0], str):
            yield entry
            if isinstance(entry[1], list):
                yield from _entries(entry[1])


def _changed(entry: Any, params: dict[str, Any]) -> Any:
    """Return a stage or retriever with changed estimator and limits."""
    if not (isinstance(entry, tuple) and len(entry) == 3):
        return entry
    name, model, cut = entry
    if isinstance(model, list):
        model = [_changed(member, params) for member in model]
    model = params.get(name, model)
    limits = {limit: params[f"{name}__{limit}"] for limit in LIMITS if f"{name}__{limit}" in params}
    if limits.keys() == {"size"} and not isinstance(cut, Cut):
        return name, model, limits["size"]
    if limits:
        cut = replace(cut if isinstance(cut, Cut) else Cut(cut), **limits)
    return name, model, cut

"""Errors of recipes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

# XGBoost and CatBoost take a hundred parameters.
MOST_SHOWN = 40


class RecipeError(ValueError):
    """Raised for an invalid recipe; the message names the file, the section and the key."""


def check_keys(path: Path, section: str, given: Mapping[str, Any], allowed: set[str]) -> None:
    """Refuse keys that a section cannot have."""
    unexpected = sorted(set(given) - allowed)
    if unexpected:
        place = f"in [{section}]" if section else "at the top level"
        similar = {one for key in unexpected for one in get_close_matches(key, allowed)}
        way_out = f" Similar keys are {sorted(similar)}." if similar else ""
        if not similar or len(allowed) <= MOST_SHOWN:
            way_out += f" Allowed keys are {sorted(allowed)}."
        raise RecipeError(f"{path}: unexpected keys {place}: {', '.join(unexpected)}.{way_out}")

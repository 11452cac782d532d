"""The machine that a run was made on: processor, instruction set, load, versions."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

# Best first; names as in /proc/cpuinfo.
INSTRUCTION_SETS = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "lightgbm", "onnxruntime", "torch", "faiss-cpu"),
    *("usearch", "implicit", "lleaves", "tl2cgen", "treelite", "ranx", "pytrec-eval-terrier"),
    *("pyarrow", "polars"),
)


def processor() -> tuple[str, str]:
    """Return the name of the processor and its best instruction set."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    facts = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = facts.get("flags", facts.get("Features", "")).split()
    best = next((name for name in INSTRUCTION_SETS if name in flags), platform.machine())
    return facts.get("model name", platform.processor() or platform.machine()), best


def load() -> float:
    """Return the load of the last minute; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def blas_kernel() -> str:
    """Return the kernel that NumPy's BLAS has chosen, such as "openblas SkylakeX"."""
    np.ones((2, 2)) @ np.ones((2, 2))
    names = {
        f"{each['internal_api']} {each.get('architecture', '')}".strip()
        for each in threadpool_info()
        if each["user_api"] == "blas"
    }
    return ", ".join(sorted(names)) or "unknown"


def describe() -> dict[str, Any]:
    """Return what a table has to say about its machine."""
    name, instruction_set = processor()
    return {
        "date": date.today().isoformat(),
        "processor": name,
        "instruction_set": instruction_set,
        "cores": cores(),
        "blas": blas_kernel(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(load(), 2),
        "versions": versions(),
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Return the description as one line."""
    libraries = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['instruction_set']}, {machine['cores']} cores, "
        f"BLAS {machine['blas']}, {machine['system']}, load {machine['load']:.1f} at the start, "
        f"{machine['date']}; {libraries}"
    )

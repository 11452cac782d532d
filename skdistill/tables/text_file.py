"""Opens files of text, compressed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skdistill.tables.errors import pyarrow_extra

# Compressions by the endings of files, in small letters.
PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


def open_text(path: Path) -> Any:
    """Open a file as a stream of bytes, decompressed if its ending says so."""
    compression = PACKED.get(path.suffix.lower())
    return pyarrow_extra().input_stream(str(path), compression=compression)

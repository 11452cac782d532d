"""Studies of quality; each module has a ``main`` with options of its own."""

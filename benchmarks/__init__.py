"""Benchmarks of skdistill against its peers. ``python -m benchmarks --list`` names them.

``speed/`` holds benchmarks: contenders that take turns in fresh processes. ``studies/`` holds
studies of quality, each with options of its own. Both use public interfaces only.
"""

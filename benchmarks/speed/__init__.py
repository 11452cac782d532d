"""Benchmarks of speed; each module declares one as ``BENCHMARK``."""

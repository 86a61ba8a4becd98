"""Benchmarks: every figure is a ratio to the raw library, or to a stated limit, measured in the same run."""

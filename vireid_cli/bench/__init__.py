"""Benchmarks, and the reference code that they compare with."""

"""Benchmarks, and reference code for comparison."""

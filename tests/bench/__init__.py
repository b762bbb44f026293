"""Benchmarks (`make bench`): ratios to references that the same run measures in alternation."""

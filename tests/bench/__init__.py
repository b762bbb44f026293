"""Benchmarks: ratios against references measured in the same interleaved run (`make bench`)."""

"""Benchmarks: each prints ratios against something that ran beside it, and JSON. None of them is a test."""

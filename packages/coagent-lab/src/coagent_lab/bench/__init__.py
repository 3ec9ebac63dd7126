"""Measurements: what CoAgent costs, and how the protocols compare under contention."""

"""Demos that need more than a checkout: a cluster."""

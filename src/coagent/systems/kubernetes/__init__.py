"""Clusters: Kubernetes objects, and tools that work as kubectl does."""

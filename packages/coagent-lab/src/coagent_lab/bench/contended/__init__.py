"""Contended workloads: several agents on one state, with exact serial outcomes to be judged by."""

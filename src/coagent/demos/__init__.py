"""Demos: scripted agents in each other's way, under several protocols, judged by real serial runs."""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """A demo as it is listed; `target` is imported when it is run."""

    target: str
    about: str


DEMOS: dict[str, Listed] = {
    "canary": Listed(
        "coagent.demos.canary:canary",
        "Two agents on a Kubernetes cluster: one repairs images, one copies a Deployment.",
    ),
    "repo": Listed(
        "coagent.demos.repo:repo",
        "Two agents in a git repository: one renames a function, one begins to call it.",
    ),
}
"""The demos by name."""

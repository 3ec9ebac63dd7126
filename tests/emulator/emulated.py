"""Small manifests and helpers that the tests of the emulator are written in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from kube_emulator import Emulator

Json = dict[str, Any]
Kubectl = Callable[..., str]


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def in_process(emulator: Emulator) -> httpx.AsyncClient:
    """A client that calls the application directly, without a socket."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(emulator.app),
        base_url="http://emulator",
        headers={"Authorization": f"Bearer {emulator.token}"},
    )


def deployment(name: str = "web", image: str = "nginx:1.25", replicas: int = 2, **pod: Any) -> Json:
    """A small Deployment; further keywords go into its pods' spec."""
    labels = {"app": name}
    spec = {"containers": [{"name": name, "image": image, "ports": [{"containerPort": 80}]}], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service(name: str = "web") -> Json:
    """A Service for the Deployment of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def config_map(name: str = "settings", **data: str) -> Json:
    """A ConfigMap with this data."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

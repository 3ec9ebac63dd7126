"""The standing example: one agent repairs images, another copies a Deployment that has a bad one.

The cluster is the emulator, so pods start, or fail to pull their image, as they would.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from coagent.agents.scripted import Step
from coagent.demos import Demo
from coagent.demos.play import Labelled, Role, drawn, lanes_of, order_of, play, play_one
from coagent.demos.report import DemoReport, DemoRun

RELEASES = "release-images"
CANARY = "geo-canary"
RELEASED = {name: f"registry.local/{name}:v1.3" for name in ("frontend", "geo", "profile", "rate")}
BROKEN = {"geo": "registry.local/geo:v1.3-broken", "profile": "registry.local/profile:v1.3-broken"}
REGISTRY = frozenset(RELEASED.values())

_THINK_A_S = {"kube_get": 4.0, "kube_list": 6.0, "kube_set_image": 8.0, "repair": 6.0}
_THINK_B_S = {"kube_get": 3.0, "kube_create": 21.0, "repair": 6.0}
_LABELLED = (
    Labelled(r"^kube_get\(.*release-images", "read", "releases"),
    Labelled(r"^kube_list", "read", "lists"),
    Labelled(r"set_image\(name='geo'", "write", "repairs geo"),
    Labelled(r"set_image\(name='profile'", "write", "repairs profile"),
    Labelled(r"^kube_get\(.*'geo'", "read", "reads geo"),
    Labelled(r"kube_set_image", "write"),
    Labelled(r"kube_create", "write", "creates canary", "amends canary"),
)
_EXPLANATION = (
    "Under naive, B had read geo before A repaired it, and A had listed the Deployments before B made one: "
    "the canary has the bad image. Under mtpo, B was told that geo had changed and amended its one call; "
    "nobody waited, and all pods run."
)


async def canary(
    protocols: Sequence[str], seed: int, folder: Path, progress: Callable[[str], None]
) -> DemoReport:
    """Run the demo.

    Args:
        protocols: What to run it under.
        seed: What think times and the cluster's identifiers are drawn from.
        folder: An empty directory for what the runs leave behind.
        progress: Told what is being done.

    Raises:
        CoAgentError: An agent failed even alone.
    """
    roles = _roles(seed)
    serial = {}
    for order in (roles, roles[::-1]):
        names = tuple(role.name for role in order)
        progress(f"one after another: {', then '.join(names)}")
        serial[names] = await _serial_final(order, seed, folder)
    runs = []
    for protocol in protocols:
        progress(f"both at once: {protocol}")
        runs.append(await _run(protocol, roles, seed, folder, serial))
    agents = {role.name: role.task for role in roles}
    return DemoReport("canary", seed, agents, runs, "pods", _EXPLANATION, str(folder))


def _roles(seed: int) -> list[Role]:
    repairs = drawn(seed, _THINK_A_S)
    copies = drawn(seed + 1, _THINK_B_S)
    return [
        Role(
            "A", "repairs every Deployment whose image was not released", partial(_repair, repairs), repairs
        ),
        Role("B", f"creates {CANARY}, a copy of Deployment geo", partial(_copy, copies), copies),
    ]


def _repair(think_s: Mapping[str, float]) -> Generator[Step, Any, str]:
    look = "First I look up which images were released."
    releases = yield Step("kube_get", {"kind": "configmap", "name": RELEASES}, think_s["kube_get"], says=look)
    images = releases["data"]
    look = "Now all Deployments, to find those that run something else."
    deployments = yield Step("kube_list", {"kind": "deployments"}, think_s["kube_list"], says=look)
    repaired = 0
    for one in sorted(deployments, key=lambda found: str(found["metadata"]["name"])):
        app = one["metadata"]["labels"]["app"]
        if _image(one) != images[app]:
            name, found, released = one["metadata"]["name"], _image(one), images[app]
            repaired += 1
            says = f"{name} runs {_tag(found)}, which was not released: I set it to {_tag(released)}."
            arguments = {"name": name, "image": released}
            yield Step("kube_set_image", arguments, think_s["kube_set_image"], says=says)
    return f"All Deployments run released images now; I repaired {repaired}."


def _copy(think_s: Mapping[str, float]) -> Generator[Step, Any, str]:
    look = "I look at geo, which the canary is to be a copy of."
    geo = yield Step("kube_get", {"kind": "deployment", "name": "geo"}, think_s["kube_get"], says=look)
    manifest = _deployment("geo", _image(geo), name=CANARY, track="canary")
    says = f"geo runs {_tag(_image(geo))}, so {CANARY} gets that image too."
    yield Step("kube_create", {"manifest": manifest}, think_s["kube_create"], says=says)
    return f"{CANARY} is there, with the image of geo."


def _tag(image: str) -> str:
    return image.rpartition(":")[2]


def _image(deployment: Mapping[str, Any]) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _deployment(app: str, image: str, *, name: str = "", track: str = "stable") -> dict[str, Any]:
    labels = {"app": app, "track": track}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name or app, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": copy.copy(labels)},
            "template": {
                "metadata": {"labels": copy.copy(labels)},
                "spec": {"containers": [{"name": app, "image": image}]},
            },
        },
    }


def _manifests() -> list[dict[str, Any]]:
    releases = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": RELEASES}, "data": RELEASED}
    deployments = [_deployment(name, BROKEN.get(name, image)) for name, image in RELEASED.items()]
    return [releases, *deployments]


def _cluster(seed: int) -> Any:
    from kube_emulator import Emulator

    # The client is in this process and the server on its loopback interface: nobody else is let in or out.
    return Emulator(initial=_manifests(), images=REGISTRY, seed=seed, tls=False, token="")


def _client(emulator: Any, folder: Path, name: str) -> Any:
    from coagent.systems.kubernetes.target import Kubernetes

    return Kubernetes(emulator.write_kubeconfig(folder / f"{name}.kubeconfig"), namespace="default")


def _tools() -> Any:
    from coagent.systems.kubernetes.tools import KUBERNETES_TOOLS

    return KUBERNETES_TOOLS


async def _serial_final(order: Sequence[Role], seed: int, folder: Path) -> dict[str, Any]:
    with _cluster(seed) as emulator:
        for role in order:
            await play_one(role, [_client(emulator, folder, "serial")], _tools())
        found: dict[str, Any] = emulator.snapshot()
        return found


async def _run(
    protocol: str, roles: Sequence[Role], seed: int, folder: Path, serial: Mapping[tuple[str, ...], Any]
) -> DemoRun:
    with _cluster(seed) as emulator:
        report = await play(
            roles, protocol, [_client(emulator, folder, protocol)], _tools(), folder / f"{protocol}.log"
        )
        final, pods = emulator.snapshot(), _pods(emulator)
    (folder / f"{protocol}.json").write_text(json.dumps(final, indent=2) + "\n", encoding="utf-8")
    bad = {name: state for name, state in pods.items() if state != "Running"}
    parts = [f"{len(pods) - len(bad)} Running", *(f"{name} {state}" for name, state in bad.items())]
    images = {
        key.rpartition("/")[2]: _image(one) for key, one in sorted(final.items()) if "/deployments/" in key
    }
    return DemoRun(
        protocol=protocol,
        order=order_of(final, serial),
        makespan_s=report.makespan_s,
        tokens=report.total("tokens"),
        notifications=report.total("notifications"),
        repaired=report.total("amended") + report.total("undone"),
        final={name: {"image": image, "pods": pods.get(name, "none")} for name, image in images.items()},
        outcome=", ".join(parts),
        sound=not bad and CANARY in pods,
        lanes=lanes_of(report, roles, _LABELLED, "B is told: geo's image has changed"),
        failure="; ".join(one.failure for one in report.agents if one.failure),
    )


def _pods(emulator: Any) -> dict[str, str]:
    """Return the state of each Deployment's pods, as `kubectl get pods` shows it."""
    found: dict[str, str] = {}
    for pod in emulator.objects("pods", "default"):
        replica_set = pod["metadata"]["ownerReferences"][0]["name"]
        statuses = pod["status"].get("containerStatuses") or []
        waiting = [one["state"]["waiting"]["reason"] for one in statuses if "waiting" in one["state"]]
        found[replica_set.rpartition("-")[0]] = waiting[0] if waiting else pod["status"]["phase"]
    return dict(sorted(found.items()))


CANARY_DEMO = Demo("Two agents on a Kubernetes cluster: one repairs images, one copies a Deployment.", canary)
"""What is registered."""

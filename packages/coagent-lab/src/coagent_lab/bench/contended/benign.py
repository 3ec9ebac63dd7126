"""Workloads whose agents have nothing, or little, to do with each other: control must cost nothing there."""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import partial
from typing import Any, TypeAlias

from coagent_lab.bench.contended import cluster, coding, office
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.incidents import incidents
from coagent_lab.bench.contended.office_cases import office_cases
from coagent_lab.bench.contended.scenario import Role, Scenario, workload_of
from coagent_lab.bench.contended.workload import Workload

Calls: TypeAlias = Generator[tuple[str, dict[str, Any]], Any, None]

_FILES = {
    "file:README.md": "# Shop\n\nPrices are in euros.\n",
    "file:shop/pricing.py": "TAX = 0.2\n\n\ndef total(items):\n    return sum(items) * (1 + TAX)\n",
    "file:shop/stock.py": "LIMIT = 5\n\n\ndef free(count):\n    return max(0, LIMIT - count)\n",
    "file:shop/mail.py": "SENDER = 'shop@example.org'\n",
}


def _set_constant(path: str, name: str, value: str) -> Calls:
    """Read what all read, look for the constant, and change it in its file."""
    yield "fs.read", {"path": "README.md"}
    yield "fs.grep", {"pattern": rf"\b{name}\b"}
    text = yield "fs.read", {"path": path}
    yield (
        "fs.write",
        {"path": path, "content": re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.M)},
    )


def _scale(name: str, by: int) -> Calls:
    found = yield "k8s.get", {"kind": "deployments", "name": name}
    yield "k8s.pod_status", {"name": name}
    yield "k8s.scale", {"name": name, "replicas": found["replicas"] + by}


def _label(name: str, label: str, value: str) -> Calls:
    found = yield "k8s.get", {"kind": "deployments", "name": name}
    labels = {**found["labels"], label: value}
    yield "k8s.patch", {"kind": "deployments", "name": name, "patch": {"labels": labels}}


def _code() -> list[Scenario]:
    constants = (
        ("shop/pricing.py", "TAX", "0.25"),
        ("shop/stock.py", "LIMIT", "8"),
        ("shop/mail.py", "SENDER", "'new'"),
    )
    roles = tuple(
        Role(letter, f"Set {name} to {value}.", partial(_set_constant, path, name, value))
        for letter, (path, name, value) in zip("ABC", constants, strict=True)
    )
    return [
        Scenario("benign-code", "Three constants in three files of one tree", _FILES, roles),
    ]


def _of_canary(scenario_id: str, title: str, roles: tuple[Role, ...], *, contended: bool) -> Scenario:
    canary = next(one for one in incidents() if one.id == "k8s-canary")
    return Scenario(scenario_id, title, canary.objects, (*(canary.roles if contended else ()), *roles))


def _cluster() -> list[Scenario]:
    frontend = Role("C", "Scale frontend up by one.", partial(_scale, "frontend", 1))
    rate = Role("D", "Label rate as tier=back.", partial(_label, "rate", "tier", "back"))
    geo = Role("E", "Scale geo up by one.", partial(_scale, "geo", 1))
    tier = Role("F", "Label geo as tier=back.", partial(_label, "geo", "tier", "back"))
    return [
        _of_canary("benign-cluster", "Two Deployments of one namespace", (frontend, rate), contended=False),
        _of_canary("mixed-object", "Two fields of one Deployment", (geo, tier), contended=False),
        _of_canary(
            "mixed-cluster",
            "The canary, and two agents that work elsewhere",
            (frontend, rate),
            contended=True,
        ),
    ]


def _office() -> list[Scenario]:
    cases = {one.id: one for one in office_cases()}
    calendar, board, mail = (cases[f"office-{name}"] for name in ("calendar", "board", "mail"))
    booker, urgent = calendar.roles[0], board.roles[0]
    forwarder = mail.roles[1]
    apart = (booker, Role("B", urgent.goal, urgent.program), Role("C", forwarder.goal, forwarder.program))
    mixed = (
        *calendar.roles,
        Role("C", urgent.goal, urgent.program),
        Role("D", forwarder.goal, forwarder.program),
    )
    return [
        Scenario("benign-office", "Calendar, board and mail of one office", calendar.objects, apart),
        Scenario("mixed-office", "Two bookers, and two agents that work elsewhere", calendar.objects, mixed),
    ]


async def benign() -> list[tuple[Workload, Family]]:
    """Return workloads without a conflict (`benign-…`) and with some agents in one (`mixed-…`)."""
    found = [await workload_of(one, "coding", coding.TOOLS, coding.final) for one in _code()]
    found += [await workload_of(one, "k8s", cluster.TOOLS, cluster.final) for one in _cluster()]
    for one in _office():
        final = partial(office.final, initial=one.objects)
        found.append(await workload_of(one, "workbench", office.TOOLS, final))
    return found

"""What one run is made of, all from its seed: programs, systems, processes, and where these are killed."""

from __future__ import annotations

import random
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crash_world import IRREVERSIBLE, ITEMS, NAMES, NATIVE, UNDOABLE, digest

from coagent.errors import ToolFailed

TARGETS = ("files", "sqlite", "postgresql", "kubernetes")
LOGS = ("sqlite", "postgresql")
POINTS = ("append", "put", "run", "recover", "moment")
WAYS = ("kill", "stop")
_NTH_MAX = {"append": 24, "put": 8, "run": 4, "recover": 6}
_MOMENT_S_MAX = 0.5


class Line(NamedTuple):
    """One line of a program; on which object it works depends on what the program has seen."""

    tool: str
    names: tuple[str, ...]
    others: tuple[str, ...]
    items: tuple[str, ...]
    number: int


class Shot(NamedTuple):
    """Where one life of a process ends, or is interrupted.

    Args:
        point: One of `POINTS`.
        nth: At which of these points; of "moment": after how many milliseconds.
        signal: SIGKILL or SIGSTOP.
        taken: Of a stop: whether its lease runs out meanwhile, so that others take up what is its.
        ends: Of a stop: whether the process is killed in the end, in the place of going on.
    """

    point: str
    nth: int
    signal: signal.Signals
    taken: bool = True
    ends: bool = False

    def __str__(self) -> str:
        how = "kill" if self.signal is signal.SIGKILL else "stop"
        how += "" if how == "kill" or self.taken else " shortly"
        how += " and kill" if self.ends else ""
        return f"{how} at {self.point} {self.nth}"


@dataclass
class Plan:
    """One run.

    Args:
        seed: Everything follows from it, but for what the system's scheduler decides.
        target: Where the state lives.
        log: Where events go.
        order: As of `open_domain`.
        on_death: What becomes of unfinished agents.
        programs: By agent.
        agents: Those that each process begins with.
        shots: For each process, one for each life that does not end by itself.
        revived: Whether another process takes the place of a dead one.
        initial: What the objects hold at first.
    """

    seed: int
    target: str
    log: str
    order: str
    on_death: str
    programs: dict[str, list[Line]] = field(default_factory=dict)
    agents: list[list[str]] = field(default_factory=list)
    shots: list[list[Shot]] = field(default_factory=list)
    revived: bool = True
    initial: dict[str, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        shots = "; ".join(", ".join(map(str, them)) or "lives" for them in self.shots)
        return (
            f"{self.target} on a {self.log} log, {len(self.agents)} processes, {len(self.programs)} agents, "
            f"order {self.order}, on_death {self.on_death} [{shots}]"
        )


class Wanted(NamedTuple):
    """What runs are to be about; everything by default."""

    targets: Sequence[str] = TARGETS
    logs: Sequence[str] = LOGS
    processes: Sequence[int] = (1, 2, 3)
    points: Sequence[str] = POINTS
    ways: Sequence[str] = WAYS


_EVERYTHING = Wanted()


def plan_of(seed: int, wanted: Wanted = _EVERYTHING) -> Plan:
    """Return the run of a seed, within what is wanted."""
    rng = random.Random(f"crash {seed}")
    plan = Plan(
        seed,
        rng.choice(wanted.targets),
        rng.choice(wanted.logs),
        rng.choice(("fixed", "fixed", "early")),
        rng.choices(("abort", "keep", "commit"), (4, 4, 1))[0],
    )
    plan.initial = {name: {"n": rng.randint(0, 4), "m": 0} for name in NAMES if rng.random() < 0.7}
    final = rng.random() < 0.85
    for number in range(rng.randint(2, 4)):
        plan.programs[f"A{number}"] = [_line(rng, final) for _ in range(rng.randint(2, 5))]
    count = min(rng.choice(wanted.processes), len(plan.programs))
    plan.agents = [list(plan.programs)[at::count] for at in range(count)]
    plan.shots = [[_shot(rng, life, wanted) for life in range(_lives(rng, at))] for at in range(count)]
    plan.revived = count == 1 or rng.random() < 0.7
    return plan


def _lives(rng: random.Random, at: int) -> int:
    return rng.choice((1, 1, 2, 3)) if at == 0 else rng.choice((0, 0, 1, 2))


def _shot(rng: random.Random, life: int, wanted: Wanted) -> Shot:
    weights = dict(zip(POINTS, (8, 5, 4, 1, 3) if life == 0 else (8, 2, 2, 6, 2), strict=True))
    point = rng.choices(wanted.points, [weights[point] for point in wanted.points])[0]
    if point == "moment":
        nth = int(rng.uniform(0, _MOMENT_S_MAX) * 1000)
    else:
        nth = rng.randint(1, _NTH_MAX[point] if life == 0 else max(2, _NTH_MAX[point] // 2))
    stops = (rng.random() < 0.45 or wanted.ways == ("stop",)) and "stop" in wanted.ways
    sent = signal.SIGSTOP if stops else signal.SIGKILL
    return Shot(point, nth, sent, rng.random() < 0.8, stops and rng.random() < 0.15)


def _line(rng: random.Random, final: bool) -> Line:
    kinds = [NATIVE, NATIVE, UNDOABLE, *([IRREVERSIBLE] if final else [])]
    tool = rng.choice(sorted(rng.choice(kinds)))
    return Line(tool, _some(rng, NAMES), _some(rng, NAMES), _some(rng, ITEMS), rng.randint(0, 5))


def _some(rng: random.Random, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(rng.choices(names, k=rng.choice((1, 1, 2))))


def program(agent: str, lines: Sequence[Line]) -> Generator[tuple[str, Mapping[str, Any]], Any, None]:
    """Play a program: what it does depends on what native tools return, and on nothing else.

    What irreversible and declared tools return a person may have to guess, so nothing rests on it.
    """
    memory = 1
    for step, line in enumerate(lines):
        try:
            seen = yield line.tool, _arguments(agent, step, line, memory)
        except ToolFailed:
            seen = None
        if line.tool in NATIVE:
            memory = (memory * 31 + digest(seen)) % 1009


def _arguments(agent: str, step: int, line: Line, memory: int) -> dict[str, Any]:
    name = line.names[memory % len(line.names)]
    number = (line.number + memory) % 7
    match line.tool:
        case "get" | "drop":
            return {"name": name}
        case "names":
            return {}
        case "put":
            return {"name": name, "n": number}
        case "add":
            return {"name": name, "amount": number}
        case "copy":
            return {"name": name, "to": line.others[memory % len(line.others)]}
    who = {"agent": agent, "step": step}
    if line.tool in UNDOABLE or line.tool.startswith("dispatch"):
        return {**who, "item": line.items[memory % len(line.items)]}
    return {**who, "name": name}

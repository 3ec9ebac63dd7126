"""Random worlds: an initial state and programs, from one seed.

What a world is made of is itself drawn first (swarm testing, Groce et al. 2012): few objects or many, only
some of the kinds of step, long programs or short ones. A defect that needs, say, nothing but moves and scans
on two objects would hardly ever come up if every world had a bit of everything.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from coagent.agents.scripted import GiveUp, Program
from coagent.errors import ToolFailed
from coagent.protocol.values import copied
from coagent_lab.sim.remote import DECLARED_KINDS, FINAL_KINDS, SCHEME
from coagent_lab.sim.tools import HEAD, MODULUS, object_of

Dialect: TypeAlias = Literal["memory", "files", "kubernetes"]

_DOCUMENT_KINDS = (
    "read", "read_field", "put", "add", "add_silently", "create", "erase", "remove", "move", "copy",
    "add_everywhere", "follow", "put_then_check", "names", "tend", "mail", "pay",
)  # fmt: skip
_TEXT_KINDS = (
    "read", "read_lines", "put", "append", "edit", "create", "erase", "remove", "move", "copy",
    "put_then_check", "names", "find", "count", "tend", "mail", "pay",
)  # fmt: skip
_HEADED_KINDS = tuple("lengthen" if kind == "append" else kind for kind in _TEXT_KINDS)
_COUNTS = (1, 2, 2, 3, 3, 4, 6)
_PREFIXES = {"memory": ("kv:", "txt:"), "files": ("", "file:"), "kubernetes": ("k8s:default/configmaps/", "")}
_HEADED_PREFIXES = ("kv:", "hdr:")
_REMOTE = 2
"""The family of the objects behind declared tools."""
_FINAL = ("mail", "pay", *FINAL_KINDS)
_WORDS = ("ash", "elm", "fir", "oak", "yew")


class Line(NamedTuple):
    """One line of a program; what its keys and numbers are depends on what the program has seen so far.

    Args:
        kind: The tool, or "tend": list, look at each, and change those of one kind.
        keys: Candidates for each key argument: the program's memory picks one of them.
        number: A number for values.
        only_if: (modulus, remainder): the line is skipped unless the memory fits.
        caught: Whether a failure is caught.
        heeded: Whether the result goes into the memory.
        quits: What to do afterwards if the memory fits (modulus 7): "return" or "give_up".
    """

    kind: str
    prefix: str
    keys: tuple[tuple[str, ...], ...]
    number: int
    only_if: tuple[int, int] | None = None
    caught: bool = True
    heeded: bool = True
    quits: str = ""


@dataclass
class World:
    """An initial state and programs in rank order."""

    seed: int
    dialect: Dialect
    initial: dict[str, Any]
    programs: dict[str, list[Line]] = field(default_factory=dict)

    def program(self, agent: str) -> Program:
        """Return an agent's program."""
        lines = self.programs[agent]
        return lambda: _play(agent, lines)

    def copied(self) -> World:
        """Return one that is equal and that others may change."""
        return World(self.seed, self.dialect, copied(self.initial), dict(self.programs))

    def describe(self) -> str:
        """Return the world as text, for a failing seed."""
        lines = [f"initial state: {json.dumps(self.initial, sort_keys=True)}"]
        for agent, program in self.programs.items():
            lines.append(f"{agent}:")
            lines += [f"  {line}" for line in program]
        return "\n".join(lines)


def make_world(
    seed: int,
    dialect: Dialect = "memory",
    *,
    headed: bool = False,
    declared: bool = False,
    final: bool = True,
) -> World:
    """Return the world of a seed.

    Args:
        headed: Whether each text has a first line that nobody changes, for outsiders to write above.
        declared: Whether there is a system that nobody can see into, with declared tools.
        final: Whether agents do what cannot be taken back.
    """
    rng = random.Random(f"world {seed}")
    prefixes = (*(_HEADED_PREFIXES if headed else _PREFIXES[dialect]), SCHEME)
    families = [family for family in (0, 1) if prefixes[family]]
    if len(families) == 2 and rng.random() < 0.5:
        families = [rng.choice(families)]
    if declared:
        families = [_REMOTE, *rng.choice(([], families))]
    names = [f"{folder}/{name}" for folder in "ab" for name in "xyz"]
    if dialect == "kubernetes":
        names = ["a", "b", "c", "d", "e", "f"]
    keys = {
        family: [f"{prefixes[family]}{name}" for name in rng.sample(names, rng.choice(_COUNTS))]
        for family in families
    }
    initial = {
        key: object_of(key, _value(rng, key))
        for family in families
        for key in keys[family]
        if rng.random() < 0.7
    }
    all_kinds = (_DOCUMENT_KINDS, _HEADED_KINDS if headed else _TEXT_KINDS, DECLARED_KINDS)
    allowed = [[kind for kind in them if final or kind not in _FINAL] for them in all_kinds]
    kinds = {family: _swarm(rng, allowed[family]) for family in families}
    world = World(seed, dialect, initial)
    length_max = rng.randint(2, 9)
    style = _Style(rng.random(), rng.random() ** 2, rng.random(), rng.random(), rng.random() < 0.3)
    for number in range(rng.randint(2, 6) if dialect == "memory" else rng.randint(2, 4)):
        program = []
        for _ in range(rng.randint((length_max + 1) // 2, length_max)):
            family = rng.choice(families)
            program.append(_line(rng, rng.choice(kinds[family]), prefixes[family], keys[family], style))
        world.programs[f"A{number}"] = program
    return world


class _Style(NamedTuple):
    branching: float
    picking: float
    catching: float
    heeding: float
    quitting: bool


def _swarm(rng: random.Random, kinds: Sequence[str]) -> list[str]:
    share = rng.choice((0.2, 0.5, 0.9))
    chosen = [kind for kind in kinds if rng.random() < share]
    while len(chosen) < 2:
        chosen.append(rng.choice(kinds))
    return chosen


def _value(rng: random.Random, key: str) -> Any:
    if _is_document(key):
        return {"n": rng.randint(0, 4), "m": rng.randint(0, 4)}
    return _head(key) + "".join(f"{rng.choice(_WORDS)}\n" for _ in range(rng.randint(1, 4)))


def _is_document(key: str) -> bool:
    return key.startswith(("kv:", "k8s:", SCHEME))


def _head(key: str) -> str:
    return HEAD if key.startswith("hdr:") else ""


def _line(rng: random.Random, kind: str, prefix: str, keys: list[str], style: _Style) -> Line:
    def candidates() -> tuple[str, ...]:
        return tuple(rng.choices(keys, k=3)) if rng.random() < style.picking else (rng.choice(keys),)

    modulus = rng.choice((2, 3))
    if not prefix.startswith("k8s:") and rng.random() < 0.5:
        prefix += rng.choice("ab") + "/"
    return Line(
        kind,
        prefix,
        (candidates(), candidates()) if kind != "follow" else (candidates(), tuple(rng.choices(keys, k=2))),
        rng.randint(0, 5),
        (modulus, rng.randrange(modulus)) if rng.random() < style.branching * 0.6 else None,
        rng.random() < 0.3 + 0.7 * style.catching,
        rng.random() < 0.2 + 0.8 * style.heeding,
        rng.choice(("return", "give_up")) if style.quitting and rng.random() < 0.2 else "",
    )


def keys_of(world: World) -> list[str]:
    """Return the objects that programs may touch first of all."""
    return sorted({key for lines in world.programs.values() for line in lines for key in line.keys[0]})


def is_final(world: World, agent: str) -> bool:
    """Tell whether an agent may do what cannot be taken back."""
    return any(line.kind in _FINAL for line in world.programs[agent])


def scheme_of_line(line: Line) -> str:
    """Return the scheme of the objects that a line is about."""
    return line.prefix.partition(":")[0]


def stray_call(world: World, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a write of some value to one of the world's objects."""
    key = rng.choice(keys_of(world))
    value = _fresh(key, rng.randint(0, 4))
    if key.startswith(SCHEME):
        return "set_at", {"path": _path(key), "value": value}
    return "put", {"key": key, "value": value}


# ---- playing a program -------------------------------------------------------------------------------------


def _play(agent: str, lines: list[Line]) -> Generator[tuple[str, Mapping[str, Any]], Any, None]:
    memory = 1
    sent = False  # who has done what cannot be taken back sees it through
    for number, line in enumerate(lines):
        if line.only_if is not None and memory % line.only_if[0] != line.only_if[1]:
            continue
        try:
            if line.kind == "tend":
                seen = yield from _tend(line)
            else:
                seen = yield line.kind, _arguments(agent, number, line, memory)
        except ToolFailed:
            if not line.caught and not sent:
                raise
            seen = "failed"
        sent = sent or line.kind == "hand_over"
        if line.heeded:
            memory = (memory * 31 + _digest(seen)) % 1009
        if line.quits and memory % 7 < 3:
            if line.quits == "give_up" and not sent:
                raise GiveUp(f"{agent} has seen enough")
            return


def _tend(line: Line) -> Generator[tuple[str, Mapping[str, Any]], Any, Any]:
    """The program of the canary story: list a range, look at each object, and repair those that need it."""
    found = yield "names", {"prefix": line.prefix}
    for key in found[:4]:
        value = yield "read", {"key": key}
        if _digest(value) % 3 == line.number % 3:
            yield "put", {"key": key, "value": _fresh(key, line.number)}
    return len(found)


def _arguments(agent: str, number: int, line: Line, memory: int) -> dict[str, Any]:
    first = line.keys[0][memory % len(line.keys[0])]
    second = line.keys[1][memory % len(line.keys[1])]
    amount = (line.number + (memory if line.number > 2 else 0)) % 5
    name = ("n", "m")[line.number % 2]
    word = _WORDS[amount]
    arguments: dict[str, Any]
    match line.kind:
        case "read" | "erase" | "remove":
            arguments = {"key": first}
        case "read_field":
            arguments = {"key": first, "path": f"/{name}"}
        case "read_lines":
            arguments = {"key": first, "first": 1 + line.number % 3, "last": 2 + line.number % 3}
        case "names":
            arguments = {"prefix": line.prefix}
            if line.number % 3 == 0:
                arguments["glob"] = "*/x" if "/" in line.prefix or first.count("/") == 1 else "*"
        case "find" | "count":
            arguments = {"prefix": line.prefix, "pattern": word}
        case "put" | "create":
            arguments = {"key": first, "value": _fresh(first, amount)}
        case "add" | "add_silently":
            arguments = {"key": first, "field": name, "amount": amount}
        case "append" | "lengthen":
            arguments = {"key": first, "line": word}
        case "edit":
            arguments = {"key": first, "old": word, "new": _WORDS[(amount + 1) % 5]}
        case "move" | "copy":
            arguments = {"key": first, "to": second}
        case "add_everywhere":
            arguments = {"prefix": line.prefix, "field": name, "amount": amount}
        case "follow":
            arguments = {"key": first, "field": name, "targets": list(line.keys[1])}
            arguments["value"] = _fresh(second, amount)
        case "put_then_check":
            arguments = {"key": first, "value": _fresh(first, amount), "other": second}
        case "fetch" | "drop":
            arguments = {"path": _path(first)}
        case "survey":
            arguments = {"folder": _path(first).partition("/")[0]}
        case "set_at" | "make":
            arguments = {"path": _path(first), "value": _fresh(first, amount)}
        case "raise_at" | "raise_quietly":
            arguments = {"path": _path(first), "field": name, "amount": amount}
        case "transfer":
            arguments = {"path": _path(first), "to": _path(second)}
        case "overhaul":
            arguments = {"amount": amount}
        case "dispatch" | "hand_over":
            arguments = {"agent": agent, "text": f"{number}: {amount}", "path": _path(first)}
        case _:
            arguments = {"agent": agent, "text": f"{number}: {amount}", "key": first}
    return arguments


def _fresh(key: str, amount: int) -> Any:
    """Return a new value for an object; small numbers, so that equal values are common."""
    if _is_document(key):
        return {"n": amount % MODULUS, "m": (amount * 2) % 5}
    return f"{_head(key)}{_WORDS[amount % 5]}\n{_WORDS[(amount + 2) % 5]}\n"


def _path(key: str) -> str:
    return key.removeprefix(SCHEME)


def _digest(seen: Any) -> int:
    return zlib.crc32(json.dumps(seen, sort_keys=True).encode())

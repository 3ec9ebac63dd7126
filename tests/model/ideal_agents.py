"""Ideal agents: what one does next, by what it has been told, and what all of them do one after another.

A program is a generator of calls that is sent their results; `FAILED` stands for a failure. It is started
anew whenever it is asked what to do next, and fed what its calls return as far as its agent knows. Where it
asks for another call than the one that stands there, that one is amended (the same tool) or all from the last
one down to it are undone (another tool): repair as in A3 of `docs/concepts.md`. `serial_run` shares no line
with the kernel: the tools' own functions over a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from small_tools import TOOLS, Failed, View

from coagent.protocol.calls import BOTTOM, CallId, Observation, Position, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same

FAILED: Final = "failed"
REFUSED: Final = "its target will not have that"

Asked: TypeAlias = tuple[str, dict[str, Value]]
Calls: TypeAlias = Generator[Asked, Any, None]
Program: TypeAlias = Callable[[], Calls]


class Made(NamedTuple):
    """A call that an agent has made, as the agent knows it.

    Args:
        refused: Whether the last it has heard of it is that its target refused it.
        idle: Whether it would succeed now, having failed, and has no effect until it is amended.
    """

    call_id: CallId
    tool: str
    arguments: Mapping[str, Value]
    result: Value
    refused: bool = False
    idle: bool = False


class Move(NamedTuple):
    """What an agent does next: "call", "amend", "undo" or "finish"."""

    kind: str
    made: Made | None = None
    tool: str = ""
    arguments: Mapping[str, Value] = {}


class Player:
    """An agent: what it knows.

    Args:
        name: Its name.
        rank: None before it has joined.
        made: The calls that it has made.
        look: What it has seen and not recorded yet.
        end: "committed" or "aborted".
    """

    __slots__ = ("end", "look", "made", "name", "rank")

    def __init__(self, name: str) -> None:
        self.name = name
        self.rank: Rank | None = None
        self.made: list[Made] = []
        self.look: tuple[Move, Observation] | None = None
        self.end = ""


def result_of(seen: Observation) -> Value:
    """Return what a program is sent for a run."""
    return seen.value if seen.error is None else FAILED


def next_move(program: Program, made: Sequence[Made]) -> Move:
    """Return what an ideal agent does next, having made those calls."""
    running = program()
    asked = next(running, None)
    for one in made:
        if asked is None or asked[0] != one.tool:
            return Move("undo", made[-1])
        if one.idle or not same(dict(one.arguments), asked[1]):
            return Move("amend", one, *asked)
        asked = _sent(running, one.result)
    return Move("finish") if asked is None else Move("call", None, *asked)


def _sent(running: Generator[Asked, Any, Any], result: Value) -> Asked | None:
    try:
        return running.send(result)
    except StopIteration:
        return None


# ---- one after another -------------------------------------------------------------------------------------


class Turn(NamedTuple):
    """An agent's turn in a serial run; `refused` are the numbers of its calls that their targets refuse."""

    agent: str
    program: Program
    refused: Collection[int] = ()


class Edit(NamedTuple):
    """What an outsider writes right before the call of that number of a serial run, from 0."""

    before: int
    key: Key
    value: Value


class SerialRun(NamedTuple):
    """Where a serial run ends: the state, what has been sent, and what each agent's calls returned."""

    state: dict[Key, Value]
    sent: list[tuple[str, str]]
    results: dict[str, list[Value]]
    calls: int


class _State:
    """A dict, at whatever position."""

    def __init__(self, objects: dict[Key, Value]) -> None:
        self.objects = objects
        self.sent: list[str] = []

    def value_at(self, key: Key, _: Position) -> Value:
        return self.objects.get(key)

    def range_at(self, prefix: Key, _: Position) -> dict[Key, Value]:
        return {key: value for key, value in self.objects.items() if key.startswith(prefix)}


def serial_run(
    initial: Mapping[Key, Value], turns: Iterable[Turn], staging: Collection[str], edit: Edit | None = None
) -> SerialRun:
    """Run agents one after another.

    Args:
        initial: The state before.
        turns: Who, in which order.
        staging: The agents whose messages are staged.
        edit: What an outsider does meanwhile.
    """
    state = _State(dict(initial))
    sent: list[tuple[str, str]] = []
    results: dict[str, list[Value]] = {}
    number = 0
    for turn in turns:
        staged: list[str] = []
        returned = results.setdefault(turn.agent, [])
        running = turn.program()
        asked = next(running, None)
        while asked is not None:
            if edit is not None and number == edit.before:
                _write(state.objects, {edit.key: edit.value})
            number += 1
            value = _run(state, asked, len(returned) in turn.refused)
            if asked[0] == "send" and turn.agent in staging:
                staged += state.sent  # at its position it looks and writes, and leaves when all is done
                state.sent.clear()
                value = FAILED if len(returned) in turn.refused else "staged"
            returned.append(value)
            asked = _sent(running, value)
        sent += [(turn.agent, text) for text in [*state.sent, *staged]]
        state.sent.clear()
    if edit is not None and edit.before >= number:
        _write(state.objects, {edit.key: edit.value})
    return SerialRun(state.objects, sent, results, number)


def _run(state: _State, asked: Asked, refused: bool) -> Value:
    if refused:
        return FAILED
    view = View(state, BOTTOM)
    try:
        value = TOOLS[asked[0]](view, **asked[1])
    except Failed:
        return FAILED
    _write(state.objects, view.writes)
    return value


def _write(objects: dict[Key, Value], writes: Mapping[Key, Value]) -> None:
    objects.update(writes)
    for key in [key for key in writes if writes[key] is None]:
        del objects[key]

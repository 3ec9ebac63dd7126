"""A story as a trace that Perfetto and chrome://tracing open: a track for each agent, notices as arrows.

What a log says of how long things took is drawn as long: calls, the time before them since their agents had
heard something, and waiting. All else is a point, drawn as a short slice; what agents say are instants.

Source: "Trace Event Format" (the JSON format of Chrome's traces), which ui.perfetto.dev imports. Times are in
microseconds. Where a log has no times, its records lie a millisecond apart. Slices of a track never overlap:
Perfetto drops those that do without lying in one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_PROCESS = 1
_OUTSIDE_TRACK = 1_000_000
_STEP_US = 1_000
_SLICE_US = 200
_APART_US = 20
_CALLS = ("call", "stage", "start", "ran", "again", "amend", "undo", "reverse", "lost")
_HEARS = ("join", "told", "undo", "restart", "stage", "ran")
"""Steps after which an agent thinks; and after calls of which it is known how long they took."""


def trace(steps: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the trace of a story.

    Args:
        steps: Of the story.
        name: What it is called.
    """
    return {"displayTimeUnit": "ms", "traceEvents": list(_Traced(name).events(steps))}


@dataclass
class _Track:
    """An agent's track.

    Args:
        last: Its last slice, which ends as the next begins.
        heard_us: Since when its agent has had nothing under way that is known; None: not known.
        waits_us: Since when it waits, if it does.
        begun_us: Calls under way, and since when.
        said: What its agent said last.
    """

    last: dict[str, Any] | None = None
    heard_us: int | None = None
    waits_us: int | None = None
    begun_us: dict[str, int] = field(default_factory=dict)
    said: str = ""

    @property
    def free_us(self) -> int:
        """From when on there is nothing in the track."""
        return 0 if self.last is None else self.last["ts"] + self.last["dur"]


class _Traced:
    def __init__(self, name: str) -> None:
        self._name = name
        self._tracks: dict[int, _Track] = {}
        self._places: dict[int, tuple[int, int]] = {}  # of steps, by number: track and time
        self._began_us: int | None = None
        self._last_us = 0
        self._flows = 0

    def events(self, steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield _named("process_name", _OUTSIDE_TRACK, self._name)
        yield _named("thread_name", _OUTSIDE_TRACK, "outside")
        for step in steps:
            at_us = self._moment_us(step)
            number = step.get("rank", _OUTSIDE_TRACK)
            track = self._tracks.setdefault(number, _Track())
            if step["kind"] == "join":
                yield _named("thread_name", number, step["name"])
                yield {**_named("thread_sort_index", number, ""), "args": {"sort_index": step["order"]}}
            if step["kind"] == "said":
                track.said = "" if step["goal"] else step["said"]
                yield _instant(step, number, at_us)
                continue
            yield from self._slices(step, number, track, at_us)
            for notice in step.get("notices", ()):
                source = self._places.get(notice["cause"]["n"] or -1)
                if source is not None:
                    self._flows += 1
                    yield from _arrow(self._flows, source, self._places[step["n"]], notice["key"])

    def _moment_us(self, step: dict[str, Any]) -> int:
        at = step["at"]
        now_us = step["n"] * _STEP_US if at is None else (at - step.get("ago_ms", 0)) * 1_000
        self._began_us = now_us if self._began_us is None else self._began_us
        # Clocks of hosts differ, and several steps share a moment.
        self._last_us = max(self._last_us + _APART_US, now_us - self._began_us)
        return self._last_us

    def _slices(
        self, step: dict[str, Any], number: int, track: _Track, at_us: int
    ) -> Iterator[dict[str, Any]]:
        """Yield a step's slice, and before it what is known of the time up to it."""
        kind, call = step["kind"], step.get("call", "")
        begins_us = at_us - step["took_ms"] * 1_000 if "took_ms" in step else track.begun_us.pop(call, at_us)
        if kind == "start":
            track.begun_us[call] = at_us
        if kind != "again" and track.waits_us is not None:
            yield from self._spent("waiting", number, track, track.waits_us, begins_us)
            track.waits_us = None
        begins = "took_ms" in step if kind in ("call", "amend") else kind in ("stage", "start", "finish")
        if begins and track.heard_us is not None:
            yield from self._spent("thinking", number, track, track.heard_us, begins_us)
        if kind in _HEARS or "took_ms" in step:
            track.heard_us = at_us
        elif kind != "again":
            track.heard_us = None
        if kind in ("finish", "block"):
            track.waits_us = at_us
        yield self._slice(step, number, track, begins_us, at_us)

    def _slice(
        self, step: dict[str, Any], number: int, track: _Track, begins_us: int, at_us: int
    ) -> dict[str, Any]:
        _cut(track, at_us)  # what ends here has begun when nothing else was under way
        begins_us = max(begins_us, track.free_us)
        made = _slice(step, number, at_us)
        if at_us - begins_us >= _APART_US:
            made |= {"ts": begins_us, "dur": at_us - begins_us}
        if track.said and step["kind"] in _CALLS:
            made["args"]["said"] = track.said
        track.last = made
        # An arrow begins where what it tells of had come about: at the end of what took its time.
        long_us = made["dur"] if made["ts"] < at_us else 0
        self._places[step["n"]] = (number, made["ts"] + max(0, long_us - 1))
        return made

    def _spent(
        self, what: str, number: int, track: _Track, from_us: int, to_us: int
    ) -> Iterator[dict[str, Any]]:
        """Yield what an agent did between two moments."""
        if track.last is not None and track.last["dur"] == _SLICE_US:
            _cut(track, from_us + _APART_US)  # a point needs no more room than that
        from_us = max(from_us, track.free_us)
        if to_us - from_us >= _APART_US:
            slice_ = {"name": what, "cat": what, "ph": "X", "ts": from_us, "dur": to_us - from_us}
            track.last = {**slice_, "pid": _PROCESS, "tid": number, "args": {}}
            yield track.last


def _cut(track: _Track, at_us: int) -> None:
    if track.last is not None:
        track.last["dur"] = max(0, min(track.last["dur"], at_us - track.last["ts"]))


def _slice(step: dict[str, Any], track: int, at_us: int) -> dict[str, Any]:
    kind = step["kind"]
    label = f"{step['id']} {step['tool']}" if kind in _CALLS and "tool" in step else kind
    if kind in ("again", "amend", "undo", "reverse"):
        label = f"{kind} {label}"
    shown = {name: step[name] for name in ("text", "args", "state", "error", "diff") if step.get(name)}
    shown |= {name: [entry["key"] for entry in step[name]] for name in ("reads", "writes") if step.get(name)}
    event = {"name": label, "cat": kind, "ph": "X", "ts": at_us, "dur": _SLICE_US}
    return {**event, "pid": _PROCESS, "tid": track, "args": {"record": step["n"], **shown}}


def _instant(step: dict[str, Any], track: int, at_us: int) -> dict[str, Any]:
    event = {
        "name": step["said"],
        "cat": "goal" if step["goal"] else "said",
        "ph": "i",
        "ts": at_us,
        "s": "t",
    }
    return {**event, "pid": _PROCESS, "tid": track, "args": {"record": step["n"]}}


def _arrow(
    number: int, source: tuple[int, int], target: tuple[int, int], key: str
) -> Iterator[dict[str, Any]]:
    for phase, (track, at_us) in (("s", source), ("f", target)):
        event = {"name": f"notice: {key}", "cat": "notice", "ph": phase, "id": number, "ts": at_us}
        yield {**event, "pid": _PROCESS, "tid": track, **({"bp": "e"} if phase == "f" else {})}


def _named(what: str, track: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": track, "args": {"name": name}}

"""A story as a trace that Perfetto and chrome://tracing open: a track for each agent, notices as arrows.

Source: "Trace Event Format" (the JSON format of Chrome's traces), which ui.perfetto.dev imports. Times are in
microseconds. Where a log has no times, its records lie a millisecond apart. Slices of a track never overlap:
Perfetto drops those that do without lying in one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_PROCESS = 1
_OUTSIDE_TRACK = 1_000_000
_STEP_US = 1_000
_SLICE_US = 200
_APART_US = 20
_CALLS = ("call", "stage", "start", "ran", "again", "amend", "undo", "reverse", "lost")


def trace(steps: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the trace of a story.

    Args:
        steps: Of the story.
        name: What it is called.
    """
    return {"displayTimeUnit": "ms", "traceEvents": list(_events(steps, name))}


def _events(steps: Iterable[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    yield _named("process_name", _OUTSIDE_TRACK, name)
    yield _named("thread_name", _OUTSIDE_TRACK, "outside")
    began_us: int | None = None
    last_us = 0
    flows = 0
    places: dict[int, tuple[int, int]] = {}  # of steps, by number: track and time
    open_slices: dict[int, dict[str, Any]] = {}  # the last one of each track, which ends as the next begins
    for step in steps:
        at = step["at"]
        now_us = step["n"] * _STEP_US if at is None else at * 1_000
        began_us = now_us if began_us is None else began_us
        last_us = max(
            last_us + _APART_US, now_us - began_us
        )  # clocks of hosts differ, and several share a moment
        track = step.get("rank", _OUTSIDE_TRACK)
        places[step["n"]] = (track, last_us)
        if step["kind"] == "join":
            yield _named("thread_name", track, step["name"])
            yield {**_named("thread_sort_index", track, ""), "args": {"sort_index": step["order"]}}
        if (before := open_slices.get(track)) is not None:
            before["dur"] = min(before["dur"], last_us - before["ts"])
        open_slices[track] = _slice(step, track, last_us)
        yield open_slices[track]
        for notice in step.get("notices", ()):
            source = places.get(notice["cause"]["n"] or -1)
            if source is not None:
                flows += 1
                yield from _arrow(flows, source, (track, last_us), notice["key"])


def _slice(step: dict[str, Any], track: int, at_us: int) -> dict[str, Any]:
    kind = step["kind"]
    label = f"{step['id']} {step['tool']}" if kind in _CALLS and "tool" in step else kind
    if kind in ("again", "amend", "undo", "reverse"):
        label = f"{kind} {label}"
    shown = {name: step[name] for name in ("text", "args", "state", "error", "diff") if step.get(name)}
    shown |= {name: [one["key"] for one in step[name]] for name in ("reads", "writes") if step.get(name)}
    event = {"name": label, "cat": kind, "ph": "X", "ts": at_us, "dur": _SLICE_US}
    return {**event, "pid": _PROCESS, "tid": track, "args": {"record": step["n"], **shown}}


def _arrow(
    number: int, source: tuple[int, int], target: tuple[int, int], key: str
) -> Iterator[dict[str, Any]]:
    for phase, (track, at_us) in (("s", source), ("f", target)):
        event = {"name": f"notice: {key}", "cat": "notice", "ph": phase, "id": number, "ts": at_us}
        yield {**event, "pid": _PROCESS, "tid": track, **({"bp": "e"} if phase == "f" else {})}


def _named(what: str, track: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": track, "args": {"name": name}}

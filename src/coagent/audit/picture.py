"""Small drawings of what went wrong: who read which version, who wrote, and the circle that this makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Show: TypeAlias = Callable[[Any, str], str]
"""Returns a value, of an object, as it may be shown in one short line."""

_LENGTH_MAX = 60
_ASCII = str.maketrans("┌└│▼▶◀─✗…", "+`|v><-x.")


def brief(value: Any, key: str = "") -> str:
    """Return a value, of an object, in one short line."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 1]}…"


def drawn_read(call: str, tool: str, key: str, saw: str, due: str, source: str, by: str) -> tuple[str, ...]:
    """Draw a read of something else than what was there for it.

    Args:
        call: Who read.
        tool: By which tool.
        key: What.
        saw: What it saw.
        due: What it should have seen.
        source: Who had written what it saw; empty: nobody is known to.
        by: Who had written what it should have seen.
    """
    writers = max(len(source or "?"), len(by or "(before)"))
    return (
        key,
        f"  {by or '(before)':<{writers}} ──wrote──▶ {due}",
        f"  {'':<{writers}}            │ ✗ not seen",
        f"  {source or '?':<{writers}} ──wrote──▶ {saw} ──seen by──▶ {call} ({tool})",
    )


def drawn_cycle(agents: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Draw a circle of dependencies.

    Args:
        agents: Who is in it, in its order.
        edges: From each of them to the next, the last one to the first: "ww", "wr" or "rw", and why.
    """
    lines = []
    for at, (agent, (kind, why)) in enumerate(zip(agents, edges, strict=True)):
        lines.append(f"{'┌─▶' if at == 0 else '│  '} {agent}")
        lines.append(f"│   │ {kind}  {why}")
        lines.append("│   ▼" if at < len(agents) - 1 else "└───┘")
    return tuple(lines)


def in_ascii(lines: Sequence[str]) -> tuple[str, ...]:
    """Return a drawing for a terminal that has no boxes and arrows."""
    return tuple(line.translate(_ASCII) for line in lines)

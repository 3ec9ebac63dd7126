"""Small drawings of what went wrong: who read which version, who wrote, and the circle that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Show(Protocol):
    """Returns a value, of an object, as it may be shown in one short line beside another one of it."""

    def __call__(self, value: Any, key: str, beside: Any = None) -> str: ...


_LENGTH_MAX = 60
_ASCII = str.maketrans("┌└│▼▶◀─✗…", "+`|v><-x.")


def brief(value: Any, key: str = "", beside: Any = None) -> str:
    """Return a value, of an object, in one short line beside another one of it."""
    text = "nothing" if value is None else repr(value)
    return shortened(text, "" if beside is None else repr(beside), _LENGTH_MAX)


def shortened(text: str, beside: str, length_max: int) -> str:
    """Return the beginning of a text, or what is around the first difference to another where that is later.

    Args:
        text: The text.
        beside: What it is shown beside; may be empty.
        length_max: How many characters of it are shown.
    """
    if len(text) <= length_max:
        return text
    pairs = enumerate(zip(text, beside, strict=False))
    alike = next((at for at, (character, other) in pairs if character != other), min(len(text), len(beside)))
    begin = 0 if alike < length_max // 2 else min(alike - length_max // 3, len(text) - length_max)
    end = begin + length_max
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''} ({len(text)} characters)"


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

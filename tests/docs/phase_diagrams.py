"""Draws the lives of agents and calls from the kernel's tables of phases.

`python tests/docs/phase_diagrams.py` writes them into docs/concepts.md; a test sees that they are up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from marked import with_block

from coagent.protocol.phases import AGENT_PHASES, CALL_PHASES, AgentPhase, CallPhase

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts.md"
_AGENT_BEGINS = [(AgentPhase.ACTIVE, "Joined")]
_CALL_BEGINS = [
    (CallPhase.STANDING, "CallObserved"),
    (CallPhase.LAPSED, "CallObserved"),
    (CallPhase.STAGED, "CallStaged"),
    (CallPhase.RUNNING, "CallBegun"),
]
_EDGE = "[*]"
_A_LINE = 2
"""How many names of events stand beside one another."""


def diagram(table: Mapping[tuple[Any, str], Any], begins: Iterable[tuple[Enum, str]]) -> str:
    """Return a table of phases as a state diagram: one arrow a pair of phases, with its events."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for phase, event in begins:
        arrows.setdefault((_EDGE, phase.value), []).append(event)
    for (phase, event), following in table.items():
        arrows.setdefault((phase.value, following.value), []).append(event)
    begun = {phase for phase, _ in table}
    for last in dict.fromkeys(phase for phase in table.values() if phase not in begun):
        arrows[last.value, _EDGE] = []
    lines = [f"    {begin} --> {end}{_label(names)}" for (begin, end), names in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _label(names: list[str]) -> str:
    rows = [", ".join(names[at : at + _A_LINE]) for at in range(0, len(names), _A_LINE)]
    return f": {',<br/>'.join(rows)}" if rows else ""


DIAGRAMS = {
    "agents": diagram(AGENT_PHASES, _AGENT_BEGINS),
    "calls": diagram(CALL_PHASES, _CALL_BEGINS),
}


def drawn(text: str) -> str:
    """Return a document with its diagrams as they should be."""
    for name, made in DIAGRAMS.items():
        text = with_block(text, f"phases of {name}", made)
    return text


if __name__ == "__main__":
    CONCEPTS.write_text(drawn(CONCEPTS.read_text(encoding="utf-8")), encoding="utf-8")

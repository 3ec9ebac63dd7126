"""Draws the lives of agents and calls from the kernel's tables of phases.

An arrow has the events that lead from one phase to another; a box, those that leave its phase as it is.

`python tests/docs/phase_diagrams.py` writes `docs/phases-of-agents.svg` and `docs/phases-of-calls.svg`; it
needs Graphviz's `dot`. A test, which needs nothing, sees that they show what the tables hold.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from html import unescape
from pathlib import Path
from typing import Any

from coagent.protocol.phases import AGENT_PHASES, CALL_PHASES, AgentPhase, CallPhase

DOCS = Path(__file__).parents[2] / "docs"
Arrows = dict[tuple[str, str], list[str]]
_AGENT_BEGINS = [(AgentPhase.ACTIVE, "Joined")]
_CALL_BEGINS = [
    (CallPhase.STANDING, "CallObserved"),
    (CallPhase.LAPSED, "CallObserved"),
    (CallPhase.STAGED, "CallStaged"),
    (CallPhase.RUNNING, "CallBegun"),
]
_BEGIN = "begin"
_A_LINE = 2
"""How many names of events stand beside one another."""
_LOOKS = """
    bgcolor=white; rankdir=TB; nodesep=0.3; ranksep=0.6; margin=0.1;
    node [shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#5b7db1", fontcolor="#1b2a41",
          fontname="Helvetica,Arial,sans-serif", fontsize=14, height=0.35];
    edge [color="#5b7db1", fontcolor="#444444", fontname="Helvetica,Arial,sans-serif", fontsize=11,
          arrowsize=0.7];
    begin [label="", shape=circle, width=0.16, height=0.16, fixedsize=true, fillcolor="#5b7db1"];
"""


def arrows(table: Mapping[tuple[Any, str], Any], begins: Iterable[tuple[Enum, str]]) -> Arrows:
    """Return the arrows between phases, each with the events that it stands for."""
    found: Arrows = {}
    for phase, event in begins:
        found.setdefault((_BEGIN, phase.value), []).append(event)
    for (phase, event), following in table.items():
        found.setdefault((phase.value, following.value), []).append(event)
    return found


DIAGRAMS = {
    "agents": arrows(AGENT_PHASES, _AGENT_BEGINS),
    "calls": arrows(CALL_PHASES, _CALL_BEGINS),
}


def place(name: str) -> Path:
    """Return where a diagram is kept."""
    return DOCS / f"phases-of-{name}.svg"


def _rows(names: list[str]) -> list[str]:
    return [", ".join(names[at : at + _A_LINE]) for at in range(0, len(names), _A_LINE)]


def _box(phase: str, staying: list[str]) -> str:
    events = "<br/>".join(_rows(staying))
    small = f'<br/><font point-size="10" color="#444444">{events}</font>' if events else ""
    return f"{phase} [label=<<b>{phase}</b>{small}>];"


def picture(shown: Arrows) -> str:
    """Return a diagram as an SVG picture, without what tells by which version of Graphviz it was drawn."""
    phases = dict.fromkeys(phase for arrow in shown for phase in arrow if phase != _BEGIN)
    lines = [_box(phase, shown.get((phase, phase), [])) for phase in phases]
    for (begin, end), names in shown.items():
        label = ",\\n".join(_rows(names))
        if begin != end:
            lines.append(f'{begin} -> {end} [label="{label}"];')
    source = "\n".join(["digraph phases {", _LOOKS, *lines, "}"])
    drawn = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True).stdout
    return re.sub(r"<!--.*?-->\n|<!DOCTYPE.*?>\n|<\?xml.*?\?>\n", "", drawn, flags=re.S)


def shown_in(picture: str) -> Arrows:
    """Return the arrows of a picture that `dot` has drawn, and what it says within its boxes."""
    found: Arrows = {}
    for kind, group in re.findall(r'<g id="\w+" class="(edge|node)">(.*?)</g>', picture, re.S):
        title = unescape(re.findall(r"<title>(.*?)</title>", group)[0])
        texts = [unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", group)]
        if kind == "node":
            assert texts[:1] == ([title] if title != _BEGIN else []), "each box is named for its phase"
            texts = texts[1:]
        begin, _, end = title.partition("->")
        if names := [name for name in re.split(r"[, ]+", ", ".join(texts)) if name]:
            found[begin, end or begin] = names
    return found


if __name__ == "__main__":
    try:
        for name, shown in DIAGRAMS.items():
            place(name).write_text(picture(shown), encoding="utf-8")
    except FileNotFoundError:
        sys.exit("Graphviz is needed to draw: apt install graphviz, or what installs it here")

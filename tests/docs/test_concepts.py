"""What docs/concepts.md says of phases is what the kernel has."""

from __future__ import annotations

import re

import pytest
from phase_diagrams import CONCEPTS, DIAGRAMS, drawn

from coagent.protocol.phases import AgentPhase, CallPhase

TEXT = CONCEPTS.read_text(encoding="utf-8")


def test_the_diagrams_are_drawn_from_the_tables() -> None:
    assert drawn(TEXT) == TEXT, "python tests/docs/phase_diagrams.py draws them again"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_an_arrow_too_many_or_too_few_would_be_seen(name: str) -> None:
    arrow = next(line for line in DIAGRAMS[name].splitlines() if "-->" in line)
    assert TEXT.count(arrow) >= 1
    assert drawn(TEXT.replace(f"{arrow}\n", "")) == TEXT
    assert drawn(TEXT.replace(arrow, f"{arrow}\n    nowhere --> nowhere")) == TEXT


@pytest.mark.parametrize(("name", "phases"), [("agents", AgentPhase), ("calls", CallPhase)])
def test_every_phase_is_drawn_and_explained(name: str, phases: type[AgentPhase] | type[CallPhase]) -> None:
    places = set(re.findall(r"[\w]+(?= -->)|(?<=--> )\w+", DIAGRAMS[name]))
    assert places == {phase.value for phase in phases}
    for phase in phases:
        assert re.search(rf"^- \*\*{phase.value}\*\*", TEXT, re.M), f"{phase.value} is not explained"


def test_every_rule_has_its_number() -> None:
    protocol = TEXT.split("## The protocol in plain words")[1].split("\n## ")[0]
    assert re.findall(r"^(\d+)\. \*\*", protocol, re.M) == [str(number) for number in range(1, 12)]

"""What docs/concepts.md says of phases is what the kernel has."""

from __future__ import annotations

import re

import pytest
from phase_diagrams import DIAGRAMS, DOCS, place, shown_in

from coagent.protocol.phases import AgentPhase, CallPhase

TEXT = (DOCS / "concepts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DIAGRAMS)
def test_the_diagrams_are_drawn_from_the_tables(name: str) -> None:
    picture = place(name).read_text(encoding="utf-8")
    assert shown_in(picture) == DIAGRAMS[name], "python tests/docs/phase_diagrams.py draws them again"
    assert f"]({place(name).name})" in TEXT


@pytest.mark.parametrize("name", DIAGRAMS)
def test_an_arrow_too_many_or_too_few_or_of_another_name_would_be_seen(name: str) -> None:
    picture = place(name).read_text(encoding="utf-8")
    edge = re.findall(r'<g id="edge\d+" class="edge">.*?</g>\n', picture, re.S)[-1]
    more = re.sub(r"<title>.*?</title>", "<title>nowhere&#45;&gt;nowhere</title>", edge)
    for wrong in (picture.replace(edge, ""), picture.replace(edge, edge + more)):
        assert shown_in(wrong) != DIAGRAMS[name]
    assert (
        shown_in(picture.replace(">CallObserved", ">Gone").replace(">Aborted<", ">Gone<")) != DIAGRAMS[name]
    )


@pytest.mark.parametrize(("name", "phases"), [("agents", AgentPhase), ("calls", CallPhase)])
def test_every_phase_is_drawn_and_explained(name: str, phases: type[AgentPhase] | type[CallPhase]) -> None:
    places = {phase for arrow in DIAGRAMS[name] for phase in arrow}
    assert places - {"begin"} == {phase.value for phase in phases}
    for phase in phases:
        assert re.search(rf"^- \*\*{phase.value}\*\*", TEXT, re.M), f"{phase.value} is not explained"


def test_every_rule_has_its_number() -> None:
    protocol = TEXT.split("## The protocol in plain words")[1].split("\n## ")[0]
    assert re.findall(r"^(\d+)\. \*\*", protocol, re.M) == [str(number) for number in range(1, 12)]

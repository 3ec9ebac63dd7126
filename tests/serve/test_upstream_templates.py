"""Templates of upstream tables: keys from lists and odd names, and steps from what was returned."""

from __future__ import annotations

from typing import Any

import pytest

from coagent import DeclaredTool
from coagent.errors import ConfigurationError, FootprintViolation, TargetError
from coagent.gateways.mcp.paths import Returned, filled

SCHEMA = {
    "type": "object",
    "properties": {
        "entities": {"type": "array"},
        "names": {"type": "array"},
        "note-id": {"type": "string"},
        "self": {"type": "string"},
    },
}


async def act(**arguments: Any) -> None:
    """Act."""


async def take_back(prepared: Any, result: Any, /, **arguments: Any) -> None:
    """Take it back."""


def writes(*templates: str, **arguments: Any) -> set[str]:
    tool = DeclaredTool(act, writes=templates, reverse=take_back, name="act", schema=SCHEMA)
    return set(tool.footprint(arguments).writes)


def test_a_list_gives_a_key_for_each_of_its_items() -> None:
    entities = [{"name": "Ada"}, {"name": "a/b"}]
    assert writes("m:{entities.*.name}", entities=entities) == {"m:Ada", "m:a%2Fb"}
    assert writes("m:{names.*}/{entities.*.name}", entities=entities[:1], names=["x", "y"]) == {
        "m:x/Ada",
        "m:y/Ada",
    }
    assert writes("m:{names.*:path}", names=["a/../b/c"]) == {"m:b/c"}


def test_arguments_of_any_name_stand_in_keys() -> None:
    assert writes("m:{note-id}/{self}", **{"note-id": "n", "self": "s"}) == {"m:n/s"}


@pytest.mark.parametrize("arguments", [{"names": []}, {}, {"names": ["x", ""]}])
def test_a_list_from_which_no_key_can_be_made_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(FootprintViolation, match="cannot stand in a key"):
        writes("m:{names.*}", **arguments)


def test_a_template_over_no_argument_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names no argument: other"):
        writes("m:{other.*.name}")


def test_a_step_takes_texts_parts_of_data_and_arguments() -> None:
    returned = Returned({"entities": [{"name": "Ada", "tags": ["a", "b"]}, {"name": "Bob", "tags": []}]})
    values = {"result": returned, "before": Returned("one\n"), "arguments": {"result": "mine"}}
    template = {
        "names": "{result.entities.*.name}",
        "tags": "{result.entities.*.tags.*}",
        "text": "before: {before}",
        "mine": "{arguments.result}",
        "json": '{"not": "a name"}',
    }
    assert filled(template, values, "t") == {
        "names": ["Ada", "Bob"],
        "tags": ["a", "b"],
        "text": "before: one\n",
        "mine": "mine",
        "json": '{"not": "a name"}',
    }


def test_data_that_come_as_text_have_parts_too() -> None:
    assert filled("{result.id}", {"result": Returned('{"id": 7}')}, "t") == 7
    assert filled("{result.items.*}", {"result": Returned("[1, 2]")}, "t") == [1, 2]
    with pytest.raises(TargetError, match=r"asks for \{result.id\}"):
        filled("{result.id}", {"result": Returned("plain")}, "t")

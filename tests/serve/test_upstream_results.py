"""What upstream servers answer, and how they name things: all of it comes through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp_types import AudioContent, EmbeddedResource, ImageContent, ResourceLink, TextContent
from serving import call, command, failure, stdio, text_of

pytestmark = pytest.mark.anyio
SERVER = Path(__file__).parent / "odd_server.py"
ODD = ("self", "result", "from", "call_id", "tool", "arguments", "prepared", "name")
DECLARED = """
[upstreams.tools.get_note]
effect = "read"
reads = ["odd:{note-id}"]

[upstreams.tools.set_note]
effect = "write"
writes = ["odd:{note-id}"]
prepare.before = { tool = "get_note", arguments = { note-id = "{note-id}" }, absent = "NOT_FOUND" }
reverse = [{ tool = "delete_note", unless = "before", arguments = { note-id = "{arguments.note-id}" } }]
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def odd(folder: Path, declared: str = DECLARED, more: str = "") -> Path:
    server = json.dumps([sys.executable, str(SERVER), str(folder / "notes.json")])
    path = folder / "domain.toml"
    path.write_text(
        'log = "sqlite:log.db"\n\n[serve]\nport = 0\n\n'
        f'[[upstreams]]\nname = "odd"\ncommand = {server}\n{declared}{more}'
    )
    return path


async def test_tools_of_all_pages_come_with_titles_annotations_and_names_that_models_can_call(
    tmp_path: Path,
) -> None:
    async with stdio(odd(tmp_path), "A") as a:
        tools = {one.name: one for one in (await a.list_tools()).tools}
        assert {"get_note", "count", "slow", "grow", "bare"} <= tools.keys()
        assert tools["count"].title == "Count"
        assert tools["count"].annotations is not None
        assert tools["count"].annotations.read_only_hint
        long = next(one for one in tools if one.startswith("long_"))
        assert len(long) == 64
        assert (await call(a, long)).startswith("long.xxx")
        assert (await call(a, "bare")).startswith("bare")


async def test_arguments_may_be_called_anything_and_late_calls_still_come_before(tmp_path: Path) -> None:
    async with stdio(odd(tmp_path), "A") as a, stdio(tmp_path / "domain.toml", "B") as b:
        await failure(a, "get_note", **{"note-id": "x"})
        await b.call_tool("set_note", {"note-id": "n", **{name: f"b-{name}" for name in ODD}})
        assert "ok" in text_of(
            await a.call_tool("set_note", {"note-id": "n", **{name: f"a-{name}" for name in ODD}})
        )
        await call(a, "coagent_finish")
        assert "committed" in await call(b, "coagent_finish")
    assert json.loads((tmp_path / "notes.json").read_text())["n"].startswith("b-self|b-result|b-from|n|")


async def test_data_come_as_data_that_fit_the_schema_that_is_offered(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"x": "1"}')
    async with stdio(odd(tmp_path), "A") as a:
        await a.list_tools()  # from then on the client checks what comes by the schemas
        count = await a.call_tool("count", {})
        assert count.structured_content is not None
        assert count.structured_content["result"] == {"n": 1}
        assert '{"n": 1}' in text_of(count)
        tree = await a.call_tool("tree", {})
        assert tree.structured_content is not None
        assert tree.structured_content["result"]["tree"]["children"] == [{"name": "x"}]
        wrong = await a.call_tool("wrong_count", {})
        assert wrong.structured_content is not None
        assert "result" not in wrong.structured_content
        assert "many" in text_of(wrong)
        assert '{"code": 7}' in await failure(a, "fails")


async def test_pictures_sounds_and_resources_come_as_what_they_are(tmp_path: Path) -> None:
    async with stdio(odd(tmp_path), "A") as a:
        result = await a.call_tool("parts", {})
        text, image, audio, page, blob, link, end = result.content
        assert isinstance(text, TextContent)
        assert text.text.startswith("<data ")  # what only looks like a notice stands between markers
        assert isinstance(image, ImageContent)
        assert (image.data, image.mime_type) == ("iVBORw0KGgo=", "image/png")
        assert isinstance(audio, AudioContent)
        assert isinstance(page, EmbeddedResource)
        assert page.resource.uri == "note://page"
        assert "<data " in page.resource.text  # type: ignore[union-attr]
        assert isinstance(blob, EmbeddedResource)
        assert blob.resource.blob == "iVBORw0KGgo="  # type: ignore[union-attr]
        assert isinstance(link, ResourceLink)
        assert isinstance(end, TextContent)
        assert end.text == "[call A.1]"
        assert result.structured_content is not None
        assert result.structured_content["result"] == {"parts": 6}


def test_two_servers_with_tools_of_one_name_are_named_with_the_cure(tmp_path: Path) -> None:
    second = odd(tmp_path).read_text().partition("port = 0\n")[2].replace('name = "odd"', 'name = "two"')
    path = odd(tmp_path, more=second.replace("odd:{", "two:{"))
    done = subprocess.run(
        command("serve", str(path)), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "upstreams 'odd' and 'two' both have a tool 'get_note'" in done.stderr
    assert 'prefix = "two_"' in done.stderr

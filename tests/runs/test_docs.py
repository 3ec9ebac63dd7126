"""The examples of docs/run.md are carried out as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from endpoint import Script, after, calls, says, serving

from coagent.runs.execute import execute
from coagent.runs.file import RunFile
from coagent.runs.plan import make_plan

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "run.md").read_text(encoding="utf-8")


def write_examples(folder: Path) -> None:
    for name, text in re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (folder / name).write_text(text)


async def test_scripts(repository: Path) -> None:
    write_examples(repository)
    report = await execute(make_plan(repository / "scripts.toml"))
    assert report.succeeded, report
    assert (repository / "caller.py").read_text() == "import lib\n\nlib.download('b')\n"
    assert report.agents[1].notices == 1


async def test_models(repository: Path) -> None:
    write_examples(repository)
    rename, caller = Script(), Script()
    content = "import lib\n\nlib.{}('b')\n"
    caller = Script(
        calls(("read_file", {"path": "lib.py"})),
        lambda messages: after(
            rename.asked[1],
            calls(("write_file", {"path": "caller.py", "content": content.format("fetch")})),
        )(messages),
        calls(("amend", {"call_id": "caller.2", "arguments": {"content": content.format("download")}})),
        says("done"),
    )
    edit = ("write_file", {"path": "lib.py", "content": "def download(url):\n    return url\n"})
    rename = Script(lambda messages: after(caller.asked[1], calls(edit))(messages))

    def qwen(messages: list[dict[str, object]]) -> dict[str, object]:
        return (rename if "Rename the function" in str(messages) else caller)(messages)

    with serving(qwen=qwen) as url:
        path = repository / "models.toml"
        path.write_text(path.read_text().replace("http://127.0.0.1:8411/v1", url))
        report = await execute(make_plan(path))
    assert report.succeeded, report
    assert (repository / "caller.py").read_text() == content.format("download")


async def test_every_key_is_documented() -> None:
    for name in RunFile.model_fields:
        assert f"`{name}`" in PAGE or f"`[{name}]`" in PAGE or f"`[[{name}]]`" in PAGE or f"`[{name}." in PAGE

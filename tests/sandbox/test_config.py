"""The shell in a domain file."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_sandbox import needs_views

import coagent
from coagent.config.targets import FilesTarget, MemoryTarget, make_target
from coagent.config.tools import ToolsTable, make_tools
from coagent.errors import ConfigurationError

pytestmark = [pytest.mark.anyio, needs_views]


async def test_a_domain_file_that_names_bash_offers_it(workspace: Path) -> None:
    targets = [FilesTarget(kind="files", root="work")]
    table = ToolsTable.model_validate(
        {"builtin": ["files", "bash"], "bash": {"trace": False, "writable": ["/tmp"]}}
    )
    tools = make_tools(table, targets, workspace.parent, "file:1")
    live = [make_target(one, workspace.parent, "file:1") for one in targets]
    async with coagent.open_domain("memory:", targets=live, tools=tools) as domain:
        a = await domain.join("A")
        assert (await a.call("bash", command="cat a.txt; pwd", cwd="src")).value["exit_code"] == 0
        assert (await a.call("bash", command="cat a.txt")).value["output"] == "one\n"


@pytest.mark.parametrize(
    ("targets", "bash", "says"),
    [
        ([MemoryTarget(kind="memory")], {}, 'needs one target of kind "files"'),
        ([FilesTarget(kind="files"), FilesTarget(kind="files")], {}, "there are 2"),
        ([FilesTarget(kind="files")], {"writable": ["/no/such/folder"]}, "no folder '/no/such/folder'"),
    ],
)
def test_a_domain_file_that_cannot_have_bash_is_refused(
    tmp_path: Path, targets: list[object], bash: dict[str, object], says: str
) -> None:
    table = ToolsTable.model_validate({"builtin": ["bash"], "bash": bash})
    with pytest.raises(ConfigurationError, match=says):
        make_tools(table, targets, tmp_path, "file:1")

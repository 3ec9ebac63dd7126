"""The shell in a domain file."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_sandbox import needs_views

import coagent
from coagent.config.domain_file import configured
from coagent.config.targets import make_target
from coagent.config.tools import ToolsTable, make_tools
from coagent.errors import ConfigurationError, ToolFailed
from coagent.systems.files.system import FilesTarget
from coagent.systems.memory import MemoryTarget


def children() -> set[str]:
    return {
        one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()
    }


pytestmark = [pytest.mark.anyio, needs_views]


async def test_a_domain_file_that_names_bash_offers_it(workspace: Path) -> None:
    targets = [FilesTarget(kind="files", root="work")]
    table = ToolsTable.model_validate(
        {"builtin": ["files", "bash"], "bash": {"trace": False, "writable": ["/tmp"]}}
    )
    live = [make_target(one, workspace.parent, "file:1") for one in targets]
    tools = make_tools(table, targets, live, workspace.parent, "file:1")
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
        ([FilesTarget(kind="files")], {"writable": ["src"]}, "no folder '.*/src'"),  # not where it is run
    ],
)
def test_a_domain_file_that_cannot_have_bash_is_refused(
    tmp_path: Path, targets: list[object], bash: dict[str, object], says: str
) -> None:
    table = ToolsTable.model_validate({"builtin": ["bash"], "bash": bash})
    with pytest.raises(ConfigurationError, match=says):
        make_tools(
            table, targets, [make_target(one, tmp_path, "file:1") for one in targets], tmp_path, "file:1"
        )


async def test_folders_that_commands_may_write_start_from_the_file(workspace: Path) -> None:
    (workspace.parent / "cache").mkdir()
    file = workspace.parent / "domain.toml"
    file.write_text(
        'log = "memory:"\n[[targets]]\nkind = "files"\nroot = "work"\n'
        '[tools]\nbuiltin = ["bash", "files"]\n[tools.bash]\nwritable = ["cache"]\n'
    )
    async with configured(file).domain as domain:
        a = await domain.join("A")
        made = await a.call("bash", command="echo x > ../cache/x")
        assert made.value["exit_code"] == 0, made.value["output"]
    assert (workspace.parent / "cache" / "x").read_text() == "x\n"


def test_a_library_that_is_no_folder_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "tools").write_text("")
    file = tmp_path / "domain.toml"
    file.write_text(
        '[[targets]]\nkind = "files"\nroot = "."\n'
        '[tools]\nbuiltin = ["toolsmith"]\n[tools.toolsmith]\nlibrary = "tools"\n'
    )
    with pytest.raises(ConfigurationError, match=r"domain.toml:5: '.*tools' is no folder"):
        configured(file)


async def test_what_a_domain_file_leaves_out_of_the_workspace_commands_have_as_it_is(workspace: Path) -> None:
    (workspace / ".coagent").mkdir()
    (workspace / ".coagent/config.toml").write_text(
        'log = "memory:"\n[[targets]]\nkind = "files"\nroot = ".."\nexclude = ["target/**"]\n'
        '[tools]\nbuiltin = ["files", "bash"]\n'
    )
    async with configured(workspace / ".coagent/config.toml").domain as domain:
        a = await domain.join("A")
        made = "mkdir -p node_modules/x target; echo 1 > node_modules/x/y; echo 2 > target/z"
        assert (await a.call("bash", command=made)).value["not_governed"] == ["node_modules", "target"]
        seen = await a.call("bash", command="echo 3 >> target/z; cat node_modules/x/y target/z")
        assert seen.value["output"] == "1\n2\n3\n"
        await a.abort()
    assert (workspace / "target/z").read_text() == "2\n3\n"


async def test_a_domain_file_says_how_large_files_may_be(workspace: Path) -> None:
    (workspace / ".coagent").mkdir()
    file = workspace / ".coagent/config.toml"
    text = (
        'log = "memory:"\n[[targets]]\nkind = "files"\nroot = ".."\n{}[tools]\nbuiltin = ["bash", "files"]\n'
    )
    make = "head -c 17000000 /dev/zero > large"
    file.write_text(text.format(""))
    async with configured(file).domain as domain:
        agent = await domain.join("A")
        await agent.call("bash", command=make)
        with pytest.raises(ToolFailed, match=r"'large' has 17000000 bytes.*max_mib"):
            await agent.call("read_file", path="large")
        await agent.abort()
    assert not (workspace / "large").exists()
    file.write_text(text.format("max_mib = 17\n"))
    async with configured(file).domain as domain:
        await (await domain.join("A")).call("bash", command=make)
    assert (workspace / "large").stat().st_size == 17_000_000
    file.write_text(text.format(""))
    async with configured(file).domain as domain:
        a = await domain.join("A")
        assert (await a.call("bash", command="wc -c < large")).value["output"] == "17000000\n"
        await a.call("bash", command="rm large")
        await a.abort()
    assert (workspace / "large").stat().st_size == 17_000_000


async def test_nothing_of_it_is_left_when_the_domain_of_a_file_is_closed(workspace: Path) -> None:
    (workspace / ".coagent").mkdir()
    file = workspace / ".coagent/config.toml"
    file.write_text(
        'log = "memory:"\n[[targets]]\nkind = "files"\nroot = ".."\n'
        '[tools]\nbuiltin = ["bash", "toolsmith"]\n'
    )
    before = children()
    async with configured(file).domain as domain:
        a = await domain.join("A")
        await a.call("bash", command="true")
        assert children() > before
    assert children() == before

"""Random attacks on grown tools: only what a call declares may change, and its undo must bring all back."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import coagent
from coagent.errors import CoAgentError
from coagent.systems.files.target import Files
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.footprint import fill_templates
from coagent.toolsmith.hostile import HOSTILE
from coagent.toolsmith.library import Library
from coagent.toolsmith.smith import smith_tools
from coagent.toolsmith.spec import ToolSpec
from coagent_lab.bench.bash.trees import differing, tree_of

pytest.importorskip("tree_sitter_bash")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(available()), reason=available() or "private views can be had"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="the tools grown here need jq"),
]
_COMMANDS = (
    "sed -i 's/one/eins/' hosts",
    "echo three >> hosts",
    "sort -o hosts hosts",
    "jq '.port=81' app.json > t && mv t app.json",
    "cut -d' ' -f2 hosts > names",
    "comm -12 hosts notes/a.txt",
    "cp -r notes copied",
    "mv notes/deep notes/deeper",
    "rm -r notes",
    "ln -sfn notes/deep current",
    "find notes -name '*.bak' -exec rm {} +",
    "tar -czf notes.tgz -C notes deep",
    "git -C inner branch topic/one",
    "chmod 600 hosts",
)
_ODD = (
    *HOSTILE, "-delete", "-exec", "../../pwned", "../aside", "/tmp", ".", ".git", ".git/HEAD",
    "current", "current/c", "notes", "hosts", "**", "{}", "{2}", "a\0b", "--exec", "a=b", "x:y",
    "--to-command=touch pwned", "-Itouch pwned", "1e touch pwned", "1,$w pwned", "1r /etc/passwd",
    'BEGIN{system("touch pwned")}', "heads", "../heads/x", "4777",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "notes" / "deep").mkdir(parents=True)
    (tree / "hosts").write_text("1 one\n2 two\n")
    (tree / "app.json").write_text('{"port": 80}\n')
    (tree / "notes" / "a.txt").write_text("a\n")
    (tree / "notes" / "b.bak").write_text("b\n")
    (tree / "notes" / "deep" / "c").write_text("c\n")
    (tree / "current").symlink_to("notes")
    begin = "git init -q; git add hosts; git -c user.name=a -c user.email=a@example.com commit -qm begin; "
    begin += "git clone -q . inner"
    subprocess.run(["bash", "-c", begin], cwd=tree, check=True)
    (tmp_path / "aside").write_text("aside\n")
    return tree


def _attacked(chance: random.Random, spec: ToolSpec) -> dict[str, Any]:
    """Return the arguments of a tool with one or two of them made hostile."""
    arguments = dict(spec.examples[0])
    for name in chance.sample(list(spec.parameters), chance.randint(1, min(2, len(spec.parameters)))):
        odd, old = chance.choice(_ODD), arguments[name]
        if spec.parameters[name].type != "stages":
            arguments[name] = chance.choice([odd, f"{old}{odd}", f"{odd}{old}", f"{old}/{odd}"])
            continue
        at = chance.randrange(len(old))
        words = list(old[at])
        number = chance.randrange(len(words))
        words[number : number + chance.randint(0, 1)] = [odd]
        arguments[name] = [*old[:at], words, *old[at + 1 :]]
    return arguments


def _covered(keys: Sequence[str], path: str) -> bool:
    places = [key.partition(":")[2].partition("#")[0] for key in keys]
    return any(
        place in (path, "") or (place.endswith("/") and f"{path}/".startswith(place))
        or place.startswith(f"{path}/")  # a folder that came or went with what is in it
        for place in places
    )  # fmt: skip


def _aside(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.parent.iterdir()):
        yield path.name, path.read_bytes() if path.is_file() else b""


@pytest.mark.long
@pytest.mark.usefixtures("all_hostile_values")
async def test_a_call_changes_what_it_declares_and_is_undone(root: Path) -> None:
    files = Files(root)
    library = root.parent / "library"
    chance = random.Random(20)
    tools = smith_tools(files.workspace, library)
    done = 0
    async with coagent.open_domain("memory:", targets=[files], tools=[tools]) as domain:
        agent = await domain.join("worker")
        for command in _COMMANDS:
            answer = (await agent.call("request_tool", request="x", command=command)).value
            assert "tool" in answer, (command, answer)
        specs = sorted(Library(library).load()[0].values(), key=lambda one: one.name)
        before, aside = tree_of(root), list(_aside(root))
        for _ in range(150):
            spec = chance.choice(specs)
            arguments = _attacked(chance, spec)
            try:
                call = await agent.call("use_tool", name=spec.name, arguments=arguments)
            except CoAgentError:
                assert not differing(before, tree_of(root)), (spec.name, arguments)
                continue
            changed = differing(before, tree_of(root))
            keys = fill_templates(spec, spec.writes, check_arguments(spec, files.workspace, arguments))
            assert [path for path in changed if not _covered(keys, path)] == [], (spec.name, arguments)
            assert list(_aside(root)) == aside, (spec.name, arguments)
            done += 1
            if changed:
                await agent.undo(call.call_id)
                assert differing(before, tree_of(root)) == [], (spec.name, arguments)
    assert done > 10, "most attacks are refused, and some are harmless"

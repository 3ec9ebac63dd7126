"""Random agents with random commands, interleaved, end where plain bash ends one after another."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import needs_views, shells, tree

import coagent

pytestmark = [pytest.mark.anyio, needs_views]
_FILES = ("a.txt", "b.txt", "c.txt", "src/x", "src/y", "new/z")
_COMMANDS = (
    "mkdir -p src new; echo {word} >> {one}",
    "mkdir -p src new; echo {word} > {one}",
    "mkdir -p src new; cp {one} {other}",
    "mkdir -p src new; mv {one} {other}",
    "rm -f {one}",
    "rm -rf src",
    "sed -i 's/o/{word}/' {one}",
    "mkdir -p src new; test -e {one} && echo yes > {other} || echo no > {other}",
    "cat *.txt > c.txt",
    "names=$(find . -name '*.txt' -not -path './.*' | sort); echo \"$names\" > a.txt",
    "names=$(grep -rl {word} --include='*.txt' . | sort); echo \"$names\" >> b.txt",
    'names=$(find src new -type f | sort); echo "$names" > c.txt',
    "chmod +x {one}; test -x {other} && echo runs >> a.txt",
    "chmod 600 {one}; stat -c %a {other} > c.txt",
    "mkdir -p new/{word}; ls -R src new >> b.txt",
    "rmdir src new/* 2>/dev/null; test -d src && echo src > a.txt",
    "ln -sfn {one} new/link; ln -s {other} {one}; test -L {other} && echo link >> a.txt",
    "echo {word} > new/{word}/z; cp -P {one} {other}",
    "rm -rf new; mkdir new; ln -s ../src new/link; echo {word} > new/link/x",
    "find . -name '*o*' -not -path './.*' -delete",
    "test -e src/y || mv src new/old; ls new > c.txt",
    "write_file new/tool/one {word}",
    "write_file new/two {word}",
    "write_and_delete_file new/tool/one",
    "write_and_delete_file new/two",
    "wc -c < {one} > b.txt",
)


def _scripts(seed: int) -> list[list[str]]:
    random_ = random.Random(seed)

    def command() -> str:
        one, other = random_.sample(_FILES, 2)
        return random_.choice(_COMMANDS).format(
            one=one, other=other, word=random_.choice(("foo", "bar", "o"))
        )

    return [[command() for _ in range(random_.randint(2, 4))] for _ in range(random_.randint(2, 4))]


def _plainly(command: str) -> str:
    """Return what a tool for files does, in bash: folders come and go with the files in them."""
    name, _, rest = command.partition(" ")
    one, _, word = rest.partition(" ")
    folder = one.rpartition("/")[0]
    if name == "write_file":
        return f"mkdir -p {folder}; printf %s {word} > {one}"
    if name == "write_and_delete_file":
        return f"mkdir -p {folder}; > {one}; rm {one}; rmdir -p --ignore-fail-on-non-empty {folder}"
    return command


async def _call(agent: coagent.AgentSession, command: str) -> None:
    name, _, rest = command.partition(" ")
    one, _, word = rest.partition(" ")
    if name in ("write_file", "write_and_delete_file"):
        await agent.call("write_file", path=one, content=word)
        if not word:
            await agent.call("delete_file", path=one)
    else:
        await agent.call("bash", command=command)


@pytest.mark.parametrize(
    "seed", [1015, 3018, *(pytest.param(seed, marks=pytest.mark.long) for seed in (*range(5), 1030, 3076))]
)
@pytest.mark.parametrize("trace", [True, False], ids=["traced", "coarse"])
async def test_the_end_is_that_of_plain_bash_in_the_order_of_ranks(
    tmp_path: Path, seed: int, trace: bool
) -> None:
    await _compared(tmp_path, seed, trace=trace)


@pytest.mark.parametrize(
    "seed", [3018, *(pytest.param(seed, marks=pytest.mark.long) for seed in (0, 1, 2, 3076))]
)
async def test_the_end_is_that_of_plain_bash_in_copies_too(tmp_path: Path, seed: int) -> None:
    await _compared(tmp_path, seed, view="copy")


async def _compared(tmp_path: Path, seed: int, **options: Any) -> None:
    root, plain = tmp_path / "work", tmp_path / "plain"
    (root / "src").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "src/x"):
        (root / name).write_text(f"one {name}\ntwo foo\n")
    shutil.copytree(root, plain)
    scripts = _scripts(seed)
    for script in scripts:
        for command in script:
            subprocess.run(["bash", "-c", _plainly(command)], cwd=plain, capture_output=True, check=False)
    order = [rank for rank, script in enumerate(scripts) for _ in script]
    random.Random(seed + 1000).shuffle(order)
    async with shells(root, **options) as domain:
        agents = [await domain.join(f"agent{rank}") for rank in range(len(scripts))]
        ahead = [list(script) for script in scripts]
        for rank in order:
            await _call(agents[rank], ahead[rank].pop(0))
        assert tree(root) == tree(plain), (scripts, order)

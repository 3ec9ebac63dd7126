"""What an agent leaves in temporary folders: there for its later commands, in order, and for nobody else."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import needs_views, shells, tree

from coagent.runs.history import History
from coagent.runs.verdict import judge
from coagent.systems.shell.views.overlay import Overlay
from coagent.systems.shell.views.tmp_stack import Stack, TemporaryLayers

pytestmark = [pytest.mark.anyio, needs_views]
overlays_only = pytest.mark.skipif(
    os.environ.get("COAGENT_TEST_VIEW") == "copy", reason="in copies $TMPDIR alone can be written"
)


def available_in(place: Path) -> str:
    """Return why a folder cannot have what commands write."""
    (place / "root").mkdir()
    view = Overlay(str(place / "root"), place / "view")
    view.prepare({})
    done = subprocess.run(
        view.command(["sh", "-c", "echo x > tried"], str(place / "root")),
        capture_output=True,
        text=True,
        check=False,
    )
    view.remove()
    return done.stderr


_LATER = "cat $TMPDIR/f 2>&1 | tail -c 30"


async def _said(agent: Any, command: str) -> str:
    found: str = (await agent.call("bash", command=command)).value["output"]
    return found


@pytest.fixture
def machines() -> Iterator[Path]:
    """A folder that the machine has in /tmp."""
    place = Path("/tmp") / f"own-tmp-test-{uuid.uuid4().hex}"
    place.mkdir()
    (place / "one").write_text("one\n")
    (place / "two").write_text("two\n")
    yield place
    shutil.rmtree(place)


async def test_what_a_command_leaves_is_there_for_the_next_one_of_its_agent_alone(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(a, "cd $TMPDIR; echo x > f; mkdir -p d/e; ln -s ../f d/link; chmod 750 f")
        seen = await _said(a, "cd $TMPDIR; cat d/link; stat -c %a f; ls d")
        assert seen == "x\n750\ne\nlink\n"
        assert "No such" in await _said(b, _LATER)
        await _said(b, "echo other > $TMPDIR/f")
        assert await _said(a, _LATER) == "x\n"
        assert await _said(b, _LATER) == "other\n"


@overlays_only
@pytest.mark.parametrize("place", ["/tmp", "/var/tmp"])
async def test_a_file_in_a_temporary_folder_is_there_again_whatever_only_looks(
    workspace: Path, place: str
) -> None:
    name = f"{place}/own-tmp-test-{uuid.uuid4().hex}"
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(a, f"printf 'echo ran > %s\\n' {name}.out > {name}; echo found > a.txt")
        assert await _said(a, f"sh {name}; cat {name}.out a.txt") == "ran\nfound\n"
        assert await _said(a, f"grep -c ran {name}.out {name}") == f"{name}.out:1\n{name}:1\n"
        assert "No such" in await _said(b, f"cat {name}")
        assert not Path(name).exists()
    assert not Path(name).exists()


async def test_a_command_that_runs_again_finds_what_was_there_at_its_place(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(b, "cat a.txt >> $TMPDIR/f; cp $TMPDIR/f out.txt")
        await _said(b, "echo later >> $TMPDIR/f; cp $TMPDIR/f more.txt")
        await a.call("write_file", path="a.txt", content="now\n")
        assert (workspace / "out.txt").read_text() == "now\n"
        assert (workspace / "more.txt").read_text() == "now\nlater\n"
        assert await _said(b, _LATER) == "now\nlater\n"


async def test_a_command_that_found_something_else_runs_again_and_its_agent_hears_of_it(
    workspace: Path,
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(b, "test -e later.txt && echo there > $TMPDIR/f")
        await _said(b, "cat $TMPDIR/f || echo nothing")
        await _said(b, "cat /proc/sys/kernel/random/uuid")  # looks at nothing there, so it does not run again
        assert not (await b.call("bash", command="true")).notifications
        await a.call("write_file", path="later.txt", content="")
        notices = (await b.call("bash", command="true")).notifications
        assert [(one.key, one.premises) for one in notices] == [("file:later.txt", ["B.1", "B.2"])]
        assert "B.1 returned /exit_code: 1 -> returns now 0" in notices[0].text
        assert "B.2 returns now:" in notices[0].text
        assert "+there" in notices[0].text


async def test_an_undo_and_an_amendment_go_through_to_later_commands(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        first = await a.call("bash", command="echo one >> $TMPDIR/f")
        second = await a.call("bash", command="echo two >> $TMPDIR/f; cp $TMPDIR/f out.txt")
        changed = await a.amend(first.call_id, command="echo ONE >> $TMPDIR/f")
        assert (workspace / "out.txt").read_text() == "ONE\ntwo\n", changed
        await a.undo(first.call_id)
        assert (workspace / "out.txt").read_text() == "two\n"
        await a.undo(second.call_id)
        assert "No such" in await _said(a, _LATER)


async def test_it_ends_with_its_agent(workspace: Path) -> None:
    async with shells(workspace) as domain:
        for end in ("abort", "finish"):
            a = await domain.join("A")
            await _said(a, "echo x > $TMPDIR/f")
            await getattr(a, end)()
            a = await domain.join("A")
            assert "No such" in await _said(a, _LATER)
            await a.finish()


async def test_what_was_removed_is_gone_and_nothing_is_left_without_need(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in ("true", "x=$(mktemp); rm $x", "cat <<< here", "mkfifo $TMPDIR/pipe", "ls $TMPDIR"):
            await _said(a, command)
            calls = domain.kernel.agents[a.rank].calls.values()
            assert not any(one.startswith("tmp:") for call in calls for one in call.writes), command
        await _said(a, "mkdir $TMPDIR/d; echo x > $TMPDIR/d/f; echo y > $TMPDIR/g")
        await _said(a, "rm $TMPDIR/d/f; mkfifo $TMPDIR/pipe")
        assert await _said(a, "cd $TMPDIR; find . | sort") == ".\n./d\n./g\n"
        await _said(a, "rm -r $TMPDIR/d; echo d > $TMPDIR/d")
        assert await _said(a, "cd $TMPDIR; cat d g") == "d\ny\n"
        for command in ("rm $TMPDIR/d; mkdir -p $TMPDIR/d/e", "rm -r $TMPDIR/d", "mkdir -p $TMPDIR/d/e"):
            await _said(a, command)
        assert await _said(a, "cd $TMPDIR; find . | sort") == ".\n./d\n./d/e\n./g\n"


@overlays_only
async def test_what_the_machine_has_is_changed_and_deleted_for_the_agent_alone(
    workspace: Path, machines: Path
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(a, f"cd {machines}; rm one; echo more >> two")
        assert await _said(a, f"cd {machines}; ls; cat two") == "two\ntwo\nmore\n"
        assert await _said(b, f"cd {machines}; cat *") == "one\ntwo\n"
        await _said(a, f"rm -r {machines}; mkdir {machines}; echo new > {machines}/three")
        assert await _said(a, f"ls {machines}") == "three\n"
    assert tree(machines) == tree(machines.parent / machines.name)
    assert (machines / "two").read_text() == "two\n"
    assert (machines / "one").exists()


@overlays_only
async def test_all_of_tmp_can_be_emptied(workspace: Path, machines: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _said(a, "echo x > $TMPDIR/f")
        await _said(a, f"rm -rf {machines} $TMPDIR")
        assert "No such" in await _said(a, f"ls -d {machines}")
        assert await _said(a, "ls $TMPDIR; echo y > $TMPDIR/g; ls $TMPDIR") == "g\n"
        assert await _said(a, "ls $TMPDIR") == "g\n"


async def test_the_folder_of_the_layers_cannot_be_looked_into(workspace: Path) -> None:
    async with shells(workspace, view="overlay") as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(a, "echo secret > $TMPDIR/f")
        mine = [str(one) for one in Path("/var/tmp").glob(f"coagent-tmp-{os.getpid()}-*")]
        for agent in (a, b):
            found = await _said(agent, f"ls -d {' '.join(mine)} 2>&1 | grep -v 'No such'")
            assert found == ""


async def test_many_layers_become_one(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for number in range(25):
            await _said(a, f"cd $TMPDIR; echo {number} >> f; echo {number} > {number}; rm -f {number - 2}")
        found = await _said(a, "cd $TMPDIR; ls; wc -l < f")
        assert found == "23\n24\nf\n25\n"


async def test_what_is_too_much_is_not_kept_and_the_agent_hears_of_it(workspace: Path) -> None:
    async with shells(workspace, tmp_mib_max=1) as domain:
        a = await domain.join("A")
        await _said(a, "echo x > $TMPDIR/f")
        found = await a.call("bash", command="head -c 2000000 /dev/zero > $TMPDIR/big; rm $TMPDIR/f")
        assert "more than 1 MiB" in found.value["tmp_not_kept"]
        assert await _said(a, "ls $TMPDIR") == "f\n"
        for _ in range(3):
            await _said(a, "head -c 700000 /dev/urandom > $TMPDIR/big")
        assert await _said(a, "cat $TMPDIR/big | wc -c") == "700000\n"


async def test_layers_that_are_gone_are_told_of(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _said(a, f"echo {uuid.uuid4()} > $TMPDIR/f")
        for folder in Path("/var/tmp").glob(f"coagent-tmp-{os.getpid()}-*"):
            for layer in folder.glob("[0-9a-f]*"):
                shutil.rmtree(layer)
        found = await a.call("bash", command="ls $TMPDIR; echo y > $TMPDIR/g")
        assert "Make it again" in found.value["tmp_lost"]
        assert found.value["output"] == ""
        again = await a.call("bash", command="cat $TMPDIR/g")
        assert again.value == {"exit_code": 0, "output": "y\n"}


async def test_layers_of_another_living_process_are_found(tmp_path: Path) -> None:
    one, other = TemporaryLayers(), TemporaryLayers()
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d/f").write_text("x")
    names = one.keep(Stack(), {"tmp": upper}, whole=False)
    assert names is not None
    stack = other.take(names)
    assert stack == Stack(names)
    assert (other.folder / names[0] / "tmp/d/f").read_text() == "x"
    folders = one.folder, other.folder
    other.release(stack)
    one.close()
    other.close()
    assert not any(folder.exists() for folder in folders)


async def test_another_process_of_the_domain_runs_commands_again_over_the_same_layers(
    workspace: Path,
) -> None:
    url = f"sqlite:{workspace.parent}/log"
    async with shells(workspace, url=url) as one, shells(workspace, url=url) as other:
        a = await one.join("A")
        b = await other.join("B")
        await _said(b, "echo kept > $TMPDIR/g; cat a.txt >> $TMPDIR/f; cp $TMPDIR/f out.txt")
        await _said(b, "cat $TMPDIR/f $TMPDIR/g > more.txt")
        await a.call("write_file", path="a.txt", content="now\n")
        assert (workspace / "more.txt").read_text() == "now\nkept\n"
        assert await _said(b, "cat $TMPDIR/*") == "now\nkept\n"
        await a.finish(wait=True)


async def test_an_agent_that_is_taken_up_by_a_new_process_hears_that_its_folder_is_gone(
    workspace: Path,
) -> None:
    url = f"sqlite:{workspace.parent}/log"
    async with shells(workspace, url=url) as domain:
        await _said(await domain.join("A"), "echo x > $TMPDIR/f; echo y > b.txt")
    async with shells(workspace, url=url) as domain:
        a = await domain.attach("A")
        found = await a.call("bash", command="cat $TMPDIR/f; cat b.txt")
        assert "Make it again" in found.value["tmp_lost"]
        assert found.value["output"].endswith("No such file or directory\ny\n")
        await _said(a, "echo z > $TMPDIR/f")
        assert await _said(a, "cat $TMPDIR/f") == "z\n"


@overlays_only
async def test_a_home_in_tmp_stays_what_it_is(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(tempfile.mkdtemp(prefix="own-tmp-home-"))
    (home / "cache").mkdir()
    (home / "here").write_text("here\n")
    monkeypatch.setenv("HOME", str(home))
    try:
        async with shells(workspace, writable=[str(home / "cache")]) as domain:
            a = await domain.join("A")
            await _said(a, "echo x > /tmp/f; echo y > /var/tmp/f")
            found = await _said(a, "echo z > ~/z; cat ~/z ~/here /tmp/f /var/tmp/f; echo kept > ~/cache/f")
            assert found == "z\nhere\nx\ny\n"
            assert await _said(a, "ls ~; cat ~/cache/f") == "cache\nhere\nkept\n"
            outside = await _said(a, f"echo x > {workspace.parent}/outside.txt")
            assert "Read-only file system" in outside
        assert (home / "cache/f").read_text() == "kept\n"
    finally:
        shutil.rmtree(home)


@overlays_only
async def test_layers_may_lie_in_another_file_system_than_what_commands_write(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    if available_in(place):
        pytest.skip("the file system for shared memory takes no views")
    try:
        async with shells(workspace) as domain:
            a = await domain.join("A")
            await _said(a, "cd $TMPDIR; mkdir d; echo x > d/f; chmod 700 d; ln -s d link")
            await _said(a, "cd $TMPDIR; rm -r d; mkdir d; echo y > d/g")
            assert await _said(a, "cd $TMPDIR; ls d; cat link/g") == "g\ny\n"
    finally:
        shutil.rmtree(place)


@overlays_only
async def test_a_program_that_the_agent_has_put_on_its_path_is_taken(
    workspace: Path, machines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{machines}:{os.environ['PATH']}")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _said(
            a, f"echo '#!/bin/sh' > {machines}/cat; echo echo mine >> {machines}/cat; chmod +x {machines}/*"
        )
        assert await _said(a, "cat a.txt") == "mine\n"
        assert await _said(b, "cat a.txt") == "one\n"


async def test_a_run_is_judged_to_be_serial(workspace: Path) -> None:
    async with shells(workspace) as domain:
        history = History(domain)
        domain.observe(history)
        a, b = await domain.join("A"), await domain.join("B")
        await _said(b, "cat a.txt > $TMPDIR/f")
        await _said(b, "cp $TMPDIR/f out.txt; rm $TMPDIR/f; ls $TMPDIR > more.txt")
        await _said(a, "echo x > $TMPDIR/f; cp $TMPDIR/f a.txt")
        for agent in (a, b):
            while agent.state != "committed":
                await agent.finish()
        verdict = await judge(domain, history)
    assert (verdict.kind, verdict.calls) == ("serial", 3), verdict.reason
    assert (workspace / "out.txt").read_text() == "x\n"


def _kept(layers: TemporaryLayers, place: Path, size: int) -> Stack:
    place.mkdir()
    (place / "f").write_bytes(os.urandom(size))
    names = layers.keep(Stack(), {"tmp": place}, whole=False)
    assert names is not None
    return Stack(names)


async def test_what_was_used_longest_ago_goes_when_there_is_too_much_of_all(tmp_path: Path) -> None:
    layers = TemporaryLayers(bytes_max=100_000)
    first, *more = [_kept(layers, tmp_path / f"upper{number}", 90_000) for number in range(5)]
    assert layers.take(first.names) == first  # in use, so it stays
    layers.release(layers.take(more[-1].names))
    assert layers.take(first.names) == first
    assert layers.take(more[0].names) == Stack(lost=True)
    assert layers.take(more[1].names) == more[1]
    layers.close()


async def test_nothing_stays_when_the_domain_is_closed(workspace: Path) -> None:
    def mine() -> set[Path]:
        return set(Path("/var/tmp").glob(f"coagent-tmp-{os.getpid()}-*"))

    before = mine()
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _said(a, "mkdir $TMPDIR/d; echo x > $TMPDIR/d/f; chmod 0 $TMPDIR/d/f; chmod 500 $TMPDIR/d")
        assert await _said(a, "cat $TMPDIR/d/f") == "x\n"
        assert mine() - before
    assert not mine() - before


_NAMES = ("f", "g", "d/f", "d/g", "e/h", "d")
_COMMANDS = (
    "mkdir -p $T/d $T/e; echo {word} >> $T/{one}",
    "mkdir -p $T/d; cat a.txt > $T/{one}",
    "mkdir -p $T/e; cp $T/{one} $T/{other}",
    "mv $T/{one} $T/{other}",
    "rm -rf $T/{one}",
    "rm -rf $T/*",
    "rm -rf $T/d; mkdir $T/d; echo {word} > $T/d/x",
    "mkdir -p $T/d/e/f; rm -f $T/d/e/x",
    "mkdir -p $T/d/e; echo {word} > $T/d/e/x; chmod 700 $T/d",
    "rm -rf $T/d; mkdir -p $T/d/e",
    "cat $T/{one} >> b.txt",
    "(cd $T; find . -type f | sort | xargs cat) > b.txt",
    "(cd $T; find . | sort) > c.txt",
    "ln -sfn {one} $T/{other}; chmod 700 $T/{one}",
    "(cd $T; stat -c '%a %F' {one}) >> c.txt",
    "echo {word} >> a.txt",
    "echo {word} >> c.txt",
    "grep {word} a.txt && mkdir -p $T/d && echo {word} > $T/{one}",
)


@pytest.mark.parametrize(
    "options", [{}, {"trace": False}, {"view": "copy"}], ids=["traced", "coarse", "copy"]
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_random_commands_end_as_in_plain_bash_with_a_folder_for_each_agent(
    tmp_path: Path, seed: int, options: dict[str, Any]
) -> None:
    await _compared(tmp_path, seed, "$TMPDIR", **options)


@overlays_only
@pytest.mark.parametrize("seed", [100, pytest.param(101, marks=pytest.mark.long)])
@pytest.mark.parametrize("place", ["/tmp/MINE", "/var/tmp/MINE"])
async def test_random_commands_in_tmp_itself_end_as_in_plain_bash(
    tmp_path: Path, seed: int, place: str
) -> None:
    mine = place.replace("MINE", f"own-tmp-test-{uuid.uuid4().hex}")
    await _compared(tmp_path, seed, mine, first=f"mkdir {mine}")
    assert not Path(mine).exists()


async def _compared(tmp_path: Path, seed: int, place: str, *, first: str = "true", **options: Any) -> None:
    chosen = random.Random(seed)

    def command() -> str:
        one, other = chosen.sample(_NAMES, 2)
        return chosen.choice(_COMMANDS).format(one=one, other=other, word=chosen.choice(("foo", "bar", "o")))

    scripts = [[command() for _ in range(chosen.randint(3, 6))] for _ in range(chosen.randint(2, 3))]
    root, plain = tmp_path / "work", tmp_path / "plain"
    root.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (root / name).write_text(f"one {name}\ntwo foo\n")
    shutil.copytree(root, plain)
    for number, script in enumerate(scripts):
        own = tmp_path / f"tmp{number}"
        own.mkdir()
        for one in script:
            variables = {**os.environ, "T": str(own)}
            subprocess.run(["bash", "-c", one], cwd=plain, capture_output=True, check=False, env=variables)
    order = [rank for rank, script in enumerate(scripts) for _ in script]
    chosen.shuffle(order)
    async with shells(root, **options) as domain:
        agents = [await domain.join(f"agent{rank}") for rank in range(len(scripts))]
        for agent in agents:
            await agent.call("bash", command=first)
        ahead = [list(script) for script in scripts]
        for rank in order:
            await agents[rank].call("bash", command=f"T={place}; {ahead[rank].pop(0)}")
        assert tree(root) == tree(plain), (scripts, order)
        for number, agent in enumerate(agents):
            await agent.call("bash", command=f"cp -a {place}/. left{number}")
            assert tree(root / f"left{number}") == tree(tmp_path / f"tmp{number}"), (scripts, order)


@pytest.mark.parametrize("name", ["../x", "", "/etc", "0" * 31, "0" * 32 + "\n", "0" * 32])
def test_what_names_no_layer_that_is_there_is_lost_and_nothing_else_is_taken(name: str) -> None:
    layers = TemporaryLayers()
    stack = layers.take([name])
    assert stack == Stack(lost=True)
    layers.release(stack)
    layers.close()

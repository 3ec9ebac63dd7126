"""The governed shell: what a command sees, leaves and may not do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest_sandbox import SOURCES, give_away, needs_views, ordinary_python, shells, tree

import coagent

pytestmark = [pytest.mark.anyio, needs_views]
_RANDOM = "cat /proc/sys/kernel/random/uuid"  # something else each time it runs: tells whether it ran again


async def _value(agent: Any, command: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await agent.call("bash", command=command, **more)).value
    return found


async def test_a_command_sees_what_earlier_agents_wrote_and_nothing_of_later_ones(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, "echo late > a.txt; mkdir new; echo x > new/file; rm b.txt; chmod -x src/run.sh")
        seen = await _value(a, "cat a.txt b.txt; ls; test -x src/run.sh && echo runs; find . -name file")
        assert seen["output"].split() == ["one", "two", "a.txt", "b.txt", "data.bin", "src", "runs"]
        await _value(a, "echo early > c.txt")
        assert (await _value(b, "cat a.txt c.txt new/file"))["output"] == "late\nearly\nx\n"


@pytest.mark.parametrize(
    "command",
    [
        "sed -i s/one/ONE/ a.txt",
        "rm -r src a.txt",
        "mv src lib; git mv b.txt c.txt; git rm -q a.txt",
        "find . -name '*.txt' -delete",
        "chmod +x a.txt; chmod -x src/run.sh",
        "head -c 70000 /dev/urandom > data.bin; printf '\\377\\376' > odd.txt; : > empty",
        "rm a.txt; mkdir a.txt; echo x > a.txt/inner",
        "rm -r src; echo file > src",
        "printf 'no end' >> a.txt; truncate -s 3 b.txt; ln a.txt hard.txt",
        "tar cf all.tar src *.txt; rm -rf src; tar xf all.tar; gzip all.tar",
        "rm -rf ./* ",
        "mkdir -p build/deep; ln -s ../a.txt build/link; ln -s build again; chmod 600 a.txt src/run.sh",
        "rm src/run.sh; chmod 400 b.txt; rm -f a.txt; ln -s b.txt a.txt; echo more >> data.bin",
        "mv src lib; ln -s lib src; mkdir a; mkdir a/b; rmdir a/b; rm -r lib; mkdir lib",
    ],
)
async def test_undo_restores_every_byte_mode_and_name(workspace: Path, command: str) -> None:
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    before = tree(workspace)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        done = await a.call("bash", command=command)
        if "urandom" not in command and "gzip" not in command:
            subprocess.run(["bash", "-c", command], cwd=plain, check=False, capture_output=True)
            assert tree(workspace) == tree(plain)
        assert tree(workspace) != before
        await a.undo(done.call_id)
        assert tree(workspace) == before


async def test_a_command_runs_again_only_when_something_that_it_looked_up_has_changed(
    workspace: Path,
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        first = await _value(b, f"cat a.txt; test -e later.txt; {_RANDOM}")
        await a.call("write_file", path="b.txt", content="else\n")
        await a.call("write_file", path="src/more.txt", content="else\n")
        assert not (await b.call("bash", command="true")).notifications
        for path in ("later.txt", "a.txt"):
            await a.call("write_file", path=path, content="now\n")
            (notice,) = (await b.call("bash", command="true")).notifications
            assert list(notice.premises) == ["B.1"], path
        assert first["exit_code"] == 0


async def test_a_listing_runs_again_when_names_come_or_go_but_not_when_contents_change(
    workspace: Path,
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, f"ls src; {_RANDOM}")
        await a.call("write_file", path="src/run.sh", content="else\n")
        assert not (await b.call("bash", command="true")).notifications
        await a.call("write_file", path="src/new", content="")
        assert (await b.call("bash", command="true")).notifications


async def test_programs_without_a_c_library_are_traced_too(workspace: Path) -> None:
    probe = workspace / "probe"
    source = workspace / "probe.s"
    source.write_text(
        ".globl _start\n_start: mov $2,%eax\nlea p(%rip),%rdi\nxor %esi,%esi\nsyscall\n"
        'mov $60,%eax\nxor %edi,%edi\nsyscall\np: .asciz "a.txt"\n'
    )
    made = shutil.which("gcc") and subprocess.run(
        ["gcc", "-nostdlib", "-static", "-o", probe, source], check=False, capture_output=True
    )
    if not made or made.returncode:
        pytest.skip("no assembler for x86-64 here")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, f"./probe; {_RANDOM}")
        await a.call("write_file", path="a.txt", content="else\n")
        assert (await b.call("bash", command="true")).notifications


async def test_without_a_trace_any_change_below_runs_a_command_again(workspace: Path) -> None:
    async with shells(workspace, trace=False) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, _RANDOM)
        await a.call("write_file", path="src/more.txt", content="else\n")
        assert (await b.call("bash", command="true")).notifications


async def test_a_later_agents_edit_is_made_again_on_what_an_earlier_one_writes(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, "cat a.txt b.txt > both.txt; echo more >> a.txt")
        await _value(a, "sed -i s/one/ONE/ a.txt")
        assert (workspace / "both.txt").read_text() == "ONE\ntwo\n"
        assert (workspace / "a.txt").read_text() == "ONE\nmore\n"


async def test_a_command_that_writes_what_is_there_writes_it_over_what_comes_before(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, "echo one > a.txt")
        await _value(a, "echo more >> a.txt")
        assert (workspace / "a.txt").read_text() == "one\n"


@pytest.mark.parametrize("command", ["echo \0", f"echo {'x' * 140_000}"])
async def test_what_cannot_be_handed_to_bash_is_refused(workspace: Path, command: str) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        with pytest.raises(coagent.ToolFailed, match="a NUL in it, or more than 131071 bytes"):
            await a.call("bash", command=command)
        assert (await _value(a, f"printf %s {'x' * 131_000} | wc -c"))["output"] == "131000\n"


async def test_temporary_folders_can_be_written_and_are_nobody_elses(workspace: Path) -> None:
    name = "own-test-temporary"
    command = f"for at in /tmp /var/tmp /dev/shm $TMPDIR; do echo x > $at/{name} && cat $at/{name}; done"
    async with shells(workspace, view="overlay") as domain:
        a, b = await domain.join("A"), await domain.join("B")
        for _ in range(2):
            assert await _value(a, command) == {"exit_code": 0, "output": "x\n" * 4}
            for agent, missing in ((a, 0), (b, 2)):
                found = await _value(agent, f"ls /tmp/{name} $TMPDIR/{name} 2>&1 | grep -c 'No such'")
                assert found["output"] == f"{missing}\n"
    assert not any((Path(at) / name).exists() for at in ("/tmp", "/var/tmp", "/dev/shm"))


async def test_a_command_has_a_temporary_folder_of_its_own_whatever_is_in_tmp(workspace: Path) -> None:
    there = Path("/tmp/of-this-command")
    made = not there.exists()
    there.mkdir(exist_ok=True)
    try:
        async with shells(workspace, view="overlay") as domain:
            a = await domain.join("A")
            found = await _value(a, "ls -A $TMPDIR; echo x > $TMPDIR/x; cat $TMPDIR/x")
            assert found == {"exit_code": 0, "output": "x\n"}
    finally:
        if made:
            there.rmdir()


async def test_what_was_written_has_in_the_next_view_the_rights_that_it_has_in_the_tree(
    workspace: Path,
) -> None:
    (workspace / "a.txt").chmod(0o664)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _value(a, "echo more >> a.txt; echo new > new")
        found = await _value(a, "stat -c %a a.txt new; cat a.txt")
        expected = [f"{(workspace / one).stat().st_mode & 0o777:o}" for one in ("a.txt", "new")]
        assert expected[0] == "664"
        assert found == {"exit_code": 0, "output": "\n".join([*expected, "one", "more", ""])}


async def test_nothing_outside_the_workspace_can_be_written(workspace: Path) -> None:
    outside = workspace.parent / "outside.txt"
    home = Path.home() / ".coagent-test-home"
    async with shells(workspace) as domain:
        a = await domain.join("A")
        found = await _value(
            a, f"echo x > {outside}; echo $?; cd ..; echo y > other; echo z > ~/.coagent-test-home"
        )
        assert re.search("Read-only file system|Permission denied", found["output"])
        assert not outside.exists()
        assert not (workspace.parent / "other").exists()
        assert not home.exists()
        await _value(
            a, "echo t > $TMPDIR/t && cat $TMPDIR/t && umount . ; mount --bind / /mnt; rm -rf / 2>/dev/null"
        )
        assert outside.parent.exists()
        assert Path("/usr").exists()


async def test_a_cache_at_home_that_may_be_written_is_the_real_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = workspace.parent / "home"
    (home / ".cache/compiler").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    async with shells(workspace, writable=[str(home / ".cache/compiler")]) as domain:
        a = await domain.join("A")
        found = await _value(
            a, "echo kept > ~/.cache/compiler/x; echo lost > ~/.cache/y 2>&1; cat ~/.cache/*/x"
        )
        assert found["output"].endswith("kept\n")
    assert (home / ".cache/compiler/x").read_text() == "kept\n"
    assert not (home / ".cache/y").exists()


async def test_looking_at_a_folder_does_not_change_it(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _value(a, "mkdir -p src/deep/er; echo x > src/deep/er/x; echo y >> src/run.sh")
        await _value(a, "echo z >> src/deep/er/x")
        found = await _value(a, "tar cf $TMPDIR/all.tar src && tar tf $TMPDIR/all.tar | wc -l")
        assert found == {"exit_code": 0, "output": "5\n"}


async def test_what_a_command_leaves_in_the_background_ends_with_it(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _value(a, "(while :; do date >> ticks; sleep 0.01; done) & setsid sleep 77.125 & echo off")
        running = subprocess.run(["pgrep", "-f", "sleep 77.125"], capture_output=True, check=False)
        assert running.returncode == 1


@pytest.mark.parametrize(
    ("command", "exit_code", "says"),
    [
        ("exit 3", 3, ""),
        ("no-such-program-here", 127, "not found"),
        ("if then", 2, "syntax error"),
        ("kill -9 $$", 137, ""),
        ('read line; echo "[$line]"; tty', 1, "not a tty"),
        ("(echo > /dev/tcp/127.0.0.1/80) 2>&1", 1, ""),
    ],
)
async def test_a_command_that_goes_wrong_says_so(
    workspace: Path, command: str, exit_code: int, says: str
) -> None:
    async with shells(workspace) as domain:
        found = await _value(await domain.join("A"), command)
        assert found["exit_code"] == exit_code
        assert says in found["output"]


async def test_a_command_that_never_ends_is_ended_and_leaves_nothing(workspace: Path) -> None:
    before = tree(workspace)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        with pytest.raises(coagent.ToolFailed, match=r"not ended within 0\.5 s"):
            await _value(a, "echo x > a.txt; sleep 60", timeout_s=0.5)
    assert tree(workspace) == before


async def test_long_output_is_cut_and_says_so(workspace: Path) -> None:
    async with shells(workspace) as domain:
        found = await _value(await domain.join("A"), "seq 100000")
        assert found["output"].startswith("1\n2\n")
        assert "more bytes, not shown" in found["output"]
        assert len(found["output"]) < 31_000


async def test_links_modes_and_empty_folders_last_over_calls_and_ranks(workspace: Path) -> None:
    async with shells(workspace) as domain:
        before = tree(workspace)
        a, b, c = [await domain.join(name) for name in "ABC"]
        await _value(b, "mkdir build; ln -s a.txt link; chmod 600 b.txt; mkfifo pipe; rm src/run.sh")
        assert (await _value(b, "cd build && ls ../src && stat -c %a ../b.txt; cat ../link"))["output"] == (
            "600\none\n"
        )
        assert (await _value(a, "ls -d build link; stat -c %a b.txt; cat src/run.sh | wc -l"))[
            "output"
        ].splitlines()[-2:] == ["644", "2"]
        await _value(c, "touch build/x; rm link; echo own > link; chmod 644 b.txt; rmdir src")
        assert {path for path, (_, kind) in tree(workspace).items() if kind in ("link", "folder")} == set()
        assert tree(workspace)["link"] == (b"own\n", "0644")
        await c.abort()
        found = tree(workspace)
        assert found["build"] == found["src"] == (b"", "folder")
        assert found["link"] == (b"a.txt", "link")
        assert found["b.txt"] == (b"two\n", "0600")
        await b.abort()
    assert tree(workspace) == before


async def test_what_cannot_be_kept_is_named(workspace: Path) -> None:
    async with shells(workspace) as domain:
        found = await _value(
            await domain.join("A"), "mkfifo pipe; chmod 4755 b.txt; mkdir -m 700 private; chmod g+w a.txt"
        )
        assert found["not_kept"] == [
            "a.txt (mode 0664)", "b.txt (mode 4755)", "pipe (no regular file)", "private (mode 0700)",
        ]  # fmt: skip


async def test_git_shows_an_agents_own_view(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, "echo late > a.txt; echo new > late.txt")
        await _value(a, "echo early > b.txt")
        assert (await _value(a, "git status --short"))["output"] == " M b.txt\n"
        assert (await _value(b, "git status --short"))["output"] == " M a.txt\n?? late.txt\n"
        assert "-one\n+late\n" in (await _value(b, "git diff a.txt"))["output"]


async def test_two_agents_run_the_tests_each_on_its_own_tree(workspace: Path) -> None:
    (workspace / "calc.py").write_text("def double(x):\n    return x + x\n")
    (workspace / "test_calc.py").write_text(
        "import unittest, calc\nclass T(unittest.TestCase):\n"
        "    def test(self): self.assertEqual(calc.double(2), 4)\n"
    )
    run = f"{sys.executable} -B -m unittest -q test_calc 2>&1"
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _value(b, "sed -i 's/x + x/x * 3/' calc.py")
        assert (await _value(b, run))["exit_code"] == 1
        assert (await _value(a, run))["exit_code"] == 0
        await _value(a, "sed -i 's/x + x/2 * x/' calc.py")
        assert (await _value(a, run))["exit_code"] == 0
        outcome = await b.call("bash", command=run)
        assert outcome.value["exit_code"] == 0  # its edit found nothing to change any more
        assert "2 * x" in (workspace / "calc.py").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("view", ["overlay", "copy"])
async def test_an_ordinary_user_has_it_too(workspace: Path, view: str) -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]; import anyio, pathlib\n"
        "from coagent.systems.shell.views.overlay import available\n"
        f"if {view == 'overlay'} and available(): print('SKIP', available()); raise SystemExit\n"
        "from conftest_sandbox import shells\n"
        "async def main():\n"
        f"    async with shells(pathlib.Path(sys.argv[1]), view={view!r}) as domain:\n"
        "        a, b = await domain.join('A'), await domain.join('B')\n"
        "        await b.call('bash', command='cat a.txt > copy; rm b.txt')\n"
        "        await a.call('bash', command='echo early > a.txt; ls > names')\n"
        "        print(sorted(p.name for p in pathlib.Path(sys.argv[1]).iterdir() if p.name[0] != '.'))\n"
        "        print((await b.call('bash', command='cat copy names; id -u; umount . 2>&1')).value)\n"
        "anyio.run(main)\n"
    )
    give_away(workspace)
    done = subprocess.run(
        [ordinary_python(), "-c", program, str(workspace), *SOURCES],
        user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    if done.stdout.startswith("SKIP"):
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    names, value = done.stdout.splitlines()
    assert names == "['a.txt', 'copy', 'data.bin', 'names', 'src']"
    assert "early" in value
    assert "65534" in value


async def test_two_domains_on_one_workspace_do_not_take_each_others_snapshots_away(workspace: Path) -> None:
    async with shells(workspace) as one:
        first = await one.join("A")
        assert (await _value(first, "cat a.txt"))["output"] == "one\n"
        async with shells(workspace) as other:
            assert (await _value(await other.join("B"), "cat b.txt"))["output"] == "two\n"
            assert (await _value(first, "cat a.txt"))["output"] == "one\n"
    assert [one.name for one in (workspace / ".coagent/snapshots").iterdir()] == [".gitignore"]


@pytest.mark.parametrize(
    "command",
    [
        "head -c 70M /dev/zero > big",
        'rm -rf . .. / 2>/dev/null; cd /; rm -rf "$OLDPWD"',
        "cd .. && mv work elsewhere",
        "mount -o remount,rw / 2>/dev/null; touch /coagent-was-here; chmod 777 /etc",
        "ln -sf /etc/hostname a.txt; echo pwned > a.txt",
        "echo x > .coagent/x; echo y > .git/config; :(){ :|:& }; true",
    ],
)
async def test_hostile_commands_harm_nothing_beyond_what_undo_brings_back(
    workspace: Path, command: str
) -> None:
    before, config = tree(workspace), (workspace / ".git/config").read_bytes()
    etc = Path("/etc").stat().st_mode, Path("/etc/hostname").read_bytes()
    async with shells(workspace) as domain:
        a = await domain.join("A")
        try:
            done = await a.call("bash", command=command, timeout_s=20)
        except coagent.CoAgentError:
            assert tree(workspace) == before
        else:
            await a.undo(done.call_id)
        assert tree(workspace) == before
        assert (await _value(a, "cat b.txt"))["output"] == "two\n"
    assert (workspace / ".git/config").read_bytes() == config
    assert (Path("/etc").stat().st_mode, Path("/etc/hostname").read_bytes()) == etc
    assert not Path("/coagent-was-here").exists()


@pytest.mark.parametrize("path", ["a.txt", "later.txt"])
async def test_what_an_earlier_agent_writes_while_a_command_runs_makes_it_run_again(
    workspace: Path, tmp_path: Path, path: str
) -> None:
    """The first run has read the old value by then, and must not pass for one that read the new one."""
    gate = tmp_path / "gate"
    gate.mkdir()
    os.mkfifo(gate / "ready")
    os.mkfifo(gate / "go")
    command = f"cat {path}; cd {gate}; test -e done || {{ echo > ready; cat go; }}; touch done"
    async with shells(workspace, writable=[str(gate)]) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        found = []

        async def run() -> None:
            found.append(await _value(b, command))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.Path(gate / "ready").read_text()
            await a.call("write_file", path=path, content="new\n")
            await anyio.Path(gate / "go").write_text("go\n")
        assert found[0]["output"] == "new\n"


async def test_compiled_code_of_one_view_is_not_taken_for_that_of_another(workspace: Path) -> None:
    """Python compares seconds and sizes only, and these are the same here."""
    (workspace / "__pycache__").mkdir()
    run = f"touch -d @1000000000 one.py; {sys.executable} -c 'import one; print(one.X)'"
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        assert (await _value(b, f"unset PYTHONDONTWRITEBYTECODE; echo X=2 > one.py; {run}"))[
            "output"
        ] == "2\n"
        assert (await _value(a, f"unset PYTHONDONTWRITEBYTECODE; echo X=1 > one.py; {run}"))[
            "output"
        ] == "1\n"
    assert not list((workspace / "__pycache__").iterdir())


async def test_folders_left_out_of_the_workspace_come_to_be_and_are_named(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        done = await a.call(
            "bash", command="mkdir -p web/node_modules/x; echo 1 > web/node_modules/x/y; touch web/z"
        )
        assert done.value["not_governed"] == ["web/node_modules"]
        assert (await _value(a, "cat web/node_modules/x/y"))["output"] == "1\n"
        await a.undo(done.call_id)
        assert not (workspace / "web/z").exists()

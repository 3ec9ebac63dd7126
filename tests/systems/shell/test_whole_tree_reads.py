"""A command that looks at nearly all of a tree is followed once and then taken to have read everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import needs_views, shells

from coagent.systems.shell.command_run import CommandRun
from coagent.systems.shell.views.confined import ReadSet
from coagent.systems.shell.views.snapshot import Snapshots
from coagent.systems.shell.whole_tree_reads import WholeTreeReads, looks_at_all

_FILES = 300


@pytest.fixture
def many(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    for number in range(_FILES):
        place = root / f"part{number % 10}" / f"{number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{number}\n")
    return root


async def _run(agent: Any, command: str) -> str:
    return str((await agent.call("bash", command=command)).value["output"])


@needs_views
@pytest.mark.anyio
async def test_it_is_followed_the_first_time_only(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[bool] = []
    record = CommandRun.record

    def noted(run: CommandRun, *arguments: Any) -> None:
        followed.append(run.seen is not None)
        record(run, *arguments)

    monkeypatch.setattr(CommandRun, "record", noted)
    monkeypatch.setattr("coagent.systems.shell.whole_tree_reads._SECONDS_MAX", 60.0)  # on a busy machine
    async with shells(many, view="overlay") as domain:
        a = await domain.join("A")
        assert [await _run(a, "cat */*.txt | wc -l") for _ in range(3)] == [f"{_FILES}\n"] * 3
        assert followed == [True, False, False]
        assert [await _run(a, "cat part1/1.txt") for _ in range(2)] == ["1\n"] * 2
        assert followed[3:] == [True, True]


@needs_views
@pytest.mark.anyio
async def test_its_agent_hears_of_what_changes_its_answer_followed_or_not(many: Path) -> None:
    async with shells(many) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        count = "cat */*.txt | wc -l"
        for _ in range(2):
            assert await _run(b, count) == f"{_FILES}\n"
        await a.call("bash", command="sed -i s/1/2/ part1/1.txt")
        assert not (await b.call("bash", command="true")).notifications
        await a.call("bash", command="echo more >> part1/1.txt")
        told = (await b.call("bash", command="true")).notifications
        assert [(one.key, one.premises) for one in told] == [("file:part1/1.txt", ["B.1", "B.2"])]
        assert told[0].text.count(f"+{_FILES + 1}") == 2


def test_it_is_followed_again_now_and_then_and_never_where_it_is_long_or_the_tree_small(many: Path) -> None:
    snapshots = Snapshots(str(many), many.parent / "snapshots", lambda _: False)
    snapshots.take()
    everything = frozenset(path.relative_to(many).as_posix() for path in many.rglob("*"))
    assert snapshots.count == len(everything) == _FILES + 10
    assert snapshots.share(everything | {"none", "part1/none"}) == 1
    reads = WholeTreeReads(snapshots)
    reads.learn("all", ReadSet(everything, frozenset(), frozenset()), 0.1)
    reads.learn("long", ReadSet(everything, frozenset(), frozenset()), 2)
    reads.learn("half", ReadSet(frozenset(sorted(everything)[:150]), frozenset(), frozenset()), 0.1)
    known = [reads.is_known("all") for _ in range(22)]
    assert known == [True] * 20 + [False] * 2
    assert not reads.is_known("long")
    assert not reads.is_known("half")
    for place in (many / "part0", many / "part1", many / "part2", many / "part3"):
        for one in place.iterdir():
            one.unlink()
    snapshots.take()
    reads.learn("small", ReadSet(everything, frozenset(), frozenset()), 0.1)
    assert not reads.is_known("small")
    snapshots.close()


def test_git_status_without_paths_is_not_followed_unless_the_tree_is_small(
    many: Path, tmp_path: Path
) -> None:
    snapshots = Snapshots(str(many), tmp_path / "snapshots", lambda _: False)
    reads = WholeTreeReads(snapshots)
    assert not reads.is_known("git status")
    snapshots.take()
    texts = (
        "git status",
        " git status --short -uno\n",
        "git status part1",
        "git status; ls",
        "git status --porcelain=v2",
    )
    assert [reads.is_known(text) for text in texts] == [True, True, False, True, True]
    snapshots.close()


@pytest.mark.parametrize(
    ("text", "all_of_it"),
    [
        ("git status --short", True),
        ("git status src", False),
        ("git add -A && git commit -qm 'all; of it'", True),
        ("echo x >> a.txt; git add .", True),
        ("git add a.txt && git commit -m more", False),
        ("git commit -qam 'a && b'", True),
        ("git commit -m -a", True),  # more than is so does no harm
        ("git grep -n wanted | wc -l", True),
        ("git grep wanted -- src", False),
        ("git grep wanted src", False),
        ("grep -rn wanted . | head", True),
        ("grep -Rl wanted", True),
        ("grep -n wanted a.txt", False),
        ("grep -r wanted src", False),
        ("rg wanted", True),
        ("find . -name '*.py'", False),
        ("echo 'grep -r", False),
    ],
)
def test_of_some_commands_it_is_known_beforehand(text: str, all_of_it: bool) -> None:
    assert looks_at_all(text) == all_of_it

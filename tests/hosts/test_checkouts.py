"""Several checkouts of one tree over one log: here as two domains of one process, each over its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from checkouts import clone, content, folder_of, git, host, repository
from conftest_sandbox import needs_views

from coagent import ConfigurationError, LogError, TargetError, open_domain, targets
from coagent.config.targets import make_target
from coagent.runtime.domain import Domain
from coagent.systems.files.system import FilesTarget
from coagent.systems.shell.tools import bash_tools

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'log.db'}"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return repository(tmp_path / "one")


@pytest.fixture
def two(one: Path, tmp_path: Path) -> Path:
    return clone(one, tmp_path / "two")


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each domain keep a checkpoint as it ends, so that nobody reads what was before."""
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_AT_END_MIN", 1)


async def by(domain: Domain, name: str, *calls: tuple[str, dict[str, Any]]) -> None:
    """Have an agent make calls and commit."""
    agent = await domain.join(name)
    for called, arguments in calls:
        await agent.call(called, **arguments)
    assert (await agent.finish(wait=True)).state == "committed"


async def test_what_an_agent_writes_on_one_host_is_in_the_checkout_of_the_other(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here, host(log, two) as there:
        await by(
            here,
            "A",
            ("append", {"key": "file:a", "line": "of A"}),
            ("put", {"key": "file:new/binary", "value": b"\xff\x00"}),
            ("put", {"key": "mode:sub/b", "value": "executable"}),
            ("put", {"key": "link:to-a", "value": "a"}),
            ("put", {"key": "folder:empty", "value": "folder"}),
            ("delete", {"key": "file:gone"}),
        )
        await there.settle()
        assert content(two) == content(one)
        assert (two / "new/binary").read_bytes() == b"\xff\x00"
        assert os.access(two / "sub/b", os.X_OK)
        assert (two / "to-a").readlink() == Path("a")
        assert (two / "empty").is_dir()
        assert not (two / "gone").exists()
        await by(there, "B", ("append", {"key": "file:a", "line": "of B"}))
        await here.settle()
    assert (one / "a").read_text() == "one\ntwo\nthree\nof A\nof B\n"
    assert content(two) == content(one)


async def test_agents_on_two_hosts_at_once_leave_what_they_would_one_after_the_other(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here, host(log, two) as there:
        a, b = await here.join("A"), await there.join("B")
        await b.call("append", key="file:a", line="of B")
        await a.call("append", key="file:a", line="of A")
        await there.settle()
        await here.settle()
        assert (await a.finish(wait=True)).state == "committed"
        assert (await b.finish(wait=True)).state == "committed"
        await here.settle()
    assert (one / "a").read_text() == "one\ntwo\nthree\nof A\nof B\n"
    assert content(two) == content(one)


async def test_a_host_that_was_away_brings_its_checkout_to_where_the_log_is_before_an_agent_calls(
    log: str, one: Path, two: Path, checkpoints: None
) -> None:
    async with host(log, two) as there:
        await by(there, "0", ("append", {"key": "file:a", "line": "of 0"}))
    async with host(log, one) as here:
        await by(here, "A", *[("append", {"key": "file:a", "line": f"of A {n}"}) for n in range(3)])
        await by(here, "A2", ("delete", {"key": "file:gone"}))
    assert "of A" not in (two / "a").read_text()
    async with host(log, two) as there:
        b = await there.join("B")
        assert (await b.call("get", key="file:a")).value.endswith("of A 2\n")
        assert content(two) == content(one)


async def test_a_host_that_joins_later_takes_what_has_been_written_since_the_beginning(
    log: str, one: Path, two: Path, checkpoints: None
) -> None:
    async with host(log, one) as here:
        await by(here, "A", *[("append", {"key": "file:a", "line": f"of A {n}"}) for n in range(3)])
        await by(here, "A2", ("put", {"key": "file:new", "value": "new\n"}))
    async with host(log, two):
        assert content(two) == content(one)


async def test_a_checkout_of_another_commit_is_refused_with_the_paths_that_differ(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here:
        await by(here, "A", ("append", {"key": "file:sub/b", "line": "of A"}))
    (two / "a").write_text("another\n")
    git(two, "commit", "-q", "-a", "-m", "another")
    before = content(two)
    with pytest.raises(TargetError, match=r"differs from what the other hosts began with: 'a'") as refused:
        await host(log, two).__aenter__()
    assert "Check out the commit" in refused.value.cure
    assert content(two) == before
    assert not (two / ".coagent").exists()


async def test_a_checkout_with_changes_that_are_not_committed_begins_nothing(log: str, one: Path) -> None:
    (one / "a").write_text("changed\n")
    with pytest.raises(TargetError, match=r"differs from its commit: 'a'"):
        await host(log, one).__aenter__()


async def test_a_repository_that_lacks_the_commit_of_the_others_is_refused(
    log: str, one: Path, tmp_path: Path
) -> None:
    async with host(log, one) as here:
        await by(here, "A", ("get", {"key": "file:a"}))
    other = repository(tmp_path / "other")
    (other / "a").write_text("else\n")
    git(other, "commit", "-q", "-a", "--amend", "-m", "else")
    git(other, "reflog", "expire", "--expire=now", "--all")
    git(other, "gc", "-q", "--prune=now")
    with pytest.raises(TargetError, match="does not know the content that the other hosts began with"):
        await host(log, other).__aenter__()


async def test_a_folder_without_git_is_refused_where_it_holds_what_no_host_began_with(
    log: str, tmp_path: Path
) -> None:
    one, two, three = (folder_of(tmp_path / name) for name in ("one", "two", "three"))
    async with host(log, one) as here:
        await by(here, "A", ("append", {"key": "file:a", "line": "of A"}))
    (two / "a").write_text("another\n")
    before = content(two)
    with pytest.raises(TargetError, match=r"holds what no host began with: 'file:a'"):
        await host(log, two).__aenter__()
    assert content(two) == before
    async with host(log, three):
        assert content(three) == content(one)


async def test_what_a_person_changed_in_a_checkout_that_was_behind_is_merged_and_comes_to_all_hosts(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here:
        async with host(log, two):
            pass
        await by(here, "A", ("append", {"key": "file:a", "line": "of A"}))
        (two / "a").write_text("ONE\ntwo\nthree\n")
        async with host(log, two) as there:
            await there.settle()
            assert (two / "a").read_text() == "ONE\ntwo\nthree\nof A\n"
            await here.settle()
        assert (one / "a").read_text() == "ONE\ntwo\nthree\nof A\n"


async def test_what_a_person_changed_beneath_an_agent_at_work_on_another_host_is_not_overwritten(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here, host(log, two) as there:
        a = await here.join("A")
        await a.call("append", key="file:a", line="of A")
        await there.settle()
        (two / "a").write_text("ONE\ntwo\nthree\nof A\n")
        await there.look("file:a")
        await here.settle()
        assert (one / "a").read_text() == "ONE\ntwo\nthree\nof A\n"
        await a.abort()
        await here.settle()
        await there.settle()
        assert (one / "a").read_text() == (two / "a").read_text() == "ONE\ntwo\nthree\n"


async def test_git_stays_with_each_host(log: str, one: Path, two: Path) -> None:
    async with host(log, one) as here, host(log, two) as there:
        a, b = await here.join("A"), await there.join("B")
        (one / "c").write_text("c\n")
        git(one, "add", "c")
        git(one, "commit", "-q", "-m", "of a person")
        moved = (await a.call("get", key="git:.git/refs/heads/main")).value
        assert moved == git(one, "rev-parse", "HEAD")
        assert (await b.call("get", key="git:.git/refs/heads/main")).value == git(two, "rev-parse", "HEAD")
        with pytest.raises(TargetError, match="stay each host's own"):
            await b.call("put", key="git:.git/refs/heads/main", value=git(two, "rev-parse", "HEAD"))


async def test_a_checkout_is_no_other_logs(log: str, one: Path, tmp_path: Path) -> None:
    async with host(log, one) as here:
        await by(here, "A", ("append", {"key": "file:a", "line": "of A"}))
    with pytest.raises(TargetError, match="has been a checkout of log"):
        await host(f"sqlite:{tmp_path / 'other.db'}", one).__aenter__()
    (tmp_path / "log.db").unlink()
    with pytest.raises(LogError, match="ends at 0, and this host's copy holds"):
        await host(log, one).__aenter__()


async def test_nothing_is_replicated_over_a_log_in_memory_or_beside_a_folder_that_is_not(
    log: str, one: Path, two: Path
) -> None:
    with pytest.raises(ConfigurationError, match="nothing can be replicated"):
        await host("memory:", one).__aenter__()
    async with host(log, one) as here:
        await by(here, "A", ("get", {"key": "file:a"}))
    with pytest.raises(LogError, match="is about 'files:replicated"):
        await open_domain(log, targets=[targets.Files(two)]).__aenter__()


async def test_what_one_checkout_does_not_take_fails_calls_on_its_host_and_no_others(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here, host(log, two, patience_s=0) as there:
        (two / "new").mkdir()
        (two / "new/of-a-person").write_text("mine\n")
        a, b = await here.join("A"), await there.join("B")
        await a.call("put", key="file:new", value="new\n")
        await there.catch_up()
        with pytest.raises(
            TargetError, match="this host's checkout does not take what was written to 'file:new'"
        ):
            await b.call("get", key="file:a")
        assert (await a.finish(wait=True)).state == "committed"
        assert (one / "new").read_text() == "new\n"
        (two / "new/of-a-person").unlink()
        (two / "new").rmdir()
        await b.call("get", key="file:a")
        assert (two / "new").read_text() == "new\n"


@needs_views
async def test_git_in_a_governed_shell_looks_and_changes_nothing(log: str, one: Path, two: Path) -> None:
    def shell(folder: Path) -> Domain:
        files = targets.Files(folder, replicated=True)
        return open_domain(log, targets=[files], tools=bash_tools(files.workspace), order="early")

    async with shell(one) as here, shell(two) as there:
        a, b = await here.join("A"), await there.join("B")
        await a.call(
            "bash", command="echo of A >> a; mkdir -p x; printf '\\377' > x/bin; chmod +x x/bin; rm gone"
        )
        seen = (await b.call("bash", command="tail -n 1 a; git status --short; test -x x/bin && ls")).value
        assert seen["output"] == "of A\na\nsub\nx\n", "what others have not committed is hidden from git"
        seen = (await a.call("bash", command="git status --short")).value
        assert seen["output"] == " M a\n D gone\n?? x/\n"
        with pytest.raises(TargetError, match="commits, branches and what is staged stay each host's own"):
            await a.call("bash", command="git commit -qam 'of A'")
        assert (await a.finish(wait=True)).state == "committed"
    assert git(one, "log", "--oneline").count("\n") == 0
    assert content(two) == content(one)


@needs_views
async def test_what_is_too_large_to_go_to_other_hosts_is_refused(log: str, one: Path, two: Path) -> None:
    files = targets.Files(one, replicated=True, max_bytes=1000)
    async with open_domain(log, targets=[files], tools=bash_tools(files.workspace), order="early") as here:
        a = await here.join("A")
        with pytest.raises(TargetError, match="2000 bytes, more than goes to the other hosts"):
            await a.call("bash", command="head -c 2000 /dev/zero > big")
        assert not (one / "big").exists()


@pytest.mark.parametrize("first", ["here", "there"])
async def test_a_change_of_what_no_agent_has_read_comes_to_all_hosts_when_one_does(
    log: str, one: Path, two: Path, first: str
) -> None:
    async with host(log, one) as here, host(log, two) as there:
        (two / "a").write_text("of a person\n")
        a, b = await here.join("A"), await there.join("B")
        for agent in (a, b) if first == "here" else (b, a):
            await agent.call("get", key="file:a")
        for domain in (there, here):
            await domain.settle()
        assert (one / "a").read_text() == (two / "a").read_text() == "of a person\n"


async def test_what_a_person_takes_back_to_where_all_began_is_a_change_like_any_other(
    log: str, one: Path, two: Path
) -> None:
    async with host(log, one) as here, host(log, two) as there:
        await by(here, "A", ("append", {"key": "file:a", "line": "of A"}))
        await there.settle()
        (one / "a").write_text("one\ntwo\nthree\n")
        b = await there.join("B")
        await b.call("get", key="file:a")
        await here.catch_up()
        await here.look("file:a")
        await there.settle()
        assert (one / "a").read_text() == (two / "a").read_text() == "one\ntwo\nthree\n"


async def test_a_domain_file_says_whether_a_folder_is_one_of_several_checkouts(one: Path) -> None:
    for replicated in (False, True):
        table = FilesTarget(kind="files", root=".", replicated=replicated)
        assert (make_target(table, one, "coagent.toml:1").copy is not None) is replicated

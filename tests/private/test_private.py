"""Files of CoAgent's own are nobody else's, whatever the umask and whoever was there first."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from other_user import OTHER, OtherUser

from coagent import LogError
from coagent.config.domain_file import configured
from coagent.errors import NotPrivate
from coagent.gateways.claude import hook
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.native import SharedTree
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.workspace import open_workspace
from coagent.gateways.mcp.claims import Claims
from coagent.log.base import LogSettings
from coagent.log.reader import LogReader
from coagent.log.sqlite import SqliteLog
from coagent.private import check_private, open_private, private_folder, write_private
from coagent.protocol.calls import Rank
from coagent.protocol.events import Joined
from coagent.runtime.domain import open_domain
from coagent.systems.files.target import Files
from coagent.systems.shell.tools import bash_tools
from coagent.systems.shell.views.snapshot import Snapshots
from coagent.toolsmith.library import Library

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def loose(folder: Path) -> list[str]:
    """Return what has rights for others, but for copies of the tree: these keep theirs in closed folders."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        copied = inside[0] == "shadow" or (inside[0] == "snapshots" and len(inside) > 2)
        if not path.is_symlink() and not (copied and len(inside) > 1) and mode(path) & 0o077:
            found.append(f"{path} {mode(path):04o}")
    return found


SETTINGS = LogSettings("mtpo", "fixed", ())


def opened_and_closed(path: Path) -> None:
    """Open a log and close it again."""

    async def main() -> None:
        await (await SqliteLog.open(path, SETTINGS)).close()

    anyio.run(main)


@pytest.mark.usefixtures("open_umask")
def test_files_and_folders_are_made_closed_and_tightened_where_they_are_not(tmp_path: Path) -> None:
    assert mode(private_folder(tmp_path / "a" / "b")) == 0o700
    assert mode(tmp_path / "a") == 0o700
    write_private(tmp_path / "x", "text")
    os.close(open_private(tmp_path / "y"))
    assert (mode(tmp_path / "x"), mode(tmp_path / "y")) == (0o600, 0o600)
    for path in (tmp_path / "a", tmp_path / "x", tmp_path / "y"):
        path.chmod(0o777)
    private_folder(tmp_path / "a")
    os.close(open_private(tmp_path / "y"))
    write_private(tmp_path / "x", "other")
    assert [mode(tmp_path / name) for name in "axy"] == [0o700, 0o600, 0o600]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x", "y"]


def test_the_folder_of_a_workspace_is_closed_whoever_opens_something_in_it(tmp_path: Path) -> None:
    home = tmp_path / ".coagent"
    home.mkdir(mode=0o755)
    private_folder(home / "views")
    assert mode(home) == 0o700
    home.chmod(0o755)
    opened_and_closed(home / "log.db")
    assert mode(home) == 0o700


@pytest.mark.usefixtures("open_umask")
def test_a_log_and_all_beside_it_are_closed(tmp_path: Path) -> None:
    async def main() -> None:
        log = await SqliteLog.open(tmp_path / "log.db", SETTINGS)
        await log.append([Joined("A", Rank(0))])
        names = {path.name: mode(path) for path in tmp_path.iterdir()}
        assert names == dict.fromkeys(["log.db", "log.db-wal", "log.db-shm"], 0o600)
        for path in tmp_path.iterdir():
            path.chmod(0o666)
        second = await SqliteLog.open(tmp_path / "log.db", SETTINGS)
        assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
        assert list(await second.read()) == [Joined("A", Rank(0))]
        await second.close()
        await log.close()

    anyio.run(main)


def test_a_log_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere.db").touch()
    link = tmp_path / "mine" / "log.db"
    link.symlink_to("../elsewhere.db")
    for opened in (lambda: opened_and_closed(link), lambda: LogReader(link)):
        with pytest.raises(
            LogError, match=r"is a link to .*elsewhere\.db', out of its folder. Name that file"
        ):
            opened()
    link.unlink()
    opened_and_closed(tmp_path / "mine" / "real.db")
    link.symlink_to("real.db")
    opened_and_closed(link)


def test_a_log_in_a_folder_of_everybodys_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    folder = tmp_path / "everybodys"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(
        LogError, match=r"anybody may put another file in its place. Use a folder of your own"
    ):
        opened_and_closed(folder / "log.db")
    assert list(folder.iterdir()) == []
    folder.chmod(0o1777)
    opened_and_closed(folder / "log.db")


@root_only
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    opened_and_closed(tmp_path / "log.db")
    os.chown(tmp_path / "log.db", OTHER, OTHER)
    for opened in (opened_and_closed, LogReader):
        with pytest.raises(
            LogError, match=f"belongs to user {OTHER}, and this process runs as user 0. Run it"
        ):
            opened(tmp_path / "log.db")
    os.chown(tmp_path / "log.db", 0, 0)
    (tmp_path / "log.db-wal").touch()
    os.chown(tmp_path / "log.db-wal", OTHER, OTHER)
    with pytest.raises(LogError, match=r"log\.db-wal' belongs to user"):
        opened_and_closed(tmp_path / "log.db")
    (tmp_path / ".coagent").mkdir()
    os.chown(tmp_path / ".coagent", OTHER, OTHER)
    with pytest.raises(NotPrivate, match="belongs to user"):
        private_folder(tmp_path / ".coagent" / "views")
    with pytest.raises(NotPrivate, match="belongs to user"):
        check_private(tmp_path / "log.db-wal")


def test_a_lock_is_never_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "lock")
    write_private(tmp_path / "lock", "new")
    assert (tmp_path / "victim").read_text() == "kept"


def test_another_user_can_neither_read_nor_lock_a_log(place: Path, other: OtherUser) -> None:
    opened_and_closed(place / "log.db")
    assert other.reaches(place) == [str(place)]
    assert other.run("flock", "--nonblock", str(place / "log.db"), "true").returncode != 0


def workspace(place: Path) -> Path:
    tree = place / "tree"
    tree.mkdir()
    (tree / "secret.txt").write_text("for me alone\n")
    (tree / "secret.txt").chmod(0o600)
    (tree / "shared.txt").write_text("for all\n")
    (tree / "shared.txt").chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-m", "coagent", "init", "--opencode", str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tree


async def at_work(tree: Path) -> None:
    """Let everything be made that CoAgent makes in a workspace, and look at it while it is there."""
    domain, shared, file, shell = open_workspace(tree)
    async with domain:
        hub = Hub(domain, shared, file.claude, shell)
        sessions = Sessions(hub, tree / ".coagent" / "sessions.json")
        event = {"session_id": "early", "hook_event_name": "SessionStart"}
        await sessions.handle({"event": event, "environment": {}, "pid": os.getpid()})
        assert await hub.begin_command("early")
        claims = Claims(domain.url)
        claims.take("somebody")
        snapshots = Snapshots(str(tree), tree / ".coagent" / "snapshots", lambda path: path[:1] == ".")
        taken = snapshots.take()
        assert (taken / "secret.txt").read_text() == "for me alone\n"
        Library(tree / ".coagent" / "tools").count_use("none")
        look(tree)
        snapshots.release(taken)
        snapshots.close()
        await hub.gone("early")
        claims.give_back("somebody")


def look(tree: Path) -> None:
    home = tree / ".coagent"
    names = {path.name for path in home.iterdir()}
    assert {
        "config.toml",
        "log.db",
        "sessions.json",
        "claims",
        "shadow",
        "snapshots",
        "tools",
        "setup",
    } <= names
    assert mode(home) == 0o700
    assert loose(home) == []
    if os.geteuid() == 0:
        reached = OtherUser().reaches(tree)
        assert str(tree / "shared.txt") in reached
        assert not any(".coagent/" in path or path.endswith("secret.txt") for path in reached)


@pytest.mark.usefixtures("open_umask")
def test_nothing_in_the_folder_of_a_workspace_is_open_to_others(place: Path) -> None:
    anyio.run(at_work, workspace(place))


@pytest.mark.usefixtures("open_umask")
def test_looser_files_from_before_are_closed_as_they_are_opened(place: Path) -> None:
    tree = workspace(place)
    anyio.run(at_work, tree)
    home = tree / ".coagent"
    home.chmod(0o755)
    for name in ("log.db", "sessions.json", "claims", "shadow", "snapshots", "tools"):
        (home / name).chmod(0o777 if (home / name).is_dir() else 0o666)
    anyio.run(at_work, tree)


@pytest.mark.usefixtures("open_umask")
def test_commands_run_from_closed_snapshots(place: Path, other: OtherUser) -> None:
    tree = place / "tree"
    tree.mkdir()
    (tree / "a.txt").write_text("one\n")

    async def main() -> None:
        files = Files(tree)
        async with open_domain("memory:", targets=[files], tools=[bash_tools(files.workspace)]) as domain:
            agent = await domain.join("A")
            value = (await agent.call("bash", command="cat a.txt; echo two > b.txt")).value
            assert "one" in str(value)
            reached = [path for path in other.reaches(tree) if "/.coagent/" in path]
            assert reached == []
            assert mode(tree / ".coagent") == 0o700

    anyio.run(main)
    assert (tree / "b.txt").read_text() == "two\n"


def test_a_library_that_a_person_has_opened_to_others_stays_open(tmp_path: Path) -> None:
    team = tmp_path / "team"
    team.mkdir()
    team.chmod(0o755)
    Library(team).count_use("x")
    assert {mode(path) for path in team.iterdir()} == {0o644}
    Library(tmp_path / "own").count_use("x")
    assert mode(tmp_path / "own") == 0o700
    assert {mode(path) for path in (tmp_path / "own").iterdir()} == {0o600}


@root_only
def test_a_hook_asks_nobody_but_its_own_user(tmp_path: Path) -> None:
    path = str(tmp_path / "daemon.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    os.seteuid(OTHER)  # the kernel notes who begins to listen (unix(7), SO_PEERCRED)
    try:
        listener.listen()
    finally:
        os.seteuid(0)
    with pytest.raises(hook.HookError, match=f"user {OTHER} listens at"):
        hook._connection(path)
    listener.listen()
    hook._connection(path).close()
    listener.close()


def test_a_view_of_an_agent_lies_in_the_folder_of_views_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text('[[targets]]\nkind = "files"\nroot = ".."\n')
    found = configured(tmp_path / ".coagent" / "config.toml")
    hub = Hub(found.domain, SharedTree(str(tmp_path)), found.file.claude)
    views = tmp_path.resolve() / ".coagent" / "views"
    assert {hub.views(name).parent for name in ("A", "../../x", "/etc", "a/b")} == {views}


def test_what_a_killed_process_left_half_written_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from coagent.partial_files import partial_of; "
            "partial_of(Path(sys.argv[1])).write_text('half'); print(flush=True); input()",
            path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (tmp_path / ".x.of-a-person").write_text("mine")
        write_private(path, "text")
        assert len(list(tmp_path.iterdir())) == 3, "that of a living process stays"
        process.kill()
        process.wait()
    write_private(path, "text")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".x.of-a-person", "x"]

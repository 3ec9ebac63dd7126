"""Databases that are locked, away, or written by others at the same moment."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest
from throwaway_postgres import ThrowawayPostgres

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.sql import connections as sql_connections
from coagent.systems.sql.session import DatabaseBusy, SqlSession
from coagent.targets import GuardFailed, Sql

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"
ROWS = "INSERT INTO t VALUES (1, 'a'), (2, 'b')"
ONE = {"id": 1, "name": "a"}
_S_MAX = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "live.db"
    run_sqlite(path, TABLE, ROWS)
    return path


@pytest.fixture
def server(postgres_server: ThrowawayPostgres) -> ThrowawayPostgres:
    run_postgres(postgres_server.url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", TABLE, ROWS)
    return postgres_server


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_connections, "_LOCK_S_MAX", 0.3)


def run_sqlite(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def run_postgres(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program writes, and nobody may even read."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield connection
    finally:
        connection.close()


def before_writing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Let something happen when everything has been compared and nothing written."""
    guarded, waiting = Sql._check_expected, [act]

    def later(self: Sql, session: SqlSession, *arguments: Any, **rest: Any) -> Any:
        found = guarded(self, session, *arguments, **rest)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(Sql, "_check_expected", later)


# ---- SQLite ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_waits")
def test_a_locked_file_is_busy_and_stops_no_other_agent(path: Path) -> None:
    target = Sql(f"sqlite:///{path}")
    turns = [0]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def work() -> None:
                while True:
                    turns[0] += 1
                    await anyio.sleep(0.001)

            tasks.start_soon(work)
            for act in (
                lambda: target.get("sql:t/1"),
                lambda: target.list("sql:t/"),
                lambda: target.put("sql:t/1", {"id": 1, "name": "new"}, expected=[ONE]),
            ):
                before = turns[0]
                with pytest.raises(DatabaseBusy, match="locked by another program"):
                    await act()
                assert turns[0] > before + 20
            tasks.cancel_scope.cancel()

    with locked(path):
        anyio.run(main)
    assert anyio.run(target.get, "sql:t/1") == ONE


def test_a_lock_that_ends_is_waited_for(path: Path) -> None:
    target = Sql(f"sqlite:///{path}")

    async def main() -> None:
        with locked(path) as other:
            async with anyio.create_task_group() as tasks:

                async def write() -> None:
                    await target.put("sql:t/1", {"id": 1, "name": "new"}, expected=[ONE])

                tasks.start_soon(write)
                for _ in range(100):
                    await anyio.lowlevel.checkpoint()
                other.execute("COMMIT")
        assert await target.get("sql:t/1") == {"id": 1, "name": "new"}

    anyio.run(main)


def test_a_file_that_is_away_does_not_come_back_empty(path: Path, tmp_path: Path) -> None:
    target = Sql(f"sqlite:///{path}")
    unopened = Sql(f"sqlite:///{path}")
    assert anyio.run(target.get, "sql:t/1") == ONE
    os.rename(path, tmp_path / "elsewhere")
    for each in (target, unopened):
        with pytest.raises(TargetUnavailable):
            anyio.run(each.get, "sql:t/1")
        assert not each.unchanged("sql:t/1")
    assert not path.exists()
    os.rename(tmp_path / "elsewhere", path)
    for each in (target, unopened):
        assert anyio.run(each.get, "sql:t/1") == ONE


def test_a_file_that_was_restored_is_opened_again(path: Path, tmp_path: Path) -> None:
    target = Sql(f"sqlite:///{path}")
    assert anyio.run(target.get, "sql:t/1") == ONE
    run_sqlite(tmp_path / "backup", TABLE, "INSERT INTO t VALUES (1, 'restored')")
    os.replace(tmp_path / "backup", path)
    assert anyio.run(target.changed, ["sql:t/1"], ()) == {"sql:t/1"}
    assert anyio.run(target.get, "sql:t/1") == {"id": 1, "name": "restored"}


def test_a_folder_without_permissions_passes(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("root gives the folder to somebody else")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    run_sqlite(folder / "live.db", TABLE)
    os.seteuid(65534)
    try:
        target = Sql(f"sqlite:///{folder}/live.db")
        with pytest.raises(TargetUnavailable, match="cannot be used") as caught:
            anyio.run(target.get, "sql:t/1")
        assert "permissions of its folder" in caught.value.cure
    finally:
        os.seteuid(0)


def test_a_full_disk_passes_and_changes_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.decode().strip()}")
    try:
        run_sqlite(tmp_path / "live.db", TABLE, ROWS)
        target = Sql(f"sqlite:///{tmp_path}/live.db")

        async def main() -> None:
            with pytest.raises(TargetUnavailable, match="full"):
                await target.put("sql:t/1", {"id": 1, "name": "x" * 200_000}, expected=[ONE])
            assert await target.get("sql:t/1") == ONE
            await target.put("sql:t/1", {"id": 1, "name": "y"}, expected=[ONE])
            await target.close()

        anyio.run(main)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_what_others_commit_is_seen_by_the_times_of_the_file(path: Path, mode: str) -> None:
    run_sqlite(path, f"PRAGMA journal_mode = {mode}")
    target = Sql(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)  # as long as it is open, a write-ahead log stays

    async def main() -> None:
        deadline = monotonic() + _S_MAX
        while not target.unchanged("sql:t/1"):
            assert monotonic() < deadline
            await target.get("sql:t/1")
        for number in range(20):
            other.execute("UPDATE t SET name = ? WHERE id = 1", (f"{number:02}",))
            assert not target.unchanged("sql:t/1")
            assert (await target.get("sql:t/1"))["name"] == f"{number:02}"
        await target.close()

    anyio.run(main)
    other.close()


def test_nobody_writes_between_comparison_and_write_of_a_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Sql(f"sqlite:///{path}")
    said: list[str] = []

    def intrude() -> None:
        other = sqlite3.connect(path, timeout=0)
        try:
            other.execute("UPDATE t SET name = 'theirs' WHERE id = 1")
        except sqlite3.OperationalError as error:
            said.append(str(error))
        other.close()

    before_writing(monkeypatch, intrude)

    async def main() -> None:
        await target.put("sql:t/1", {"id": 1, "name": "ours"}, expected=[ONE])

    anyio.run(main)
    assert said == ["database is locked"]
    assert anyio.run(target.get, "sql:t/1") == {"id": 1, "name": "ours"}


# ---- PostgreSQL --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_waits")
def test_a_row_lock_of_somebody_else_holds_up_that_row_alone(server: ThrowawayPostgres) -> None:
    import psycopg

    target = Sql(server.url)

    async def main() -> None:
        with psycopg.connect(server.url) as other:
            other.execute("UPDATE t SET name = 'theirs' WHERE id = 1")
            with pytest.raises(DatabaseBusy, match="lock timeout") as caught:
                await target.put("sql:t/1", {"id": 1, "name": "ours"}, expected=[ONE])
            assert "pg_blocking_pids" in caught.value.cure
            await target.put("sql:t/2", {"id": 2, "name": "ours"}, expected=[{"id": 2, "name": "b"}])
            assert await target.get("sql:t/1") == ONE
        with pytest.raises(GuardFailed) as failed:
            await target.put("sql:t/1", {"id": 1, "name": "ours"}, expected=[ONE])
        assert failed.value.found == {"id": 1, "name": "theirs"}
        await target.close()

    anyio.run(main)


@pytest.mark.usefixtures("short_waits")
def test_a_table_lock_of_somebody_else_is_not_waited_for_long(server: ThrowawayPostgres) -> None:
    import psycopg

    target = Sql(server.url)

    async def main() -> None:
        with psycopg.connect(server.url) as other:
            other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DatabaseBusy):
                await target.get("sql:t/1")
            with pytest.raises(DatabaseBusy):
                await target.changed(["sql:t/1"], ())
        assert await target.get("sql:t/1") == ONE
        await target.close()

    anyio.run(main)


def test_a_row_written_between_comparison_and_write_waits_its_turn(
    server: ThrowawayPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Sql(server.url)
    statement = "UPDATE t SET name = name || ' and theirs' WHERE id = 1"
    other = threading.Thread(target=run_postgres, args=(server.url, statement))
    before_writing(monkeypatch, other.start)

    async def main() -> None:
        await target.put("sql:t/1", {"id": 1, "name": "ours"}, expected=[ONE])
        other.join()
        assert await target.get("sql:t/1") == {"id": 1, "name": "ours and theirs"}
        await target.close()

    anyio.run(main)


def test_a_row_inserted_meanwhile_is_found(
    server: ThrowawayPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Sql(server.url)
    before_writing(monkeypatch, lambda: run_postgres(server.url, "INSERT INTO t VALUES (3, 'theirs')"))

    async def main() -> None:
        with pytest.raises(GuardFailed) as caught:
            await target.put("sql:t/3", {"id": 3, "name": "ours"}, expected=[None])
        assert caught.value.found == {"id": 3, "name": "theirs"}
        await target.close()

    anyio.run(main)


def test_a_deadlock_passes(server: ThrowawayPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    target = Sql(server.url)
    other = psycopg.connect(server.url)
    other.execute("SET deadlock_timeout = '100s'")  # so that it is the target whose transaction is ended
    other.execute("UPDATE t SET name = 'theirs' WHERE id = 2")
    blocked = threading.Thread(target=other.execute, args=("UPDATE t SET name = 'theirs' WHERE id = 1",))
    get, waiting = Sql._get, [1]

    def later(self: Sql, session: SqlSession, key: str, **rest: Any) -> Any:
        if key == "sql:t/2" and waiting:
            waiting.clear()
            session.execute("SET LOCAL deadlock_timeout = '50ms'")
            blocked.start()
        return get(self, session, key, **rest)

    monkeypatch.setattr(Sql, "_get", later)

    async def main() -> None:
        new = [{"id": number, "name": "ours"} for number in (1, 2)]
        with pytest.raises(TargetUnavailable, match="deadlock"):
            await target.put_many([("sql:t/1", new[0], [ONE]), ("sql:t/2", new[1], [{"id": 2, "name": "b"}])])
        blocked.join()
        other.rollback()
        other.close()
        assert await target.get("sql:t/1") == ONE
        await target.close()

    anyio.run(main)


def test_connections_that_the_server_ended_are_made_anew(server: ThrowawayPostgres) -> None:
    target = Sql(server.url)

    async def main() -> None:
        assert await target.get("sql:t/1") == ONE
        run_postgres(
            server.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        )
        assert await target.get("sql:t/1") == ONE
        await target.close()

    anyio.run(main)


def test_a_connection_that_ends_in_the_middle_passes(
    server: ThrowawayPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Sql(server.url)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    before_writing(monkeypatch, lambda: run_postgres(server.url, end))

    async def main() -> None:
        new = {"id": 1, "name": "ours"}
        with pytest.raises(TargetUnavailable, match="cannot be reached"):
            await target.put("sql:t/1", new, expected=[ONE])
        assert await target.get("sql:t/1") == ONE
        await target.put("sql:t/1", new, expected=[ONE])
        assert await target.get("sql:t/1") == new
        await target.close()

    anyio.run(main)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/shop", TargetUnavailable),
        ("postgresql://ann:s3cret@nowhere.invalid/shop", TargetUnavailable),
    ],
)
def test_a_server_that_is_not_there_passes_and_no_secret_is_said(url: str, kind: type[TargetError]) -> None:
    target = Sql(url)
    with pytest.raises(kind, match="cannot be reached") as caught:
        anyio.run(target.get, "sql:t/1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("ending", ["/nowhere?", "/postgres?nonsense=1&"])
def test_a_wrong_url_is_a_refusal(server: ThrowawayPostgres, ending: str) -> None:
    target = Sql(server.url.replace("/postgres?", ending))
    with pytest.raises(TargetError) as caught:
        anyio.run(target.get, "sql:t/1")
    assert not isinstance(caught.value, TargetUnavailable)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_rows_are_compared_with_few_questions(
    engine: str, path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ", ".join(f"({number}, 'x')" for number in range(3, 500))
    if engine == "sqlite":
        url = f"sqlite:///{path}"
        run_sqlite(path, f"INSERT INTO t VALUES {rows}")
    else:
        url = request.getfixturevalue("server").url
        run_postgres(url, f"INSERT INTO t VALUES {rows}")
    target = Sql(url)
    keys = [f"sql:t/{number}" for number in range(1, 600)]

    async def main() -> None:
        found = await target.get_many(keys)
        assert list(found) == keys
        assert found["sql:t/499"] == {"id": 499, "name": "x"}
        assert found["sql:t/599"] is None
        statement = "UPDATE t SET name = 'new' WHERE id IN (7, 8); DELETE FROM t WHERE id = 9"
        if engine == "sqlite":
            run_sqlite(path, *statement.split(";"))
        else:
            run_postgres(url, statement)
        questions = [0]
        session_type = type((await anyio.to_thread.run_sync(lambda: target._connections._idle))[0])
        execute = session_type.execute

        def counted(self: Any, *arguments: Any) -> Any:
            questions[0] += 1
            return execute(self, *arguments)

        monkeypatch.setattr(session_type, "execute", counted)
        assert await target.changed(keys, ()) == {f"sql:t/{number}" for number in (7, 8, 9)}
        assert questions[0] < 20
        await target.close()

    anyio.run(main)

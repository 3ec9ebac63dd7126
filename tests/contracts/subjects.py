"""The targets that every contract is run against, each with a person who works on the same system past it."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from throwaway_postgres import ThrowawayPostgres
from ticket_server import TicketServer
from tickets import Tickets

from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.targets import Documents, Files, Kubernetes, Memory, Sql, Target
from kube_emulator import Emulator

KINDS = ("memory", "files", "documents", "sqlite", "postgres", "kubernetes", "tickets")


@dataclass
class Subject:
    """A target, and what a contract needs to know of its system.

    Args:
        target: The target.
        prefix: A range in which the objects below lie.
        key: An object that does not exist yet.
        other: Another one.
        values: Three values that the first may take.
        others: Three values that the second may take.
        person: Writes an object past the target, as somebody would who knows nothing of it.
        again: Returns another target over the same system.
        elsewhere: Returns a target over another system of its kind; None where all are alike.
        away: The system is away within this; None where it never is.
        refused: A change that the system refuses for good; None where it refuses nothing.
        exact: Whether `unchanged` says no at once after somebody else's write, and yes after a while.
        opens_away: Whether another target can be opened while the system is away.
    """

    target: Target
    prefix: str
    key: Key
    other: Key
    values: tuple[Any, Any, Any]
    others: tuple[Any, Any, Any]
    person: Callable[[Key, Value], None]
    again: Callable[[], Target]
    elsewhere: Callable[[], Target] | None = None
    away: Callable[[], AbstractContextManager[None]] | None = None
    refused: tuple[Key, Value] | None = None
    exact: bool = True
    opens_away: bool = True

    @property
    def first(self) -> Any:
        return self.values[0]

    @property
    def second(self) -> Any:
        return self.values[1]

    @property
    def third(self) -> Any:
        return self.values[2]


@contextmanager
def moved(path: Path) -> Iterator[None]:
    """A folder or file is elsewhere."""
    elsewhere = path.with_name(f"{path.name}-elsewhere")
    os.rename(path, elsewhere)
    try:
        yield
    finally:
        os.rename(elsewhere, path)


def _memory(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    target = Memory()
    values = ({"n": 1}, {"n": 2, "deep": [1]}, "text")
    yield Subject(target, "kv:", "kv:a/x", "kv:a/y", values, values, target.outside, Memory)


def _files(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    root, beside = folder / "root", folder / "beside"
    root.mkdir()
    beside.mkdir()
    target = Files(root)

    def person(key: Key, value: Value) -> None:
        path = root / key.removeprefix("file:")
        if value is None:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value if isinstance(value, bytes) else value.encode())

    yield Subject(
        target,
        "file:",
        "file:a/x",
        "file:a/y",
        ("one\n", b"\xff\x00", ""),
        ("1\n", "2\n", b"\xfe"),
        person,
        lambda: Files(root),
        lambda: Files(beside),
        lambda: moved(root),
        (f"file:{'n' * 300}", "x"),
        opens_away=False,
    )
    anyio.run(target.close)


PLAN = "# Plan\n\n## x\n\n## y\n"


def _documents(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    root, beside = folder / "root", folder / "beside"
    root.mkdir()
    beside.mkdir()
    (root / "plan.md").write_text(PLAN)
    target = Documents(root)

    def person(key: Key, value: Value) -> None:
        title = f"## {key.rpartition('/')[2]}\n"
        path = root / "plan.md"
        before, _, after = path.read_text().partition(title)
        _, heading, rest = after.partition("\n## ")
        path.write_text(f"{before}{title}{value or ''}{heading}{rest}")

    yield Subject(
        target,
        "doc:plan.md#Plan/",
        "doc:plan.md#Plan/x",
        "doc:plan.md#Plan/y",
        ("one\n", "\ntwo\n", "three\n"),
        ("1\n", "2\n", "3\n"),
        person,
        lambda: Documents(root),
        lambda: Documents(beside),
        lambda: moved(root),
        ("doc:plan.md#Plan/x", "## a heading\n"),
        opens_away=False,
    )
    anyio.run(target.close)


_TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER)"


def _rows(number: int) -> tuple[Any, Any, Any]:
    return (
        {"id": number, "name": "a", "size": 1},
        {"id": number, "name": "b", "size": None},
        {"id": number, "name": "", "size": 3},
    )


def _statements(key: Key, value: Value, mark: str) -> list[tuple[str, list[Value]]]:
    number = int(key.rpartition("/")[2])
    found: list[tuple[str, list[Value]]] = [(f"DELETE FROM t WHERE id = {mark}", [number])]
    if value is not None:
        found.append((f"INSERT INTO t VALUES ({mark}, {mark}, {mark})", list(value.values())))
    return found


def _sqlite(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    path = folder / "db/live.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute(_TABLE)
    connection.close()
    target = Sql(f"sqlite:///{path}")

    def person(key: Key, value: Value) -> None:
        with sqlite3.connect(path) as connection:
            for statement, parameters in _statements(key, value, "?"):
                connection.execute(statement, parameters)
        connection.close()

    yield Subject(
        target,
        "sql:t/",
        "sql:t/1",
        "sql:t/2",
        _rows(1),
        _rows(2),
        person,
        lambda: Sql(f"sqlite:///{path}"),
        lambda: Sql(f"sqlite:///{folder}/other.db"),
        lambda: moved(path.parent),
        ("sql:t/9", {"id": 9, "name": None, "size": 1}),
    )
    anyio.run(target.close)


def _postgres(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    import psycopg

    server: ThrowawayPostgres = request.getfixturevalue("postgres_server")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {_TABLE}".encode())
    target = Sql(server.url)

    def person(key: Key, value: Value) -> None:
        with psycopg.connect(server.url) as connection:
            for statement, parameters in _statements(key, value, "%s"):
                connection.execute(statement.encode(), parameters)

    @contextmanager
    def away() -> Iterator[None]:
        server.stop()
        try:
            yield
        finally:
            server.start()

    yield Subject(
        target,
        "sql:t/",
        "sql:t/1",
        "sql:t/2",
        _rows(1),
        _rows(2),
        person,
        lambda: Sql(server.url),
        lambda: Sql(server.url.replace("/postgres?", "/template1?")),
        away,
        ("sql:t/9", {"id": 9, "name": None, "size": 1}),
        exact=False,
    )
    anyio.run(target.close)


def _kubernetes(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    def made(name: str, size: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "default", "labels": {"size": size}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"size": size}}

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with Emulator(port, tls=False, token="") as emulator:
        config = emulator.write_kubeconfig(folder / "config")
        target = Kubernetes(config, namespace="default")
        beside = folder / "beside"
        beside.write_text(config.read_text().replace(f":{port}", ":1"))
        colleague = Kubernetes(config)

        def person(key: Key, value: Value) -> None:
            async def write() -> None:
                await colleague.put(key, value, expected=[await colleague.get(key)])

            anyio.run(write)

        @contextmanager
        def away() -> Iterator[None]:
            emulator.stop()
            try:
                yield
            finally:
                emulator.start()

        prefix = "k8s:default/configmaps/"
        yield Subject(
            target,
            prefix,
            f"{prefix}x",
            f"{prefix}y",
            (made("x", "s"), made("x", "m"), made("x", "l")),
            (made("y", "s"), made("y", "m"), made("y", "l")),
            person,
            lambda: Kubernetes(config),
            lambda: Kubernetes(beside),
            away,
            (f"{prefix}x", {**made("x", "s"), "data": {"size": 5}}),
            exact=False,
        )
        anyio.run(target.close)
        anyio.run(colleague.close)


def _tickets(folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A system that a package from outside adds (`tests/systems/ticket_system`)."""

    def made(state: str) -> dict[str, Any]:
        return {"title": "It is slow", "state": state}

    server = TicketServer()
    target = Tickets(server.url)
    yield Subject(
        target,
        "ticket:",
        "ticket:1",
        "ticket:2",
        (made("open"), made("shut"), made("late")),
        (made("1"), made("2"), made("3")),
        lambda key, value: server.write(key.removeprefix("ticket:"), value),
        lambda: Tickets(server.url),
        lambda: Tickets("http://127.0.0.1:1"),
        server.away,
        ("ticket:9", {"title": "", "state": "open"}),
        exact=False,
    )
    server.stop()


_MAKERS = {
    "memory": _memory,
    "files": _files,
    "documents": _documents,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "kubernetes": _kubernetes,
    "tickets": _tickets,
}


def subject_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Yield the subject of a kind, with its system, for as long as a test lasts."""
    yield from _MAKERS[kind](folder, request)

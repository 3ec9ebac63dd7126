"""The systems that runs use one after another: a PostgreSQL server, an emulated cluster, folders."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from crash_plan import Plan
from crash_world import System
from throwaway_postgres import ThrowawayPostgres

_TABLE = "create table {space}things (id text primary key, n integer not null, m integer not null)"


class Systems:
    """Makes what a run needs, and keeps what many runs can share.

    Args:
        folder: For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: ThrowawayPostgres | None = None
        self._emulator = 0
        self._count = 0

    def __enter__(self) -> Systems:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.remove()
        if self._emulator:
            os.kill(self._emulator, signal.SIGKILL)
            os.waitpid(self._emulator, 0)

    @property
    def server(self) -> ThrowawayPostgres:
        """A PostgreSQL server that runs."""
        if self._server is None:
            self._server = ThrowawayPostgres()
            self._server.start()
        return self._server

    def execute(self, statement: str) -> list[Any]:
        """Do something on that server, and return its rows."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def in_transaction(self) -> bool:
        """Tell whether a client has left a transaction open there."""
        return bool(self.execute("select 1 from pg_stat_activity where state like 'idle in transaction%'"))

    def log(self, plan: Plan, folder: Path) -> str:
        """Return the URL of the log of a run."""
        if plan.log == "sqlite":
            return f"sqlite:{folder / 'log'}"
        self._count += 1
        return f"{self.server.url}&schema=log_{self._count}"

    def system(self, plan: Plan, folder: Path) -> System:
        """Return the live system of a run, as it is at first."""
        self._count += 1
        space = f"run-{self._count}" if plan.target == "kubernetes" else f"run_{self._count}"
        if plan.target == "files":
            system = System("files", str(folder / "files"))
            (folder / "files").mkdir()
            for name, document in plan.initial.items():
                (folder / "files" / name).write_text(system.object_of(name, document))
            return system
        if plan.target == "sqlite":
            with closing(sqlite3.connect(folder / "data.db")) as connection, connection:
                connection.execute(_TABLE.format(space=""))
                for name, document in plan.initial.items():
                    connection.execute(
                        "insert into things values (?, :n, :m)".replace(":n", "?").replace(":m", "?"),
                        (name, document["n"], document["m"]),
                    )
            return System("sqlite", str(folder / "data.db"))
        if plan.target == "postgresql":
            self.execute(f"create schema {space}")
            self.execute(_TABLE.format(space=f"{space}."))
            for name, document in plan.initial.items():
                self.execute(
                    f"insert into {space}.things values ('{name}', {document['n']}, {document['m']})"
                )
            return System("postgresql", self.server.url, space)
        return self._in_cluster(plan, space)

    def _in_cluster(self, plan: Plan, space: str) -> System:
        from crash_run import forked

        config = self._folder / "kubeconfig"
        if not self._emulator:
            self._emulator = _emulated(config, self._folder / "said.emulator")
        system = System("kubernetes", str(config), space)

        def furnish() -> None:
            from coagent.protocol.keys import Key

            target = system.target()
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
            target._put(Key(f"k8s:_cluster/namespaces/{space}"), namespace, [None])  # type: ignore[attr-defined]
            for name, document in plan.initial.items():
                target._put(Key(system.prefix + name), system.object_of(name, document), [None])  # type: ignore[attr-defined]

        pid = forked(furnish, self._folder / "said.furnish")
        _, status = os.waitpid(pid, 0)
        assert status == 0, (self._folder / "said.furnish").read_text()
        return system


def _emulated(config: Path, said: Path) -> int:
    """Start an emulated cluster in a process of its own, and return its number."""
    from crash_run import forked

    reading, writing = os.pipe()

    def serve() -> None:
        from kube_emulator import Emulator

        os.close(reading)
        with Emulator() as emulator:
            emulator.write_kubeconfig(config)
            os.write(writing, b".")
            os.close(writing)
            signal.pause()

    pid = forked(serve, said)
    os.close(writing)
    began = os.read(reading, 1)
    os.close(reading)
    assert began, said.read_text()
    return pid

"""A PostgreSQL server of its own, on a Unix socket, that tests may stop and start."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from namespaces import NetHost


class ThrowawayPostgres:
    """A server with no data worth keeping; PostgreSQL refuses to run as root, so it runs as somebody else.

    Args:
        copy_of: A server that runs, for a standby of it.
        on: The host that it runs on and serves the network of; by default it serves this machine alone.
    """

    def __init__(self, copy_of: ThrowawayPostgres | None = None, on: NetHost | None = None) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
        if initdb is None:
            pytest.skip("no PostgreSQL server binaries (initdb) on this machine")
        self.prefix: list[str] = []
        """Before a command, so that it runs as the server does."""
        self.folder = Path(tempfile.mkdtemp(prefix="coagent-pg-"))
        if os.getuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._control = str(Path(initdb).with_name("pg_ctl"))
        self._data = str(self.folder / "data")
        self.on = on
        if on is not None:
            self._entered = on.command(folder=self.folder)
            self.prefix = [*self._entered, *self.prefix]
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"
        host = str(self.folder) if on is None else on.address
        self.net_url = f"postgresql://postgres@/postgres?host={host}"
        """By which others on its network reach it."""
        with (self.folder / "out").open("w"):
            os.chmod(self.folder / "out", 0o666)
        if copy_of is not None:
            basebackup = str(Path(initdb).resolve().with_name("pg_basebackup"))
            source = str(copy_of.folder) if copy_of.on is None else copy_of.on.address
            self._run(basebackup, "-h", source, "-U", "postgres", "-D", self._data, "-R", "-c", "fast")
            return
        form = ["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run(initdb, "-D", self._data, *form)
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\nhost replication all samenet trust\n")

    def reboot(self) -> None:
        """Start it as before, after its host has crashed."""
        if self.on is not None:
            self.prefix[: len(self._entered)] = self._entered = self.on.command(folder=self.folder)
        self.start(self._more)

    def start(self, more: str = "") -> None:
        """Start it.

        Args:
            more: Further settings, as options of the server.
        """
        self._more = more
        listens = "''" if self.on is None else self.on.address
        settings = "-c fsync=off -c shared_buffers=16MB -c max_connections=100"
        options = f"-k {self.folder} -c listen_addresses={listens} {settings} {more}"
        out = str(self.folder / "out")
        self._run(self._control, "-D", self._data, "-w", "-l", out, "-o", options, "start")

    def stop(self) -> None:
        """End it at once, as a crash would."""
        self._run(self._control, "-D", self._data, "-m", "immediate", "stop")

    def promote(self) -> None:
        """Make a standby a server of its own."""
        self._run(self._control, "-D", self._data, "-w", "promote")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [*self.prefix, *command], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

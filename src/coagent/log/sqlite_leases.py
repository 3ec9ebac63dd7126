"""Leases in a SQLite log.

Its clock is that of its host since the host was started: nobody sets it, and it stands still while the host
sleeps. What an earlier boot has left has run out.
"""

from __future__ import annotations

import sqlite3
import time

from coagent.log.base import Lease
from coagent.processes import Process, boot


def take_lease(connection: sqlite3.Connection, owner: str, process: Process, seconds: float) -> None:
    """Begin a lease; the arguments and results here are those of `Log`."""
    connection.execute(
        "insert into coagent_leases (owner, host, place, pid, started, boot, until_s) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        (owner, *process, boot(), time.monotonic() + seconds),
    )


def renew_lease(connection: sqlite3.Connection, owner: str, seconds: float) -> bool:
    """Let a lease last for so long from now on; False where there is none."""
    until_s = time.monotonic() + seconds
    return (
        connection.execute(
            "update coagent_leases set until_s = ? where owner = ? and boot = ?", (until_s, owner, boot())
        ).rowcount
        > 0
    )


def end_lease(connection: sqlite3.Connection, owner: str, late: bool) -> bool:
    """End a lease, perhaps only one that has run out; whether there is none any more."""
    connection.execute(
        "delete from coagent_leases where owner = ? and (not ? or boot <> ? or until_s <= ?)",
        (owner, late, boot(), time.monotonic()),
    )
    return connection.execute("select 1 from coagent_leases where owner = ?", (owner,)).fetchone() is None


def leases_of(connection: sqlite3.Connection) -> list[Lease]:
    """Return all leases, in order of owner; a log of an earlier version has none."""
    try:
        rows = connection.execute(
            "select owner, host, place, pid, started, boot, until_s from coagent_leases order by owner"
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    now_s = time.monotonic()
    return [
        Lease(owner, Process(host, place, pid, started), until_s - now_s if since == boot() else 0.0)
        for owner, host, place, pid, started, since, until_s in rows
    ]

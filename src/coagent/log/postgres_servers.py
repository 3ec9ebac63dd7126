"""Which of several servers holds a log: after a failover, the one left behind may come back and write.

Each promotion of a standby begins a timeline with a higher number (PostgreSQL's documentation, "Timelines").
So of two servers that take writes the one on the higher timeline holds the log. A server tells anybody of its
own; one that cannot tell is taken as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_OTHERS_S_MAX = 1.0
"""How long the others are waited for, in seconds, once one server has answered that takes writes."""
_STANDING = (
    b"select pg_backend_pid(), case when pg_is_in_recovery() then null "
    b"else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end, system_identifier::text "
    b"from pg_control_system()"
)
_NOTICE_WHEN_GONE = (
    b"select set_config('tcp_keepalives_idle', '10', false), "
    b"set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false), "
    b"set_config('tcp_user_timeout', '30000', false)"
)
"""By default a server keeps the connections of a host that is cut off for two hours, and has only so many."""
_ONE_EACH = ("host", "hostaddr", "port")


class Standing(NamedTuple):
    """What a server says of itself.

    Args:
        server: Its address.
        system: What names the cluster that it is of; empty where it does not tell.
        timeline: How often a standby had been promoted there, beginning with 1; 0 where it does not tell.
    """

    server: str
    system: str
    timeline: int

    def left_behind(self, newest: Standing) -> bool:
        """Tell whether another server of the same cluster is known to have taken its place."""
        return bool(self.timeline and self.system == newest.system and self.timeline < newest.timeline)


NOT_KNOWN = Standing("", "", 0)
Connection = psycopg.AsyncConnection[Any]


class Found(NamedTuple):
    """A connection to the server that holds a log.

    Args:
        connection: To it.
        standing: What it says of itself.
        others: Servers that take writes too, and were left behind.
    """

    connection: Connection
    standing: Standing
    others: tuple[Standing, ...]


def servers_of(url: str) -> list[str]:
    """Return a URL of each server that a URL names, or the URL itself where it names one or asks for any."""
    given = conninfo_to_dict(url)
    named = {name: str(given[name]).split(",") for name in _ONE_EACH if given.get(name)}
    count = max(map(len, named.values()), default=1)
    if count == 1 or given.get("target_session_attrs", "read-write") not in ("read-write", "primary"):
        return [url]
    found = []
    for at in range(count):
        one = {name: values[at if len(values) > 1 else 0] for name, values in named.items()}
        found.append(make_conninfo(url, **one))
    return found


async def connected_to(urls: Sequence[str], options: dict[str, Any]) -> Found:
    """Connect to whichever of some servers takes writes; of two, to the one on the higher timeline.

    Args:
        urls: Of the servers, in the order in which they are preferred.
        options: Of the connections.

    Raises:
        psycopg.Error, OSError: None takes writes; what the first one says.
    """
    if len(urls) == 1:
        connection = await Connection.connect(urls[0], **options)
        return Found(connection, await _standing(connection), ())
    made: dict[int, tuple[Connection, Standing]] = {}
    failures: dict[int, BaseException] = {}

    async def ask(at: int) -> None:
        connection = None
        try:
            connection = await Connection.connect(urls[at], **options)
            made[at] = connection, await _standing(connection)
        except (psycopg.Error, OSError) as failure:
            failures[at] = failure
        else:
            scope.deadline = min(scope.deadline, anyio.current_time() + _OTHERS_S_MAX)
        finally:
            if connection is not None and at not in made:
                with anyio.CancelScope(shield=True):
                    await connection.close()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            for at in range(len(urls)):
                tasks.start_soon(ask, at)
    if not made:
        raise failures[min(failures)]
    best, others = _newest({at: standing for at, (_, standing) in made.items()})
    for at, (connection, _) in made.items():
        if at != best:
            with anyio.CancelScope(shield=True):
                await connection.close()
    return Found(*made[best], others)


def connected_at_once(urls: Sequence[str], options: dict[str, Any]) -> psycopg.Connection[Any]:
    """Do what `connected_to` does, outside of an event loop.

    Raises:
        psycopg.Error: None takes writes; what the first one says.
    """
    if len(urls) == 1:
        return psycopg.connect(urls[0], **options)
    made: dict[int, tuple[psycopg.Connection[Any], Standing]] = {}
    failures: list[psycopg.Error] = []
    for at, url in enumerate(urls):
        connection = None
        try:
            connection = psycopg.connect(url, **options)
            row = connection.execute(_STANDING).fetchone()
            made[at] = connection, _said(connection.info, *(row or (0, None, "")))
        except psycopg.Error as failure:
            if connection is not None and not connection.closed and failure.sqlstate is not None:
                made[at] = connection, NOT_KNOWN
            else:
                failures.append(failure)
    if not made:
        raise failures[0]
    best = _newest({at: standing for at, (_, standing) in made.items()})[0]
    for at, (connection, _) in made.items():
        if at != best:
            connection.close()
    return made[best][0]


def _newest(standings: dict[int, Standing]) -> tuple[int, tuple[Standing, ...]]:
    """Return which of some servers was promoted last, and those that were left behind by it."""
    best = max(standings, key=lambda at: (standings[at].timeline, -at))
    return best, tuple(standing for standing in standings.values() if standing.left_behind(standings[best]))


async def _standing(connection: Connection) -> Standing:
    """Ask a server what it says of itself, and whether it is asked through a pooler.

    Raises:
        psycopg.Error: The connection has ended.
    """
    try:
        row = await (await connection.execute(_STANDING)).fetchone()
        assert row is not None, "it says one thing"
        pid, timeline, system = row
    except psycopg.Error as refusal:
        if connection.closed or refusal.sqlstate is None:
            raise
        # Some services have no such functions.
        row = await (await connection.execute("select pg_backend_pid()")).fetchone()
        pid, timeline, system = (row[0] if row else None), None, ""
    await connection.execute(_NOTICE_WHEN_GONE)
    if pid != connection.info.backend_pid:
        connection.prepare_threshold = None  # behind a pooler, the next one knows of no statement
    return _said(connection.info, pid, timeline, system)


def _said(info: psycopg.ConnectionInfo, _: int, timeline: str | None, system: str) -> Standing:
    return Standing(f"{info.host}:{info.port}", system, int(timeline, 16) if timeline else 0)

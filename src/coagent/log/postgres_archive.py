"""Old records of a log on a PostgreSQL server: packed into segments, in one transaction."""

from __future__ import annotations

import anyio
import anyio.to_thread
import psycopg

from coagent.errors import LogError
from coagent.log.postgres_errors import failed
from coagent.log.postgres_rows import RESTORE, packed
from coagent.log.postgres_schema import GIVE_UP_WHEN_GONE, options_of
from coagent.log.postgres_servers import Connection, connected_to, servers_of
from coagent.log.urls import Place

SEGMENT_RECORDS = 10_000
SEGMENT_BYTES = 16 * 1024 * 1024
"""How many records a segment holds at the most, and of what size in bytes; one record is always in it."""
KEPT_RECORDS = 20_000
"""How many of the last records stay as they are, for whoever looks back a little."""
_FILL_S_MAX = 20.0
"""How long it may take, in seconds: a server may wait for another one for ever."""
KEPT_BYTES = 64 * 1024 * 1024
"""How large they may be, in bytes, before fewer stay."""


async def fill(place: Place, domain: int) -> int:
    """Pack records that no process starts from into a segment, if there are so many.

    Args:
        place: Of the log.
        domain: The number of its domain.

    Returns:
        How many records were moved; 0 where there is nothing to do, or another process is doing it.

    Raises:
        LogError: It cannot be done; everything stays as it is.
    """
    try:
        # In a transaction of its own, and so on a connection of its own.
        found = await connected_to(servers_of(place.url), options_of(place, place.url))
        with anyio.fail_after(_FILL_S_MAX):
            async with found.connection as connection, connection.transaction():
                await connection.execute(GIVE_UP_WHEN_GONE)
                domains = f"{place.schema}.coagent_domains"
                alone = await connection.execute(
                    f"select from {domains} where id = %s for update skip locked".encode(), (domain,)
                )
                due = None if await alone.fetchone() is None else await _due(connection, place.schema, domain)
                return 0 if due is None else await _fill(connection, place, domain, *due)
    except (psycopg.Error, OSError) as error:
        raise failed(place, "archived", error) from None


async def _due(connection: Connection, schema: str, domain: int) -> tuple[int, int] | None:
    """Return the first and the last record to be moved now, if there are any.

    What is moved ends at a checkpoint, and never at the last one: records stay behind it.
    """
    asked = await connection.execute(
        f"select first, head, newest, (select min(number) from {schema}.coagent_checkpoints "
        "where domain = %(domain)s and number >= first) from "
        f"(select min(number) as first, max(number) as head, (select max(number) from "
        f"{schema}.coagent_checkpoints where domain = %(domain)s) as newest "
        f"from {schema}.coagent_records where domain = %(domain)s) ends".encode(),
        {"domain": domain},
    )
    row = await asked.fetchone()
    assert row is not None, "it says something of no records too"
    first, head, newest, until = row
    if first is None or until is None or until >= min(newest, head):
        return None
    if head - until < KEPT_RECORDS and await _bytes(connection, schema, domain) <= KEPT_BYTES:
        return None
    return first, until


async def _bytes(connection: Connection, schema: str, domain: int) -> int:
    asked = await connection.execute(
        f"select coalesce(sum(octet_length(record)), 0) from {schema}.coagent_records "
        "where domain = %s".encode(),
        (domain,),
    )
    row = await asked.fetchone()
    return int(row[0]) if row is not None else 0


async def _fill(connection: Connection, place: Place, domain: int, first: int, until: int) -> int:
    schema = place.schema
    asked = await connection.execute(
        "select number, checksum, record from (select number, checksum, record, "
        "sum(octet_length(record)) over (order by number) as size "
        f"from {schema}.coagent_records where domain = %s and number between %s and %s) sized "
        "where size <= %s or number = %s order by number".encode(),
        (domain, first, min(until, first + SEGMENT_RECORDS - 1), SEGMENT_BYTES, first),
    )
    rows = await asked.fetchall()
    last = rows[-1][0]
    if len(rows) != last - first + 1:
        raise LogError(f"log {place.shown!r} lacks a record between {first} and {last}", RESTORE)
    segment = await anyio.to_thread.run_sync(packed, rows)
    await connection.execute(
        f"insert into {schema}.coagent_segments (domain, first, last, records, state_chain, state_checksum, "
        "state) select given.domain, given.first, given.last, given.records, chain, checksum, state "
        "from (values (%s::integer, %s::bigint, %s::bigint, %s::bytea)) "
        "as given (domain, first, last, records) "
        f"left join {schema}.coagent_checkpoints before "
        "on before.domain = given.domain and before.number = given.first - 1".encode(),
        (domain, first, last, segment),
    )
    for table, end in (("records", last), ("checkpoints", last - 1)):
        await connection.execute(
            f"delete from {schema}.coagent_{table} where domain = %s and number <= %s".encode(), (domain, end)
        )
    return len(rows)

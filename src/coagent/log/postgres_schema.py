"""How logs lie on a PostgreSQL server: the tables of one schema, and what is written there about a log.

Nothing rests on the state of a session, so that a pooler may hand each transaction to another connection:
names are written in full, and the one advisory lock ends with its transaction.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from coagent.errors import LogError
from coagent.log.base import LogSettings
from coagent.log.codec import FORMAT
from coagent.log.postgres_errors import CURE_ONLY_READS, RIGHTS, awaits_standby, failed
from coagent.log.postgres_servers import connected_at_once, servers_of
from coagent.log.urls import OURS, Place, is_misread

VERSION = 1
"""The version of the tables. A schema of a newer one is refused; each change raises it."""
ANSWER_S_MAX = 20.0
"""How long an answer of the server is waited for, in seconds, before the connection is given up."""
_SERVER_MIN = 130000
_ROW_PAGES_FREE = 25
_SCHEMA = """
create schema if not exists {schema};
create table if not exists {schema}.coagent_meta (name text primary key, value text not null);
create table if not exists {schema}.coagent_domains (
    id integer generated always as identity primary key, name text not null unique,
    format integer not null, protocol text not null, ordering text not null, targets text not null,
    begun timestamptz not null default now()
);
create table if not exists {schema}.coagent_heads (
    domain integer primary key, number bigint not null, chain bigint not null
) with (fillfactor = {free});
create table if not exists {schema}.coagent_records (
    domain integer, number bigint, checksum bigint not null, batch bigint not null, record text not null,
    primary key (domain, number)
);
create table if not exists {schema}.coagent_checkpoints (
    domain integer, number bigint, chain bigint not null, checksum bigint not null, state text not null,
    primary key (domain, number)
);
create table if not exists {schema}.coagent_segments (
    domain integer, first bigint, last bigint not null, records bytea not null,
    state_chain bigint, state_checksum bigint, state text,
    primary key (domain, first)
);
create table if not exists {schema}.coagent_leases (
    owner text primary key, domain integer not null, host text not null, place text not null,
    pid bigint not null, started text not null, seconds double precision not null, until timestamptz not null
);
insert into {schema}.coagent_meta values ('version', '{version}') on conflict do nothing;
"""
GIVE_UP_WHEN_GONE = b"set local idle_in_transaction_session_timeout = '60s'"
"""At the beginning of a transaction of several statements: who vanishes in it holds nobody up for long."""
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "coagent",
}
"""By default a vanished server is waited for until the system gives up, after a quarter of an hour."""


class Begun(NamedTuple):
    """A log that there is.

    Args:
        domain: The number of its domain in the schema.
        settings: What it was begun with.
        format: The version of its records.
    """

    domain: int
    settings: LogSettings
    format: int


def _require_known_parameters(place: Place, url: str) -> None:
    known = [*OURS, *(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())]
    for part in filter(None, url.partition("?")[2].split("&")):
        name = unquote(part.partition("=")[0])
        if name not in known and name != "ssl":  # libpq takes JDBC's ssl=true
            raise LogError(
                f"log {place.shown!r} has {name!r} in its query, which neither CoAgent nor libpq knows",
                _nearest(name, known),
            )


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Leave it out; CoAgent's own are {', '.join(OURS)}."


def options_of(place: Place, url: str) -> dict[str, Any]:
    """Return the options of connections to a server that its URL leaves open.

    Raises:
        LogError: It is no URL of a PostgreSQL database.
    """
    try:
        if is_misread(url):
            raise psycopg.ProgrammingError
        _require_known_parameters(place, url)
        given = conninfo_to_dict(url)
    except psycopg.Error:  # what it says of the URL may hold a password
        raise LogError(
            f"log {place.shown!r} names no PostgreSQL database",
            "Write it as postgresql://USER@HOST:PORT/DATABASE; signs such as @ and / in names and passwords "
            "are written %40 and %2F.",
        ) from None
    options = {name: value for name, value in _CONNECTION.items() if name not in given}
    if "," in str(given.get("host", "")) and "target_session_attrs" not in given:
        options["target_session_attrs"] = "read-write"  # of several servers the one that may be written to
    return {**options, "autocommit": True}


def connected(place: Place, *, timeout_s: int = 5) -> psycopg.Connection[Any]:
    """Open a connection that knows of no session: every statement is a transaction, and none is prepared.

    Raises:
        LogError: The server refuses, or is too old. LogUnavailable: It is away.
    """
    try:
        options = {**options_of(place, place.url), "connect_timeout": timeout_s}
        connection = connected_at_once(servers_of(place.url), {**options, "prepare_threshold": None})
    except psycopg.Error as error:
        raise failed(place, "opened", error) from None
    if (version := connection.info.server_version) < _SERVER_MIN:
        connection.close()
        raise LogError(
            f"log {place.shown!r} lies on PostgreSQL {version // 10000}, which is too old: it takes "
            f"{_SERVER_MIN // 10000}",
            "Upgrade the server.",
        )
    return connection


@contextmanager
def answering(connection: psycopg.Connection[Any], place: Place) -> Iterator[None]:
    """Give up what a server has been asked, where it does not answer for as long as that is waited for.

    One that waits for its synchronous standby answers then as if nothing had been amiss: it has committed by
    itself, and says no more of it than in a notice.

    Raises:
        LogUnavailable: It has not answered.
    """
    gave_up = threading.Event()

    def give_up() -> None:
        gave_up.set()
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=ANSWER_S_MAX)

    timer = threading.Timer(ANSWER_S_MAX, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if gave_up.is_set():
        raise awaits_standby(place, "begun")


def hindrance_to_writing(connection: psycopg.Connection[Any], place: Place) -> tuple[str, str] | None:
    """Return why a log could be read, but not appended to, and what to do; None where it could."""
    try:
        (only_reads,) = connection.execute("show transaction_read_only").fetchone() or ("off",)
        if only_reads == "on":
            return "the server lets this role only read", CURE_ONLY_READS
        if not _has_tables(connection, place.schema):
            return None
        for name in ("records", "heads", "leases"):
            table = f"{place.schema}.coagent_{name}"
            rights = "has_table_privilege(%s, 'INSERT') and has_table_privilege(%s, 'UPDATE')"
            if connection.execute(f"select {rights}".encode(), (table, table)).fetchone() == (False,):
                return f"the role may not write into {table}", RIGHTS["table"].format(schema=place.schema)
    except psycopg.Error as error:
        failure = failed(place, "read", error)
        return failure.cause, failure.cure
    return None


def begun(connection: psycopg.Connection[Any], place: Place, settings: LogSettings) -> Begun:
    """Return what is written about a log; it is begun, and its tables are made, where they are missing.

    Raises:
        LogError: It comes from a newer version, or may not be made.
    """
    if (found := looked_up(connection, place)) is not None:
        return _brought_to_today(connection, place, found)
    schema = place.schema
    try:
        with connection.transaction():
            connection.execute(GIVE_UP_WHEN_GONE)
            # Two processes may come at once, and "if not exists" does not keep them apart.
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"coagent {schema}",)
            )
            if not _has_tables(connection, schema):
                script = _SCHEMA.format(schema=schema, version=VERSION, free=_ROW_PAGES_FREE)
                if connection.execute("select to_regnamespace(%s)", (schema,)).fetchone() != (None,):
                    script = script.replace(f"create schema if not exists {schema};", "")
                connection.execute(script.encode())
            made = connection.execute(
                f"insert into {schema}.coagent_domains (name, format, protocol, ordering, targets) "
                "values (%s, %s, %s, %s, %s) on conflict do nothing returning id".encode(),
                (place.domain, FORMAT, settings.protocol, settings.order, json.dumps(settings.targets)),
            ).fetchone()
            if made is not None:
                connection.execute(
                    f"insert into {schema}.coagent_heads values (%s, 0, 0)".encode(), (made[0],)
                )
    except psycopg.Error as error:
        raise failed(place, "begun", error) from None
    found = looked_up(connection, place)
    assert found is not None, "it has been begun"
    return found


def _brought_to_today(connection: psycopg.Connection[Any], place: Place, found: Begun) -> Begun:
    """Note that what follows is of a format which those who know only its own cannot read."""
    if found.format < FORMAT:
        try:
            connection.execute(
                f"update {place.schema}.coagent_domains set format = %s where id = %s".encode(),
                (FORMAT, found.domain),
            )
        except psycopg.Error as error:
            raise failed(place, "opened", error) from None
    return found._replace(format=FORMAT)


def looked_up(connection: psycopg.Connection[Any], place: Place) -> Begun | None:
    """Return what is written about a log; None where it has not been begun.

    Raises:
        LogError: It comes from a newer version, or what is written about it makes no sense.
    """
    schema = place.schema
    try:
        if not _has_tables(connection, schema):
            return None
        version = connection.execute(
            f"select value from {schema}.coagent_meta where name = 'version'".encode()
        ).fetchone()
        if version is not None and version[0] == str(VERSION):
            row = connection.execute(
                "select id, format, protocol, ordering, targets "
                f"from {schema}.coagent_domains where name = %s".encode(),
                (place.domain,),
            ).fetchone()
            return None if row is None else _begun(place, *row)
    except psycopg.Error as error:
        raise failed(place, "opened", error) from None
    if version is not None and version[0].isdecimal() and int(version[0]) > VERSION:
        raise _newer(f"the tables of log {place.shown!r} have version {version[0]}", VERSION)
    raise LogError(
        f"schema {schema!r} of log {place.shown!r} does not say what it holds",
        "Restore a copy of it, or name another schema.",
    )


def _has_tables(connection: psycopg.Connection[Any], schema: str) -> bool:
    found = connection.execute("select to_regclass(%s)", (f"{schema}.coagent_meta",)).fetchone()
    return found != (None,)


def _begun(place: Place, domain: int, format: int, protocol: str, order: str, targets: str) -> Begun:
    if format > FORMAT:
        raise _newer(f"log {place.shown!r} has format {format}", FORMAT)
    try:
        settings = LogSettings(protocol, order, tuple(map(str, json.loads(targets))))
    except (ValueError, TypeError) as error:
        raise LogError(
            f"what log {place.shown!r} says of itself makes no sense: {error!r}", "Restore a copy of it."
        ) from None
    return Begun(domain, settings, format)


def _newer(what: str, known: int) -> LogError:
    return LogError(
        f"{what}, this version of CoAgent knows {known}",
        "Install a newer CoAgent.",
    )

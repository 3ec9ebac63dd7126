"""What the errors of a PostgreSQL server mean for whoever uses a log on it.

Codes: PostgreSQL's documentation, appendix A.
"""

from __future__ import annotations

import re

import psycopg

from coagent.errors import LogError, LogUnavailable
from coagent.log.urls import Place

_BUSY = frozenset({"55P03", "57014", "40P01"})
"""Lock not available, cancelled by a time limit, deadlock."""
_AWAY = frozenset({"25006", "25P03", "57P01", "57P02", "57P03", "57P05", "53200", "53300"})
"""Only reading for now (a standby), idle in a transaction for too long, shut down, crashed, starting up, idle
for too long, no memory, and no connection left."""
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|(database|role|user) .* does not exist"
    r"|no such (database|user)|permission denied|certificate|does not support SSL",
    re.I,
)
CURE_ONLY_READS = "It is a standby, or set to read only: name the server that may be written to."
"""What to do where a server, or a role on it, may only read."""
_CURES = {
    "25006": CURE_ONLY_READS,
    "3F000": "Have the schema made: CREATE SCHEMA … AUTHORIZATION …",
    "53100": "Free some disk space on the server; what was logged is safe.",
    "53300": "Raise max_connections, or put a pooler in between; a process needs two connections.",
    "42P01": "The tables of the log are gone: restore a copy of the database, or name another schema.",
}
RIGHTS = {
    "table": "Give it: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO …",
    "database": "Have somebody who may make the schema for the role: CREATE SCHEMA {schema} AUTHORIZATION …",
    "schema": "Give the role the right to it: GRANT USAGE, CREATE ON SCHEMA {schema} TO …",
}
"""What to do about a missing right (42501), by what the server names: "permission denied for table …"."""
_CHECK = "Check that it runs, and that the URL names the right server."


def failed(place: Place, act: str, error: BaseException) -> LogError:
    """Return what an error means: `LogUnavailable` where it may pass by itself.

    Args:
        place: Of the log.
        act: What could not be done, as in "read".
        error: Of psycopg, of the operating system, or a time limit.
    """
    state = getattr(error, "sqlstate", None) or ""
    said = place.masked(_message(error))
    text = f"log {place.shown!r} cannot be {act}: {said}" + (f" ({state})" if state else "")
    if isinstance(error, psycopg.ProgrammingError) and not state:
        return LogError(text, "Write it as postgresql://USER@HOST:PORT/DATABASE.")
    if state == "42501":
        what = next((right for right in RIGHTS if f" for {right} " in said), "schema")
        return LogError(text, RIGHTS[what].format(schema=place.schema))
    if state in _CURES and state not in _AWAY:
        return LogError(text, _CURES[state])
    if not state and _REFUSED.search(said):
        return LogError(text, "Correct the URL, or what the server allows.")
    if (
        state in _BUSY
        or state in _AWAY
        or state.startswith("08")
        or isinstance(error, TimeoutError | OSError)
        or (not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError))
    ):
        return LogUnavailable(text, _CURES.get(state, _CHECK))
    return LogError(text, "Look at the server's own log." if state.startswith(("53", "58", "XX")) else "")


def awaits_standby(place: Place, act: str) -> LogUnavailable:
    """Return the error of a server that commits nothing, as its synchronous standby is away."""
    return LogUnavailable(
        f"log {place.shown!r} cannot be {act}: the server waits for its synchronous standby",
        "Start that standby, or take it out of synchronous_standby_names; where it was promoted, name it in "
        "the URL.",
    )


def _message(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    diagnosis = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    # libpq says one thing after the other where it has tried several addresses.
    return " ".join((diagnosis or str(error) or type(error).__name__).split())

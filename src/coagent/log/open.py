"""Open a log by its URL; the engine is loaded only when it is named."""

from __future__ import annotations

from coagent.errors import ConfigurationError, LogError
from coagent.log.base import Log, LogSettings, Reader
from coagent.log.memory import MemoryLog
from coagent.log.urls import is_postgres, path_of, place_of, shown_url

ENGINES = "'memory:', 'sqlite:PATH' or 'postgresql://USER@HOST/DATABASE'"
"""What the URL of a log may be."""
PATIENCE_S = 60.0


async def open_log(url: str, settings: LogSettings, patience_s: float = PATIENCE_S) -> Log:
    """Open or create a log.

    Args:
        url: `memory:`; `sqlite:PATH` (relative to the working directory, or absolute); or
            `postgresql://USER@HOST:PORT/DATABASE`, with `schema`, `domain` and `listen` beside what libpq
            knows (docs/deploy.md).
        settings: For a new log; an existing one has to have been begun with the same.
        patience_s: How long calls wait for a server that is away, in seconds.

    Raises:
        ConfigurationError: The URL names no engine, or the log was begun under another protocol or order.
        LogError: The log cannot be opened, is damaged, comes from a newer version, or is about other targets.
    """
    scheme, _, rest = url.partition(":")
    log: Log
    if scheme == "memory" and not rest:
        return MemoryLog(settings)
    if scheme == "sqlite" and rest:
        from coagent.log.sqlite import SqliteLog

        log = await SqliteLog.open(path_of(url), settings)
    elif is_postgres(url):
        _require_psycopg(url)
        from coagent.log.postgres import PostgresLog

        log = await PostgresLog.open(place_of(url), settings, patience_s)
    else:
        raise ConfigurationError(f"no log engine for {shown_url(url)!r}", f"Use {ENGINES}.")
    try:
        _check(shown_url(url), log.settings, settings)
    except BaseException:
        await log.close()
        raise
    return log


def open_reader(url: str) -> Reader:
    """Open a log for reading alone.

    Raises:
        NothingYet: It has not been begun.
        ConfigurationError: The URL names no engine, or one whose logs are in the memory of a process.
        LogError: It is no log, cannot be read, or was written by a newer version.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from coagent.log.reader import LogReader

        return LogReader(path_of(url))
    if is_postgres(url):
        _require_psycopg(url)
        from coagent.log.postgres_reader import PostgresReader

        return PostgresReader(place_of(url))
    if scheme == "memory":
        raise ConfigurationError(
            f"log {url!r} is in the memory of a process",
            "Only a domain whose log is a file or on a server can be looked at.",
        )
    raise ConfigurationError(f"no log engine for {shown_url(url)!r}", f"Use {ENGINES}.")


def begun_with(url: str) -> LogSettings | None:
    """Return what a log was begun with; None where it has not been, cannot be read, or is in memory."""
    try:
        reader = open_reader(url)
    except (ConfigurationError, LogError):
        return None  # another process is making it just now, or whoever opens it will say what is wrong
    reader.close()
    return reader.settings


def _require_psycopg(url: str) -> None:
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigurationError(
            f"log {shown_url(url)!r} needs psycopg: {error}", "Install it: pip install 'coagent-mtpo[sql]'."
        ) from error


_CURES = {
    "protocol": "Open it with protocol {0!r}, or name another log.",
    "order": "A log keeps the order that it was begun with: leave `order` out, or name another log.",
}


def _check(url: str, begun: LogSettings, given: LogSettings) -> None:
    for name in ("protocol", "order"):
        before, now = getattr(begun, name), getattr(given, name)
        if before != now:
            raise ConfigurationError(
                f"log {url!r} was begun with {name} {before!r}, not {now!r}",
                _CURES[name].format(before),
            )
    for identity in begun.targets:
        kind = identity.partition(":")[0]
        others = [identity for identity in given.targets if identity.partition(":")[0] == kind]
        if others and not any(same_target(identity, other) for other in others):
            raise LogError(
                f"log {url!r} is about {identity!r}, not about {others[0]!r}",
                "Open it over the live system that it was begun with, or name another log: on a server, "
                "another domain=NAME in its URL will do.",
            )


def same_target(one: str, other: str) -> bool:
    """Tell whether two identities are of one live system: of `PLACE#NUMBER` either half may have changed."""
    place, _, number = one.partition("#")
    other_place, _, other_number = other.partition("#")
    return place == other_place or bool(number and number == other_number)

"""Open a log by its URL; the engine is loaded only when it is named."""

from __future__ import annotations

from pathlib import Path

from coagent.errors import ConfigurationError, LogError
from coagent.log.base import Log, LogSettings
from coagent.log.memory import MemoryLog


async def open_log(url: str, settings: LogSettings) -> Log:
    """Open or create a log.

    Args:
        url: `memory:`, or `sqlite:PATH` (relative to the working directory, or absolute).
        settings: For a new log; an existing one has to have been begun with the same.

    Raises:
        ConfigurationError: The URL names no engine, or the log was begun under another protocol or order.
        LogError: The log cannot be opened, is damaged, comes from a newer version, or is about other targets.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and not rest:
        return MemoryLog(settings)
    if scheme == "sqlite" and rest:
        from coagent.log.sqlite import SqliteLog

        log = await SqliteLog.open(path_of(url), settings)
        try:
            _check(url, log.settings, settings)
        except BaseException:
            await log.close()
            raise
        return log
    raise ConfigurationError(f"no log engine for {url!r}", "Use 'memory:' or 'sqlite:PATH'.")


def path_of(url: str) -> Path:
    """Return the file of a `sqlite:` URL."""
    rest = url.partition(":")[2]
    return Path(rest.removeprefix("//") if rest.startswith("///") else rest).expanduser()


def begun_with(url: str) -> LogSettings | None:
    """Return what a log was begun with; None where it has not been, cannot be read, or is in memory."""
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not rest or not (path := path_of(url)).exists() or not path.stat().st_size:
        return None
    from coagent.log.reader import LogReader

    try:
        reader = LogReader(path)
    except LogError:
        return None  # another process is making it just now, or whoever opens it will say what is wrong
    reader.close()
    return reader.settings


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
        others = [one for one in given.targets if one.partition(":")[0] == kind]
        if others and not any(same_target(identity, one) for one in others):
            raise LogError(
                f"log {url!r} is about {identity!r}, not about {others[0]!r}",
                "Open it over the live system that it was begun with, or name another log.",
            )


def same_target(one: str, other: str) -> bool:
    """Tell whether two identities are of one live system: of `PLACE#NUMBER` either half may have changed."""
    place, _, number = one.partition("#")
    other_place, _, other_number = other.partition("#")
    return place == other_place or bool(number and number == other_number)

"""Which domain a command means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coagent.errors import ConfigurationError
from coagent.log.urls import shown_url

if TYPE_CHECKING:
    from coagent.log.base import NothingYet

_LOGS = ("sqlite:", "memory:", "postgresql://", "postgres://")


def named_log(given: str | None) -> str | None:
    """Return the URL of the log that is named itself: `sqlite:PATH`, `postgresql://…`, or a log's file.

    Args:
        given: What a command was given.

    Returns:
        None where it is no log: a domain file, a folder, or nothing.
    """
    if given is None or given.startswith(_LOGS):
        return given
    from coagent.log.sqlite_schema import is_database

    path = Path(given).expanduser()
    try:
        is_log = is_database(path) or (path.is_file() and not path.stat().st_size and path.suffix != ".toml")
    except OSError:
        return None
    return f"sqlite:{given}" if is_log else None  # an empty file is a log that is being begun


def domain_file(given: str | None) -> Path:
    """Return the domain file that is meant.

    Args:
        given: A domain file or a folder; by default the nearest `.coagent/config.toml` upwards.

    Raises:
        ConfigurationError: There is none.
    """
    from coagent.config.domain_file import FOLDER, NAME, find

    if given is None:
        return find(Path())
    if named_log(given) is not None:
        raise ConfigurationError(
            f"{shown_url(given)!r} is a log, and this needs the targets and tools of its domain too",
            "Name a domain file that has this `log`, or a folder.",
        )
    path = Path(given).expanduser()
    if path.is_dir():
        inside = path / FOLDER / NAME
        if not inside.is_file():
            raise ConfigurationError(f"{given!r} has no {FOLDER}/{NAME}", "Run `coagent init` there.")
        return inside
    if not path.is_file():
        raise ConfigurationError(f"there is no domain file {given!r}", "Name a TOML file, or a folder.")
    return path


def domain_log(given: str | None) -> str:
    """Return the log of the domain that is meant; it may be named itself.

    Raises:
        ConfigurationError: There is no such domain.
    """
    named = named_log(given)
    if named is not None:
        return named
    from coagent.config.domain_file import log_url, read_domain_file

    path = domain_file(given)
    return log_url(read_domain_file(path).log, path.resolve().parent)


def nothing_yet(given: str | None, nothing: NothingYet) -> str:
    """Return what to say where nobody has joined a domain yet.

    Args:
        given: What the command was given.
        nothing: What was found of its log.

    Raises:
        NothingYet: A log was named itself, and there is none.
    """
    from coagent.log.base import Absent

    if isinstance(nothing, Absent) and named_log(given) is not None:
        raise nothing
    return f"{nothing.cause}."

"""Which domain a command means."""

from __future__ import annotations

from pathlib import Path

from coagent.errors import ConfigurationError
from coagent.log.urls import shown_url

LOGS = ("sqlite:", "memory:", "postgresql://", "postgres://")
"""How the URLs of logs begin."""
_SQLITE = b"SQLite format 3\0"


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
    if given.startswith(LOGS):
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
    with path.open("rb") as file:
        is_log = file.read(len(_SQLITE)) == _SQLITE
    if is_log:
        raise ConfigurationError(
            f"{given!r} is a log, and no domain file", f"Name a domain file, or the log as sqlite:{given}."
        )
    return path


def domain_log(given: str | None) -> str:
    """Return the log of the domain that is meant; it may be named itself, as `sqlite:PATH` or `postgresql://…`.

    Raises:
        ConfigurationError: There is no such domain.
    """
    if given is not None and given.startswith(LOGS):
        return given
    from coagent.config.domain_file import log_url, read_domain_file

    path = domain_file(given)
    return log_url(read_domain_file(path).log, path.resolve().parent)

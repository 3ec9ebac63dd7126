"""The systems that installed packages register: found by their names, and imported when a file names them.

CoAgent's own are looked up in its own package's metadata, which takes a fraction of a millisecond; those of
all other packages, which takes some more, only for names that are not among them.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points

from coagent.errors import ConfigurationError
from coagent.systems.base import GROUP, System

_PACKAGE = "coagent-mtpo"


def registered() -> list[str]:
    """Return the names of all systems that are registered."""
    return sorted({**_own(), **_others(tuple(sys.path))})


def system(name: str) -> System | None:
    """Return the system of a name; None where none is registered under it.

    Raises:
        ConfigurationError: It cannot be imported, or what is registered is no system.
    """
    entry = _own().get(name) or _others(tuple(sys.path)).get(name)
    if entry is None:
        return None
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the system {name!r} ({entry.value}) cannot be imported: {error}",
            f"Install {_package(entry)} again, with all that it needs.",
        ) from error
    if not isinstance(found, System) or found.name != name:
        raise ConfigurationError(
            f"{_package(entry)} registers under {name!r} what is no system of that name: {entry.value}",
            "It is to name a coagent.systems.base.System; see docs/add-a-system.md.",
        )
    return found


def not_installed(one: System, what: str, error: ImportError, line: str) -> ConfigurationError:
    """Return the error that says what to install.

    Args:
        one: The system.
        what: What of it was to be made.
        error: What could not be imported.
        line: `file:line` of what names it.
    """
    cure = f"Install it: pip install '{one.needs}'." if one.needs else "Install it."
    return ConfigurationError(f"{line}: {what} needs what is not installed: {error}", cure)


@cache
def _own() -> dict[str, EntryPoint]:
    try:
        found = distribution(_PACKAGE).entry_points
    except PackageNotFoundError:
        found = entry_points(group=GROUP)
    ours = {entry.name: entry for entry in found if entry.group == GROUP}
    if not ours:
        raise ConfigurationError(
            f"the package {_PACKAGE!r} as it is installed registers no systems",
            "Install it again: pip install, with -e from a checkout.",
        )
    return ours


@cache
def _others(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Return what other packages register that are on this import path, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "the package"

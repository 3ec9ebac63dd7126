"""What installed packages bring to the command line, found by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from coagent.errors import ConfigurationError

LAB = "coagent-lab"
"""The package of benchmarks, simulations and more demos."""


def registered(group: str) -> dict[str, EntryPoint]:
    """Return what is registered in a group, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=group))}


def loaded(entry: EntryPoint) -> Any:
    """Return what is registered.

    Raises:
        ConfigurationError: It cannot be imported.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise incomplete(entry, error) from error


def incomplete(entry: EntryPoint, error: Exception) -> ConfigurationError:
    """Return the error that says what to install where something of a package cannot be imported."""
    package = entry.dist.name if entry.dist is not None else "the package"
    return ConfigurationError(
        f"{entry.name!r} ({entry.value}) cannot be imported: {error}",
        f"Install {package} again, with all that it needs.",
    )


def not_installed(what: str) -> ConfigurationError:
    """Return the error that names the package that brings what is asked for."""
    return ConfigurationError(
        f"{what} comes with the package {LAB!r}, which is not installed",
        f"Install it from CoAgent's repository: pip install . packages/kube-emulator packages/{LAB}",
    )

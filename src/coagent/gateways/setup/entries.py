"""Tables and lists in settings, taken for what they should be."""

from __future__ import annotations

from typing import Any

from coagent.gateways.setup.settings_file import WrongEntry


def table_in(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table of the settings; it is made where there is none.

    Raises:
        WrongEntry: Something else has its name.
    """
    table = settings.setdefault(name, {})
    if not isinstance(table, dict):
        raise WrongEntry(f"{name!r} is to be an object, and is {_shown(table)}")
    return table


def list_in(settings: dict[str, Any], name: str) -> list[Any]:
    """Return a list of the settings; it is made where there is none.

    Raises:
        WrongEntry: Something else has its name.
    """
    entries = settings.setdefault(name, [])
    if not isinstance(entries, list):
        raise WrongEntry(f"{name!r} is to be a list, and is {_shown(entries)}")
    return entries


def _shown(value: Any) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
    return names.get(type(value), repr(value))

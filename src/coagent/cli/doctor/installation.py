"""Which CoAgent and which Python this is, and which of its extras are installed."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

import coagent
from coagent.cli.doctor.finding import Finding

PACKAGE = "coagent-mtpo"
"""Its name among installed packages."""
_NO_FEATURES = {"all", "dev", "docs"}


def installation() -> Iterator[Finding]:
    """Yield the versions, and what extras are there and are not."""
    python = f"Python {platform.python_version()} ({sys.executable})"
    folder = Path(coagent.__file__).parent
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        yield Finding("coagent", "note", f"run from its source in {folder}, not installed; {python}")
        return
    yield Finding("coagent", "ok", f"CoAgent {found} in {folder}; {python}")
    there, missing = _extras()
    if there:
        yield Finding("extras", "ok", f"installed: {', '.join(there)}")
    if missing:
        cure = f"pip install '{PACKAGE}[{missing[0]}]' adds one"
        yield Finding("extras", "note", f"not installed: {', '.join(missing)}", cure)


def _extras() -> tuple[list[str], list[str]]:
    """Return the extras all of whose packages are installed, and the others."""
    names = set(distribution(PACKAGE).metadata.get_all("Provides-Extra") or ()) - _NO_FEATURES
    needed: dict[str, list[str]] = {name: [] for name in names}
    for requirement in requires(PACKAGE) or ():
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra and package and extra[1] in needed:
            needed[extra[1]].append(package[0])
    there = sorted(name for name, packages in needed.items() if all(map(_is_installed, packages)))
    return there, sorted(names.difference(there))


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True

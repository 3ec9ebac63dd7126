"""The domain file: where it was found, and whether it can be used."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place
from coagent.errors import CoAgentError
from coagent.private import check_private

_ABOUT = "domain file"
_OTHERS = 0o077


def domain_file(place: Place) -> Iterator[Finding]:
    """Yield whether there is a domain file that can be used, and that only its user can change."""
    if place.file is None:
        text = f"no folder from {place.folder} upwards has a .coagent/config.toml: nothing is governed here"
        yield Finding(_ABOUT, "problem", text, "coagent init")
        return
    read = place.read
    if isinstance(read, CoAgentError):
        yield Finding(_ABOUT, "problem", read.cause, read.cure)
        return
    kinds = ", ".join(target.kind for target in place.domain.targets) if place.domain else ""
    yield Finding(_ABOUT, "ok", f"{place.file}: targets {kinds or 'none'}")
    if place.domain is not None and not place.domain.targets and not place.domain.upstreams:
        text = "it names no target: there is nothing that agents could share"
        yield Finding(_ABOUT, "warning", text, "Add [[targets]]: see docs/serve.md.")
    yield from _modules(place)
    yield from _rights(place)


def _modules(place: Place) -> Iterator[Finding]:
    """Yield the modules of tools that are not there, or are no Python; their code is not run."""
    if place.domain is None or place.file is None:
        return
    for name in place.domain.tools.modules:
        path = place.file.parent / Path(name).expanduser()
        try:
            ast.parse(path.read_bytes(), str(path))
        except OSError as error:
            text = f"the tools in {path} cannot be read: {error.strerror}"
            yield Finding(_ABOUT, "problem", text, "Correct `modules` in [tools].")
        except (SyntaxError, ValueError) as error:
            yield Finding(_ABOUT, "problem", f"the tools in {path} are no Python: {error}")


def _rights(place: Place) -> Iterator[Finding]:
    """Yield what others may do in `.coagent`, which holds what agents work on."""
    if place.file is None or not place.is_workspace:
        return
    folder = place.file.parent
    try:
        check_private(folder / "log.db")
        status = folder.stat()
    except CoAgentError as error:
        yield Finding(_ABOUT, "problem", error.cause, error.cure)
        return
    if status.st_uid != os.geteuid():
        text = f"{folder} belongs to user {status.st_uid}, and you are user {os.geteuid()}"
        yield Finding(_ABOUT, "problem", text, "Run CoAgent as its user, or work in a folder of your own.")
    elif status.st_mode & _OTHERS:
        yield Finding(_ABOUT, "warning", f"others may look into {folder}", f"chmod 700 '{folder}'")

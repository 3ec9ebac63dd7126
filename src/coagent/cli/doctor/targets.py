"""The live systems of a domain: whether each answers, and is the one that the log is about."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import anyio

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.limits import Check, carried_out
from coagent.cli.doctor.place import Place
from coagent.errors import CoAgentError, TargetError, TargetUnavailable

_ANSWER_S_MAX = 8.0
_SLOW_S = 2.0
_FILES_LOOKED_AT_MAX = 100_000


def targets(place: Place) -> list[Finding]:
    """Return what each target of the domain file answers, all asked at once."""
    if place.domain is None:
        return []
    checks = []
    for index, table in enumerate(place.domain.targets):
        about = f"target {table.kind}"
        checks.append(Check(about, partial(_target, place, index, table, about), _ANSWER_S_MAX))
    return carried_out(checks)


def _target(place: Place, index: int, table: Any, about: str) -> Iterable[Finding]:
    from coagent.config.explain import at
    from coagent.config.targets import make_target

    assert place.file is not None
    text = place.file.read_text(encoding="utf-8")
    where = at(place.file, text, ("targets", index))
    target = make_target(table, place.file.parent, where)
    try:
        yield from _identity(place, target, about)
        if table.kind in ("files", "documents"):
            yield from _folder(place.file.parent / Path(table.root).expanduser(), about)
        elif table.kind == "memory":
            yield Finding(about, "ok", "it is in the memory of each process")
        else:
            yield from _asked(target, table.kind, about)
    finally:
        anyio.run(target.close)


def _identity(place: Place, target: Any, about: str) -> Iterator[Finding]:
    """Yield that the log is about another live system of this kind."""
    from coagent.log.open import begun_with, same_target

    try:
        ours = target.identity
    except CoAgentError:
        return  # it is asked below, and says then what is wrong
    begun = begun_with(place.log)
    kind = ours.partition(":")[0]
    others = [identity for identity in (begun.targets if begun else ()) if identity.partition(":")[0] == kind]
    if ours and others and not any(same_target(identity, ours) for identity in others):
        cure = "Name the live system that the log was begun with, or another log."
        yield Finding(about, "problem", f"the log is about {others[0]}, not about {ours}", cure)


def _folder(root: Path, about: str) -> Iterator[Finding]:
    root = root.resolve()
    if not os.access(root, os.R_OK | os.X_OK):
        yield Finding(about, "problem", f"{root} cannot be read by you", f"ls -ld '{root}'")
    elif not os.access(root, os.W_OK):
        yield Finding(about, "problem", f"{root} cannot be written by you", f"ls -ld '{root}'")
    else:
        yield Finding(about, "ok", f"{root} can be read and written")
        yield from _left(root, about)


def _left(root: Path, about: str) -> Iterator[Finding]:
    """Yield what killed processes, and saves that met a write, have left in a folder, as far as is looked."""
    from coagent.systems.files.target import EXCLUDED
    from coagent.systems.files.temporaries import is_saved
    from coagent.systems.files.workspace import Workspace

    workspace = Workspace(root, EXCLUDED)
    saved = [path for path in islice(workspace.walk(""), _FILES_LOOKED_AT_MAX) if is_saved(path)]
    if saved:
        cure = "Compare each with the file beside it, keep what is right, and delete it."
        more = f" and {len(saved) - 1} more" if len(saved) > 1 else ""
        yield Finding(
            about, "warning", f"somebody saved while a file was written: {saved[0]!r}{more} is theirs", cure
        )
    for folder in sorted(workspace.leftovers.met)[:1]:
        cure = "It goes, or comes back, when a domain next lists that folder or writes there."
        yield Finding(about, "note", f"a killed process has left something half written in {folder!r}", cure)


def _asked(target: Any, kind: str, about: str) -> Iterator[Finding]:
    """Ask for one object that is hardly there: any answer to that will do."""
    key = (
        "k8s:default/configmaps/coagent-doctor" if kind == "kubernetes" else f"{target.schemes[0]}:_coagent/1"
    )
    began_s = time.monotonic()
    try:
        anyio.run(target.get, key)
    except TargetUnavailable as error:
        yield Finding(about, "problem", error.cause, error.cure)
        return
    except TargetError as error:
        refused = f"it answers, and says to a small question: {error.cause}"
        known = kind == "sql" and "_coagent" in error.cause
        if not known:
            yield Finding(about, "warning", refused, error.cure)
            return
    took_s = time.monotonic() - began_s
    text = f"{target.identity or kind} answers in {took_s * 1000:.0f} ms"
    yield Finding(about, "note" if took_s > _SLOW_S else "ok", text)

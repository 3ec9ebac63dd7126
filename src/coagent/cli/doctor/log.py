"""The log: whether it opens, what it was begun with, who is at work, and what is stuck."""

from __future__ import annotations

from collections.abc import Iterator

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place
from coagent.errors import ConfigurationError, LogError

_NAMED_MAX = 3
_ABOUT = "log"


def log(place: Place) -> Iterator[Finding]:
    """Yield what the log of the domain says, read from its last checkpoint on; nothing is written."""
    from coagent.log.open import path_of
    from coagent.runtime.watch import NothingYet, Watch

    if not place.log:
        return
    if place.log.partition(":")[0] == "memory":
        yield Finding(_ABOUT, "note", "it is in the memory of each process, and ends with that")
        return
    try:
        watch = Watch(place.log)
    except NothingYet:
        yield Finding(_ABOUT, "ok", "there is none yet: nobody has joined")
        return
    except ConfigurationError as error:
        kind = place.log.partition(":")[0]
        text = error.cause if kind == "sqlite" else f"this version has no log engine for {kind!r}"
        yield Finding(_ABOUT, "problem", text, 'Use "memory:" or "sqlite:PATH".')
        return
    try:
        yield from _begun(place)
        for _ in watch.events():
            pass
        at_work = [one for one in watch.agents() if one.state in ("active", "finished")]
        size_mib = path_of(place.log).stat().st_size / 1024**2
        named = ", ".join(one.name for one in at_work[:_NAMED_MAX])
        more = len(at_work) - _NAMED_MAX
        who = f": {named}{f' and {more} more' if more > 0 else ''}" if at_work else ""
        agents = f"{len(at_work)} {'agent' if len(at_work) == 1 else 'agents'} at work{who}"
        yield Finding(_ABOUT, "ok", f"{watch.number} records, {size_mib:.1f} MiB; {agents}")
        for one in watch.stuck():
            cure = f"coagent resolve {one.key}"
            yield Finding("stuck", "problem", f"{one.key}: {one.error}", cure)
    except LogError as error:
        yield Finding(_ABOUT, "problem", error.cause, error.cure)
    finally:
        watch.close()


def _begun(place: Place) -> Iterator[Finding]:
    """Yield what the log was begun with, and where the domain file says something else."""
    from coagent.log.codec import FORMAT
    from coagent.log.open import path_of
    from coagent.log.reader import LogReader

    path = path_of(place.log)
    reader = LogReader(path)
    begun, is_old, was_old = reader.settings, reader.by_itself, reader.last_old > 0
    reader.close()
    written = "format 1" if is_old else f"format {FORMAT}{', begun in format 1' if was_old else ''}"
    state = f"{path}: protocol {begun.protocol}, order {begun.order}, {written}"
    if is_old:
        yield Finding(_ABOUT, "note", f"{state}, of an older version: it is renewed when it is next opened")
    else:
        yield Finding(_ABOUT, "ok", state)
    domain = place.domain
    if domain is None:
        return
    for name, says, was in (
        ("protocol", domain.protocol, begun.protocol),
        ("order", domain.order, begun.order),
    ):
        if says is not None and says != was:
            text = f"the domain file says {name} {says!r}, and the log was begun with {was!r}"
            cure = f'Set {name} = "{was}" in {place.file}, or name another log there.'
            yield Finding(_ABOUT, "problem", text, cure)

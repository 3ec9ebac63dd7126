"""The log: whether it opens, what it was begun with, who is at work, and what is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place
from coagent.errors import ConfigurationError, LogError

if TYPE_CHECKING:
    from coagent.runtime.watch import Watch

_NAMED_MAX = 3
_ABOUT = "log"


def log(place: Place) -> Iterator[Finding]:
    """Yield what the log of the domain says, read from its last checkpoint on; nothing is written."""
    from coagent.log.base import NothingYet
    from coagent.log.open import ENGINES
    from coagent.log.urls import has_password, is_postgres
    from coagent.runtime.watch import Watch

    if not place.log:
        return
    if place.log.partition(":")[0] == "memory":
        yield Finding(_ABOUT, "note", "it is in the memory of each process, and ends with that")
        return
    if has_password(place.log):
        text = f"a password stands in {place.file}, for everybody who may read it"
        yield Finding(_ABOUT, "warning", text, "Leave it out there, and put it into ~/.pgpass or PGPASSWORD.")
    try:
        if is_postgres(place.log):
            yield from _server(place.log)
        watch = Watch(place.log)
    except NothingYet:
        yield Finding(_ABOUT, "ok", "there is none yet: nobody has joined")
        return
    except ConfigurationError as error:
        cure = error.cure if is_postgres(place.log) else f"Use {ENGINES}."
        yield Finding(_ABOUT, "problem", error.cause, cure)
        return
    except LogError as error:
        yield Finding(_ABOUT, "problem", error.cause, error.cure)
        return
    try:
        yield from _begun(place)
        for _ in watch.events():
            pass
        at_work = [agent for agent in watch.agents() if agent.state in ("active", "finished")]
        named = ", ".join(agent.name for agent in at_work[:_NAMED_MAX])
        more = len(at_work) - _NAMED_MAX
        who = f": {named}{f' and {more} more' if more > 0 else ''}" if at_work else ""
        agents = f"{len(at_work)} {'agent' if len(at_work) == 1 else 'agents'} at work{who}"
        yield Finding(_ABOUT, "ok", f"{watch.number} records, {watch.size / 1024**2:.1f} MiB; {agents}")
        for stuck in watch.stuck():
            cure = f"coagent resolve {stuck.key}"
            yield Finding("stuck", "problem", f"{stuck.key}: {stuck.error}", cure)
        yield from _left(watch)
    except LogError as error:
        yield Finding(_ABOUT, "problem", error.cause, error.cure)
    finally:
        watch.close()


def _left(watch: Watch) -> Iterator[Finding]:
    """Yield what processes that have died have left, and whether a person has to decide about it."""
    for lost in watch.unknown():
        text = f"{lost.call} {lost.tool} may have run or not: its process has died"
        yield Finding("unknown", "problem" if lost.noted else "warning", text, f"coagent resolve {lost.call}")
    dead = [agent.name for agent in watch.agents() if agent.served == "dead"]
    if dead:
        more = f" and {len(dead) - _NAMED_MAX} more" if len(dead) > _NAMED_MAX else ""
        text = f"the process of {', '.join(dead[:_NAMED_MAX])}{more} has died"
        yield Finding(_ABOUT, "note", text, "Whoever opens the domain next sees to what it has left.")


def _server(url: str) -> Iterator[Finding]:
    """Yield how the server of a log is reached, and whether word of appends arrives from it."""
    from coagent.log.postgres_schema import connected, hindrance_to_writing
    from coagent.log.postgres_wakes import word_arrives
    from coagent.log.urls import place_of

    place = place_of(url)
    with connected(place) as connection:
        version = connection.info.server_version
        hindrance = hindrance_to_writing(connection, place)
    yield Finding(_ABOUT, "ok", f"PostgreSQL {version // 10000}.{version % 10000} answers")
    if hindrance:
        yield Finding(_ABOUT, "problem", *hindrance)
    if not word_arrives(place):
        text = "no word of what others append arrives from the server; it is looked at every 50 ms"
        cure = "Name the server itself beside the pooler: &listen=postgresql%3A%2F%2FUSER%40HOST%2FDATABASE"
        yield Finding(_ABOUT, "note", text, cure)


def _begun(place: Place) -> Iterator[Finding]:
    """Yield what the log was begun with, and where the domain file says something else."""
    from coagent.log.codec import FORMAT
    from coagent.log.open import open_reader
    from coagent.log.urls import is_postgres, path_of, shown_url

    reader = open_reader(place.log)
    begun, is_old, was_old = reader.settings, reader.by_itself, reader.last_old > 0
    reader.close()
    written = "format 1" if is_old else f"format {FORMAT}{', begun in format 1' if was_old else ''}"
    where = shown_url(place.log) if is_postgres(place.log) else path_of(place.log)
    state = f"{where}: protocol {begun.protocol}, order {begun.order}, {written}"
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

"""Objects that are otherwise than the log says, by nobody's record; and taking what is there for right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coagent.audit.picture import Show
from coagent.errors import LogError, TargetError
from coagent.log.open import open_reader
from coagent.log.urls import shown_url
from coagent.oversight.auditing import Say, audit
from coagent.oversight.people import person
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runtime.domain import Domain


class Unexplained(NamedTuple):
    """An object of which no record says who left it as it is.

    Args:
        key: The object.
        due: What it is by the log.
        there: What it is.
    """

    key: Key
    due: Value
    there: Value


def unexplained(domain: Domain, show: Show, say: Say = lambda text: None) -> list[Unexplained]:
    """Return the objects that are otherwise than the log says, in order of their keys.

    Args:
        domain: Not open; its targets are closed after that.
        show: How values are shown.
        say: Is told how far it has come.

    Raises:
        LogError: The log is damaged, or of a kind that cannot be audited.
        NothingYet: Nobody has joined the domain yet.
        TargetError: Something could not be looked at.
    """
    reader = open_reader(domain.url)
    try:
        checked = audit(reader, shown_url(domain.url), domain.targets, show, say)
    finally:
        reader.close()
    for finding in checked.report.of(["damaged log"]):
        raise LogError(finding.text, "See coagent check.")
    for unseen in checked.unseen:
        if unseen.wanted:
            raise TargetError(unseen.why)
    found = (
        Unexplained(Key(difference.key), difference.values[-1], there) for difference, there in checked.wrong
    )
    return sorted(found, key=lambda change: change.key)


async def accept(domain: Domain, chosen: Iterable[Unexplained]) -> None:
    """Take what is there for right, and have it on record who said so.

    Args:
        domain: Not open yet; it is opened for that.
        chosen: The objects, as they were looked at.

    Raises:
        TargetError: One is otherwise by now, or cannot be looked at; those before it are done.
    """
    async with domain:
        for change in chosen:
            target = domain.targets.of(change.key)
            if not same(await target.get(target.canonical(change.key)), change.there):
                raise TargetError(f"{change.key!r} has changed since it was looked at", "Look at it again.")
            await domain.claim(change.key, person())
        await domain.settle()

"""The audit of a domain: its log, and whether what is there is what the log says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from coagent.audit.audit import Audit, Expected, Report
from coagent.audit.picture import Show
from coagent.errors import CoAgentError, FootprintViolation, LogError
from coagent.log.base import Reader
from coagent.runtime.reader import Targets

Say: TypeAlias = Callable[[str], None]
"""Is told how far it has come."""
_LOOKED_AGAIN_MAX = 5


class Unseen(NamedTuple):
    """Live objects that were not looked at.

    Args:
        objects: How many; None: all that there are.
        why: Why not.
        wanted: Whether they should have been: else nobody can, or it was not asked for.
    """

    objects: int | None
    why: str
    wanted: bool


class Checked(NamedTuple):
    """What an audit has looked at, and what it found.

    Args:
        report: What it found.
        read: The number of the last record that was read.
        last: The number of the last record that there is.
        unseen: What there is that was not looked at.
        wrong: Objects that are otherwise than by the log: what they should be, and what they are.
    """

    report: Report
    read: int
    last: int
    unseen: tuple[Unseen, ...]
    wrong: tuple[tuple[Expected, Any], ...]

    @property
    def failed(self) -> bool:
        """Whether something is wrong, or could not be looked at that should have been."""
        return not self.report.serial or any(unseen.wanted for unseen in self.unseen)


def audit(
    reader: Reader, log: str, targets: Targets | None, show: Show, say: Say = lambda text: None
) -> Checked:
    """Audit a log, and the live state.

    Args:
        reader: The log, of which nothing has been read.
        log: Its name, for messages.
        targets: The live systems, which are closed then; None: the log alone is looked at.
        show: How values are shown.
        say: Is told how far it has come.

    Raises:
        LogError: The log is of a kind that cannot be audited.
    """
    import anyio

    auditor = _begun(reader, log, show)
    whole = _read(reader, auditor, say)
    unseen: list[Unseen] = []
    wrong: tuple[tuple[Expected, Any], ...] = ()
    if targets is not None:
        if whole:
            looked = anyio.run(_compared, targets, reader, auditor, say)
            unseen, wrong = looked
        else:
            unseen = [Unseen(None, "the log does not say any more what should be there", wanted=False)]
            anyio.run(_closed, targets)
    return Checked(auditor.report(), reader.head, max(reader.last, reader.head), tuple(unseen), wrong)


# ---- the log -----------------------------------------------------------------------------------------------


def _begun(reader: Reader, log: str, show: Show) -> Audit:
    """Begin at the first record, or where the records before are gone, or of format 1."""
    try:
        auditor = Audit(reader.settings.protocol, reader.settings.order, show)
    except ValueError as error:
        raise LogError(
            f"log {log!r} cannot be checked: {error}",
            "Look whether it was damaged, or is of a newer version.",
        ) from None
    if reader.by_itself:
        raise LogError(
            f"log {log!r} is of format 1, in which agents commit without a record: it cannot be checked",
            "Open its domain once with this version; what happens from then on can be.",
        )
    old = reader.last_old
    begun = reader.checkpoint_text(None, old + 1 if old else None)
    if begun is not None:
        try:
            auditor.begin_at(*begun)
        except ValueError as error:
            raise LogError(
                f"the checkpoint at record {begun[0]} of log {log!r} cannot be understood: {error}",
                "Restore a copy of it, or of its archive.",
            ) from None
    return auditor


def _read(reader: Reader, auditor: Audit, say: Say) -> bool:
    """Take the records that there are by now; tells whether they could all be read."""
    last = reader.last
    try:
        while texts := reader.texts():  # at the end, too: it says so where records are missing there
            for number, text in texts:
                auditor.feed(number, text)
            say(f"record {reader.head:,} of {last:,}")
            if reader.head > last:
                break  # others write it meanwhile
    except LogError as error:
        auditor.damaged(error.cause, reader.head + 1)
        return False
    return True


# ---- the live state ----------------------------------------------------------------------------------------

_Missed: TypeAlias = Counter[tuple[str, bool]]
"""Why objects were not looked at, and whether they should have been, to how many they are."""


async def _closed(targets: Targets) -> None:
    for target in targets.all:
        await target.close()


async def _compared(
    targets: Targets, reader: Reader, auditor: Audit, say: Say
) -> tuple[list[Unseen], tuple[tuple[Expected, Any], ...]]:
    """Compare what there is with what the log says."""
    try:
        compared = 0
        missed: _Missed = Counter()
        wrong: dict[str, tuple[Expected, Any]] = {}
        for expected in auditor.expected():
            found = await _found(targets, expected.key, missed)
            if found is None:
                continue
            compared += 1
            if not auditor.holds(expected, found[0]):
                wrong[expected.key] = (expected, found[0])
            say(f"{compared:,} live objects looked at")
        for _ in range(_LOOKED_AGAIN_MAX):
            before = reader.head
            _read(reader, auditor, say)  # agents may be at work: what there is may be news of theirs
            if not wrong or reader.head == before:
                break
            now = {expected.key: expected for expected in auditor.expected() if expected.key in wrong}
            wrong = {
                key: (expected, found[0])
                for key, expected in now.items()
                if (found := await _found(targets, key, missed)) and not auditor.holds(expected, found[0])
            }
        auditor.looked_at(compared, wrong.values())
    finally:
        await _closed(targets)
    unseen = [Unseen(count, why, wanted) for (why, wanted), count in missed.items()]
    unseen += [Unseen(count, why, wanted=False) for why, count in auditor.hidden().items() if count]
    return unseen, tuple(wrong.values())


async def _found(targets: Targets, key: str, missed: _Missed) -> tuple[Any] | None:
    """Return what there is of an object; None where nobody can tell."""
    try:
        target = targets.of(key)
        return (await target.get(target.canonical(key)),)
    except FootprintViolation:
        missed[f"no target of the domain owns {key.partition(':')[0]}: any more", False] += 1
    except CoAgentError as error:
        missed[error.cause, True] += 1
    return None

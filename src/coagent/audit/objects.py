"""Objects as an auditor keeps them: the base, the writes above it by position, what a target may hold."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from coagent.audit.actors import Agent, Call
from coagent.audit.parts import UNKNOWN, same

Place: TypeAlias = tuple[int, int, int]
"""(order, place in it, 0 or the number of an outsider's edit right above)."""

_BEFORE_ALL: Place = (-(2**62), 0, 0)
_RECENT_KEPT = 16
_BASES_KEPT = 8


class Write:
    """A write in a trajectory: a call's, or what an outsider changed right above it.

    Args:
        call: Whose, or above whose.
        value: What it leaves.
        edit: 0 for the call's own write; else the number of the outsider's edit above it.
        saw: What the outsider saw.
        found: What they left.
    """

    __slots__ = ("call", "edit", "found", "saw", "state", "value")

    def __init__(self, call: Call, value: Any, edit: int = 0, saw: Any = None, found: Any = None) -> None:
        self.call = call
        self.value = value
        self.edit = edit
        self.saw = saw
        self.found = found
        self.state = "standing"
        """"standing", "replaced" by another value of its call, or "withdrawn"."""

    @property
    def position(self) -> Place:
        """Where it stands."""
        return (self.call.agent.order, self.call.place, self.edit)


def _position(write: Write) -> Place:
    return write.position


class Thing:
    """One object.

    Args:
        key: Its name.
    """

    __slots__ = (
        "accepted", "accepted_by", "base", "base_by", "base_number", "bases", "blurred", "key", "lagging",
        "person", "readers", "recent", "sure", "touched", "version", "writes", "written",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key = key
        self.base: Any = UNKNOWN
        self.base_by = ""
        """Who left the base, as a call or "outside"; empty where nobody in the log has."""
        self.base_number = 0
        """The record by which it last changed."""
        self.bases: list[tuple[int, Any]] = []
        """Of its last changes, the record and the value before."""
        self.sure = False
        """Whether the base is what it is: else somebody may have changed it of whom no record speaks."""
        self.writes: list[Write] = []
        self.touched = 0
        """How many reads and writes of calls of agents at work there are."""
        self.readers: dict[int, int] = {}
        """Ranks of agents at work to how many of their calls have read it."""
        self.accepted: list[Any] = []
        """Every value that its target may hold, the live one last."""
        self.accepted_by: list[Write | None] = []
        """What wrote each of them; None: it was the base."""
        self.version = 0
        self.lagging = False
        """Whether its target has yet to be seen to take the live value."""
        self.blurred = False
        """Whether an outsider's change went where the log does not say, so that no value is known."""
        self.recent: deque[Write] = deque(maxlen=_RECENT_KEPT)
        """The last writes, also those that stand no more, to say whose a value was."""
        self.written = ""
        """Who wrote it last, of those in the log; empty: nobody."""
        self.person = ""
        """Who that was, where it came from outside and a person has said that it is theirs."""

    # ---- values --------------------------------------------------------------------------------------------

    def below(self, place: Place) -> Write | None:
        """Return the last write below a place; None where only the base is."""
        index = bisect_left(self.writes, place, key=_position)
        return self.writes[index - 1] if index else None

    def at(self, place: Place) -> Any:
        """Return the filtered value at a place; `UNKNOWN` where it does not follow from the log."""
        if self.blurred:
            return UNKNOWN
        write = self.below(place)
        return self.base if write is None else write.value

    @property
    def live(self) -> Any:
        """The value that all writes leave."""
        if self.blurred:
            return UNKNOWN
        return self.writes[-1].value if self.writes else self.base

    def base_at(self, number: int) -> Any:
        """Return what the base was after a record; `UNKNOWN` where that is forgotten."""
        if len(self.bases) == _BASES_KEPT and number < self.bases[0][0]:
            return UNKNOWN
        return next((before for at, before in self.bases if at > number), self.base)

    # ---- changes -------------------------------------------------------------------------------------------

    def learn(self, value: Any) -> None:
        """Take a value for the base that somebody has found there."""
        self.base, self.sure = value, True
        if not self.writes:
            self.accepted, self.accepted_by, self.lagging = [value], [None], False

    def set_base(self, value: Any, number: int, by: str) -> None:
        """Let the base be another one."""
        if value is UNKNOWN or self.base is UNKNOWN or not same(value, self.base):
            self.bases.append((number, self.base))
            del self.bases[:-_BASES_KEPT]
            self.base, self.base_number = value, number
        self.base_by = by

    def enter(self, write: Write) -> None:
        """Put a write where it stands."""
        if not self.writes or self.writes[-1].position < write.position:
            self.writes.append(write)
        else:
            insort(self.writes, write, key=_position)
        self.recent.append(write)

    def own(self, call: Call) -> Write | None:
        """Return a call's own write."""
        place = (call.agent.order, call.place, 0)
        index = bisect_left(self.writes, place, key=_position)
        found = self.writes[index] if index < len(self.writes) else None
        return found if found is not None and found.call is call and not found.edit else None

    def take_out(self, call: Call) -> None:
        """Take a call's write out."""
        write = self.own(call)
        if write is not None:
            write.state = "withdrawn"
            self.writes.remove(write)

    def fold(self, order: int, number: int) -> None:
        """Make what stands at or below an order the base."""
        index = bisect_right(self.writes, (order, 2**62, 0), key=_position)
        if not index:
            return
        top = self.writes[index - 1]
        self.set_base(top.value, number, "outside" if top.edit else top.call.id)
        del self.writes[:index]
        self.settle(number)

    def settle(self, number: int) -> None:
        """Make outsiders' edits part of the base below which nothing is left."""
        while self.writes and self.writes[0].edit:
            edit = self.writes.pop(0)
            self.set_base(merged(edit.saw, edit.found, self.base), number, "outside")
            self.accepted_by = [None if acceptor is edit else acceptor for acceptor in self.accepted_by]
        if self.blurred and not self.writes:
            self.blurred, self.sure, self.base = False, False, UNKNOWN

    def redo_edits(self) -> None:
        """Make what outsiders have changed again on what is below it now."""
        below = self.base
        for write in self.writes:
            if write.edit:
                write.value = merged(write.saw, write.found, below)
            below = write.value

    def place_of(self, index: int) -> Place:
        """Return where one of the accepted values was written."""
        write = self.accepted_by[index]
        return _BEFORE_ALL if write is None or write.call.agent.phase == "committed" else write.position


def merged(saw: Any, found: Any, now: Any) -> Any:
    """Make the change from `saw` to `found` to `now`, as far as that needs no merge; else `UNKNOWN`."""
    if saw is UNKNOWN or found is UNKNOWN or now is UNKNOWN:
        return UNKNOWN
    if same(saw, now) or same(found, now):
        return found
    return now if same(saw, found) else UNKNOWN


class Stuck(NamedTuple):
    """An object that its target will not hold as it should.

    Args:
        number: The record that says so.
        error: What was said.
        half_reversed: Whether nobody knows if a call was taken back, so that another value says nothing.
    """

    number: int
    error: str
    half_reversed: bool


class Things:
    """All objects of which the log speaks."""

    def __init__(self) -> None:
        self.all: dict[str, Thing] = {}
        self._written: list[str] = []
        """Keys with writes above their base, in order."""
        self._changed: dict[str, int] = {}
        """Key to the record by which its base last changed, in order of that."""
        self.versions = 0
        self.exact = True
        """Whether the counter of versions follows from the log: else what targets may hold is not known."""
        self.settled = True
        """Whether nobody has been at work since it last did not."""
        self.last_lagging: Thing | None = None
        self.lagging: dict[str, Thing] = {}
        """Objects of which the target has yet to take the live value."""
        self.stuck: dict[str, Stuck] = {}

    def track(self, key: str) -> Thing:
        """Return an object."""
        thing = self.all.get(key)
        if thing is None:
            thing = self.all[key] = Thing(key)
        return thing

    def changed(self, thing: Thing, number: int) -> None:
        """Note that the base of an object has changed."""
        self._changed.pop(thing.key, None)
        self._changed[thing.key] = number

    def forget_changes(self, before: int) -> None:
        """Forget which bases have changed before a record."""
        while self._changed:
            key = next(iter(self._changed))
            if self._changed[key] >= before:
                break
            del self._changed[key]

    def note_writes(self, thing: Thing) -> None:
        """Note whether an object has writes."""
        index = bisect_left(self._written, thing.key)
        there = index < len(self._written) and self._written[index] == thing.key
        if thing.writes and not there:
            self._written.insert(index, thing.key)
        elif there and not thing.writes:
            del self._written[index]

    def in_range(self, prefix: str, since: int) -> Iterator[Thing]:
        """Yield the objects under a prefix that have writes, or of which the base changed after a record."""
        found = set()
        for index in range(bisect_left(self._written, prefix), len(self._written)):
            key = self._written[index]
            if not key.startswith(prefix):
                break
            found.add(key)
            yield self.all[key]
        for key in reversed(self._changed):
            if self._changed[key] <= since:
                break
            if key not in found and key.startswith(prefix) and key in self.all:
                yield self.all[key]

    def written_in(self, prefix: str) -> Iterator[Thing]:
        """Yield the objects under a prefix that have writes."""
        for index in range(bisect_left(self._written, prefix), len(self._written)):
            if not self._written[index].startswith(prefix):
                break
            yield self.all[self._written[index]]

    # ---- readers -------------------------------------------------------------------------------------------

    def touch(self, thing: Thing, agent: Agent, *, reads: bool) -> None:
        """Note that a call of an agent has read or written an object."""
        thing.touched += 1
        if reads:
            thing.readers[agent.rank] = thing.readers.get(agent.rank, 0) + 1

    def leave(self, thing: Thing, agent: Agent, *, reads: bool) -> None:
        """Note that a call that had does not stand any more."""
        thing.touched -= 1
        if reads:
            left = thing.readers.get(agent.rank, 1) - 1
            if left:
                thing.readers[agent.rank] = left
            else:
                thing.readers.pop(agent.rank, None)
        self.maybe_forget(thing)

    def maybe_forget(self, thing: Thing) -> None:
        """Know nothing for sure of an object any more that nobody at work has touched."""
        if thing.touched <= 0 and not (thing.lagging and self.exact):
            thing.sure = False
            thing.recent.clear()
            if not (thing.written or thing.lagging or thing.writes):
                self.all.pop(thing.key, None)

    # ---- what targets hold ---------------------------------------------------------------------------------

    def refresh(self, thing: Thing) -> None:
        """Note the live value, if it is another one, as something for the target."""
        top = thing.writes[-1] if thing.writes else None
        live = thing.live
        if not thing.accepted:
            thing.accepted, thing.accepted_by = [live], [top]
            return
        if live is UNKNOWN or thing.accepted[-1] is UNKNOWN:
            self.lose_count()
        elif same(live, thing.accepted[-1]):
            thing.accepted_by[-1] = top
            return
        self._lags(thing, live, top)

    def _lags(self, thing: Thing, live: Any, top: Write | None) -> None:
        self.versions += 1
        thing.version = self.versions
        thing.accepted.append(live)
        thing.accepted_by.append(top)
        thing.lagging = True
        self.lagging[thing.key] = thing
        self.last_lagging = thing
        stuck = self.stuck.get(thing.key)
        if stuck is not None and not stuck.half_reversed:
            del self.stuck[thing.key]  # another value may do

    def take_found(self, thing: Thing, found: Any, edit: Write | None) -> None:
        """Note that the target holds what an outsider left, and gets the live value."""
        live = thing.live
        top = thing.writes[-1] if thing.writes else None
        self.stuck.pop(thing.key, None)
        if live is UNKNOWN:
            self.lose_count()
        if live is not UNKNOWN and same(live, found):
            self.versions += 1
            thing.version = self.versions
            self.taken(thing)
            thing.accepted, thing.accepted_by = [live], [top]
        else:
            thing.accepted.append(found)
            thing.accepted_by.append(edit)
            self._lags(thing, live, top)

    def taken(self, thing: Thing) -> None:
        """Note that the target holds the live value."""
        thing.lagging = False
        self.lagging.pop(thing.key, None)
        del thing.accepted[:-1], thing.accepted_by[:-1]
        self.maybe_forget(thing)

    def outstanding(self, key: str, version: int) -> Thing | None:
        """Return the object whose latest version that is, if its target has yet to take it."""
        thing = self.all.get(key)
        if thing is None or not thing.lagging:
            return None
        if self.exact:
            return thing if thing.version == version else None
        alone = self.last_lagging is thing and len(self.lagging) == 1 and len(thing.accepted) == 2
        if self.settled and alone and not any(written.live is UNKNOWN for written in self.written_in("")):
            self.versions = thing.version = version  # it can only be the latest of all
            self.exact = True
        return thing

    def lose_count(self) -> None:
        """Note that the log does not say any more how often live values have changed."""
        self.exact = self.settled = False

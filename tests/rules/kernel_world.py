"""A small world for the rules: the pure kernel, a dict in the place of the live systems, and agents.

    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert b.told() == [("kv:x", 1, 2)]

It is the runtime in miniature, one event at a time and without I/O: a tool runs over the state at its call's
position, and what it saw and wrote becomes the event. Nothing follows from an event by itself: `settle` runs
again what has to and puts what the targets need, `advance` also promotes, runs staged calls and commits. The
kernel's numbered invariants are checked after every event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from small_tools import MERGES, TOOLS, Failed, View

from coagent.log.codec import encode_state
from coagent.protocol import events
from coagent.protocol.calls import Call, CallId, Footprint, Observation, Position
from coagent.protocol.checkpoint import KernelState, state_of
from coagent.protocol.decisions import Gate
from coagent.protocol.edit_merging import merged_run
from coagent.protocol.events import Event
from coagent.protocol.inbox import Inbox
from coagent.protocol.keys import Key, Scan
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.values import UNLOADED, Value, same

NOTHING_TOUCHED = Footprint(frozenset(), frozenset(), frozenset())


class World:
    """A kernel and the live state that it governs.

    Args:
        live: The state before anybody has joined.
        early: Whether finished agents may pass those that they have nothing to do with (rule 10).
        kernel: Another kernel than MTPO's.
    """

    def __init__(
        self, live: Mapping[Key, Value] | None = None, *, early: bool = False, kernel: Mtpo | None = None
    ) -> None:
        self.kernel = Mtpo(early=early) if kernel is None else kernel
        self.live: dict[Key, Value] = dict(live or {})
        self.events: list[Event] = []
        self.reruns: list[CallId] = []
        """The calls that have run again, in that order."""
        self.sent: list[str] = []
        """What has left the building."""

    # ---- events --------------------------------------------------------------------------------------------

    def take(self, event: Event) -> Any:
        """Let the kernel take an event that may happen; returns the call or agent that it is about."""
        objection = self.kernel.objection(event)
        assert objection is None, f"{type(event).__name__} may not happen: {objection}"
        made = self.kernel.take(event)
        self.events.append(event)
        self.kernel.check_invariants()
        return made

    def refuses(self, event: Event) -> str:
        """Return why an event may not happen, and see that it changes nothing where a log holds it."""
        objection = self.kernel.objection(event)
        assert objection is not None, f"{event} may happen"
        before, passed_over = self.state, self.kernel.passed_over
        assert self.kernel.step(event) is None
        assert self.state == before, f"{event} may not happen, and has changed something"
        assert self.kernel.passed_over == passed_over + 1
        return objection

    def join(self, *names: str, rank: int | None = None, after: Agent | None = None) -> list[Agent]:
        """Let agents join one after another, or one with a pinned rank, or one right after another agent."""
        joined = []
        for name in names:
            place = self.kernel.next_rank() if rank is None else rank
            inside = None if after is None else after.rank
            joined.append(Agent(self, self.take(events.Joined(name, place, rank is not None, inside))))
        return joined

    def outside(self, key: Key, value: Value) -> None:
        """Somebody who knows nothing of the domain writes an object, and that is seen."""
        self.set_outside(key, value)
        self.take(events.OutsideWrite(key, value))

    def set_outside(self, key: Key, value: Value) -> None:
        """Somebody who knows nothing of the domain writes an object, and nobody looks."""
        if value is None:
            self.live.pop(key, None)
        else:
            self.live[key] = value

    # ---- outstanding work ----------------------------------------------------------------------------------

    def rerun(self) -> None:
        """Run again, lowest position first, whatever has to run again."""
        while waiting := self.kernel.ready().reexecute:
            self.run_again(waiting[0])

    def run_again(self, call: Call) -> None:
        """Run one call again at its position."""
        if call.declared:
            seen = self.declared_run(call, reads=call.footprint.reads, writes=call.writes)
        else:
            seen = self.observe(call.position, call.tool, call.arguments)
            if seen.error is not None and (merge := MERGES.get(call.tool)) is not None:
                seen = merged_run(call, seen, merge) or seen
        self.take(events.CallReexecuted(call.id, seen))
        self.reruns.append(call.id)

    def apply(self) -> None:
        """Put what the targets need, each put guarded by what may be there."""
        for effect in self.kernel.ready().apply:
            there = self.live.get(effect.key)
            assert any(same(there, value) for value in effect.expected), f"{effect} would overwrite {there!r}"
            self.set_outside(effect.key, effect.value)
            self.take(events.EffectApplied(effect.key, effect.version))

    def settle(self) -> None:
        """Run again what has to, and bring the live state up to date."""
        self.rerun()
        self.apply()

    def advance(self) -> None:
        """Do all that the kernel wants done: also promotions, staged calls, commits."""
        begun = len(self.events)
        while self.kernel.has_work or self.kernel.has_effects:
            before = len(self.events)
            assert before - begun < 1_000, f"it goes on for ever: {self.events[-4:]}"
            self.settle()
            ready = self.kernel.ready()
            if ready.promote is not None:
                self.take(events.Promoted(*ready.promote))
            elif ready.run is not None:
                self.run_staged(ready.run)
            elif ready.commit is not None:
                self.take(events.Committed(ready.commit))
            if len(self.events) == before:
                return  # somebody else's work, such as a call whose run has begun

    def run_staged(self, call: Call) -> None:
        """Run a staged call, recorded before and after."""
        self.take(events.RunBegun(call.id, NOTHING_TOUCHED))
        self.take(events.CallRan(call.id, self.observe(call.position, call.tool, call.arguments)))

    # ---- the state -----------------------------------------------------------------------------------------

    def value_at(self, key: Key, position: Position) -> Value:
        """Return an object as a call at a position sees it."""
        value = self.kernel.lookup(key, position)
        return self.live.get(key) if value is UNLOADED else value

    def range_at(self, prefix: Key, position: Position) -> dict[Key, Value]:
        """Return the objects under a prefix that there are at a position."""
        found = {key: value for key, value in self.live.items() if key.startswith(prefix)}
        found.update(self.kernel.written_under(prefix, position))
        return {key: value for key, value in found.items() if value is not None}

    def observe(self, position: Position, tool: str, arguments: Mapping[str, Value]) -> Observation:
        """Run a tool over the state at a position."""
        view = View(self, position)
        try:
            value = TOOLS[tool](view, **arguments)
        except Failed as failure:
            return Observation.failed(str(failure), view.reads, view.scans)
        bases = {key: self.live.get(key) for key in view.writes if not self.kernel.base_known(key)}
        return Observation(view.reads, view.scans, view.writes, bases, value)

    def declared_run(
        self, call: Call, *, reads: Iterable[Key] = (), writes: Iterable[Key] = ()
    ) -> Observation:
        """Return the run of a declared tool: nobody sees what it did, so it leaves tokens."""
        seen = {(key, None): self.kernel.lookup(key, call.position) for key in {*reads, *writes}}
        tokens = dict.fromkeys(writes, f"{call.id}@{len(self.events)}")
        return Observation(
            {premise: None if token is UNLOADED else token for premise, token in seen.items()},
            {},
            tokens,
            {key: None for key in tokens if not self.kernel.base_known(key)},
            "done",
            declared=True,
        )

    @property
    def state(self) -> str:
        """Everything that the kernel's answers depend on, as text that is equal for equal states."""
        return encode_state(state_of(self.kernel))

    @property
    def held(self) -> KernelState:
        """The same as data."""
        return state_of(self.kernel)


class Agent:
    """One agent of a world. Each method that names a tool calls it, and returns the call."""

    def __init__(self, world: World, participant: Participant) -> None:
        self.world = world
        self.participant = participant
        self.name = participant.name
        self.rank = participant.rank

    # ---- calls ---------------------------------------------------------------------------------------------

    def call(self, tool: str, **arguments: Value) -> Call:
        """Call a tool at the end of the sequence."""
        seen = self.world.observe(self.world.kernel.position(self.participant), tool, arguments)
        return self.record(seen, tool, **arguments)

    def record(self, seen: Observation, tool: str = "read", **arguments: Value) -> Call:
        """Record a run that saw and wrote just that."""
        return self._made(events.CallObserved(self.rank, tool, arguments, seen))

    def read(self, key: Key) -> Call:
        return self.call("read", key=key)

    def read_field(self, key: Key, path: str) -> Call:
        return self.call("read_field", key=key, path=path)

    def read_lines(self, key: Key, first: int, last: int | None = None) -> Call:
        return self.call("read_lines", key=key, first=first, last=last)

    def keys(self, prefix: Key, glob: str | None = None) -> Call:
        return self.call("keys", prefix=prefix, glob=glob)

    def fields(self, prefix: Key, path: str) -> Call:
        return self.call("fields", prefix=prefix, path=path)

    def put(self, key: Key, value: Value) -> Call:
        return self.call("put", key=key, value=value)

    def add(self, key: Key, amount: int) -> Call:
        return self.call("add", key=key, amount=amount)

    def double_quietly(self, key: Key) -> Call:
        return self.call("double_quietly", key=key)

    def append(self, key: Key, line: str) -> Call:
        return self.call("append", key=key, line=line)

    def edit(self, key: Key, old: str, new: str) -> Call:
        return self.call("edit", key=key, old=old, new=new)

    def rewrite(self, key: Key, old: str, new: str) -> Call:
        return self.call("rewrite", key=key, old=old, new=new)

    def copy(self, source: Key, to: Key) -> Call:
        return self.call("copy", source=source, to=to)

    def create(self, key: Key, value: Value) -> Call:
        return self.call("create", key=key, value=value)

    def delete(self, key: Key) -> Call:
        return self.call("delete", key=key)

    def count(self, prefix: Key, to: Key) -> Call:
        return self.call("count", prefix=prefix, to=to)

    def stage(self, text: str, key: Key | None = None, log: Key | None = None) -> Call:
        """Stage a message: it has its position, and is sent when its turn has come."""
        return self._made(events.CallStaged(self.rank, "send", {"text": text, "key": key, "log": log}))

    def send(self, text: str, key: Key | None = None, log: Key | None = None) -> Call:
        """Send a message now, recorded before and after."""
        call = self.begin("send", irreversible=True, text=text, key=key, log=log)
        self.ran(call, self.world.observe(call.position, call.tool, call.arguments))
        return call

    def begin(
        self,
        tool: str,
        *,
        reads: Iterable[Key] = (),
        writes: Iterable[Key] = (),
        scans: Iterable[Key] = (),
        irreversible: bool = False,
        **arguments: Value,
    ) -> Call:
        """Begin a call whose run may have an effect before anybody hears of it."""
        touched = Footprint(frozenset(reads), frozenset(map(Scan, scans)), frozenset(writes))
        return self._made(events.CallBegun(self.rank, tool, arguments, touched, irreversible))

    def act(self, *, reads: Iterable[Key] = (), writes: Iterable[Key] = ()) -> Call:
        """Call a declared tool: it leaves a token of its own on what it writes."""
        call = self.begin("act", reads=reads, writes=writes)
        self.ran(call, self.world.declared_run(call, reads=reads, writes=writes))
        return call

    def ran(self, call: Call, seen: Observation) -> None:
        """Record how a run that had begun has ended."""
        self.world.take(events.CallRan(call.id, seen))

    def _made(self, event: Event) -> Call:
        call = self.world.take(event)
        assert isinstance(call, Call)
        return call

    # ---- repair and end ------------------------------------------------------------------------------------

    def undo(self, call: Call) -> None:
        self.world.take(events.CallUndone(call.id))

    def amend(self, call: Call, **changes: Value) -> None:
        arguments = {**call.arguments, **changes}
        seen = self.world.observe(call.position, call.tool, arguments)
        self.world.take(events.CallAmended(call.id, arguments, seen))

    def amend_staged(self, call: Call, **changes: Value) -> None:
        self.world.take(events.StagedAmended(call.id, {**call.arguments, **changes}))

    def finish(self) -> None:
        self.world.take(events.Finished(self.rank))

    def commit(self) -> None:
        self.world.take(events.Committed(self.rank))

    def abort(self) -> None:
        self.world.take(events.Aborted(self.rank, ""))

    # ---- what it knows -------------------------------------------------------------------------------------

    @property
    def inbox(self) -> Inbox:
        """What it would be told now."""
        return self.world.kernel.inbox(self.participant)

    def told(self) -> list[tuple[Key, Value, Value]]:
        """Tell the agent what there is; returns the premises that others have moved: key, before, after."""
        inbox = self.inbox
        if self.unread:
            self.world.take(events.NoticesDelivered(self.rank, inbox.call_ids, inbox.keys))
        return [(moved.key, moved.before, moved.after) for moved in inbox.moved]

    @property
    def unread(self) -> bool:
        """Whether there is something that it has not been told."""
        return self.participant.unread

    @property
    def phase(self) -> str:
        """How far it has come."""
        return self.participant.phase.value

    def gate(self, gate: str) -> Gate:
        """What would become of an irreversible call that it makes now."""
        return self.world.kernel.gate(self.participant, gate)

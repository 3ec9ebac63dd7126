"""The state that records lead to: what runs saw and wrote, what outsiders changed, what targets hold."""

from __future__ import annotations

from typing import Any

from coagent.audit.actors import NOTHING, Agent, Call
from coagent.audit.findings import UNEXPLAINED_READ, Finding, Findings, Tally
from coagent.audit.objects import Stuck, Thing, Things, Write, merged
from coagent.audit.parts import UNKNOWN, same
from coagent.audit.picture import Show, brief
from coagent.audit.records import Seen


class State:
    """Agents at work, their calls, and the objects.

    Args:
        protocol: The protocol of the log.
        order: "fixed" or "early".
        show: Says how values are shown.
    """

    by_arrival = False
    """Whether calls count in the order in which they arrived, whoever made them."""

    def __init__(self, protocol: str, order: str, show: Show = brief) -> None:
        self.protocol = protocol
        self.show = show
        self.early = order == "early"
        self.agents: dict[int, Agent] = {}
        """Agents at work, by rank."""
        self.names: dict[str, Agent] = {}
        self.calls: dict[str, Call] = {}
        """Their calls."""
        self.left: dict[str, Call] = {}
        """Calls of ended agents that are under way still."""
        self.things = Things()
        self.findings = Findings()
        self.tally = Tally()
        self.declared: set[str] = set()
        """Keys that a declared tool has written: their values are tokens."""
        self.number = 0
        """Of the record that is being looked at."""

    # ---- runs ----------------------------------------------------------------------------------------------

    def observe(self, call: Call, seen: Seen) -> None:
        """Put what a run saw and wrote in the place of what the call saw and wrote before."""
        old, call.seen, call.number = call.seen, seen, self.number
        things, agent = self.things, call.agent
        read = {key for key, _, _ in seen.reads}
        for key in read:
            things.touch(things.track(key), agent, reads=True)
        since = {} if seen.writes else seen.bases
        for key, value in since.items():
            if key in read or seen.scans:
                self._found(things.track(key), value)
        for key, part, value in seen.reads:
            if part is None:
                thing = things.all[key]
                if not thing.sure and not thing.writes:
                    self._found(thing, value)
        if seen.scans:
            agent.scanning[call.id] = call
        else:
            agent.scanning.pop(call.id, None)
        silent = seen.error is not None or call.lapsed
        writes = {} if silent else seen.writes
        if writes or call.writes:
            self.rewrite(call, writes, seen.bases)
        for key in {key for key, _, _ in old.reads}:
            if key in things.all:
                things.leave(things.all[key], agent, reads=True)

    def rewrite(self, call: Call, writes: dict[str, Any], bases: dict[str, Any]) -> None:
        """Let a call have written something else."""
        things, before = self.things, call.writes
        call.writes = writes
        left: list[Thing] = []
        changed: list[Thing] = []
        for key in before:
            if key not in writes and key in things.all:
                thing = things.all[key]
                thing.take_out(call)
                left.append(thing)
                changed.append(thing)
        whole = {key: value for key, part, value in call.seen.reads if part is None}
        for key, value in writes.items():
            thing = things.track(key)
            if key in bases and key in whole and not same(bases[key], whole[key]):
                self.disagree(call, key, whole[key], bases[key])
            if not thing.sure and not thing.writes:
                if key in bases:
                    self._found(thing, bases[key])
                elif thing.base is not UNKNOWN:
                    thing.sure = True
            write = thing.own(call) if key in before else None
            if write is None:
                thing.enter(Write(call, value))
                things.touch(thing, call.agent, reads=False)
            elif not same(write.value, value):
                past = Write(call, write.value)
                past.state = "replaced"
                thing.recent.append(past)
                write.value = value
            thing.written = call.id
            if call.seen.declared:
                self.declared.add(key)
            changed.append(thing)
        if call.accepted:
            call.accepted = {
                key for key in call.accepted if key in writes and same(writes[key], before.get(key))
            }
        for thing in changed:
            self.follow(thing)
        for thing in left:
            things.leave(thing, call.agent, reads=False)

    def disagree(self, call: Call, key: str, seen: Any, before: Any) -> None:
        """Note that a run saw something else of an object than what it says was there before it."""
        self.findings.add(
            Finding(
                "protocol",
                UNEXPLAINED_READ.name,
                f"{call.id} ({call.tool}) saw {key} as {self.show(seen, key, before)}, and says itself that "
                f"it was {self.show(before, key, seen)}",
                self.number,
                UNEXPLAINED_READ.code,
                agents=(call.agent.name,),
                calls=(call.id,),
                key=key,
            )
        )

    def follow(self, thing: Thing) -> None:
        """See to what follows from a change of an object."""
        if any(write.edit for write in thing.writes):
            thing.redo_edits()
            thing.settle(self.number)
        elif thing.blurred:
            thing.settle(self.number)
        if thing.base_number == self.number:
            self.things.changed(thing, self.number)
        self.things.note_writes(thing)
        self.things.refresh(thing)

    def _found(self, thing: Thing, value: Any) -> None:
        """Somebody has found what the base of an object is that was not known, or not for sure."""
        if thing.sure or thing.writes:
            return
        if thing.written and thing.base is not UNKNOWN and not same(thing.base, value):
            if not any(same(value, accepted) for accepted in thing.accepted):
                self.tally.between += 1
            thing.base_by = thing.written = "outside"
            thing.person = ""
        thing.learn(value)

    def remove(self, call: Call) -> None:
        """Take a call out of everything."""
        agent = call.agent
        self.calls.pop(call.id, None)
        agent.calls.pop(call.id, None)
        agent.pending.pop(call.id, None)
        agent.scanning.pop(call.id, None)
        self.observe(call, NOTHING)
        call.phase = "withdrawn"
        for key in [key for key, by in agent.disturbed.items() if by == call.id]:
            del agent.disturbed[key]

    def make_base(self, thing: Thing, value: Any, by: str) -> None:
        """Let a value be the base, from a call that stands though its agent does not."""
        thing.set_base(value, self.number, by)
        thing.written = by
        self.follow(thing)

    # ---- the end of an agent -------------------------------------------------------------------------------

    def withdraw_all(self, agent: Agent) -> None:
        """Take out all that an agent has done, but for what has happened."""
        calls = list(agent.calls.values())
        standing = {call.id: call for call in calls if call.happened or call.applied}
        for call in [*(call for call in reversed(calls) if call.id not in standing), *standing.values()]:
            touching, phase = call.touching, call.phase
            if call.id in standing:
                self._keep(call)
            self.remove(call)
            if touching is not None:
                call.phase, self.left[call.id] = phase, call

    def _keep(self, call: Call) -> None:
        for key, value in call.writes.items():
            thing = self.things.all[key]
            if thing.writes and thing.writes[0].position[0] >= call.agent.order:
                self.make_base(thing, value, call.id)

    def fold(self, agent: Agent) -> None:
        """Make what an agent has written the base, as it commits."""
        things = self.things
        written: dict[str, Thing] = {}
        for call in agent.calls.values():
            for key in call.writes:
                written[key] = things.all[key]
        for thing in written.values():
            thing.fold(agent.order, self.number)
            if thing.base_number == self.number:
                things.changed(thing, self.number)
            things.note_writes(thing)
        self.let_go(agent)

    def let_go(self, agent: Agent) -> None:
        """Forget who has touched what, as an agent ends."""
        things = self.things
        for call in agent.calls.values():
            self.calls.pop(call.id, None)
            for key in {key for key, _, _ in call.seen.reads}:
                if key in things.all:
                    things.leave(things.all[key], agent, reads=True)
            for key in call.writes:
                if key in things.all:
                    things.leave(things.all[key], agent, reads=False)

    def end(self, agent: Agent, phase: str) -> None:
        """Let an agent have ended."""
        agent.phase = phase
        self.agents.pop(agent.rank, None)
        if self.names.get(agent.name) is agent:
            del self.names[agent.name]
        agent.calls, agent.pending, agent.scanning, agent.disturbed = {}, {}, {}, {}
        if not self.agents and not self.things.lagging:
            self.things.settled = True
        oldest = min((other.number for other in self.agents.values()), default=self.number)
        self.things.forget_changes(oldest)

    # ---- targets and outsiders -----------------------------------------------------------------------------

    def outside(self, key: str, found: Any, behind: list[Any], person: str) -> None:
        """Take a value that no call wrote."""
        thing = self.things.track(key)
        if person:
            thing.person = person
        if behind:
            saw, live = behind
            if not thing.sure and not thing.writes:
                thing.learn(live)
            if not any(same(found, value) for value in thing.accepted):
                self.edit(thing, found, saw, len(thing.accepted) - 1)
        elif not thing.sure and not thing.writes:
            thing.set_base(found, self.number, "outside")
            self.things.changed(thing, self.number)
            thing.accepted, thing.accepted_by = [found], [None]
            self.things.taken(thing)
        elif not any(same(found, value) for value in thing.accepted):
            if len(thing.accepted) == 1 and self.things.exact:
                self.edit(thing, found, thing.accepted[0], 0)
            else:
                self._edit_somewhere(thing, found)
        else:
            return
        self.tally.outside += 1
        thing.written, thing.person = "outside", person

    def edit(self, thing: Thing, found: Any, saw: Any, at: int) -> None:
        """Enter what an outsider has changed.

        Args:
            thing: The object.
            found: What they left.
            saw: What they saw.
            at: Which of the values that the target may hold that was.
        """
        order, place, number = thing.place_of(at)
        below = thing.below((order, place, number + 1))
        edit = None
        if below is None:
            thing.set_base(merged(saw, found, thing.base), self.number, "outside")
            self.things.changed(thing, self.number)
            thing.redo_edits()
        else:
            edit = Write(below.call, UNKNOWN, below.edit + 1, saw, found)
            thing.enter(edit)
            thing.redo_edits()
            self.things.note_writes(thing)
        thing.settle(self.number)
        self.things.take_found(thing, found, edit)

    def _edit_somewhere(self, thing: Thing, found: Any) -> None:
        """Take that an outsider has changed one of several values that a target may have held."""
        if thing.writes:
            thing.blurred = True
            self.things.refresh(thing)
            return
        made = [merged(saw, found, thing.base) for saw in thing.accepted]
        certain = self.things.exact and all(same(value, made[0]) for value in made)
        value = made[0] if certain else UNKNOWN
        thing.set_base(value, self.number, "outside")
        self.things.changed(thing, self.number)
        self.things.take_found(thing, found, None)

    def get_stuck(self, thing: Thing, error: str, half_reversed: bool) -> None:
        """Leave an object to a person; everybody who has touched it is to be told."""
        self.things.stuck[thing.key] = Stuck(self.number, error, half_reversed)
        for agent in self.agents.values():
            for call in agent.calls.values():
                if thing.key in call.writes or any(key == thing.key for key, _, _ in call.seen.reads):
                    agent.disturbed[thing.key] = call.id

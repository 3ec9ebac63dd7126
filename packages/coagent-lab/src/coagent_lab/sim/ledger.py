"""Who stands where, told from the events and from what reached the target, without a look into the kernel.

From it follow two things that the oracle needs: after whom each agent counts, and after which call everything
that an outsider did. Rule 9 says where that is: right above the write that they saw; and at the bottom, below
all agents at work, where there is no such write, or none is left below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from coagent.agents.scripted import Program
from coagent.protocol import events
from coagent.protocol.calls import Observation
from coagent.protocol.events import Event
from coagent.protocol.keys import Key
from coagent.protocol.values import same
from coagent_lab.sim.check import Violation
from coagent_lab.sim.oracle import FAILED, Edit, History, SerialRun, Turn

Place: TypeAlias = tuple[Fraction, int, int]
"""(order of the agent, number of the call, 0); above 0 for what outsiders did right above a call."""

_BOTTOM: Place = (Fraction(-(10**9)), 0, 0)


@dataclass
class Agent:
    """An agent, with what of its calls stands."""

    name: str
    rank: int
    pinned: bool
    order: Fraction
    calls: dict[int, Standing] = field(default_factory=dict)
    last: int = 0
    phase: str = "active"
    paid: bool = False
    """Whether an irreversible call of it has run."""

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self.phase in ("committed", "aborted")


@dataclass
class Standing:
    """A call that stands."""

    observation: Observation
    lapsed: bool = False
    staged: bool = False

    @property
    def result(self) -> Any:
        """What it returns now."""
        return FAILED if self.observation.error is not None else self.observation.value

    @property
    def writes(self) -> dict[Key, Any]:
        """What of its writes counts."""
        silent = self.lapsed or self.observation.error is not None
        return {} if silent else dict(self.observation.writes)


class _Above(NamedTuple):
    """What an outsider did right above a call."""

    agent: Agent
    order: Fraction
    number: int
    nth: int
    edit: Edit

    @property
    def place(self) -> Place:
        return (self.order, self.number, self.nth)


class _Below(NamedTuple):
    """What an outsider did below all agents but those that had ended."""

    ended: int
    nth: int
    edit: Edit
    found: bool = False
    """Whether a search has found it, though nobody has noticed that it is an outsider's."""


_Entry: TypeAlias = tuple[Place, Agent, "Standing | _Above"]
_NONE = Observation({}, {}, {}, {}, None)


class Ledger:
    """Follows one domain.

    Args:
        initial: The state before.
        held: Returns what the target holds of an object.
    """

    def __init__(self, initial: Mapping[str, Any], held: Callable[[str], Any]) -> None:
        self.agents: dict[int, Agent] = {}
        self.ended: list[Agent] = []
        """The agents that have ended, in that order: the serial order. Who gives up counts from then on."""
        self.overtakes: list[tuple[Agent, Agent]] = []
        """Who was promoted past whom."""
        self.rushes: list[tuple[Agent, Agent]] = []
        """Who has committed while who was at work below it."""
        self.results: dict[str, dict[int, Any]] = {}
        """What the calls of agents that have ended returned, by name and number."""
        self.noticed = 0
        """How much of what outsiders did was seen as such."""
        self.overtaken = False
        """Whether what an outsider did came to count below an agent that had already done what cannot be
        taken back: the write that the outsider saw went. No serial run ends like that; the agent is told."""
        self._held = held
        self._known = dict(initial)  # what CoAgent has last put, or found
        self._seen: dict[str, Place] = {}  # where that was written
        self._above: dict[str, list[_Above]] = {}
        self._below: list[_Below] = []
        self._within: dict[str, list[_Above]] = {}  # of agents that have ended, by name
        self._pending: dict[str, list[_Below]] = {}  # what nobody has noticed yet
        self._reverted: set[str] = set()  # what outsiders have changed and put back before it was noticed
        self._count = 0

    # ---- what happens --------------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Follow an event.

        Raises:
            Violation: Nobody has written what was taken for the work of an outsider.
        """
        match event:
            case events.Joined(name, rank, pinned, after):
                order = Fraction(rank) if after is None else self._right_after(self.agents[after])
                self.agents[rank] = Agent(name, rank, pinned, order)
            case events.CallObserved(rank, _, _, observation):
                call = self._add(rank, observation)
                call.lapsed = observation.error is not None
            case events.CallStaged(rank):
                self._add(rank, _NONE).staged = True
            case events.CallBegun(rank):
                self._add(rank, _NONE)
                self.agents[rank].paid |= event.irreversible
            case events.CallRan(call_id, observation) | events.CallReexecuted(call_id, observation):
                self._renew(call_id, observation, isinstance(event, events.CallRan))
            case events.CallAmended(call_id, _, observation):
                self._call(call_id).lapsed = False
                self._renew(call_id, observation, True)
            case events.CallUndone(call_id):
                agent, number = self._of(call_id)
                del agent.calls[number]
                agent.phase = "active"
            case events.NoticesDelivered(rank, call_ids):
                self.agents[rank].phase = "active"
                for call_id in call_ids:
                    call = self._call(call_id)
                    call.lapsed = call.lapsed or call.observation.error is not None
            case events.Finished(rank):
                self.agents[rank].phase = "finished"
            case events.Promoted(rank):
                self._promoted(self.agents[rank])
            case events.Committed(rank):
                self._committed(self.agents[rank])
            case events.Aborted(rank):
                self._aborted(self.agents[rank])
            case events.OutsideWrite(key, value):
                self._noticed(key, value)
            case _:
                pass
        self._settle()

    def gives_up(self, rank: int) -> None:
        """Follow an agent that gives up for what it knows: what others do from now on comes after it."""
        agent = self.agents[rank]
        if agent.ended:
            return  # it does not know yet that it has ended: who served it last has seen to that
        if agent in self.ended:
            self.ended.remove(agent)  # it had not been let go
        self.ended.append(agent)

    def put(self, key: str, value: Any, before: Any) -> None:
        """Follow a put into the target."""
        if same(before, value):
            self._pending.pop(key, None)  # an outsider was so kind as to put it there
        else:
            self._learned(key)
        self._known[key] = value
        self._settle()

    def outside(self, key: str, before: Any, after: Any) -> None:
        """Follow an outsider."""
        reverted = same(after, self._known.get(key))
        pending = self._pending.get(key)
        if reverted:
            self._reverted.add(key)
        if reverted and (not pending or pending[0].ended == len(self.ended)):
            self._pending.pop(key, None)  # they have thought better of it, before anybody rested on it
        elif not same(before, after):
            below = _Below(len(self.ended), self._number(), Edit(key, before, after))
            self._pending.setdefault(key, []).append(below)

    # ---- what is asked -------------------------------------------------------------------------------------

    def history(
        self, programs: Mapping[str, Program], absent: set[str], numbers: Mapping[str, list[int]]
    ) -> History:
        """Return what happened, one after another.

        Args:
            programs: What each agent follows.
            absent: The agents that were ended from outside: they count as if they had never been.
            numbers: The numbers of each agent's calls, in the order of its program.
        """
        below = sorted([*self._below, *(one for them in self._pending.values() for one in them)])
        history: list[Turn | Edit] = []
        for index, agent in enumerate(self.ended):
            history += [one.edit for one in below if one.ended == index]
            if agent.name not in absent:
                within = sorted(self._within.get(agent.name, ()), key=lambda one: one.place)
                edits = [(one.number, one.edit) for one in within]
                history.append(Turn(agent.name, programs[agent.name], numbers.get(agent.name, ()), edits))
        return history + [one.edit for one in below if one.ended >= len(self.ended)]

    @property
    def may_pay(self) -> bool:
        """Whether an agent at work has already done what cannot be taken back."""
        return any(agent.paid and not agent.ended for agent in self.agents.values())

    def first_difference(self, serial: SerialRun, numbers: Mapping[str, list[int]]) -> str:
        """Return which call, in the serial order, was the first to return something else than serially."""
        for agent in self.ended:
            results = self.results[agent.name]
            expected_results = serial.results.get(agent.name, ())
            for number, expected in zip(numbers.get(agent.name, ()), expected_results, strict=False):
                found = results.get(number)
                if found not in ("sent", "staged") and not same(found, expected):
                    return f"call {agent.name}.{number} returned {found!r}, serially {expected!r}"
        return "every call returned what it does serially"

    # ---- calls ---------------------------------------------------------------------------------------------

    def _add(self, rank: int, observation: Observation) -> Standing:
        agent = self.agents[rank]
        agent.last += 1
        agent.phase = "active"
        self._look(observation)
        call = agent.calls[agent.last] = Standing(observation)
        return call

    def _renew(self, call_id: str, observation: Observation, told: bool) -> None:
        agent, number = self._of(call_id)
        call = agent.calls.get(number)
        if call is not None:
            if call.staged:
                call.staged, agent.paid = False, True
            self._look(observation)
            call.observation = observation
            call.lapsed = call.lapsed or (told and observation.error is not None)

    def _look(self, observation: Observation) -> None:
        """Whatever a call saw of an object that nobody at work has written is what there is below."""
        for key in [*(key for key, part in observation.reads if part is None), *observation.bases]:
            if self._pending.get(key) and not self._is_known(key):
                seen = observation.bases[key] if key in observation.bases else observation.reads[key, None]
                if same(seen, self._held(key)):
                    self._learned(key)
        for scan, found in observation.scans.items():
            for under in [under for under in self._pending if under.startswith(scan.prefix)]:
                lines = found.get(under) if isinstance(found, dict) else None
                was, now = (
                    all(self._stands(text, *line) for line in lines or ())
                    for text in (self._known.get(under), self._held(under))
                )
                if now and not was:
                    self._pending[under] = [one._replace(found=True) for one in self._pending[under]]

    @staticmethod
    def _stands(text: Any, number: int, line: str) -> bool:
        lines = text.splitlines() if isinstance(text, str) else []
        return number <= len(lines) and lines[number - 1] == line

    def _is_known(self, key: str) -> bool:
        """Tell whether a call that stands has seen the whole object, or written it."""
        calls = [call for agent in self.agents.values() for call in agent.calls.values()]
        return any((key, None) in call.observation.reads or key in call.writes for call in calls)

    def _of(self, call_id: str) -> tuple[Agent, int]:
        name, _, number = call_id.rpartition(".")
        agent = next(agent for agent in reversed(self.agents.values()) if agent.name == name)
        return agent, int(number)

    def _call(self, call_id: str) -> Standing:
        agent, number = self._of(call_id)
        return agent.calls[number]

    def _right_after(self, agent: Agent) -> Fraction:
        above = [other.order for other in self.agents.values() if other.order > agent.order]
        return (agent.order + min(above, default=agent.order + 1)) / 2

    def _at_work_below(self, agent: Agent) -> list[Agent]:
        return [other for other in self.agents.values() if not other.ended and other.order < agent.order]

    def _promoted(self, agent: Agent) -> None:
        """What was done right above its calls goes with it, but for what was done above one that is gone."""
        self.overtakes += [(agent, other) for other in self._at_work_below(agent)]
        order = min(other.order for other in self.agents.values() if not other.ended) - 1
        calls = [call for call in agent.calls.values() if not call.lapsed]
        for key, above in self._above.items():
            touched = any(
                key in call.writes or any(read == key for read, _ in call.observation.reads) for call in calls
            )
            if touched:
                self._above[key] = [one._replace(order=order) if one.agent is agent else one for one in above]
        agent.order = order

    def _committed(self, agent: Agent) -> None:
        """What was done right above calls up to here is part of what the others build on."""
        self.rushes += [(agent, other) for other in self._at_work_below(agent)]
        folded = [one for them in self._above.values() for one in them if one.order <= agent.order]
        for one in sorted(folded, key=lambda one: one.place):
            self._above[one.edit.key].remove(one)
            if one.agent is agent:
                self._within.setdefault(agent.name, []).append(one)
            else:
                self._fall(one.edit)
        self._end(agent, "committed")

    def _aborted(self, agent: Agent) -> None:
        self._within[agent.name] = [
            one for them in self._above.values() for one in them if one.agent is agent
        ]
        self._end(agent, "aborted")

    def _end(self, agent: Agent, phase: str) -> None:
        agent.phase = phase
        self.results[agent.name] = {number: call.result for number, call in agent.calls.items()}
        agent.calls.clear()
        if agent in self.ended and phase == "committed":
            self.ended.remove(agent)  # it had given up, and thought better of it
        if agent not in self.ended:
            self.ended.append(agent)

    # ---- outsiders -----------------------------------------------------------------------------------------

    def _noticed(self, key: str, found: Any) -> None:
        if not self._pending.get(key):
            if same(found, self._known.get(key)) and (key in self._reverted or not self._entries(key)):
                return  # two who had scanned it were both told, or a read saw it before it was put back
            raise Violation(f"nobody outside has changed {key}, but {found!r} was taken for their work")
        pending = self._pending.pop(key)
        self.noticed += 1
        seen = self._seen.get(key, _BOTTOM)
        below = [entry for entry in self._entries(key) if entry[0] <= seen]
        if below:
            (order, number, nth), agent, _ = below[-1]
            edit = Edit(key, self._known.get(key), found)
            self._above.setdefault(key, []).append(_Above(agent, order, number, nth + 1, edit))
        else:
            for one in pending:
                if one.found:
                    self._below.append(one)
                else:
                    self._fall(one.edit)
        self._known[key] = found

    def _learned(self, key: str) -> None:
        """What outsiders have done to an object is known now, though nobody has noticed that it was they."""
        self._below += self._pending.pop(key, [])
        self._known[key] = self._held(key)

    def _fall(self, edit: Edit) -> None:
        """Let an edit count below all agents at work, and what was done on top of it, unseen, after it."""
        ended = len(self.ended)
        self._below.append(_Below(ended, self._number(), edit))
        pending = self._pending.get(edit.key, ())
        self._pending[edit.key] = [_Below(ended, self._number(), one.edit) for one in pending]

    def _settle(self) -> None:
        """Let fall what has nothing of an agent below it, and note whose work targets hold."""
        for key, above in self._above.items():
            writes = [place for place, _, what in self._entries(key) if isinstance(what, Standing)]
            for one in sorted(above, key=lambda one: one.place):
                if not writes or one.place < writes[0]:
                    above.remove(one)
                    self.overtaken = self.overtaken or self.may_pay
                    self._fall(one.edit)
        for key in {*self._known, *(key for agent in self.agents.values() for key in _written(agent))}:
            entries = self._entries(key)
            if not entries:
                self._seen.pop(key, None)
            elif same(self._value(key, entries), self._known.get(key)):
                self._seen[key] = entries[-1][0]

    def _entries(self, key: str) -> list[_Entry]:
        """Return the writes of agents at work, and what was done right above them, by place."""
        entries: list[_Entry] = [
            ((agent.order, number, 0), agent, call)
            for agent in self.agents.values()
            for number, call in agent.calls.items()
            if key in call.writes
        ]
        entries += [(one.place, one.agent, one) for one in self._above.get(key, ())]
        return sorted(entries, key=lambda entry: entry[0])

    def _value(self, key: str, entries: list[_Entry]) -> Any:
        value: Any = None
        for _, _, what in entries:
            value = what.writes[Key(key)] if isinstance(what, Standing) else what.edit.applied(value)
        return value

    def _number(self) -> int:
        self._count += 1
        return self._count


def _written(agent: Agent) -> set[Key]:
    return {key for call in agent.calls.values() for key in call.writes}

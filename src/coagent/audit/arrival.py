"""The audit of logs in which calls count as they arrive (`naive`, `2pl`, `occ`): circles of dependencies."""

from __future__ import annotations

from coagent.audit import findings as names
from coagent.audit.actors import Agent, Call
from coagent.audit.findings import Finding
from coagent.audit.graph import cycles, named
from coagent.audit.history import History
from coagent.audit.parts import UNKNOWN, part_of, same
from coagent.audit.picture import Show, brief, drawn_cycle, drawn_read
from coagent.audit.premises import scan_agrees
from coagent.audit.records import Seen
from coagent.audit.replay import Replay


class ArrivalReplay(Replay):
    """A replay that keeps who read and wrote what, until nobody is at work, and looks for circles then."""

    by_arrival = True

    def __init__(self, protocol: str, order: str, show: Show = brief) -> None:
        super().__init__(protocol, order, show)
        self.history = History(show)
        self.settled: list[Agent] = []
        """Agents that have committed, whose writes are not part of the base yet."""

    def observe(self, call: Call, seen: Seen) -> None:
        super().observe(call, seen)
        if call.id in self.calls:
            self.history.ran(call, self.things)

    def remove(self, call: Call) -> None:
        super().remove(call)
        self.history.withdrawn(call)

    def commit(self, agent: Agent) -> None:
        if self.protocol == "occ" and not self._valid(agent):
            agent.phase = "active"  # it has to begin again
            return
        owes = [
            call.id for call in agent.calls.values() if call.phase == "staged" or call.touching is not None
        ]
        if owes:
            self.illegal(f"agent {agent.name!r} commits though {owes[0]} has yet to run or to end", agent)
        self.tally.committed += 1
        self.history.committed.add(agent)
        if self.protocol == "naive":
            agent.phase = "committed"
            self.settled.append(agent)
            if self.names.get(agent.name) is agent:
                del self.names[agent.name]
        else:
            self._settle(agent)
        self._maybe_quiescent()

    def abort(self, agent: Agent) -> None:
        super().abort(agent)
        self._maybe_quiescent()

    def _finished(self, rank: int) -> None:
        agent = self.agents.get(rank)
        if (
            self.protocol == "occ"
            and agent is not None
            and agent.phase == "active"
            and not self._valid(agent)
        ):
            return  # it has to begin again
        super()._finished(rank)

    def _valid(self, agent: Agent) -> bool:
        """Tell whether an agent would have seen the same over what has been committed."""
        own: dict[str, object] = {}
        for call in agent.calls.values():
            for key, part, seen in call.seen.reads:
                thing = self.things.all.get(key)
                if thing is not None and (key in own or thing.sure):
                    due = part_of(own.get(key, thing.base), part)
                    if due is not UNKNOWN and not same(due, seen):
                        return False
            for scan, seen in call.seen.scans:
                for thing in self.things.in_range(scan.prefix, agent.number):
                    value = own.get(thing.key, thing.base)
                    if (
                        scan.covers(thing.key)
                        and value is not UNKNOWN
                        and not scan_agrees(scan, seen, thing.key, value)
                    ):
                        return False
            own.update(call.writes)
        return True

    def _settle(self, agent: Agent) -> None:
        """Make what an agent has written the base, whatever others have written meanwhile."""
        touched = {}
        for call in agent.calls.values():
            for key, value in call.writes.items():
                thing = touched[key] = self.things.all[key]
                thing.take_out(call)
                thing.set_base(value, self.number, call.id)
        for thing in touched.values():
            self.follow(thing)
        self.let_go(agent)
        self.end(agent, "committed")

    def _maybe_quiescent(self) -> None:
        if len(self.settled) == len(self.agents):
            for agent in self.settled:
                self.fold(agent)
                self.end(agent, "committed")
            self.settled = []
            self.judge()

    def judge(self) -> None:
        """Look for circles among the agents that have committed since nobody was at work."""
        edges = self.history.edges()
        self.tally.edges += len(edges)
        self.tally.reads += self.history.reads
        for read, source in self.history.wrong:
            saw, source_id = self.show(read.seen, read.key), source.call.id
            self.findings.add(
                Finding(
                    "protocol",
                    names.ABORTED_READ.name,
                    f"{read.call.id} ({read.call.tool}) saw {read.key} as {saw}, which {source_id} wrote and "
                    "which was taken back",
                    self.number,
                    names.ABORTED_READ.code,
                    agents=(read.call.agent.name, source.call.agent.name),
                    calls=(read.call.id, source.call.id),
                    key=read.key,
                    picture=drawn_read(
                        read.call.id, read.call.tool, read.key, saw, "(taken back)", source.call.id, ""
                    ),
                )
            )
        for cycle in cycles(edges):
            anomaly = named(cycle)
            agents = [edge.before.name for edge in cycle]
            text = "; ".join(edge.why for edge in cycle)
            self.findings.add(
                Finding(
                    "protocol",
                    anomaly.name,
                    f"no order of {', '.join(agents)} ends like this: {text}",
                    self.number,
                    anomaly.code,
                    agents=tuple(agents),
                    calls=tuple(dict.fromkeys(call for edge in cycle for call in edge.calls)),
                    key=cycle[0].key if len({edge.key for edge in cycle}) == 1 else "",
                    picture=drawn_cycle(agents, [(edge.kind, edge.why) for edge in cycle]),
                )
            )
        self.history = History(self.show)

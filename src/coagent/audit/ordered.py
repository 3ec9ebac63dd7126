"""The audit of logs whose agents have places in an order (`mtpo`, `serial`): asked as each one commits."""

from __future__ import annotations

from typing import Any

from coagent.audit import findings as names
from coagent.audit.actors import Agent, Call, News
from coagent.audit.findings import Anomaly, Finding
from coagent.audit.literals import carries, replaced
from coagent.audit.objects import Write
from coagent.audit.parts import part_of, same
from coagent.audit.picture import drawn_read
from coagent.audit.premises import Wrong, wrong_reads
from coagent.audit.replay import Replay

_WRONG_SHOWN_MAX = 20
_NEWS_KEPT = 50
_CALLS_JUDGED_MAX = 200


class OrderedReplay(Replay):
    """A replay that holds every read of an agent against its place in the order."""

    def commit(self, agent: Agent) -> None:
        self._check_commit(agent)
        shown = 0
        for call in agent.calls.values():
            if call.irreversible:
                continue
            for wrong in wrong_reads(self.things, call, self.tally):
                shown += 1
                if shown <= _WRONG_SHOWN_MAX:
                    self.findings.add(self._explained(wrong))
        self._count_edges(agent)
        self._judge(agent)
        super().commit(agent)

    def _check_commit(self, agent: Agent) -> None:
        """Say why an agent may not commit, if it may not; it is taken to have committed all the same."""
        below = [other.name for other in self.agents.values() if other.order < agent.order]
        owes = [
            call.id for call in agent.calls.values() if call.phase == "staged" or call.touching is not None
        ]
        lagging = [
            thing.key for thing in self.things.lagging.values()
            if self.things.exact and _on_top(thing.writes) is agent
        ]  # fmt: skip
        unread = [*agent.pending, *agent.disturbed]
        if below:
            self.illegal(f"agent {agent.name!r} commits before {below[0]!r}, which is below it", agent)
        if owes:
            self.illegal(f"agent {agent.name!r} commits though {owes[0]} has yet to run or to end", agent)
        if lagging:
            self.illegal(f"agent {agent.name!r} commits before {lagging[0]} has its value", agent)
        if unread:
            self.findings.add(
                Finding(
                    "damaged log",
                    "commit over an unread notice",
                    f"record {self.number}: agent {agent.name!r} commits, not having been told of "
                    f"{', '.join(unread)}",
                    self.number,
                    agents=(agent.name,),
                    calls=tuple(agent.pending),
                )
            )

    def _explained(self, wrong: Wrong) -> Finding:
        """Return a finding about a wrong read, with the name that it has."""
        call = wrong.call
        anomaly, source = self._named(wrong)
        key = wrong.thing.key
        saw = self.show(wrong.seen, key, wrong.due)
        due = self.show(wrong.due, key, wrong.seen)
        whose = "" if source is None else f", which {source.call.id} wrote"
        by = _owner_of_due(wrong)
        text = (
            f"{call.id} ({call.tool}) saw {key} as {saw}{whose}; at its place in the order it is {due}"
            f"{f', by {by}' if by else ''}"
        )
        others = {name for name in (source and source.call.agent.name, by.rpartition(".")[0]) if name}
        return Finding(
            "protocol",
            anomaly.name,
            text,
            self.number,
            anomaly.code,
            agents=(call.agent.name, *sorted(others - {call.agent.name, "outside"})),
            calls=tuple(
                dict.fromkeys([call.id, *([source.call.id] if source else []), *([by] if "." in by else [])])
            ),
            key=key,
            picture=drawn_read(call.id, call.tool, key, saw, due, source.call.id if source else "", by),
        )

    def _named(self, wrong: Wrong) -> tuple[Anomaly, Write | None]:
        """Say what a wrong read is called, and whose value it was if somebody else's it was."""
        call = wrong.call
        source = None if wrong.scan is not None and wrong.seen is None else _source(wrong)
        if source is not None:
            if source.state == "withdrawn" and source.call.phase == "withdrawn":
                return names.ABORTED_READ, source
            if source.state == "replaced":
                return names.INTERMEDIATE_READ, source
            if source.call.agent.order > call.agent.order:
                return names.FUTURE_READ, source
        if wrong.scan is not None:
            return names.PHANTOM, source
        if any(wrong.thing.key in other.writes for other in call.agent.calls.values()):
            return names.LOST_UPDATE, source
        if source is None and not any(
            same(part_of(before, wrong.part), wrong.seen) for _, before in wrong.thing.bases
        ):
            return names.UNEXPLAINED_READ, None
        return names.STALE_READ, source

    def _count_edges(self, agent: Agent) -> None:
        """Count whom the agent depends on: whoever left what it read or wrote over. They are all below."""
        for call in agent.calls.values():
            for key, _, _ in call.seen.reads:
                thing = self.things.all.get(key)
                self.tally.edges += thing is not None and "." in thing.base_by
            for scan, seen in call.seen.scans:
                # What it shows, and what it would show otherwise but for somebody's write meanwhile.
                covered = {thing.key for thing in self.things.in_range(scan.prefix, agent.number)}
                for key in {key for key in covered if scan.covers(key)}.union(seen):
                    thing = self.things.all.get(key)
                    self.tally.edges += thing is not None and "." in thing.base_by
            for key in call.writes:
                self.tally.edges += "." in self.things.all[key].base_by

    # ---- what an agent made of what it was told ------------------------------------------------------------

    def ran_for_good(self, call: Call) -> None:
        for wrong in wrong_reads(self.things, call, self.tally):
            if wrong.thing.base_by != "outside":  # an outsider may have come since it began
                self.findings.add(self._explained(wrong))

    def told(self, call: Call) -> None:
        before = {(key, part): value for key, part, value in call.told.reads}
        if len(call.agent.kept) < _NEWS_KEPT:
            call.agent.kept.append((self.number, call, _changed(call)))
        for key, part, value in call.seen.reads:
            old = before.get((key, part), value)
            if len(call.agent.news) < _NEWS_KEPT and not same(old, value):
                literals = replaced(old, value)
                if literals:
                    call.agent.news.append(News(self.number, call, key, literals))

    def _judge(self, agent: Agent) -> None:
        """Note where an agent was told of something new, and a later call of it still says the old."""
        for number, call, what in agent.kept:
            if call.id in agent.calls:
                self.findings.add(self._left_as_it_was(agent, number, call, what))
        if not agent.news:
            return
        writing = [call for call in agent.calls.values() if call.writes or call.irreversible]
        said: set[tuple[str, str]] = set()
        for news in agent.news:
            for call in writing[:_CALLS_JUDGED_MAX]:
                if call.sequence <= news.call.sequence or (call.id, news.key) in said:
                    continue
                stale = _stale(news, call.arguments)
                if stale is not None:
                    said.add((call.id, news.key))
                    self.findings.add(self._judged(agent, news, call, stale))

    def _left_as_it_was(self, agent: Agent, number: int, call: Call, what: str) -> Finding:
        return Finding(
            "judgement",
            "kept after being told",
            f"agent {agent.name!r} was told (record {number}) that {what} has changed, which {call.id} "
            f"({call.tool}) had seen, and wrote nothing after that",
            self.number,
            agents=(agent.name,),
            calls=(call.id,),
            key=what if ":" in what else "",
            failing=False,
        )

    def _judged(self, agent: Agent, news: News, call: Call, stale: tuple[Any, Any]) -> Finding:
        old = self.show(stale[0], news.key)
        new = "gone" if stale[1] is None else self.show(stale[1], news.key)
        return Finding(
            "judgement",
            "kept after being told",
            f"agent {agent.name!r} was told (record {news.number}) that {news.key} is {new} where "
            f"{news.call.id} had seen {old}; its {call.id} ({call.tool}) still says {old}",
            self.number,
            agents=(agent.name,),
            calls=(news.call.id, call.id),
            key=news.key,
            failing=False,
        )


def _changed(call: Call) -> str:
    """Return what it was that a call sees otherwise than its agent had been told."""
    before = {(key, part): value for key, part, value in call.told.reads}
    for key, part, value in call.seen.reads:
        if not same(before.get((key, part), value), value):
            return key
    scanned = dict(call.told.scans)
    for scan, seen in call.seen.scans:
        if not same(scanned.get(scan, seen), seen):
            return str(scan)
    return f"what {call.id} returns"


def _on_top(writes: list[Write]) -> Agent | None:
    """Return whose call wrote last."""
    return next((write.call.agent for write in reversed(writes) if not write.edit), None)


def _source(wrong: Wrong) -> Write | None:
    """Return a write of another call that left what was seen: the latest."""
    for write in reversed(wrong.thing.recent):
        if write.call is not wrong.call and not write.edit:
            if wrong.scan is not None and wrong.scan.part is None:
                if (write.value is not None) == (wrong.seen is not None):
                    return write
            elif same(part_of(write.value, wrong.part), wrong.seen):
                return write
    return None


def _owner_of_due(wrong: Wrong) -> str:
    """Return by whom the value is that should have been seen."""
    call = wrong.call
    write = wrong.thing.below((call.agent.order, call.place, 0))
    if write is None:
        return wrong.thing.base_by
    return "outside" if write.edit else write.call.id


def _stale(news: News, arguments: Any) -> tuple[Any, Any] | None:
    for old, new in news.literals:
        if carries(arguments, old) and (new is None or not carries(arguments, new)):
            return old, new
    return None

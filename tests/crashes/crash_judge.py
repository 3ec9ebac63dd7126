"""What must be true at the end of a run that was killed: told from the events, the systems and the programs.

It shares no code with the kernel or the runtime: the ledger follows the events by itself, and the programs
are run one after another over plain data.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crash_plan import Plan, program
from crash_world import IRREVERSIBLE, ITEMS, NAMES, NATIVE, UNDOABLE

from coagent.errors import ToolFailed
from coagent.protocol import events
from coagent.protocol.events import Event

_REASONS = ("it has not run: its process had died", "this process was stopped for so long")
"""Why a call may fail: a person has said that it has not run, or its process, which knows it, was stopped."""
Documents = dict[str, dict[str, int] | None]


@dataclass
class Noted:
    """A call, as the events tell."""

    agent: str
    tool: str
    arguments: Mapping[str, Any]
    error: str = ""
    ran: bool = True
    intents: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it counts as not made."""
        return bool(self.error)

    @property
    def letter(self) -> tuple[str, int]:
        """Return what its effect is known by outside."""
        return self.agent, int(self.arguments["step"])


class Ledger:
    """Follows the events of a log."""

    def __init__(self, log: Iterable[Event]) -> None:
        self.names: dict[int, str] = {}
        self.calls: dict[str, Noted] = {}
        self.withdrawn: dict[str, Noted] = {}
        self.counts: dict[int, int] = {}
        self.committed: list[str] = []
        self.aborted: list[str] = []
        self.ended: list[tuple[str, list[Noted] | None]] = []
        """Who has ended, in that order: None where they have committed, or what stands all the same."""
        for event in log:
            self._take(event)

    def of(self, agent: str) -> list[Noted]:
        """Return the calls of an agent that stand, in its order."""
        return [call for call in self.calls.values() if call.agent == agent]

    def _take(self, event: Event) -> None:
        match event:
            case events.Joined():
                self.names[int(event.rank)] = event.agent
                self.counts[int(event.rank)] = 0
            case events.CallObserved() | events.CallStaged() | events.CallBegun():
                self._made(event)
            case events.RunBegun():
                call = self._found(event.call_id)
                call.intents.append(event.intent)
                call.arguments = call.arguments if event.arguments is None else event.arguments
            case events.CallRan() | events.CallReexecuted():
                call = self._found(event.call_id)
                call.ran, call.error = True, event.observation.error or ""
            case events.CallAmended():
                call = self._found(event.call_id)
                call.arguments, call.ran = event.arguments, True
                call.error = event.observation.error or ""
            case events.StagedAmended():
                self._found(event.call_id).arguments = event.arguments
            case events.CallUndone():
                if (undone := self.calls.pop(str(event.call_id), None)) is not None:
                    self.withdrawn[str(event.call_id)] = undone
            case events.Committed():
                self.committed.append(self.names[int(event.rank)])
                self.ended.append((self.names[int(event.rank)], None))
            case events.Aborted():
                self.aborted.append(self.names[int(event.rank)])
                self.ended.append((self.names[int(event.rank)], self._kept(self.names[int(event.rank)])))

    def _kept(self, agent: str) -> list[Noted]:
        """Return what an abort leaves: what a letter rests on that has gone out, the agent's own bookings."""
        told: set[str] = set()
        kept: list[Noted] = []
        for call in reversed(self.of(agent)):
            item = str(call.arguments.get("item"))
            if call.tool in IRREVERSIBLE and item and call.intents and not call.failed:
                told.add(item)
            elif call.tool in UNDOABLE and call.ran and not call.failed and item in told:
                kept.insert(0, call)
        return kept

    def _made(self, event: Any) -> None:
        rank = int(event.rank)
        self.counts[rank] += 1
        call = Noted(self.names[rank], event.tool, event.arguments)
        if isinstance(event, events.CallObserved):
            call.error = event.observation.error or ""
        else:
            call.ran = False
        if isinstance(event, events.CallBegun):
            call.intents.append(event.intent)
        self.calls[f"{call.agent}.{self.counts[rank]}"] = call

    def _found(self, identity: object) -> Noted:
        found = self.calls.get(str(identity)) or self.withdrawn.get(str(identity))
        assert found is not None, f"the log tells of a call {identity} that nobody has made"
        return found


class Serial(NamedTuple):
    """Where a serial run ends."""

    documents: Documents
    shop: dict[str, list[list[Any]]]
    letters: list[tuple[str, int, str, Any]]


def serially(plan: Plan, ledger: Ledger) -> Serial:
    """Run the agents that have committed one after another, in the order of their commits."""
    run = Serial(copy.deepcopy(dict(plan.initial)), {item: [] for item in ITEMS}, [])
    for agent, kept in ledger.ended:
        if kept is not None:
            for call in kept:
                _act(run, call.tool, call.arguments)
            continue
        if plan.on_death == "commit":  # it may have been broken off, and then what it had done counts
            for call in ledger.of(agent):
                if not call.failed:
                    _act(run, call.tool, call.arguments)
            continue
        running = program(agent, plan.programs[agent])
        failed = {call.letter for call in ledger.of(agent) if call.tool not in NATIVE and call.failed}
        try:
            asked = next(running)
            while True:
                tool, arguments = asked
                if tool not in NATIVE and (agent, arguments["step"]) in failed:
                    asked = running.throw(ToolFailed("a person has said that it has not run"))
                else:
                    asked = running.send(copy.deepcopy(_act(run, tool, arguments)))
        except StopIteration:
            pass
    return run


def _act(run: Serial, tool: str, arguments: Mapping[str, Any]) -> Any:
    documents = run.documents
    name = arguments.get("name", "")
    match tool:
        case "get":
            return documents.get(name)
        case "names":
            return sorted(documents)
        case "put":
            documents[name] = {"n": arguments["n"], "m": arguments["n"] % 2}
        case "add":
            before = documents.get(name) or {"n": 0, "m": 0}
            changed = {"n": (before["n"] * 3 + arguments["amount"]) % 97, "m": before["m"]}
            documents[name] = changed
            return changed["n"]
        case "copy":
            _store(documents, arguments["to"], documents.get(name))
        case "drop":
            _store(documents, name, None)
        case _:
            who = (arguments["agent"], arguments["step"])
            if tool in UNDOABLE:
                run.shop[arguments["item"]].append([*who])
            else:
                item = arguments.get("item")
                seen = documents.get(name) if item is None else copy.deepcopy(run.shop[item])
                run.letters.append((*who, tool, copy.deepcopy(seen)))
    return "ok"


def _store(documents: Documents, name: str, document: dict[str, int] | None) -> None:
    if document is None:
        documents.pop(name, None)
    else:
        documents[name] = dict(document)


def faults_of(
    plan: Plan,
    log: Sequence[Event],
    documents: Documents,
    booked: Mapping[str, Sequence[Sequence[Any]]],
    letters: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return what is not as it must be; nothing where all is.

    Args:
        plan: The run.
        log: All its events.
        documents: What the live system holds.
        booked: What the shop holds.
        letters: What was ever sent.
    """
    ledger = Ledger(log)
    wrong: list[str] = []
    ended = {*ledger.committed, *ledger.aborted}
    wrong += [
        f"{call.tool} of {call.agent} has failed for no good reason: {call.error}"
        for agent in ledger.committed
        for call in ledger.of(agent)
        if call.failed and not call.error.startswith(_REASONS)
    ]
    wrong += [f"{name} has not ended" for name in ledger.names.values() if name not in ended]
    serial = serially(plan, ledger)
    for name in NAMES:
        if documents.get(name) != serial.documents.get(name):
            wrong.append(f"{name} is {documents.get(name)}, serially {serial.documents.get(name)}")
    for item in ITEMS:
        found = [list(entry[:2]) for entry in booked.get(item, ())]
        if found != serial.shop[item]:
            wrong.append(f"{item} is booked by {found}, serially by {serial.shop[item]}")
    return wrong + _wrong_letters(ledger, serial, letters) + _wrong_records(ledger, letters)


def _wrong_letters(ledger: Ledger, serial: Serial, letters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Compare the letters of those who have committed with the serial ones."""
    wrong = []
    for agent in ledger.committed:
        failed = {call.letter for call in ledger.of(agent) if call.tool in IRREVERSIBLE and call.failed}
        wanted = [letter for letter in serial.letters if letter[0] == agent and letter[:2] not in failed]
        found = [
            (agent, letter["step"], letter["tool"], letter["seen"])
            for letter in letters
            if letter["agent"] == agent
        ]
        if sorted(map(repr, found)) != sorted(map(repr, wanted)):
            wrong.append(f"{agent} has sent {sorted(map(repr, found))}, serially {sorted(map(repr, wanted))}")
    return wrong


def _wrong_records(ledger: Ledger, letters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Compare all letters with what the log tells of them, also those of agents that were aborted."""
    wrong = []
    calls = [
        call for call in (*ledger.calls.values(), *ledger.withdrawn.values()) if call.tool in IRREVERSIBLE
    ]
    known = {intent: call for call in calls for intent in call.intents}
    for letter in letters:
        call = known.get(letter["name"])
        who = f"letter {letter['step']} of {letter['agent']} ({letter['tool']})"
        if call is None:
            wrong.append(f"{who} was sent, and the log does not know of it")
        elif not call.ran:
            wrong.append(f"{who} was sent, and the log does not say what has become of it")
        elif call.failed:
            wrong.append(f"{who} was sent, and the log says that it was not")
    for call in calls:
        sent = [letter for letter in letters if letter["name"] in call.intents]
        if len(sent) > 1:
            wrong.append(f"letter {call.letter[1]} of {call.agent} ({call.tool}) was sent {len(sent)} times")
        if call.intents and call.ran and not call.failed and not sent:
            wrong.append(
                f"letter {call.letter[1]} of {call.agent} ({call.tool}) was not sent, and the log says so"
            )
        if call.intents and not call.ran:
            wrong.append(f"what has become of letter {call.letter[1]} of {call.agent} is not known")
    return wrong

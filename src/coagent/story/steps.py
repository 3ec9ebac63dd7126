"""The steps of a domain's story, one for each event that is news, as JSON data (docs/story.md).

They are what `coagent log` tells, and beside it what calls read and wrote, who caused what, and what becomes
of the trajectories of objects; so that whoever has them can draw them and go back in time without the kernel.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from coagent.log.urls import shown_url
from coagent.masking.mask import Mask
from coagent.private import HOME
from coagent.protocol.calls import Rank
from coagent.protocol.events import Event, Joined, Promoted
from coagent.runtime.chronicle import Chronicle
from coagent.runtime.learning import learn
from coagent.runtime.watch import Watch
from coagent.story.about import About
from coagent.story.spool import Spool
from coagent.story.values import Values

FORMAT = 1
"""The version of the steps' form; each change that old readers do not understand raises it."""


class Story:
    """A domain's story, from its log.

    Args:
        url: The log.
        mask: Of the output that it is for.
        name: What to call it.
        tail: How many of the last events are wanted, at the least; None: all that there are.

    Raises:
        NothingYet: Nobody has joined the domain yet.
        LogError: The log cannot be read.
    """

    def __init__(self, url: str, mask: Mask, name: str = "", tail: int | None = None) -> None:
        self._watch = Watch(url, tail=tail)
        self._cut = tail is not None
        self._mask = mask
        self._chronicle = Chronicle(self._watch, mask=mask)
        self.values = Values(mask)
        self._about = About(self._watch.kernel, mask, self.values)
        self._spool = Spool()
        self._numbers = array("Q")
        self._events: Iterator[Event] | None = None
        self._orders: dict[Rank, int] = {}
        self.header: dict[str, Any] = {
            "format": FORMAT,
            "name": name or _named(shown_url(url)),
            "protocol": self._watch.protocol,
            "order": "early" if self._watch.kernel.early else "fixed",
            "log": shown_url(url),
            "first": self._watch.first,
        }
        if self._watch.saved is not None:
            self._begin()

    @property
    def watch(self) -> Watch:
        """The domain as its log tells of it, as far as the story goes."""
        return self._watch

    @property
    def last(self) -> int:
        """The number of the last step; 0 where there is none."""
        return self._numbers[-1] if self._numbers else 0

    def __len__(self) -> int:
        return len(self._numbers)

    # ---- going on ------------------------------------------------------------------------------------------

    def advance(self, most: int | None = None) -> int:
        """Take what has happened since; returns how many events there were.

        Args:
            most: How many events to take at most.

        Raises:
            LogError: A record is missing or damaged.
        """
        count = 0
        while most is None or count < most:
            if self._events is None:
                self._events = self._watch.events(self._note, lambda event: learn(self._mask, event))
            event = next(self._events, None)
            if event is None:
                self._events = None
                break
            count += 1
            self._take(event)
        return count

    def _note(self, event: Event) -> None:
        self._chronicle.note(event)
        self._about.note(event, self._chronicle.call, self._chronicle.moved)

    def _take(self, event: Event) -> None:
        entry = self._chronicle.tell(event)
        step: dict[str, Any] = {"n": self._watch.number, "at": self._watch.at_ms}
        if entry is not None:
            step |= {"kind": entry["kind"], "text": entry["text"]}
            if "difference" in entry:
                step["diff"] = entry["difference"]
            step |= self._about.step(event, self._watch.number, entry["call"])
        orders = self._moved_orders() if isinstance(event, Joined | Promoted) else []
        if orders:
            step["orders"] = orders
        if isinstance(event, Joined):
            step |= {"name": event.agent, "order": self._watch.kernel.agents[event.rank].order}
            step["pinned"] = event.pinned
        operations = self._about.operations(event)
        if operations:
            step["ops"] = operations
        if entry is not None or operations:
            self._add(step if entry is not None else {**step, "kind": "effect", "text": ""})
        for rank, commit in self._chronicle.commits():
            committed = {"n": self._watch.number, "at": self._watch.at_ms, "kind": "commit", "rank": rank}
            self._add({**committed, "text": commit["text"]})

    def _begin(self) -> None:
        known = self._watch.kernel.agents
        agents = [
            {"rank": agent.rank, "name": agent.name, "order": agent.order, "phase": agent.phase.value}
            for agent in known.values()
        ]
        self._orders = {rank: agent.order for rank, agent in known.items()}
        step = {"n": self._watch.first, "at": None, "kind": "begin", "agents": agents}
        why = "left out" if self._cut else "not there any more"
        step |= {"text": f"records 1 to {self._watch.first} are {why}", **self._about.begin()}
        self._add(step)

    def _moved_orders(self) -> list[tuple[Rank, int]]:
        now = {rank: agent.order for rank, agent in self._watch.kernel.agents.items() if not agent.ended}
        moved = [(rank, order) for rank, order in now.items() if self._orders.get(rank) != order]
        self._orders.update(moved)
        return moved

    def _add(self, step: dict[str, Any]) -> None:
        self._spool.add(json.dumps(step, separators=(",", ":")).encode())
        self._numbers.append(step["n"])

    # ---- telling -------------------------------------------------------------------------------------------

    def steps(self, after: int = 0, most: int | None = None) -> list[dict[str, Any]]:
        """Return the steps after a number, oldest first.

        Args:
            after: The number of the step after which to begin; 0: at the first.
            most: How many at the most.
        """
        return [json.loads(text) for text in self.texts(after, most)]

    def texts(self, after: int = 0, most: int | None = None) -> list[bytes]:
        """Return the same as JSON texts."""
        first = bisect_right(self._numbers, after)
        if after <= 0:
            first = 0
        end = len(self._numbers) if most is None else min(first + most, len(self._numbers))
        while first < end < len(self._numbers) and self._numbers[end] == self._numbers[end - 1]:
            end += 1  # in format 1, a commit has the number of the event that it follows from
        return list(self._spool.between(first, end))

    def between(self, first: int, end: int) -> list[dict[str, Any]]:
        """Return steps by their places in the story, counted from 0; `len` of the story is the end.

        For whoever follows step by step: several may have one number.
        """
        return [json.loads(text) for text in self._spool.between(first, end)]

    def close(self) -> None:
        """Release the log and what was kept."""
        self._watch.close()
        self._spool.close()
        self.values.close()


def _named(url: str) -> str:
    """Return what to call a log: its file, or the folder whose domain it is."""
    parts = url.partition(":")[2].split("?")[0].split("/")
    return parts[-3] if len(parts) > 2 and parts[-2] == HOME and parts[-3] else parts[-1]

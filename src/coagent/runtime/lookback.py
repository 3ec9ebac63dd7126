"""Where in a log the last events of an agent, or about an object, are: by the words of its records alone.

To tell an event, all before it have to be taken from a checkpoint on, which costs a hundred times as much as
to look whether a record speaks of an agent or a key at all. So that is looked up first, backwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from coagent.protocol.calls import Rank

_SPECIAL = "*?["
_OF_A_CALL = ("CallUndone", "CallReversed", "ReversalFailed")
"""What is told with the keys of its call, which its record does not name."""


class Lookback:
    """Finds the records that may be about an agent, or about an object; some of them turn out not to be.

    Args:
        records: The numbers and texts of the records, newest first.
        agent: The agent's name; None: any.
        key: An object, a prefix that ends in "/" or ":", or a glob; None: any.
        names: The agents that are known already, by rank.
    """

    def __init__(
        self,
        records: Iterator[tuple[int, str]],
        agent: str | None,
        key: str | None,
        names: Mapping[int, str],
    ) -> None:
        self._records = records
        self._agent = agent
        self._words = None if key is None else _words(key)
        self.names: dict[int, str] = dict(names)
        """The agents that the records name which were looked at, by rank, and those that were known."""
        self._own_calls = None if agent is None else f"{json.dumps(agent)[:-1]}."
        self._found: list[int] = []
        self._told: dict[int, tuple[int, str]] = {}  # notices by rank, if the object is named before them
        self._unknown: dict[int, list[int]] = {}  # of agents whose names stand further back, by rank
        self.exhausted = False
        """Whether every record has been looked at."""

    def newest(self, count: int) -> list[int]:
        """Return the numbers of so many records that may be wanted, newest first; fewer if there are fewer.

        Raises:
            LogError: An archive is damaged.
        """
        while not self._settled(count):
            number, record = next(self._records, (0, ""))
            if not number:
                self.exhausted = True
                break
            try:
                self._take(number, record)
            except (ValueError, TypeError, IndexError):  # whoever reads it says what is wrong with it
                self._found.append(number)
        return self._found[:count]

    def _settled(self, count: int) -> bool:
        if len(self._found) < count:
            return False
        self._found.sort(reverse=True)
        least = self._found[count - 1]
        unsure = [
            *(numbers[0] for numbers in self._unknown.values()),
            *(told for told, _ in self._told.values()),
        ]
        return not any(number > least for number in unsure)

    def _take(self, number: int, record: str) -> None:
        kind, _, rest = record[record.index('"') + 1 :].partition('",')
        if kind == "Joined":
            name, rank = json.loads(f"[{rest}")[:2]
            self.names[rank] = name
            pending = self._unknown.pop(rank, [])
            if name == self._agent:
                self._found += pending
        if self._words is None or self._speaks_of_it(number, kind, rest, record):
            self._keep(number, kind, rest)

    def _speaks_of_it(self, number: int, kind: str, rest: str, record: str) -> bool:
        """Tell whether a record may be about the object.

        What an agent was told of is named by no record of a notice, but by one between it and the notice
        before: something has changed, or one of the agent's calls has run again.
        """
        assert self._words is not None
        named = any(map(record.__contains__, self._words))
        if named:
            for told, text in self._told.values():
                self._keep(told, "NoticesDelivered", text)
            self._told.clear()
        if kind == "NoticesDelivered" and not named:
            self._told[_rank_in(rest)] = (number, rest)
        elif kind == "Joined":
            self._told.pop(json.loads(f"[{rest}")[1], None)
        return named or kind in _OF_A_CALL

    def _keep(self, number: int, kind: str, rest: str) -> None:
        """Keep a record, if it is of the agent that is asked for."""
        if self._own_calls is None:
            self._found.append(number)
        elif kind == "Joined":
            self._found += [number] if json.loads(f"[{rest}")[0] == self._agent else []
        elif rest.startswith('"'):
            self._found += [number] if rest.startswith(self._own_calls) else []
        else:
            rank = _rank_in(rest)
            if rank not in self.names:
                self._unknown.setdefault(rank, []).append(number)
            elif self.names[rank] == self._agent:
                self._found.append(number)


def _rank_in(rest: str) -> Rank:
    """Return the rank with which a record goes on after its kind."""
    return Rank(int(rest[: min(at for at in (rest.find(","), rest.find("]")) if at > 0)]))


def _words(key: str) -> list[str]:
    """Return texts of which one at least stands in each record about a key, or about a range above it."""
    special = min((at for at in map(key.find, _SPECIAL) if at >= 0), default=len(key))
    above = [key[: at + 1] for at, character in enumerate(key) if character in "/:"]
    return [json.dumps(key[:special])[1:-1], *map(json.dumps, above)]

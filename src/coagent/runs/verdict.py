"""Is the live state the serial one? Judged by running the committed calls again, one agent after another.

The calls run over a dict of the values from before the run; the live targets are only read, for objects that
nobody wrote. Every call must return what it returned in the run, and the dict must end as the targets did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, to_jsonable_python

from coagent.errors import CoAgentError
from coagent.masking.mask import Mask
from coagent.protocol.calls import Position, Rank, parsed_call_id, position_of
from coagent.protocol.keys import Key
from coagent.protocol.merging import merge
from coagent.protocol.values import UNLOADED, Value, copied, same, selected
from coagent.runs.history import History, OutsideChange, RecordedCall
from coagent.runtime.domain import Domain
from coagent.runtime.reader import Targets
from coagent.tools.native import NativeTool
from coagent.tools.state import State

_ORDERED = ("mtpo", "serial")
"""The protocols that fix the order when the agents join."""
_PERMUTED_MAX = 5


@dataclass(frozen=True)
class Verdict:
    """The judgement on a run.

    Args:
        kind: "serial": the calls and the state are those of the agents one after another, in `order`. "not
            serial": `reason` names the first difference. "unknown": `reason` says why it cannot be told.
        calls: How many calls were compared.
        order: The names of the agents, in the order that was looked at.
    """

    kind: Literal["serial", "not serial", "unknown"]
    reason: str = ""
    calls: int = 0
    order: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


class _Ended(Exception):
    def __init__(self, kind: Literal["not serial", "unknown"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


async def judge(domain: Domain, history: History) -> Verdict:
    """Judge a run that has come to its end.

    MTPO promises the order of the ranks, or with early commits that of the commits, so only that one will do.
    The other protocols promise no order in advance: first that of the commits is tried, then (for up to five
    agents) every other one.

    Args:
        domain: The domain, still open: its tools run again, and its targets are read.
        history: Of all that happened in it since the first agent joined.
    """
    tried: list[Verdict] = []
    for order in _orders(domain, history):
        verdict = await _judge_in(order, domain, history)
        if verdict.kind == "serial":
            return verdict
        tried.append(verdict)
    first = tried[0]
    if len(tried) == 1 or first.kind == "unknown":
        return first
    return replace(first, reason=f"in none of {len(tried)} orders of the agents; {first.reason}")


async def _judge_in(order: Sequence[Rank], domain: Domain, history: History) -> Verdict:
    replay = _Replay(domain, history)
    names = tuple(history.agents[rank].name for rank in order if not history.agents[rank].aborted)
    try:
        await replay.run(order)
        await replay.compare_live()
    except _Ended as ended:
        return Verdict(ended.kind, ended.reason, replay.compared, names)
    except CoAgentError as error:
        return Verdict("unknown", f"a target could not be read: {error}", replay.compared, names)
    return Verdict("serial", "", replay.compared, names)


def _orders(domain: Domain, history: History) -> Iterator[Sequence[Rank]]:
    ranks = sorted(history.agents)
    ended = [*history.committed, *(rank for rank in ranks if rank not in history.committed)]
    if domain.protocol in _ORDERED:
        yield ranks if domain.order == "fixed" else ended
        return
    yield ended
    if len(ended) <= _PERMUTED_MAX:
        yield from (order for order in permutations(ended) if list(order) != ended)


class _SerialReader:
    """The state of the serial run: a dict of what was written, above the targets for all the rest."""

    def __init__(self, targets: Targets, values: dict[Key, Value]) -> None:
        self._targets = targets
        self.volatile = targets.volatile
        self.values = values
        self.position: Position = position_of(0, 0)
        self.rank = Rank(0)
        self.read_volatile = False
        self.owned: set[Key] = set()

    def canonical(self, key: str) -> Key:
        if key[: key.find(":")] in self.volatile:
            self.read_volatile = True
        return self._targets.of(key).canonical(key)

    def literal(self, key: str) -> Key:
        return self._targets.of(key).literal(key)

    def find(self, key: str) -> tuple[Key, Value]:
        return self.canonical(key), UNLOADED

    async def read(self, key: Key) -> Value:
        if key in self.values:
            return self.values[key]
        return await self._targets.of(key).get(key)

    async def keys(self, prefix: str) -> Mapping[Key, Value]:
        listing = dict(await self._targets.of(prefix).list(prefix))
        for key, value in self.values.items():
            if key.startswith(prefix):
                listing[key] = value
                if value is None:
                    del listing[key]
        return listing

    def written(self, prefix: str) -> Mapping[Key, Value]:
        return {key: value for key, value in self.values.items() if key.startswith(prefix)}

    def writers(self, prefix: str) -> Mapping[Key, Position | None]:
        return dict.fromkeys(self.written(prefix))

    def own(self, *prefixes: str) -> frozenset[Key]:
        return frozenset(key for key in self.owned if key.startswith(prefixes))

    async def load(self, keys: list[Key]) -> Mapping[Key, Value]:
        missing = [key for key in keys if key not in self.values]
        found = dict(await self._targets.of(missing[0]).get_many(missing)) if missing else {}
        return {key: found[key] if key in found else self.values[key] for key in keys}


class _Replay:
    def __init__(self, domain: Domain, history: History) -> None:
        self._domain = domain
        self._history = history
        self._targets = domain.targets
        self._mask = history.mask
        self.compared = 0
        self._volatile = False
        initial = {key: history.initial.get(key) for key in history.written}
        self._reader = _SerialReader(self._targets, initial)

    async def run(self, order: Sequence[Rank]) -> None:
        """Run the agents' calls again, one agent after another."""
        unknown = self._history.written - self._history.initial.keys()
        if unknown:
            raise _Ended("unknown", f"nobody saw what {min(unknown)} was before the run")
        below = [change for change in self._history.outside if change.rank is None]
        done: set[Rank] = set()
        for rank in order:
            while below and below[0].after <= done:
                change = below.pop(0)
                self._reader.values[change.key] = change.found
            self._reader.owned = set()
            self._reader.rank = rank
            above = [change for change in self._history.outside if change.rank == rank]
            for call in self._history.agents[rank].standing():
                parsed = parsed_call_id(call.call_id)
                assert parsed is not None, "recorded calls have ids"
                self._apply_edits(above, parsed[1])
                self._reader.position = position_of(rank, parsed[1])
                await self._call(call)
            self._apply_edits(above, None)
            done.add(rank)
        for change in below:
            self._reader.values[change.key] = change.found

    def _apply_edits(self, changes: list[OutsideChange], before: int | None) -> None:
        """Make the changes of outsiders that count before a call of an agent; None: all that are left."""
        while changes and (before is None or changes[0].sequence < before):
            change = changes.pop(0)
            now = self._reader.values.get(change.key)
            self._reader.values[change.key] = merge(change.saw, change.found, now).value

    async def compare_live(self) -> None:
        """Compare what the serial run leaves with what the targets hold."""
        for key, expected in sorted(self._reader.values.items()):
            if self._targets.of(key).unseen(key):
                continue
            live = await self._targets.of(key).get(key)
            if not same(live, expected):
                found, wanted = _both(_brief(self._mask, live, key), _brief(self._mask, expected, key))
                what = f"{key} is {found}, and one after another it would be {wanted}"
                if self._volatile:
                    raise _Ended("unknown", f"{what}; but a call read what the environment owns")
                raise _Ended("not serial", what)

    async def _call(self, call: RecordedCall) -> None:
        assert call.observation is not None, "only calls that ran stand"
        tool: Any = self._domain.tools.get(call.tool)
        self._reader.read_volatile = False
        if call.observation.declared:
            raise _Ended(
                "unknown", f"call {call.call_id} used {call.tool!r}, which cannot run apart from its system"
            )
        if call.irreversible or call.refused:
            await self._compare_premises(call)
            writes = {} if call.dormant else call.observation.writes
        elif tool is not None and tool.kind == "native":
            writes = await self._run_again(call, tool)
        else:
            raise _Ended("unknown", f"call {call.call_id} used {call.tool!r}, which is not here to run again")
        self._reader.values.update(writes)
        self._reader.owned.update(writes)
        self.compared += 1

    async def _run_again(self, call: RecordedCall, tool: NativeTool) -> Mapping[Key, Value]:
        seen = call.observation
        assert seen is not None
        state = State(self._reader, seen.prepared)
        try:
            value, error = _plain(await tool.run(state, tool.arguments.checked(call.arguments))), None
            for key, written in state.writes.items():
                target = self._targets.of(key)
                if target.admits:
                    state.writes[key] = await target.admit(key, written, partial(self._reader.read, key))
        except _Ended:
            raise
        except Exception as failure:
            value, error = None, _told(failure)
        if self._reader.read_volatile:
            self._volatile = True
        elif error != seen.error or not same(value, seen.value):
            shown = self._mask.arguments(call.arguments, seen.writes)
            arguments = ", ".join(
                f"{name}={_brief(self._mask, argument)}" for name, argument in shown.items()
            )
            then, now = _both(self._end(call, seen.value, seen.error), self._end(call, value, error))
            raise _Ended(
                "not serial",
                f"call {call.call_id}, {call.tool}({arguments}), {then}, "
                f"and one after another it would have {now}",
            )
        return {} if call.dormant or error is not None else state.writes

    def _end(self, call: RecordedCall, value: Value, error: str | None) -> str:
        if error is not None:
            return f"failed ({_brief(self._mask, error)})"
        return f"returned {_brief(self._mask, self._mask.result(value, call.arguments))}"

    async def _compare_premises(self, call: RecordedCall) -> None:
        """Check a call that cannot run again: with equal premises it would have done what it did."""
        assert call.observation is not None
        state = State(self._reader)
        for (key, selector), seen in call.observation.reads.items():
            now = selected(await self._reader.read(key), selector)
            if not same(now, seen):
                before, after = _both(_brief(self._mask, seen, key), _brief(self._mask, now, key))
                raise _Ended(
                    "not serial",
                    f"call {call.call_id}, {call.tool}, saw {key} as {before}, "
                    f"and one after another it would have seen {after}",
                )
        for scan, seen in call.observation.scans.items():
            if scan.selector is None:
                await state.list(scan.prefix, glob=scan.glob)
            else:
                await state.select(scan.prefix, scan.selector, glob=scan.glob)
            if not same(state.scans[scan], seen):
                raise _Ended(
                    "not serial", f"call {call.call_id}, {call.tool}, saw other objects under {scan.prefix}"
                )


def _plain(result: Any) -> Value:
    try:
        return copied(result)
    except TypeError:
        pass
    try:
        return copied(to_jsonable_python(result))
    except (PydanticSerializationError, TypeError) as error:
        raise _Ended("unknown", f"a tool returned what is not plain data: {error}") from error


def _told(failure: Exception) -> str:
    """Return a failure in the words in which agents are told of it."""
    if isinstance(failure, CoAgentError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__


def _both(one: str, other: str) -> tuple[str, str]:
    """Return two values that are not the same, as they are shown; where they look the same, say so."""
    return one, f"{other}, which differs in what is masked" if one == other else other


def _brief(mask: Mask, value: Value, key: str = "") -> str:
    if value is None or value is UNLOADED:
        return "absent"
    return mask.brief(value, key=key, quoted=True)

"""A system that nobody can see into, and the declared tools of the simulated world that work in it.

The serial oracle runs the same tools over a system of its own. What the system watches over by itself: nobody
else may touch what a tool is at work on, and what is taken back must be there as that call has left it.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

from coagent.errors import TargetUnavailable
from coagent.tools.declared import DeclaredTool
from coagent.tools.intent import idempotency_key
from coagent_lab.sim.tools import MODULUS, Refused, has_run, outbox, paused, ran

SCHEME = "api:"
SENT = "api:sent/"
"""Under it, what irreversible tools leave: one object an agent, which nobody else reads."""

FINAL_KINDS = ("dispatch", "hand_over")
"""The irreversible ones."""

Objects: TypeAlias = dict[str, Any]


class _Reversed(NamedTuple):
    """A run that was taken back."""

    tool: str
    arguments: Mapping[str, Any]
    prepared: Any


class Remote:
    """The system.

    Args:
        objects: What it holds at first.
    """

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.objects: Objects = {key: value for key, value in objects.items() if key.startswith(SCHEME)}
        self.before = dict(self.objects)
        self.faults: list[str] = []
        """What was done to it that nobody may do."""
        self.failing: Callable[[str], bool] = lambda phase: False
        """Tells whether it fails just now: at "exec", "again" where it has acted, or at "reverse"."""
        self.prepared: dict[str | None, Objects] = {}
        """What it held before a run, by idempotency key."""
        self.taken_back: dict[str, tuple[_Reversed, Objects]] = {}
        """The last thing done to an object, where that was a reversal, and what was there before it."""
        self.reason = ""
        """Why it fails."""
        self.note: Callable[[str], None] = lambda text: None
        """Hears what happens to it."""
        self._writing: list[set[str]] = []
        self._reading: list[set[str]] = []

    @contextmanager
    def alone(self, what: str, reads: set[str], writes: set[str]) -> Iterator[None]:
        """Be at work on objects, which nobody else may be meanwhile."""
        if any(one & (reads | writes) for one in self._writing) or any(one & writes for one in self._reading):
            self.faults.append(f"{what} ran while another call was at work on {sorted(reads | writes)}")
        self._writing.append(writes)
        self._reading.append(reads)
        self.note(f"{what} begins on {sorted(reads | writes)}")
        try:
            yield
        finally:
            self.note(f"{what} ends: {self.objects}")
            self._writing.remove(writes)
            self._reading.remove(reads)

    def mend(self, key: str, tool: str, arguments: Mapping[str, Any], prepared: Any) -> None:
        """Do what a person does who is told that nobody knows whether a call was reversed: it was not.

        Args:
            key: An object that it has touched, or what such objects lie under.
            tool: What was called.
            arguments: With what.
            prepared: What it was to be taken back by.
        """
        it = _Reversed(tool, arguments, prepared)
        # Who changes a whole folder says so by the folder's name, under which no object is stored.
        under = [
            one for one in self.taken_back if one == key or (key.endswith((":", "/")) and one.startswith(key))
        ]
        for one in under:
            reversed_, before = self.taken_back.get(one, (None, {}))
            if reversed_ == it:  # else it was another one
                self.store(before)

    def store(self, objects: Mapping[str, Any]) -> None:
        """Take values; None deletes an object."""
        for key in objects:
            self.taken_back.pop(key, None)
        for key, value in objects.items():
            if value is None:
                self.objects.pop(key, None)
            else:
                self.objects[key] = copy.deepcopy(value)


remote: ContextVar[Remote] = ContextVar("remote")
"""The system that tools work in."""


class _Plan(NamedTuple):
    """What one call does.

    Args:
        keys: The objects that it changes; None: all but those under `SENT`.
        change: Given those, returns which it leaves and the call's result.
    """

    keys: tuple[str, ...] | None
    change: Callable[[Objects], tuple[Objects, Any]]

    def now(self) -> Objects:
        """Return what the system holds of them."""
        objects = remote.get().objects
        keys = self.keys or [key for key in objects if not key.startswith(SENT)]
        return {key: copy.deepcopy(objects.get(key)) for key in keys}


async def _read(keys: set[str], result: Callable[[Objects], Any]) -> Any:
    system = remote.get()
    with system.alone("a read", keys, set()):
        await paused()
        value = result(copy.deepcopy(system.objects))
        await paused()
    return value


async def _act(name: str, plan: _Plan) -> Any:
    system = remote.get()
    now = plan.now()
    with system.alone(name, set(), set(now)):
        await paused()
        if has_run():
            if system.failing(
                "again"
            ):  # not to answer is all it can do: it will not say that it has not acted
                raise TargetUnavailable(f"the system does not answer: {system.reason}")
            return ran(None)
        if system.failing("exec"):
            raise Refused(f"the system does not answer: {system.reason}")
        before = copy.deepcopy(now)
        left, result = plan.change(now)
        await paused()
        system.store(left)
        system.prepared[idempotency_key()] = before
        ran(result)
        await paused()
    return result


def _declared(
    exec: Callable[..., Awaitable[Any]],
    plan: Callable[..., _Plan],
    writes: list[str],
    reads: tuple[str, ...] = (),
) -> DeclaredTool:
    async def prepare(**arguments: Any) -> Any:
        if has_run():  # what was there before it is what an undo needs
            return remote.get().prepared[idempotency_key()]
        return plan(**arguments).now()

    async def reverse(prepared: Any, result: Any, **arguments: Any) -> None:
        system = remote.get()
        name = f"the reverse of {exec.__name__}{arguments}"
        with system.alone(name, set(), set(prepared)):
            for key in prepared:
                system.taken_back.pop(key, None)
            await paused()
            if system.failing("reverse"):
                raise Refused(f"the system does not take it back: {system.reason}")
            left, _ = plan(**arguments).change(copy.deepcopy(prepared))
            found = {key: system.objects.get(key) for key in left}
            before = {key: prepared.get(key) for key in left}
            if found not in (left, before):  # the latter where whoever was about to reverse it has died
                system.faults.append(f"{name} found {found} in the place of {left}")
            await paused()
            system.store(before)
            taken_back = _Reversed(exec.__name__, arguments, prepared), left
            system.taken_back |= dict.fromkeys(left, taken_back)
            await paused()

    return DeclaredTool(exec, reads=reads, writes=writes, prepare=prepare, reverse=reverse)


# ---- tools that read ---------------------------------------------------------------------------------------


async def fetch(path: str) -> Any:
    """Read an object."""
    return await _read({SCHEME + path}, lambda objects: objects.get(SCHEME + path))


async def survey(folder: str) -> Any:
    """List a folder."""
    prefix = f"{SCHEME}{folder}/"
    return await _read(set(), lambda objects: sorted(key for key in objects if key.startswith(prefix)))


# ---- tools that write --------------------------------------------------------------------------------------


def _setting(path: str, value: Any) -> _Plan:
    return _Plan((SCHEME + path,), lambda now: ({SCHEME + path: value}, "ok"))


async def set_at(path: str, value: Any) -> Any:
    """Write an object, whatever it was."""
    return await _act("set_at", _setting(path, value))


def _raising(path: str, field: str, amount: int) -> _Plan:
    key = SCHEME + path

    def change(now: Objects) -> tuple[Objects, Any]:
        document = now[key] or {"n": 0, "m": 0}
        document[field] = (document.get(field, 0) * 3 + amount) % MODULUS
        return {key: document}, document[field]

    return _Plan((key,), change)


async def raise_at(path: str, field: str, amount: int) -> Any:
    """Change one field of an object by what it is."""
    return await _act("raise_at", _raising(path, field, amount))


async def raise_quietly(path: str, field: str, amount: int) -> Any:
    """As `raise_at`, but it tells nothing."""
    await _act("raise_quietly", _raising(path, field, amount))
    return "ok"


def _making(path: str, value: Any) -> _Plan:
    key = SCHEME + path

    def change(now: Objects) -> tuple[Objects, Any]:
        if now[key] is not None:
            raise Refused(f"{key} exists")
        return {key: value}, "made"

    return _Plan((key,), change)


async def make(path: str, value: Any) -> Any:
    """Create an object; fails where there is one."""
    return await _act("make", _making(path, value))


def _dropping(path: str) -> _Plan:
    key = SCHEME + path

    def change(now: Objects) -> tuple[Objects, Any]:
        if now[key] is None:
            raise Refused(f"there is no {key}")
        return {key: None}, now[key]

    return _Plan((key,), change)


async def drop(path: str) -> Any:
    """Delete an object; fails where there is none."""
    return await _act("drop", _dropping(path))


def _transferring(path: str, to: str) -> _Plan:
    source, target = SCHEME + path, SCHEME + to

    def change(now: Objects) -> tuple[Objects, Any]:
        if now[source] is None:
            raise Refused(f"there is no {source}")
        return {source: None, target: now[source]}, "transferred"

    return _Plan((source, target), change)


async def transfer(path: str, to: str) -> Any:
    """Move an object over another one; fails where there is none."""
    return await _act("transfer", _transferring(path, to))


def _overhauling(amount: int) -> _Plan:
    def change(now: Objects) -> tuple[Objects, Any]:
        documents = {key: value for key, value in now.items() if isinstance(value, dict)}
        for document in documents.values():
            document["n"] = (document.get("n", 0) * 2 + amount) % MODULUS
        return documents, len(documents)

    return _Plan(None, change)


async def overhaul(amount: int) -> Any:
    """Change every object of the system."""
    return await _act("overhaul", _overhauling(amount))


# ---- irreversible tools ------------------------------------------------------------------------------------


async def _send(agent: str, text: str, path: str) -> Any:
    system = remote.get()
    key = SENT + agent
    with system.alone("a dispatch", {SCHEME + path}, {key}):
        await paused()
        seen = copy.deepcopy(system.objects.get(SCHEME + path))
        if not has_run():
            outbox.get().append((agent, text, seen))
            system.store({key: [*system.objects.get(key, ()), text]})
            ran(seen)
        await paused()
    return ran(seen)


async def dispatch(agent: str, text: str, path: str) -> Any:
    """Send word of an object, at commit."""
    await _send(agent, text, path)
    return "sent"


async def hand_over(agent: str, text: str, path: str) -> Any:
    """Send word of an object, once it is final."""
    return await _send(agent, text, path)


DECLARED_TOOLS: list[DeclaredTool] = [
    DeclaredTool(fetch, reads=["api:{path:path}"]),
    DeclaredTool(survey, reads=["api:{folder}/"]),
    _declared(set_at, _setting, ["api:{path:path}"]),
    _declared(raise_at, _raising, ["api:{path:path}"]),
    _declared(raise_quietly, _raising, ["api:{path:path}"]),
    _declared(make, _making, ["api:{path:path}"]),
    _declared(drop, _dropping, ["api:{path:path}"]),
    _declared(transfer, _transferring, ["api:{path:path}", "api:{to:path}"]),
    _declared(overhaul, _overhauling, ["api:"]),
    DeclaredTool(dispatch, reads=["api:{path:path}"], writes=["api:sent/{agent}"], gate="stage"),
    DeclaredTool(hand_over, reads=["api:{path:path}"], writes=["api:sent/{agent}"], gate="wait"),
]
"""Everything that agents may do there."""

DECLARED_KINDS = (
    "fetch", "survey", "set_at", "raise_at", "raise_quietly", "make", "drop", "transfer", "overhaul",
    *FINAL_KINDS,
)  # fmt: skip

"""The world of the scenarios: a shelf that can fail, a bank that nobody can see into, an outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from coagent import DeclaredTool, State, TargetError, TargetUnavailable, ToolFailed, tool
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.targets import Memory


class Killed(BaseException):
    """The process of a run has ended."""


class Shelf(Memory):
    """Objects in memory, in one place however many processes look at it.

    Args:
        initial: Name to value.
    """

    instant = False  # it may be away
    replicate: Callable[[Key, Value], None] | None = None  # type: ignore[assignment]  # it has no copies

    def __init__(self, initial: dict[str, Value]) -> None:
        super().__init__({f"kv:{name}": value for name, value in initial.items()}, schemes=("kv",))
        self.away = False
        self.refuses: Key | None = None
        """The object that it will not change any more."""

    async def get(self, key: Key) -> Value:
        self._answer()
        return await super().get(key)

    async def list(self, prefix: str) -> dict[Key, Value]:
        self._answer()
        return await super().list(prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        self._answer()
        if key == self.refuses and not same(self._objects.get(key), value):
            raise TargetError(f"{key!r} may not be changed")
        await super().put(key, value, expected=expected)

    def _answer(self) -> None:
        if self.away:
            raise TargetUnavailable("the shelf is away", "Wait until it is back.", by_itself=False)


class World:
    """What there is besides agents: the shelf, the bank's accounts, and what was sent.

    Args:
        initial: What lies on the shelf, by name.
    """

    def __init__(self, initial: dict[str, Value]) -> None:
        self.shelf = Shelf(initial)
        self.accounts: dict[str, int] = {}
        self.sent: list[str] = []
        self.hangs = False
        """Whether what is irreversible is begun and does not end."""
        self.killed = anyio.Event()
        """Ends what hangs, as the end of its process would."""
        self.tools = [get, field, names, put, drop, add, copy, edit, *self._irreversible(), self._deposit()]

    def snapshot(self) -> dict[str, Value]:
        """Return the live state."""
        accounts = {f"bank:{name}": amount for name, amount in sorted(self.accounts.items())}
        return {**self.shelf.snapshot(), **accounts}

    def _irreversible(self) -> list[Any]:
        @tool(effect="irreversible", gate="stage")
        async def mail(state: State, to: str, name: str) -> str:
            """Mail the value of an object to somebody, when the agent commits."""
            await self._send(f"mail to {to}: {await state.get(f'kv:{name}')}")
            return "sent"

        @tool(effect="irreversible", gate="stage")
        async def launch(state: State, name: str) -> str:
            """Launch something when the agent commits, and write that down."""
            await self._send(f"launched: {name}")
            await state.put("kv:launched", name)
            return "launched"

        @tool(effect="irreversible", gate="wait")
        async def pay(state: State, name: str) -> str:
            """Pay what an object says, as soon as nobody before can change it, and leave a receipt."""
            amount = await state.get(f"kv:{name}")
            await self._send(f"paid: {amount}")
            await state.put("kv:receipt", amount)
            return "paid"

        return [mail, launch, pay]

    async def _send(self, message: str) -> None:
        self.sent.append(message)
        if self.hangs:
            await self.killed.wait()
            raise Killed

    def _deposit(self) -> DeclaredTool:
        async def before(account: str, amount: int) -> int | None:
            return self.accounts.get(account)

        async def deposit(account: str, amount: int) -> int:
            """Put money into an account, and return what is in it."""
            self.accounts[account] = self.accounts.get(account, 0) + amount
            return self.accounts[account]

        async def reverse(prepared: int | None, result: int, account: str, amount: int) -> None:
            if prepared is None:
                del self.accounts[account]
            else:
                self.accounts[account] = prepared

        return DeclaredTool(deposit, writes=["bank:{account}"], prepare=before, reverse=reverse)


@tool
async def get(state: State, name: str) -> Any:
    """Read an object."""
    return await state.get(f"kv:{name}")


@tool
async def field(state: State, name: str, path: str) -> Any:
    """Read one field of an object."""
    return await state.get(f"kv:{name}", path=path)


@tool
async def names(state: State) -> list[str]:
    """List what is on the shelf."""
    return [key.removeprefix("kv:") for key in await state.list("kv:")]


@tool
async def put(state: State, name: str, value: Any) -> str:
    """Write an object, whatever it was."""
    await state.put(f"kv:{name}", value)
    return "ok"


@tool
async def drop(state: State, name: str) -> str:
    """Delete an object, whatever it was."""
    await state.delete(f"kv:{name}")
    return "ok"


@tool
async def add(state: State, name: str, amount: int) -> int:
    """Add to a number, and return the sum."""
    found = await state.get(f"kv:{name}")
    if found is None:
        raise ToolFailed(f"there is no {name}")
    await state.put(f"kv:{name}", found + amount)
    return int(found + amount)


@tool
async def copy(state: State, name: str, to: str) -> Any:
    """Write the value of one object into another one."""
    found = await state.get(f"kv:{name}")
    await state.put(f"kv:{to}", found)
    return found


@tool
async def edit(state: State, name: str, old: str, new: str) -> str:
    """Replace a piece of a text."""
    text = await state.get(f"kv:{name}")
    if not isinstance(text, str) or old not in text:
        raise ToolFailed(f"{name} does not hold {old!r}")
    await state.put(f"kv:{name}", text.replace(old, new))
    return "ok"

"""The live systems of the simulation."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.runtime.clock import RealClock, VirtualClock
from coagent.runtime.domain import Domain
from coagent.targets.base import Target
from coagent.targets.memory import Memory
from coagent_lab.sim.world import Dialect

SCHEMES = ("kv", "txt", "hdr")


class Crowded(RealClock):
    """A clock that lets everybody think at the same time: a second is one turn of the event loop."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def sleep(self, seconds: float) -> None:
        for _ in range(self._rng.randint(0, int(seconds))):
            await anyio.lowlevel.checkpoint()


class Still(VirtualClock):
    """A clock on which no time passes, so that nothing happens because time has passed."""

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    async def wait(self, event: anyio.Event) -> None:
        await event.wait()


class Witness(Protocol):
    """Who is told what becomes of the objects of a target."""

    def put(self, key: str, value: Value, before: Value) -> None:
        """Take it that the domain has put a value."""

    def outside(self, key: str, before: Value, after: Value) -> None:
        """Take it that somebody outside has."""


class Witnessed(Memory):
    """Memory that tells a witness who has changed what."""

    def __init__(self, initial: Mapping[str, Value]) -> None:
        super().__init__(initial, schemes=SCHEMES)
        self.witness: Witness | None = None

    def held(self, key: str) -> Value:
        """Return what it holds of an object; nobody has read that."""
        return self._objects.get(Key(key))

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        before = self.held(key)
        await super().put(key, value, expected=expected)
        if self.witness is not None:
            self.witness.put(key, value, before)

    def outside(self, key: str, value: Value) -> None:
        before = self.held(key)
        super().outside(key, value)
        if self.witness is not None:
            self.witness.outside(Key(key), before, value)


class Slow(Memory):
    """Memory that lets other tasks run before and after it answers, as a system behind a network does."""

    def __init__(self, initial: Mapping[str, Value], rng: random.Random) -> None:
        super().__init__(initial, schemes=SCHEMES)
        self._rng = rng

    async def _pause(self) -> None:
        for _ in range(self._rng.choice((0, 1, 2, 5))):
            await anyio.lowlevel.checkpoint()

    async def get(self, key: Key) -> Value:
        await self._pause()
        value = await super().get(key)
        await self._pause()
        return value

    async def list(self, prefix: str) -> dict[Key, Value]:
        await self._pause()
        found = await super().list(prefix)
        await self._pause()
        return found

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self._pause()
        await super().put(key, value, expected=expected)
        await self._pause()


class Systems:
    """Makes targets of one dialect, over a system that many runs use one after another.

    Args:
        dialect: "memory"; "files": a directory; "kubernetes": the emulator.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._stack = ExitStack()
        self._directory: Path | None = None
        self._emulator: Any = None
        self._before: set[Key] = set()

    def __enter__(self) -> Systems:
        if self.dialect != "memory":
            self._directory = directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        if self.dialect == "kubernetes":
            from kube_emulator import Emulator

            self._emulator = self._stack.enter_context(Emulator())
            self._kubeconfig = self._emulator.write_kubeconfig(directory / "kubeconfig")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def reset(self, initial: Mapping[str, Value]) -> dict[str, Value]:
        """Make the system hold the initial state; returns what it holds then."""
        if self.dialect == "memory":
            return dict(initial)
        if self.dialect == "files":
            assert self._directory is not None
            for path in self._directory.iterdir():
                shutil.rmtree(path)
            for key, text in initial.items():
                path = self._directory / key.partition(":")[2]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return dict(initial)
        target = self.target({})
        held = target.snapshot("k8s:default/configmaps/")
        for key in {*held, *initial}:
            if key in initial or key.rpartition("/")[2] in "abcdef":
                await target.put(Key(key), initial.get(key), expected=[held.get(key)])
        await target.close()
        return target.snapshot("k8s:default/configmaps/")

    def target(self, initial: Mapping[str, Value]) -> Target:
        """Return a target over the system; each process has its own."""
        if self.dialect == "memory":
            return Memory(initial, schemes=SCHEMES)
        if self.dialect == "files":
            from coagent.systems.files.target import Files

            assert self._directory is not None
            return Files(self._directory)
        from coagent.systems.kubernetes.target import Kubernetes

        return Kubernetes(self._kubeconfig)

    async def snapshot(self, domain: Domain) -> dict[str, Value]:
        """Return the live state."""
        prefix = {"memory": "", "files": "file:", "kubernetes": "k8s:default/configmaps/"}[self.dialect]
        return domain.snapshot(prefix)

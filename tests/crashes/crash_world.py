"""What agents work on in a run that is killed: a live system, and others that cannot be fooled.

The live system holds small documents, in files, tables or a cluster. Beside it there is a post office, which
keeps every letter for ever, one file each; and a shop, of which each item is a list of who has booked it.
Neither knows anything of CoAgent but the names of runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from coagent import DeclaredTool, Probed, State, idempotency_key, targets, tool
from coagent.targets.base import Target

NAMES = ("x", "y", "z")
ITEMS = ("tea", "milk")
NATIVE = frozenset({"get", "put", "add", "copy", "drop", "names"})
UNDOABLE = frozenset({"book", "book_probed", "book_once"})
IRREVERSIBLE = frozenset(
    {"mail", "pay", "parcel", "courier", "transfer", "wire", "dispatch", "dispatch_probed"}
)
ONCE = frozenset({"transfer", "wire", "book_once"})
"""Those that act once for a name."""
PROBED = frozenset({"parcel", "courier", "dispatch_probed", "book_probed"})
"""Those whose systems can be asked."""


def digest(value: Any) -> int:
    """Return a number that stands for plain data."""
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


class System(NamedTuple):
    """The live system of a run.

    Args:
        kind: "files", "sqlite", "postgresql" or "kubernetes".
        place: A folder, a file, a URL, a kubeconfig.
        space: A schema or namespace; empty where there is none.
    """

    kind: str
    place: str
    space: str = ""

    @property
    def prefix(self) -> str:
        """Return what the keys of the objects begin with."""
        return {"files": "file:", "kubernetes": f"k8s:{self.space}/configmaps/"}.get(self.kind, "sql:things/")

    def target(self) -> Target:
        """Return a way to it, for one process."""
        if self.kind == "files":
            return targets.Files(self.place)
        if self.kind == "kubernetes":
            return targets.Kubernetes(self.place)
        if self.kind == "sqlite":
            return targets.Sql(f"sqlite:///{self.place}")
        return targets.Sql(self.place, schema=self.space)

    def object_of(self, name: str, document: dict[str, int] | None) -> Any:
        """Return a document as the system holds it."""
        if document is None:
            return None
        if self.kind == "files":
            return json.dumps(document, sort_keys=True) + "\n"
        if self.kind == "kubernetes":
            return {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": self.space},
                "data": {field: str(number) for field, number in document.items()},
            }
        return {"id": name, **document}

    def document_of(self, value: Any) -> dict[str, int] | None:
        """Return what `object_of` was made from."""
        if value is None:
            return None
        found = json.loads(value) if self.kind == "files" else value
        found = value["data"] if self.kind == "kubernetes" else found
        return {"n": int(found["n"]), "m": int(found["m"])}

    def documents(self) -> dict[str, dict[str, int] | None]:
        """Return what it holds, by name."""
        target = self.target()
        return {
            key.removeprefix(self.prefix): self.document_of(value)
            for key, value in target.snapshot(self.prefix).items()
            if key.removeprefix(self.prefix) in NAMES
        }


class Outside:
    """The post office and the shop.

    Args:
        folder: Where they keep their books.
        passing: Called with whether a stop would be fair there, before and after each thing that they do.
        busy: Told while a run must not be stopped: it has asked whether it may act, and has not acted yet.
    """

    def __init__(
        self,
        folder: Path,
        passing: Callable[[bool], None] = lambda may_stop: None,
        busy: Callable[[bool], None] = lambda busy: None,
    ) -> None:
        self._folder = folder
        self._passing = passing
        self._busy = busy
        for name in ("post", "drafts", "shop", "faults"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    # ---- the post office -----------------------------------------------------------------------------------

    def send(self, tool: str, agent: str, step: int, seen: Any) -> str:
        """Send a letter: it cannot be taken back, and is kept for ever."""
        name = idempotency_key() or "nameless"
        once = tool in ONCE
        self._passing(once)
        draft = self._folder / "drafts" / uuid4().hex
        draft.write_text(json.dumps({"tool": tool, "agent": agent, "step": step, "seen": seen, "name": name}))
        with contextlib.suppress(FileExistsError):  # it has acted for that name
            os.link(draft, self._folder / "post" / (name if once else f"{name}~{uuid4().hex}"))
        self._busy(False)
        self._passing(True)
        return "sent"

    def letters(self) -> list[dict[str, Any]]:
        """Return all that was ever sent."""
        return [json.loads(path.read_text()) for path in sorted((self._folder / "post").iterdir())]

    # ---- the shop ------------------------------------------------------------------------------------------

    @contextmanager
    def shop(self, item: str) -> Iterator[list[list[Any]]]:
        """Give who has booked an item, to be changed."""
        path = self._folder / "shop" / item
        with (self._folder / "shop.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = json.loads(path.read_text()) if path.exists() else []
            before = json.dumps(entries)
            yield entries
            if json.dumps(entries) != before:
                draft = self._folder / "drafts" / uuid4().hex
                draft.write_text(json.dumps(entries))
                draft.replace(path)

    def book(self, tool: str, agent: str, step: int, item: str) -> None:
        """Put somebody's name below the others'."""
        name = idempotency_key() or "nameless"
        self._passing(False)
        with self.shop(item) as entries:
            if tool not in ONCE or [agent, step, name] not in entries:
                if any(entry[:2] == [agent, step] for entry in entries):
                    self.fault(f"{agent} booked {item} twice at step {step}")
                entries.append([agent, step, name])
        self._busy(False)
        self._passing(True)

    def cancel(self, before: Any, agent: str, step: int, item: str) -> None:
        """Take a name away again, from below those that were there before."""
        self._passing(False)
        with self.shop(item) as entries:
            if before != [entry[:2] for entry in entries if entry[:2] != [agent, step]]:
                self.fault(
                    f"{agent} cancelled {item} at step {step}, before which there was {before}: {entries}"
                )
            mine = [entry for entry in entries if entry[:2] == [agent, step]]
            if not mine:
                self.fault(f"{agent} cancelled {item} at step {step}, which was not booked")
            elif entries[-1] != mine[-1]:
                self.fault(f"{agent} cancelled {item} at step {step} below {entries[-1]}")
            for entry in mine:
                entries.remove(entry)
        self._busy(False)
        self._passing(True)

    def make_up_for(self, name: str) -> None:
        """Take away by hand what the run of a name has booked."""
        for item in ITEMS:
            with self.shop(item) as entries:
                entries[:] = [entry for entry in entries if entry[2] != name]

    @contextmanager
    def desk(self) -> Iterator[bool]:
        """Be the person who decides, unless somebody else is."""
        with (self._folder / "desk").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def booked(self, item: str) -> list[list[Any]]:
        """Return who has booked an item."""
        with self.shop(item) as entries:
            return entries

    def fault(self, text: str) -> None:
        """Note what nobody may do."""
        (self._folder / "faults" / uuid4().hex).write_text(text)

    def faults(self) -> list[str]:
        """Return what was done that nobody may do."""
        return [path.read_text() for path in sorted((self._folder / "faults").iterdir())]

    def acted(self, tool: str, name: str) -> bool:
        """Tell whether the run of a name has had its effect."""
        if tool in UNDOABLE:
            return any(entry[2] == name for item in ITEMS for entry in self.booked(item))
        return any(letter["name"] == name for letter in self.letters())

    @contextmanager
    def acting(self, tool: str) -> Iterator[None]:
        """Run a tool that may not be stopped before it has acted, unless it acts once for a name."""
        self._busy(tool not in ONCE or tool in UNDOABLE)
        try:
            yield
        finally:
            self._busy(False)


def tools_of(system: System, outside: Outside) -> list[Any]:
    """Return the tools of a run."""
    return [*_native(system), *_letters(system, outside), *_bookings(outside), *_dispatches(outside)]


def _native(system: System) -> list[Any]:
    async def load(state: State, name: str) -> dict[str, int] | None:
        return system.document_of(await state.get(system.prefix + name))

    async def store(state: State, name: str, document: dict[str, int] | None) -> None:
        if document is None:
            await state.delete(system.prefix + name)
        else:
            await state.put(system.prefix + name, system.object_of(name, document))

    @tool
    async def get(state: State, name: str) -> Any:
        """Read a document."""
        return await load(state, name)

    @tool
    async def put(state: State, name: str, n: int) -> str:
        """Write a document, whatever it was."""
        await store(state, name, {"n": n, "m": n % 2})
        return "ok"

    @tool
    async def add(state: State, name: str, amount: int) -> int:
        """Change a document by what it is."""
        document = await load(state, name) or {"n": 0, "m": 0}
        changed = {"n": (document["n"] * 3 + amount) % 97, "m": document["m"]}
        await store(state, name, changed)
        return changed["n"]

    @tool
    async def copy(state: State, name: str, to: str) -> str:
        """Copy a document over another one."""
        await store(state, to, await load(state, name))
        return "ok"

    @tool
    async def drop(state: State, name: str) -> str:
        """Delete a document."""
        await state.delete(system.prefix + name)
        return "ok"

    @tool
    async def names(state: State) -> list[str]:
        """List the documents."""
        found = [key.removeprefix(system.prefix) for key in await state.list(system.prefix)]
        return [name for name in found if name in NAMES]

    return [get, put, add, copy, drop, names]


def _letters(system: System, outside: Outside) -> list[Any]:
    def letter(called: str, gate: Any) -> Any:
        async def asked(intent: str, /, **_: Any) -> Probed:
            return Probed(outside.acted(called, intent), "sent")

        @tool(
            name=called,
            effect="irreversible",
            gate=gate,
            probe=asked if called in PROBED else None,
            idempotent=called in ONCE,
        )
        async def send(state: State, agent: str, step: int, name: str) -> str:
            """Send word of a document."""
            with outside.acting(called):
                seen = system.document_of(await state.get(system.prefix + name))
                return outside.send(called, agent, step, seen)

        return send

    staged = [letter(called, "stage") for called in ("mail", "parcel", "transfer")]
    return staged + [letter(called, "wait") for called in ("pay", "courier", "wire")]


def _bookings(outside: Outside) -> list[DeclaredTool]:
    def booking(called: str) -> DeclaredTool:
        async def book(agent: str, step: int, item: str) -> str:
            """Book an item."""
            with outside.acting(called):
                outside.book(called, agent, step, item)
            return "booked"

        async def look(*, agent: str, step: int, item: str) -> Any:
            return [entry[:2] for entry in outside.booked(item) if entry[:2] != [agent, step]]

        async def cancel(prepared: Any, _result: Any, *, agent: str, step: int, item: str) -> None:
            with outside.acting(called):
                outside.cancel(prepared, agent, step, item)

        async def asked(intent: str, /, **_: Any) -> Probed:
            return Probed(outside.acted(called, intent), "booked")

        return DeclaredTool(
            book,
            name=called,
            writes=["shop:{item}"],
            prepare=look,
            reverse=cancel,
            probe=asked if called in PROBED else None,
            idempotent=called in ONCE,
        )

    return [booking(called) for called in sorted(UNDOABLE)]


def _dispatches(outside: Outside) -> list[DeclaredTool]:
    def dispatch(called: str, gate: Any) -> DeclaredTool:
        async def send(agent: str, step: int, item: str) -> str:
            """Send word of an item."""
            with outside.acting(called):
                seen = [entry[:2] for entry in outside.booked(item)]
                return outside.send(called, agent, step, seen)

        async def asked(intent: str, /, **_: Any) -> Probed:
            return Probed(outside.acted(called, intent), "sent")

        return DeclaredTool(
            send,
            name=called,
            reads=["shop:{item}"],
            writes=["post:{agent}"],
            gate=gate,
            probe=asked if called in PROBED else None,
        )

    return [dispatch("dispatch", "stage"), dispatch("dispatch_probed", "wait")]

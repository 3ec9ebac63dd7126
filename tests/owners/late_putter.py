"""A process that is stopped (SIGSTOP) within a put, and killed right after it should it arrive."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from shared_system import get, put

from coagent import AgentNotActive, open_domain, targets
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.runtime.domain import Domain
from coagent.systems.files import swap
from coagent.systems.files import writing as file_writing
from coagent.systems.sql import target as sql
from coagent.targets import Files, Sql, Target


def domain_of(folder: Path, database: str) -> Domain:
    """Return the domain of a folder, or of a database where one is named."""
    target: Target = Sql(database) if database else targets.Files(folder / "files")
    return open_domain(f"sqlite:{folder / 'log'}", targets=[target], tools=[put, get])


times_left = [1]


def stop() -> None:
    """Stop this process until somebody has it go on; once only."""
    if times_left:
        times_left.pop()
        os.kill(os.getpid(), signal.SIGSTOP)


def stopping(act: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stops this process before it acts."""

    def acts(*arguments: Any, **named: Any) -> Any:
        stop()
        return act(*arguments, **named)

    return acts


def arrange(step: str, late: Value) -> None:
    """Have this process stop within the next put, and die once a value has arrived."""
    for kind in (Files, Sql):
        arrange_put(kind, late, stops=step == "begun")
    if step == "compared":  # what is there has been looked at, and the log been asked
        swap.replace = stopping(swap.replace)
        swap.create = stopping(swap.create)
        Sql._write = stopping(Sql._write)  # type: ignore[method-assign]
    if step == "kept":  # from others, but the log has not been asked
        file_writing.require_wanted = stopping(file_writing.require_wanted)
        sql.require_wanted = stopping(sql.require_wanted)


def arrange_put(kind: Any, late: Value, *, stops: bool) -> None:
    given = kind.put

    async def arriving(target: Target, key: Key, value: Value, **named: Any) -> None:
        if stops:
            stop()
        await given(target, key, value, **named)
        if value == late:
            os.kill(os.getpid(), signal.SIGKILL)

    kind.put = arriving


async def _main(folder: Path, database: str, step: str, key: str, value: Any) -> None:
    async with domain_of(folder, database) as domain:
        a = await domain.join("A")
        await a.call("get", key=key)
        arrange(step, value)
        with contextlib.suppress(AgentNotActive):
            await a.call("put", key=key, value=value)


def main(*arguments: Any) -> None:
    """Open a domain (folder, database), and put a value: (step, key, value)."""
    anyio.run(_main, *arguments)

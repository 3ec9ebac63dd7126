"""What the daemon of a workspace does: it holds the domain open and answers the hooks of all sessions there.

It listens on a socket that only its user can open, and goes when no session has been there for a while.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from coagent.config.domain_file import FOLDER, DomainFile
from coagent.config.telemetry import continue_trace, telemetry
from coagent.errors import CoAgentError
from coagent.gateways.claude.hook import END_IT, VERSION, socket_path
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.native import SharedTree
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.shell import beside, streams
from coagent.gateways.claude.workspace import open_workspace
from coagent.masking.spans import masked_text
from coagent.private import private_folder
from coagent.runtime.domain import Domain
from coagent.systems.shell.live import LiveShell
from coagent.systems.shell.streams import Streams
from coagent.wording.quoting import printable

IDLE_S_MAX = 900.0
_WATCH_S = 1.0
_END_S_MAX, _POLL_S = 5.0, 0.02
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024


async def serve(root: Path) -> None:
    """Answer hooks until no session has been there for a while, or until told to end.

    Raises:
        CoAgentError: The domain cannot be opened.
    """
    domain, tree, file, shell = open_workspace(root)
    with telemetry(file.telemetry, domain):
        await _serve(root, domain, tree, file, shell)


async def _serve(
    root: Path, domain: Domain, tree: SharedTree, file: DomainFile, shell: LiveShell | None
) -> None:
    async with domain:
        sessions = Sessions(Hub(domain, tree, file.claude, shell), root / FOLDER / "sessions.json")
        await sessions.take_up()
        # All that is there by now is there to stay: no garbage is looked for among it.
        gc.freeze()
        gc.enable()
        async with _listening(root) as listener, anyio.create_task_group() as tasks:
            asked = _Asked()
            tasks.start_soon(_until_told, sessions, asked, tasks.cancel_scope)
            tasks.start_soon(_watch, sessions, tasks.cancel_scope)
            if shell is not None:
                tasks.start_soon(_prepare, shell, sessions)

            async def answered(stream: UNIXSocketStream) -> None:
                with asked:
                    await _answer(stream, sessions)

            await listener.serve(answered)


async def _prepare(shell: LiveShell, sessions: Sessions) -> None:
    """Get ready for the first command while its session still thinks."""
    await sessions.commanding.wait()
    try:
        await shell.prepare()
    except CoAgentError as failure:  # the command will meet it, too
        _note(str(failure))


async def _answer(stream: UNIXSocketStream, sessions: Sessions) -> None:
    async with stream:
        try:
            first, descriptors = await stream.receive_fds(1, 2)
            to = streams(descriptors) if descriptors else None
            try:
                rest = await BufferedByteReceiveStream(stream).receive_until(b"\n", _MESSAGE_BYTES_MAX)
                message = json.loads(first + rest)
                _require_same_version(message)
            except BaseException:
                if to is not None:
                    to.close()
                raise
            with continue_trace(message.get("environment", {})):
                found = await _do(stream, message, to, sessions)
            answer: dict[str, Any] = {"answer": found, "version": VERSION}
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.ClosedResourceError, anyio.EndOfStream):
            return
        except CoAgentError as failure:
            answer = {"error": masked_text(str(failure))}
        except Exception as failure:
            _note(f"{type(failure).__name__}: {failure}", failure)
            why = masked_text(f"{type(failure).__name__}: {failure}")
            answer = {"error": f"{why} (see {FOLDER}/daemon.log)"}
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.send(json.dumps(answer).encode() + b"\n")


async def _do(
    stream: UNIXSocketStream, message: dict[str, Any], to: Streams | None, sessions: Sessions
) -> dict[str, Any]:
    """Do what a client asks for."""
    if to is not None:
        return await _run_command(stream, message, to, sessions)
    if "ended" in message:
        return sessions.ended(str(message["ended"]))
    if "place_of" in message:
        return sessions.place_of(str(message["place_of"]))
    return await beside(
        lambda: _until_gone(stream, lambda: sessions.left(message)), lambda: sessions.handle(message)
    )


def _require_same_version(message: dict[str, Any]) -> None:
    """Refuse a client of another version, which may mean something else by what it says."""
    version = message.get("version", VERSION)
    if version != VERSION:
        raise CoAgentError(
            f"the daemon of this workspace is of CoAgent {VERSION}, and this session of {version}",
            f"To correct that, {END_IT}.",
        )


async def _run_command(
    stream: UNIXSocketStream, message: dict[str, Any], to: Streams, sessions: Sessions
) -> dict[str, Any]:
    """Run a command into the streams of its client, and end it when that gives up."""
    gone = anyio.Event()
    try:
        return await beside(
            lambda: _until_gone(stream, gone.set), lambda: sessions.command(message, to, gone)
        )
    finally:
        to.close()


async def _until_gone(stream: UNIXSocketStream, then: Callable[[], None]) -> None:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            await stream.receive()
    then()


async def _watch(sessions: Sessions, scope: anyio.CancelScope) -> None:
    """End the sessions whose process is gone, and the daemon when there has been none for a while."""
    idle_since = time.monotonic()
    while True:
        await anyio.sleep(_WATCH_S)
        await sessions.end_the_dead()
        await sessions.commit_the_gone()
        if sessions.active:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_S_MAX:
            scope.cancel()


class _Asked:
    """How many clients wait for an answer."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


async def _until_told(sessions: Sessions, asked: _Asked, scope: anyio.CancelScope) -> None:
    """When told to end, end the commands that run; then go, when what they did is on record."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            sessions.end_commands()
            until = time.monotonic() + _END_S_MAX
            while asked.count and time.monotonic() < until:
                await anyio.sleep(_POLL_S)
            scope.cancel()
            return


@asynccontextmanager
async def _listening(root: Path) -> AsyncIterator[Any]:
    path = socket_path(str(root))
    private_folder(Path(path).parent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # left by a daemon that was killed: the lock tells that none is alive
    listener = await anyio.create_unix_listener(path, mode=0o600)
    try:
        yield listener
    finally:
        await listener.aclose()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _note(text: str, failure: BaseException | None = None) -> None:
    import traceback

    lines = [f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"]
    if failure is not None:
        lines += traceback.format_exception(failure)
    print(printable(masked_text("\n".join(lines))), file=sys.stderr, flush=True)

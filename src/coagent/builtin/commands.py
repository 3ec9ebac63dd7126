"""Commands over the state: each runs in a private view of the workspace, at its call's place in the order.

In the view, what agents after it have written is not there, and what agents before it and itself have written
is. What the command writes becomes writes of the call; nothing else reaches the workspace. What it looks up,
opens and lists is traced and becomes its reads, what it does not find among them. The tool `bash` offers this
to agents as it is; tools grown from commands run the same way.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.to_thread

from coagent.builtin.git_calls import TO_TAKE, GitCalls, Place
from coagent.builtin.looked_up import record
from coagent.builtin.tree_values import SCHEMES, contents, scheme_of, values
from coagent.content import Content
from coagent.errors import ConfigurationError, TargetError, ToolFailed
from coagent.protocol.keys import Key
from coagent.sandbox import copied
from coagent.sandbox.clearing import Clearing
from coagent.sandbox.confined import Confined
from coagent.sandbox.copied import Copied
from coagent.sandbox.git_nested import refuse_programs, refuse_sweeps, refuse_undeclared
from coagent.sandbox.launch_server import LaunchServer
from coagent.sandbox.overlay import available
from coagent.sandbox.snapshot import Snapshots
from coagent.targets.workspace import Workspace
from coagent.tools.state import State

OUTPUT_LENGTH_MAX = 30_000
TIMEOUT_S_DEFAULT = 120.0
TIMEOUT_S_MAX = 3600.0
_PRIVATE = (".git", ".coagent")
_LENGTH_MAX = 128 * 1024 - 1
"""What one argument of a program may have, in bytes: execve(2), MAX_ARG_STRLEN."""
_ANSWERS_MAX = 100_000

Changes: TypeAlias = dict[str, Content | None]
"""What a command has changed: relative paths to contents, None where the file is gone."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command to run.

    Args:
        text: For bash.
        cwd: Where it starts, relative to the workspace.
        timeout_s: How long it may take, in seconds.
        environment: Variables set for it, beside those of this process.
        bare: Whether it gets those variables alone.
        network: Whether it may use the network, even where others may not.
        check: Called with what it has changed before any of that is kept, and with what tells of a file how
            it was; raises where it may not be.
    """

    text: str
    cwd: str = "."
    timeout_s: float = TIMEOUT_S_DEFAULT
    environment: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False
    network: bool = False
    check: Callable[[Changes, Callable[[str], Content | None]], None] | None = None


View: TypeAlias = Literal["auto", "overlay", "copy"]


class CommandRunner:
    """Runs commands in views of one workspace.

    Args:
        workspace: That of a target `Files` of the domain.
        network: Whether commands may use the network. What they do there cannot be undone.
        no_network: What to do where one is needed and not there, as a sentence for agents.
        trace: Whether to follow what commands look up. Otherwise they are taken to have read everything.
        writable: Folders outside the workspace that commands may write to.
        view: "overlay", "copy" (slower, but needs neither overlays nor namespaces), or the first that can be
            had.

    Raises:
        ConfigurationError: Such views cannot be had here.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        network: bool = False,
        no_network: str = "There is none for commands.",
        trace: bool = True,
        writable: Sequence[str] = (),
        view: View = "auto",
    ) -> None:
        self.view, self.why_copy = _chosen(view)
        self._workspace = workspace
        self._network = network
        self._no_network = no_network
        self._trace = trace
        self._writable = tuple(writable)
        self._root = workspace.root
        self._left_out = lru_cache(_ANSWERS_MAX)(self._is_left_out)  # it is asked for every path seen
        self._snapshots = Snapshots(self._root, Path(self._root) / ".coagent" / "snapshots", self._left_out)
        self._git = GitCalls(self._root, self._snapshots, self._left_out)
        self._lock = anyio.Lock()
        self._server = LaunchServer()
        self._clearing = Clearing()
        for close in (self._server.close, self._snapshots.close, self._clearing.close):
            workspace.at_close(close)

    @property
    def tracer(self) -> str:
        """What follows look-ups: "c", or "python" without a C compiler; empty before the first command."""
        return self._server.tracer if self._trace else ""

    def _is_left_out(self, path: str) -> bool:
        return path.partition("/")[0] in _PRIVATE or self._workspace.excluded(path)

    async def run(self, state: State, command: Command) -> dict[str, Any]:
        """Run a command as the call that `state` belongs to.

        Returns:
            `exit_code`, `output`, `not_kept` where it made something that was not kept, `not_governed` where
            it made folders that are left out of the workspace, `no_network` where it tried to reach one,
            `left_to_others` (and `why_left`) where git left a person's work alone.

        Raises:
            ToolFailed: It may not be kept, or has not ended in time; nothing of it is kept.
            TargetError: No view could be made.
        """
        if "\0" in command.text or len(os.fsencode(command.text)) > _LENGTH_MAX:
            raise ToolFailed(
                f"the command has a NUL in it, or more than {_LENGTH_MAX} bytes",
                "Write it to a file with write_file, and run that.",
            )
        if not 0 < command.timeout_s <= TIMEOUT_S_MAX:
            raise ToolFailed(f"timeout_s is {command.timeout_s:g}", f"Pass seconds up to {TIMEOUT_S_MAX:g}.")
        cwd = command.cwd
        folder = state.canonical(f"file:{cwd.rstrip('/')}/" if cwd not in ("", ".") else "file:")[5:]
        git = self._git.repository.governed and (not self._trace or GitCalls.named(command.text))
        try:
            return await self._run(state, command, folder, git=git)
        except _GitUsed:  # by a script: it ran in a view that had not been made for that, and left nothing
            return await self._run(state, command, folder, git=True)

    async def _run(self, state: State, command: Command, folder: str, *, git: bool) -> dict[str, Any]:
        async with self._lock:  # snapshots are taken one at a time
            lower = await anyio.to_thread.run_sync(self._snapshots.take)
            # Asked only now: what has come into the snapshot meanwhile is among it.
            written = {key: value for one in SCHEMES for key, value in state.written(f"{one}:").items()}
        scratch = Path(tempfile.mkdtemp(prefix="coagent-bash-"))
        view = self._view(lower, scratch, network=self._network or command.network)
        place: Place | None = None
        try:
            shown, differing = contents(written, view.before)
            view.prepare(differing)
            if git:
                fresh = GitCalls.named(command.text)
                files = _files(written, shown)
                place = await anyio.to_thread.run_sync(self._git.begin, state, view.git_layer, files, fresh)
            seen = None
            spec = view.spec(
                ["bash", "-c", command.text],
                f"{self._root}/{folder}".rstrip("/"),
                self._git.environment(
                    state.position,
                    command.text,
                    {**({} if command.bare else os.environ), **command.environment},
                ),
            )
            try:
                answer = await anyio.to_thread.run_sync(_run, self._server, view, spec, command.timeout_s)
                answer["output"] = view.name(answer["output"], inside=False)
                begun, seen = view.outcome()
                if begun and place is None and self._git.repository.governed and GitCalls.used(seen):
                    raise _GitUsed
            finally:
                record(state, seen, view, self._left_out)
                if place is not None:
                    self._git.record(state, place, seen)
            if not begun:
                raise TargetError(f"no view of the workspace could be made: {answer['output'].strip()}")
            moved, left = await anyio.to_thread.run_sync(self._git.end, view.git_layer, place)
            if left:
                answer |= {"left_to_others": left, "why_left": TO_TAKE}
            changes = view.changes()
            refuse_programs(changes, view.before)
            others = {key.partition(":")[2] for key in written.keys() - set(state.own("file:"))}
            refuse_sweeps(command.text, changes, view.before, others)
            if command.check is not None:
                refuse_undeclared(moved)
                command.check(changes, view.before)
            for path in (seen.emptied if seen is not None else frozenset()) - changes.keys():
                if not self._left_out(path):  # it wrote what was there: no write, but it hangs on that
                    state.trace(f"{scheme_of(path)}:{path}")
            changed = _changed(state, changes, view)
            lost = view.lost()
            handed_over = view.hand_over(lambda path: not _hidden(path))
        finally:
            self._snapshots.release(lower)
            self._clearing.remove(view)
        for key, value in changed:
            await state.put(key, value, literal=not key.startswith("gitdir:"))
        for key, value in moved.items():
            await state.put(key, value)
        no_network = f"It tried to reach a network. {self._no_network}" if view.went_out else ""
        more = {"not_kept": lost, "not_governed": handed_over, "no_network": no_network}
        return answer | {name: said for name, said in more.items() if said}

    def _view(self, lower: Path, scratch: Path, *, network: bool) -> Confined:
        return (Confined if self.view == "overlay" else Copied)(
            self._root,
            lower,
            scratch,
            real=[path for path in self._snapshots.left_out() if not _hidden(path)],
            writable=self._writable,
            network=network,
            trace=self._trace,
            left_out=self._left_out,
        )


def _chosen(view: View) -> tuple[Literal["overlay", "copy"], str]:
    """Return the kind of views to be had, and why not the better one; raises ConfigurationError."""
    why_not = available() if view != "copy" else ""
    if view != "copy" and not why_not:
        return "overlay", ""
    no_copy = copied.available() if view != "overlay" else "a copy was not asked for"
    if not no_copy:
        return "copy", why_not
    reasons = "; ".join(one for one in (why_not, no_copy) if one)
    raise ConfigurationError(
        f"the bash tool cannot be offered: {reasons}", "Leave 'bash' out of `builtin`, or mend that."
    )


class _GitUsed(Exception):
    """A command has used git, in a view that was not made for that."""


def _changed(state: State, changes: Changes, view: Confined) -> list[tuple[Key, Any]]:
    """Return what a command has changed as objects and their values.

    Raises:
        TargetError: Something has a name that cannot be written down.
    """
    changed = [one for path, content in changes.items() for one in values(path, view.before(path), content)]
    for key, _ in changed:
        scheme, _, path = key.partition(":")
        state.canonical(f"{'link' if scheme == 'file' else scheme}:{path}")
    return changed


def _files(written: Iterable[Key], shown: Mapping[str, Content | None]) -> dict[str, Content | None]:
    """Return what agents have written of that which git takes for a file, as it is shown."""
    paths = {key.partition(":")[2] for key in written if not key.startswith(("folder:", "gitdir:"))}
    return {path: shown.get(path) for path in paths if scheme_of(path) == "file"}


def _hidden(path: str) -> bool:
    """Tell whether a folder that is left out of the workspace is not even shown to commands.

    Python takes compiled code for that of a source of the same second and size, so views must not share it.
    """
    return path.partition("/")[0] in _PRIVATE or path.rpartition("/")[2] == "__pycache__"


def _run(server: LaunchServer, view: Confined, spec: Path, timeout_s: float) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output:
        try:
            code = server.run(view, spec, output, timeout_s)
        except TimeoutError:
            raise ToolFailed(
                f"the command has not ended within {timeout_s:g} s", "Pass a larger timeout_s, or do less."
            ) from None
        size = output.tell()
        output.seek(0)
        text = output.read(OUTPUT_LENGTH_MAX).decode("utf-8", "replace")
        if size > OUTPUT_LENGTH_MAX:
            text += f"\n… ({size - OUTPUT_LENGTH_MAX} more bytes, not shown)"
    return {"exit_code": code, "output": text}

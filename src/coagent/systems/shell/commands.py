"""Commands over the state: each runs in a private view of the workspace, at its call's place in the order.

In the view, what agents after it have written is not there, and what agents before it and itself have written
is. What the command writes becomes writes of the call; nothing else reaches the workspace. What it looks up,
opens and lists is traced and becomes its reads, what it does not find among them. The tool `bash` offers this
to agents as it is; tools grown from commands run the same way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.to_thread

from coagent.errors import ConfigurationError, ToolFailed
from coagent.protocol.calls import Rank
from coagent.protocol.keys import Key
from coagent.systems.files.paths import place
from coagent.systems.files.workspace import Workspace
from coagent.systems.git.calls import GitCalls
from coagent.systems.shell.background import Beside
from coagent.systems.shell.build_times import leave_times, products
from coagent.systems.shell.command_run import (
    ChangedMeanwhile,
    Changes,
    Command,
    CommandRun,
    GitUsed,
    RunContext,
)
from coagent.systems.shell.installs import Installs
from coagent.systems.shell.limits import Limits
from coagent.systems.shell.live_runs import Ended, LiveRun
from coagent.systems.shell.tmp_objects import OwnTmp
from coagent.systems.shell.tree_values import SCHEMES, contents, values
from coagent.systems.shell.variables import allowed_variables
from coagent.systems.shell.views import copied
from coagent.systems.shell.views.clearing import Clearing
from coagent.systems.shell.views.confined import Confined, Frame, Trace
from coagent.systems.shell.views.copied import Copied
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views.overlay import available
from coagent.systems.shell.views.snapshot import Snapshots
from coagent.systems.shell.views.tmp_stack import BYTES_MAX_DEFAULT, TemporaryLayers
from coagent.systems.shell.whole_tree_reads import WholeTreeReads
from coagent.tools.off_loop import off_loop_to_its_end
from coagent.tools.state import State

TIMEOUT_S_MAX = 3600.0
_PRIVATE = (".git", ".coagent")
_LENGTH_MAX = 128 * 1024 - 1
"""What one argument of a program may have, in bytes: execve(2), MAX_ARG_STRLEN."""
_ANSWERS_MAX = 100_000
_LIMITS = Limits()
_ATTEMPTS = 4
"""How often a command may run: once more with git if it turns out to use that, or where others interfere."""

View: TypeAlias = Literal["auto", "overlay", "copy"]


class CommandRunner:
    """Runs commands in views of one workspace.

    Args:
        workspace: That of a target `Files` of the domain.
        network: Whether commands may use the network. What they do there cannot be undone.
        no_network: What to do where one is needed and not there, as a sentence for agents.
        trace: Whether to follow what commands look up. Otherwise they are taken to have read everything.
            "strict": commands that have threads, or share memory that they write, are taken to have, too.
        writable: Folders outside the workspace that commands may write to.
        view: "overlay", "copy" (slower, but needs neither overlays nor namespaces), or the first that can be
            had.
        tmp_bytes_max: How much each agent may leave in temporary folders.
        limits: What each command may use.
        environment: Names of variables of this process that commands have beside those that all programs
            need (`variables.py`); `*` stands for the rest of a name.
        devices: Devices of the machine that commands may use beside those that every program needs.

    Raises:
        ConfigurationError: Such views cannot be had here.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        network: bool = False,
        no_network: str = "There is none for commands.",
        trace: Trace = True,
        writable: Sequence[str] = (),
        view: View = "auto",
        tmp_bytes_max: int = BYTES_MAX_DEFAULT,
        limits: Limits = _LIMITS,
        environment: Sequence[str] = (),
        devices: Sequence[str] = (),
    ) -> None:
        self.view, self.why_copy = _choose_view(view)
        self._workspace = workspace
        self._network = network
        self._no_network = no_network
        self._trace = trace
        self._writable = tuple(writable)
        self._limits = limits
        self._environment = tuple(environment)
        self._devices = tuple(devices)
        self._root = workspace.root
        self._left_out = lru_cache(_ANSWERS_MAX)(self._is_left_out)  # it is asked for every path seen
        own = Path(self._root) / ".coagent" / "snapshots"
        self._snapshots = Snapshots(self._root, own, self._left_out)
        workspace.versions.keep_in(own / "times")
        self._whole_tree_reads = WholeTreeReads(self._snapshots)
        self._git = GitCalls(self._root, self._snapshots, self._left_out, above=self.view == "overlay")
        self._lock = anyio.Lock(fast_acquire=True)
        self._server = LaunchServer()
        self._clearing = Clearing()
        self._installing: set[Installs] = set()
        self._layers = TemporaryLayers(tmp_bytes_max)
        self._keeps_tmp = self.view == "copy" or self._layers.apart
        self.goes_on_from: Callable[[Rank], Collection[str]] = lambda rank: ()
        """Returns the files that git takes for an agent's own, though others have written them."""
        for close in (self._server.close, self._snapshots.close, self._clearing.close, self._layers.close):
            workspace.at_close(close)

    def beside(self, command: Command) -> Beside:
        """Return a command that is to run beside its agent's work, for `begin_beside`."""
        return Beside(command, self._server, self._left_out)

    @property
    def tracer(self) -> str:
        """What follows look-ups: "c", or "python" without a C compiler; empty before the first command."""
        return self._server.tracer if self._trace else ""

    def _is_left_out(self, path: str) -> bool:
        return path.partition("/")[0] in _PRIVATE or self._workspace.excluded(path)

    async def prepare(self) -> None:
        """Do beforehand what the first command would have to wait for; a command that comes meanwhile waits.

        Raises:
            TargetError: It cannot be done; nor can commands be run, then.
        """
        async with self._lock:
            begun_s, take = time.time(), self._snapshots.take
            self._snapshots.release(await off_loop_to_its_end(take, self._snapshots.interrupt))
        await anyio.to_thread.run_sync(self._server.start)
        await anyio.to_thread.run_sync(self._git.make_ahead, begun_s)

    async def run(self, state: State, command: Command) -> dict[str, Any]:
        """Run a command as the call that `state` belongs to.

        Returns:
            `exit_code`, `output`, `not_kept` where it made something that was not kept, `not_governed` where
            it made folders that are left out of the workspace, `no_network` where it tried to reach one,
            `left_to_others` (and `why_left`) where git left a person's work alone, `tmp_not_kept` and
            `tmp_lost` where something is missing in temporary folders.

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
        folder = await self._folder(state, command.cwd)
        trace = bool(self._trace) and not self._whole_tree_reads.is_known(command.text)
        git = self._git.repository.governed and (not trace or GitCalls.mentions_git(command.text))
        path = ""
        for _ in range(_ATTEMPTS):
            try:
                return await self._run(state, command, folder, trace=trace, git=git, again=bool(path))
            except GitUsed:  # by a script: it ran in a view that had not been made for that, and left nothing
                git = True
            except ChangedMeanwhile as change:
                path = change.path
        raise ToolFailed(
            f"{path!r} was changed by somebody else each time while the command ran",
            "Nothing that it did was kept. Find out which program keeps writing that file.",
        )

    async def run_live(self, state: State, live: LiveRun) -> dict[str, Any]:
        """Run a command once, into the streams of the client that waits for it.

        But for the tree, all is the machine itself. Where the call is made again, since something has
        happened meanwhile, what the command has done stands if it has seen nothing of that; else it runs as
        it does when it runs again later, confined and unheard.

        Args:
            state: Of the call.
            live: The command; `end_live` is to be called when the call is over.

        Raises:
            ToolFailed, TargetError: As for `run`; nothing of it is kept in the tree.
        """
        if live.ended is not None and self._stands(state, live.ended):
            return await self._keep(state, live.ended.run, [])
        if live.begun:
            state.reads.clear()
            state.scans.clear()
            return await self.run(state, live.again)
        live.begun = True
        command = live.command
        trace = bool(self._trace) and not self._whole_tree_reads.is_known(command.text)
        git = self._git.repository.governed
        run, _ = await self._begin(state, command, command.cwd, trace=trace, git=git)
        live.run_begun(run, self._server)
        await self._carry(state, run)
        live.ended = Ended(run, dict(state.reads), dict(state.scans))
        # What is left out of the workspace is there already where it runs again: that is no other result.
        return await self._keep(state, run, [])

    async def begin_beside(self, state: State, beside: Beside) -> None:
        """Give a command that is to run beside its agent's work the view that it begins with.

        Args:
            state: Of the call that begins it.
            beside: The command; `carry_beside` is to be called next, and `end_beside` in the end.
        """
        governed = self._git.repository.governed
        beside.run, beside.taken = await self._begin(
            state, beside.command, beside.command.cwd, trace=False, git=governed
        )

    async def carry_beside(self, beside: Beside) -> None:
        """Run such a command to its end.

        Raises:
            ToolFailed, TargetError: It has not begun.
        """
        run = beside.begun
        await off_loop_to_its_end(lambda: self._carry_out(run), beside.interrupt)

    async def bring_up(self, beside: Beside, written: Mapping[Key, Any]) -> None:
        """Show a command that runs beside its agent's work what has changed in the tree.

        Args:
            beside: The command.
            written: What agents have written, as it is at its agent's place.
        """
        async with self._lock:
            lower = await self._snapshot()
            generation, changed = self._snapshots.generation, self._snapshots.changed_since(beside.taken)
        try:
            if beside.is_behind(generation, written):
                place = Path(self._root)
                await anyio.to_thread.run_sync(beside.show, place, lower, generation, changed, dict(written))
        finally:
            self._snapshots.release(lower)

    async def git_of(self, beside: Beside) -> tuple[dict[Key, Any], dict[Key, Any]]:
        """Return what such a command, which has ended, has changed in the repository: what was, what is.

        Raises:
            ToolFailed: It may not be kept.
        """
        run = beside.begun
        if run.view is None or run.git_view is None:
            return {}, {}
        moved, _ = await anyio.to_thread.run_sync(self._git.end, run.view, run.git_view)
        return {Key(name): run.git_view.value(name) for name in moved}, {
            Key(name): value for name, value in moved.items()
        }

    def left_view(self, scratch: Path, written: Mapping[Key, Any]) -> tuple[Confined, list[str]]:
        """Return the view that a process which has died left of a command, and folders taken out of it.

        Args:
            scratch: The folder of the view.
            written: What agents have written, as it is at its agent's place by now.
        """
        view = Confined(Frame(self._root, open=True), Path(self._root), scratch, left_out=self._left_out)
        view.file_bytes_max, view.large = self._workspace.file_bytes_max, self._workspace.large
        view.take_up(contents(written, view.before)[1])
        return view, view.hand_over(lambda path: not _is_hidden(path))

    def end_beside(self, beside: Beside) -> list[str]:
        """Let go of all that such a command was given; returns folders that it has made beside the tree."""
        beside.close()
        if beside.run is None:
            return []
        view = beside.run.view
        handed_over = [] if view is None else view.hand_over(lambda path: not _is_hidden(path))
        self._over(beside.run)
        return handed_over

    def _stands(self, state: State, ended: Ended) -> bool:
        """Tell whether a run has seen nothing that is something else by now; what it has seen is recorded."""
        ended.run.record(state, self._git, self._left_out)
        return state.reads == ended.reads and state.scans == ended.scans

    def end_live(self, live: LiveRun) -> None:
        """Say that the call of a live command is over."""
        if live.run is not None:
            self._over(live.run)

    async def _folder(self, state: State, cwd: str) -> str:
        """Return where a command starts, as an absolute path."""
        if cwd in ("", "."):
            return self._root
        if cwd.startswith("/") and not f"{os.path.normpath(cwd)}/".startswith(f"{self._root}/"):
            return cwd
        folder = await place(state, f"{cwd.rstrip('/')}/")
        return f"{self._root}/{folder}".rstrip("/")

    async def _run(
        self, state: State, command: Command, folder: str, *, trace: bool, git: bool, again: bool
    ) -> dict[str, Any]:
        run, taken = await self._begin(state, command, folder, trace=trace, git=git)
        try:
            handed_over = await self._carry(state, run)
        finally:
            self._over(run)
        await self._refuse_what_changed(run, taken, again=again)
        return await self._keep(state, run, handed_over)

    async def _begin(
        self, state: State, command: Command, folder: str, *, trace: bool, git: bool
    ) -> tuple[CommandRun, int]:
        """Return a run that is yet to be carried out, and the generation of its snapshot; `_over` ends it."""
        async with self._lock:  # snapshots are taken one at a time
            begun_s = time.time()
            lower = await self._snapshot()
            taken = self._snapshots.generation
            try:
                context = self._run_context(state, command, lower, begun_s)
            except BaseException:
                self._snapshots.release(lower)
                raise
        return CommandRun(command, folder, trace, git, context), taken

    async def _carry(self, state: State, run: CommandRun) -> list[str]:
        """Carry a run out, and return what it has made of folders that are left out of the workspace."""
        try:
            await off_loop_to_its_end(lambda: self._carry_out(run), lambda: run.interrupt(self._server))
        finally:
            run.record(state, self._git, self._left_out)
        assert run.view is not None
        if run.seen is not None:
            self._whole_tree_reads.learn(run.command.text, run.seen, run.seconds)
        run.writes = _changes_as_writes(self._workspace, run.changes, run.view)
        handed_over = run.view.hand_over(lambda path: not _is_hidden(path))
        leave_times(run, self._workspace, self._left_out, handed_over)
        return handed_over

    def _over(self, run: CommandRun) -> None:
        """Let go of all that a run was given."""
        self._snapshots.release(run.context.lower)
        if run.git_view is not None:
            self._git.release(run.git_view)
        if run.view is not None:
            self._clearing.remove(run.view)

    async def _keep(self, state: State, run: CommandRun, handed_over: list[str]) -> dict[str, Any]:
        """Make what a run has done the writes of its call, and return its answer."""
        assert run.view is not None
        for key, value in run.writes:
            await state.put(key, value, literal=not key.startswith("gitdir:"))
        for name, value in run.moved.items():
            await state.put(name, value)
        for beside_tree in (run.context.own_tmp, run.context.installs):
            for key, value in beside_tree.writes.items() if beside_tree is not None else ():
                await state.put(key, value)
        no_network = f"It tried to reach a network. {self._no_network}" if run.view.went_out else ""
        more = {"not_governed": handed_over, "no_network": no_network}
        return run.answer | {name: said for name, said in more.items() if said}

    async def _snapshot(self) -> Path:
        """Return a snapshot of the tree as it is now; the caller holds the lock, and releases it."""
        lower = self._snapshots.take_unchanged()
        return await anyio.to_thread.run_sync(self._snapshots.take) if lower is None else lower

    async def _refuse_what_changed(self, run: CommandRun, taken: int, *, again: bool) -> None:
        """See that nobody outside has changed what a command rests on while it ran.

        The domain's own writes are the protocol's business. What a command has only read is looked at once:
        some programs never stop writing.

        Args:
            run: The run, which has ended.
            taken: The generation of the snapshot in which it ran.
            again: Whether the command has run before, and somebody had.

        Raises:
            ChangedMeanwhile: Somebody has; it has to run again, on what is there now.
        """
        async with self._lock:
            self._snapshots.release(await self._snapshot())
            changed = self._snapshots.changed_since(taken)
        touched = set(run.changes)
        if not again and run.seen is not None:
            touched |= run.seen.looked_up | run.seen.opened | run.seen.emptied
        for path in sorted(touched if changed is None else touched & changed):
            if not self._workspace.own_puts.stands(path):
                raise ChangedMeanwhile(path)

    def _run_context(self, state: State, command: Command, lower: Path, begun_s: float) -> RunContext:
        own = state.own("file:", "mode:", "link:")
        known = {} if command.bare else allowed_variables(os.environ, self._environment)
        variables = {**known, **command.environment}
        left_out = [path for path in self._snapshots.left_out() if not _is_hidden(path)]
        return RunContext(
            lower,
            left_out,
            # Asked only now: what has come into the snapshot meanwhile is among it.
            {key: value for scheme in SCHEMES for key, value in state.written(f"{scheme}:").items()},
            state.writers("file:"),
            own,
            GitCalls.git_state(state, own, self.goes_on_from(state.rank), begun_s),
            self._git.environment(state.position, command.text, variables),
            state.rank,
            state.position,
            OwnTmp.at_call(state, self._layers) if command.own_tmp and self._keeps_tmp else None,
            Installs(self._root, left_out, self._installing) if command.installs and left_out else None,
        )

    def _carry_out(self, run: CommandRun) -> None:
        """Make a view for a run, and run it there; in a thread."""
        is_open = run.command.streams is not None
        network = is_open or self._network or run.command.network
        seeded = str(self._git.seeded.folder)
        layers = str(self._layers.folder)
        frame = Frame(
            self._root,
            network,
            () if is_open else self._writable,
            fenced=self.view == "copy",
            seeded=seeded,
            layers=layers,
            open=is_open,
            limits=self._limits,
            devices=self._devices,
            git=self._git.repository.elsewhere if self._git.repository.governed else "",
            top=self._git.repository.root if self._git.repository.prefix else "",
        )
        view = (Confined if self.view == "overlay" else Copied)(
            frame,
            run.context.lower,
            self._server.scratch(frame),
            real=run.context.left_out,
            trace=self._trace if run.trace else False,
            left_out=self._left_out,
        )
        view.file_bytes_max, view.large = self._workspace.file_bytes_max, self._workspace.large
        when_shown = self._workspace.versions.when_shown
        view.time_of = partial(when_shown, rank=run.context.rank, writers=run.context.writers)
        try:
            run.carry_out(self._server, self._git, view)
            self._workspace.versions.note_products(products(run, self._git.repository))
        finally:
            if run.context.own_tmp is not None:
                run.context.own_tmp.release()


def _choose_view(view: View) -> tuple[Literal["overlay", "copy"], str]:
    """Return the kind of views to be had, and why not the better one; raises ConfigurationError."""
    why_not = available() if view != "copy" else ""
    if view != "copy" and not why_not:
        return "overlay", ""
    no_copy = copied.available() if view != "overlay" else "a copy was not asked for"
    if not no_copy:
        return "copy", why_not
    reasons = "; ".join(reason for reason in (why_not, no_copy) if reason)
    raise ConfigurationError(
        f"the bash tool cannot be offered: {reasons}", "Leave 'bash' out of `builtin`, or correct that."
    )


def _changes_as_writes(workspace: Workspace, changes: Changes, view: Confined) -> list[tuple[Key, Any]]:
    """Return what a command has changed as objects and their values.

    Raises:
        TargetError: Something has a name that cannot be written down.
    """
    changed = [
        write for path, content in changes.items() for write in values(path, view.before(path), content)
    ]
    for key, _ in changed:
        scheme, _, path = key.partition(":")
        workspace.literal(path, in_repository=scheme in ("gitdir", "folder"))
    return changed


def _is_hidden(path: str) -> bool:
    """Tell whether a folder that is left out of the workspace is not even shown to commands.

    Python takes compiled code for that of a source of the same second and size, so views must not share it.
    """
    return path.partition("/")[0] in _PRIVATE or path.rpartition("/")[2] == "__pycache__"

"""One run of a command in its view: all that needs no look at the state, so that one thread can do it."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import IO, Any, TypeAlias

from coagent.content import Content
from coagent.errors import TargetError, ToolFailed
from coagent.protocol.calls import Position
from coagent.protocol.keys import Key
from coagent.systems.git.calls import TO_TAKE, GitCalls, RepositoryState, RepositoryView
from coagent.systems.git.nested import (
    refuse_elsewhere,
    refuse_overwriting_others,
    refuse_programs,
    refuse_undeclared,
)
from coagent.systems.shell.installs import Installs
from coagent.systems.shell.limits import TABLE
from coagent.systems.shell.plain_words import without_shell
from coagent.systems.shell.read_only import only_reads
from coagent.systems.shell.read_set import record
from coagent.systems.shell.resource_monitor import LimitExceeded
from coagent.systems.shell.streams import Streams
from coagent.systems.shell.tmp_objects import OwnTmp
from coagent.systems.shell.tree_values import contents, scheme_of
from coagent.systems.shell.views.confined import Confined, ReadSet
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.tools.state import State

OUTPUT_LENGTH_MAX = 30_000
TIMEOUT_S_DEFAULT = 120.0
_PATH_SHOWN_MAX = 200

Changes: TypeAlias = dict[str, Content | None]
"""What a command has changed: relative paths to contents, None where the file is gone."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command to run.

    Args:
        text: For bash.
        cwd: Where it starts, relative to the workspace or absolute.
        timeout_s: How long it may take, in seconds; none for one that runs into streams of a client.
        argv: What is run instead of bash with that text, for what leads to the same.
        streams: Of the client that waits for it: it runs there, and but for the tree on the machine itself.
        environment: Variables set for it, beside those of this process.
        bare: Whether it gets those variables alone.
        network: Whether it may use the network, even where others may not.
        own_tmp: Whether what it leaves in temporary folders is there for later commands of its agent.
        installs: Whether packages that it takes away count as a write: its tool owns the scheme of those.
        beside: Whether what it writes is taken over while it runs, by somebody else (`background.py`).
        at_start: Called with its view when that is ready.
        check: Called with what it has changed before any of that is kept, and with what tells of a file how
            it was; raises where it may not be.
    """

    text: str
    cwd: str = "."
    timeout_s: float = TIMEOUT_S_DEFAULT
    argv: Sequence[str] = ()
    streams: Streams | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False
    network: bool = False
    own_tmp: bool = False
    installs: bool = False
    beside: bool = False
    at_start: Callable[[Confined], None] | None = None
    check: Callable[[Changes, Callable[[str], Content | None]], None] | None = None


class GitUsed(Exception):
    """A command has used git, in a view that was not made for that."""


class ChangedMeanwhile(Exception):
    """Somebody outside has changed something while a command ran that rests on it.

    Args:
        path: What has changed, as a relative path.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(slots=True)
class RunContext:
    """What a run begins with: the state at its call's place in the order, all of one moment.

    Args:
        lower: The snapshot.
        left_out: Folders that are not in it and that the command has all the same.
        written: What agents have written, as it is here.
        writers: Where files of that were written.
        own: Which of it are files, links and modes of the agent itself.
        git_state: What is to be known of the repository.
        environment: All variables of the command.
        rank: Of the agent.
        position: Of the call.
        own_tmp: What the agent has left in temporary folders, where that is there for it.
        installs: The packages in folders that are left out, where those are watched.
    """

    lower: Path
    left_out: list[str]
    written: dict[Key, Any]
    writers: Mapping[Key, Position | None]
    own: frozenset[Key]
    git_state: RepositoryState
    environment: dict[str, str]
    rank: int
    position: Position
    own_tmp: OwnTmp | None = None
    installs: Installs | None = None


@dataclass(slots=True)
class CommandRun:
    """One run of a command, and what has come of it.

    Args:
        command: The command.
        cwd: Where it starts, as an absolute path.
        trace: Whether what it looks up is followed.
        git: Whether its view has the git folder of its agent.
        context: What it begins with.
        view: Its view, once it has one.
        git_view: The repository in it.
        seen: What it has looked up; None where that is not known.
        answer: Its exit code, its output, and what else its caller is told.
        changes: What it has changed in the tree.
        moved: What it has changed in the repository, as writes.
        writes: What it has changed in the tree, as writes.
        left_alone: Paths with work of nobody at work here, of which git has shown it nothing.
        seconds: How long it took.
        begun_ns: When it began, in nanoseconds since the epoch.
        has_run: Whether it was begun at all, as far as is known.
    """

    command: Command
    cwd: str
    trace: bool
    git: bool
    context: RunContext
    view: Confined | None = None
    git_view: RepositoryView | None = None
    seen: ReadSet | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    moved: dict[str, Any] = field(default_factory=dict)
    writes: list[tuple[Key, Any]] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    seconds: float = 0.0
    begun_ns: int = 0
    has_run: bool = False
    _begun: bool = False
    _interrupted: bool = False

    def interrupt(self, server: LaunchServer) -> None:
        """End the command, since nobody waits for it any more; called while another thread runs it."""
        self._interrupted = True
        if self.view is not None:
            server.interrupt(self.view.scratch)

    def carry_out(self, server: LaunchServer, git: GitCalls, view: Confined) -> None:
        """Run it.

        Raises:
            ToolFailed: What it has done may not be kept, or it has not ended in time.
            TargetError: No view could be made.
            GitUsed: It has come to git without having been expected to.
        """
        self.view = view
        written, text = self.context.written, self.command.text
        shown, differing = contents(written, view.before)
        view.prepare(differing)
        is_read_only = only_reads(text) and not self.command.beside
        if is_read_only:
            view.expect_only_reads()
        if self.git:
            files = _files(written, shown)
            read_only_command = text if is_read_only else ""
            self.git_view = git.begin(
                self.context.git_state, view, files, GitCalls.mentions_git(text), read_only_command
            )
        variables = self.context.environment
        own_tmp = self.context.own_tmp
        if own_tmp is not None:
            own_tmp.begin(view)
        plain = is_read_only and not self.command.argv
        plain = plain and not (own_tmp is not None and own_tmp.on_path(variables))
        direct = without_shell(text, view.frame.root, variables) if plain else None
        if direct is None:
            view.spec(self.command.argv or ["bash", "-c", text], self.cwd, variables)
        else:
            view.spec(direct[1], self.cwd, {**variables, "PWD": self.cwd}, direct[0])
        if self._interrupted:
            raise ToolFailed("the command was interrupted before it began", "Call it again.")
        if self.command.at_start is not None:
            self.command.at_start(view)
        self._begun = self.has_run = True
        installs = self.context.installs
        if installs is not None:
            installs.begin()
        start, self.begun_ns = perf_counter(), time.time_ns()
        try:
            self.answer = _answer(server, view, self.command)
        finally:
            if installs is not None:
                installs.end()
        self.seconds = perf_counter() - start
        self.answer["output"] = view.name(self.answer["output"], inside=False)
        with _readable(view):
            begun, self.seen = view.outcome()
        self.has_run = begun
        if begun and not git.repository.governed:
            refuse_elsewhere(view.frame.root, self.answer["output"])
        if begun and self.git_view is None and git.repository.governed and git.was_used(self.seen):
            raise GitUsed
        if not begun:
            cwd = os.path.relpath(self.cwd, view.frame.root)
            inside = cwd != ".." and not cwd.startswith("../")
            if not (view.has_folder(cwd) if inside else os.path.isdir(self.cwd)):
                raise ToolFailed(f"there is no folder {cwd!r}", "Make it first, or name another.")
            raise TargetError(f"no view of the workspace could be made: {self.answer['output'].strip()}")
        if not self.command.beside:
            self._settle(git, view)

    def _settle(self, git: GitCalls, view: Confined) -> None:
        """Take what it has changed out of its view."""
        written, text, own_tmp = self.context.written, self.command.text, self.context.own_tmp
        self.moved, left = git.end(view, self.git_view, self.answer["output"])
        if left:
            self.answer |= {"left_to_others": left, "why_left": TO_TAKE}
        if self.git_view is not None and git.was_used(self.seen):
            self.left_alone = git.left_alone(self.git_view)
        with _readable(view):
            self.changes = changes = view.changes()
        refuse_programs(changes, view.before, written)
        others = {key.partition(":")[2] for key in written.keys() - self.context.own}
        looked_at = None if self.seen is None else self.seen.looked_up | self.seen.opened
        refuse_overwriting_others(text, changes, view.before, others, looked_at, view.frame.root)
        if self.command.check is not None:
            refuse_undeclared(self.moved)
            self.command.check(changes, view.before)
        lost = view.lost()
        if lost:
            self.answer["not_kept"] = lost
        if view.left_running and self.command.streams is not None:
            self.answer["left_running"] = True
        if own_tmp is not None:
            self.answer |= own_tmp.end(view)

    def record(self, state: State, git: GitCalls, left_out: Callable[[str], bool]) -> None:
        """Make what it has seen the reads of its call, if it has begun, and whatever came of it.

        Args:
            state: Of the call.
            git: The repository.
            left_out: Tells of a relative path whether it is no part of the workspace.
        """
        if not self._begun or self.view is None:
            return
        record(state, self.seen, self.view, self.changes, left_out)
        if self.context.own_tmp is not None:
            self.context.own_tmp.record(state, self.view, self.seen)
        if self.context.installs is not None:
            self.context.installs.record(state, self.seen)
        if self.git_view is not None:
            git.record(state, self.git_view, self.seen)
        for path in (self.seen.emptied if self.seen is not None else frozenset()) - self.changes.keys():
            if not left_out(path):  # it wrote what was there: no write, but it depends on that
                state.trace(f"{scheme_of(path)}:{path}")


def _files(written: Iterable[Key], shown: Mapping[str, Content | None]) -> dict[str, Content | None]:
    """Return what agents have written of that which git takes for a file, as it is shown."""
    paths = {key.partition(":")[2] for key in written if not key.startswith(("folder:", "gitdir:"))}
    return {path: shown.get(path) for path in paths if scheme_of(path) == "file"}


@contextmanager
def _readable(view: Confined) -> Iterator[None]:
    """Look at what a command has left.

    Raises:
        ToolFailed: That cannot be read: its owner may not, or the path is too long, or the file too large.
    """
    try:
        yield
    except RecursionError as error:
        raise ToolFailed(
            "the command leaves folders that lie too deep in one another", "Nothing that it did was kept."
        ) from error
    except OSError as error:
        place = error.filename or ""
        places = (f"{view.scratch}/upper", f"{view.scratch}/tree", view.lower)
        above = next((folder for folder in places if place.startswith(f"{folder}/")), "/")
        path = os.path.relpath(place, above)[:_PATH_SHOWN_MAX]
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ToolFailed(
                f"there is no room on the disk to keep {path!r}",
                "Nothing that the command did was kept. Free some space, and run it again.",
            ) from error
        raise ToolFailed(
            f"what the command leaves at {path!r} cannot be read: {error.strerror}",
            "Nothing that it did was kept. Leave its owner the right to read, and paths short.",
        ) from error


def _answer(server: LaunchServer, view: Confined, command: Command) -> dict[str, Any]:
    if command.streams is not None:
        code = server.run_into(view, command.streams.descriptors, None)
        return {"exit_code": code, "output": _decode_output(*command.streams.read_output())}
    limits = view.frame.limits
    timeout_s = min(command.timeout_s, limits.timeout_s_max)
    with tempfile.TemporaryFile() as output:
        try:
            code = server.run(view, output, timeout_s)
        except TimeoutError:
            met = limits.explain_failure(1, _decode_output(*_read_output(output)))
            cure = "Pass a larger timeout_s, or do less."
            if timeout_s < command.timeout_s:
                cure = f"Do less: no command may take longer (timeout_s_max in {TABLE})."
            raise ToolFailed(
                f"the command has not ended within {timeout_s:g} s", f"{cure} {met}".strip()
            ) from None
        except LimitExceeded as excess:
            raise ToolFailed(
                f"the command {excess.what}, and was ended",
                f"Nothing that it did was kept. Use less; a person can allow more: {excess.name} in {TABLE}.",
            ) from None
        said = _decode_output(*_read_output(output))
    met = limits.explain_failure(code, said)
    return {"exit_code": code, "output": said} | ({"limit": met} if met else {})


def _read_output(output: IO[bytes]) -> tuple[bytes, int]:
    """Return what a command has printed, as much as is shown, and how long all of it is."""
    size = output.seek(0, os.SEEK_END)
    output.seek(0)
    return output.read(OUTPUT_LENGTH_MAX), size


def _decode_output(data: bytes, size: int) -> str:
    text = data.decode("utf-8", "replace")
    return text if size <= len(data) else f"{text}\n… ({size - len(data)} more bytes, not shown)"

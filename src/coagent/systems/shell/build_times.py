"""Of what time the files are that a command leaves, so that builds stay right (`files/version_times.py`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from coagent.content import Content
from coagent.systems.files.version_times import JUST_AFTER_NS, SHARED
from coagent.systems.files.workspace import Workspace
from coagent.systems.git.repository import Repository
from coagent.systems.shell.command_run import CommandRun
from coagent.systems.shell.views.confined import Confined
from coagent.systems.shell.views.copied import Copied
from coagent.targets.stamps import tick_ns

_STEP_NS = 1000
_TICK_NS = 20_000_000
"""How far the clock of files may be behind."""


def products(run: CommandRun, repository: Repository) -> list[str]:
    """Return files that a command has built from others, of those that it has written or deleted.

    Such a file is new, or was older than something that the command has read, and git ignores it: who edits a
    source by a command has mostly read something newer, too, and no source is ignored.

    Raises:
        TargetError: Git cannot be asked.
    """
    view = run.view
    if view is None or run.seen is None or not run.changes or not repository.governed:
        return []
    times = {path: view.before_ns(path) or 0 for path in run.changes}
    read = (
        view.before_ns(path) or 0 for path in run.seen.opened - run.changes.keys() if _is_file(view, path)
    )
    newest = max(read, default=0)
    older = [path for path, time_ns in times.items() if time_ns < newest]
    if not older:
        return []
    given = b"".join(os.fsencode(repository.prefix + path) + b"\0" for path in older)
    # It ends with 128 where a path lies behind a link, or in another repository: then none counts as built.
    said = repository.run("check-ignore", "-z", "--stdin", given=given, codes=(0, 1, 128))
    return [os.fsdecode(path)[len(repository.prefix) :] for path in said.split(b"\0") if path]


def leave_times(
    run: CommandRun, workspace: Workspace, left_out: Callable[[str], bool], handed_over: Collection[str]
) -> None:
    """Say of what time the files are that a command leaves, and those that it has not seen as they are.

    What it leaves is of now, in the order in which it was written: to take the times of its view would not
    do, for git, and who looks for what has changed, must not find a file older than when it came.

    Args:
        run: The command, which has ended.
        workspace: Its workspace.
        left_out: Tells of a relative path whether it is no part of that.
        handed_over: Folders left out of it that the command has made.
    """
    view = run.view
    assert view is not None
    files = {
        path: content.version
        for path, content in run.changes.items()
        if content is not None and content.is_file
    }
    # An earlier agent may have the same file, such as a stamp: not newer than what it has edited, to it.
    others = {key for key in run.context.written if key.startswith("file:")} - run.context.own
    anew = {} if view.differing or others else view.rewritten
    when = {**{path: view.changed_ns(path) for path in files}, **anew}
    places = {time: number for number, time in enumerate(sorted(set(when.values())))}
    end_ns = tick_ns() - _STEP_NS * len(places)  # a file that is edited next is newer
    times = {path: end_ns + _STEP_NS * places[time] for path, time in when.items()}
    workspace.versions.say({path: (data, times[path]) for path, data in files.items()}, run.context.position)
    for path in anew:
        workspace.make_newer(path, times[path], _status(view, path))
    if not run.context.written and not run.changes:
        return
    shared = _left_something(run, view, workspace, left_out, handed_over)
    if shared or run.changes:
        _note_build(run, view, workspace, SHARED if shared else run.context.rank)


def _note_build(run: CommandRun, view: Confined, workspace: Workspace, rank: int) -> None:
    """Make the other versions of what a command has seen newer than what it has built."""
    by_agents = {key[5:] for key in run.context.written if key.startswith("file:")}
    by_others = by_agents - {key[5:] for key in run.context.own if key.startswith("file:")}
    paths = {*by_agents, *run.changes}
    if run.seen is not None:  # what it has built depends on nothing else
        paths &= run.seen.looked_up | run.seen.opened | run.seen.emptied | run.changes.keys()
    paths = {path for path in paths if not workspace.versions.is_product(path)}
    seen = {path: _data(run.changes.get(path, view.before(path))) for path in paths}
    end_ns = tick_ns()
    workspace.versions.note_build(seen, end_ns, rank)
    hidden = [path for path in paths if path in view.differing or (path in run.changes and path in by_others)]
    hidden = [path for path in hidden if not _is_live(workspace, path, seen[path])]
    known = {path: _status(view, path) for path in hidden}
    hidden.sort(key=lambda path: (0 if (status := known[path]) is None else status.st_mtime_ns, path))
    for number, path in enumerate(hidden, 1):
        workspace.make_newer(path, end_ns + JUST_AFTER_NS + number, known[path])


def _left_something(
    run: CommandRun,
    view: Confined,
    workspace: Workspace,
    left_out: Callable[[str], bool],
    handed_over: Collection[str],
) -> bool:
    """Tell whether a command has written where the tree's versions do not reach, as far as can be seen."""
    own_tmp = run.context.own_tmp
    if handed_over or (own_tmp is not None and own_tmp.writes):
        return True
    if not run.context.left_out:
        return False
    if run.seen is None or isinstance(view, Copied):
        return True
    paths = run.seen.looked_up | run.seen.opened | run.seen.emptied
    since_ns = run.begun_ns - _TICK_NS
    for path in paths:
        if left_out(path):
            try:
                status = os.lstat(workspace.absolute(path))
            except OSError:
                continue
            if max(status.st_mtime_ns, status.st_ctime_ns) >= since_ns:
                return True
    return False


def _is_live(workspace: Workspace, path: str, data: bytes | None) -> bool:
    """Tell whether the tree has a version of a file by now."""
    place = workspace.absolute(path)
    try:
        return data is not None and os.lstat(place).st_size == len(data) and Path(place).read_bytes() == data
    except OSError:
        return data is None


def _is_file(view: Confined, path: str) -> bool:
    return bool(path) and view.kind_before(path) == "file"


def _status(view: Confined, path: str) -> os.stat_result | None:
    try:
        status = os.lstat(f"{view.lower}/{path}")
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _data(content: Content | None) -> bytes | None:
    return content.version if content is not None and content.is_file else None

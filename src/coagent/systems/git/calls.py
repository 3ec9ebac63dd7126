"""Git in a governed shell: each agent has an index and settings of its own, references are shared objects.

Before a command, the git folder of its view is made to be what it is at the call's place in the order. After
it, moved references, and what the agent keeps for itself, become writes of the call. Others' uncommitted work
is hidden from git (`index.py`), and what would drop others' commits is refused.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from coagent.content import Content
from coagent.errors import ToolFailed
from coagent.protocol.calls import Position
from coagent.protocol.keys import Key
from coagent.systems.git.foreign_changes import ForeignChanges
from coagent.systems.git.index import Built, Indexes, Staged, exclusion
from coagent.systems.git.layer import Own, keep_objects, own_files, to_hide, write_layer
from coagent.systems.git.nested import refuse_made, refuse_ungoverned, refuse_within
from coagent.systems.git.references import PREFIX, agent_key
from coagent.systems.git.refusals import refusal, refuse_drops, refuse_outside, refuse_taken, refuse_unwritten
from coagent.systems.git.repository import Repository, read_refs
from coagent.systems.git.seeded_layers import SeededLayer, SeededLayers
from coagent.systems.git.views import ReadSet, Snapshots, View
from coagent.tools.state import State

_BEGIN, _END = "# begin: others' work\n", "# end: others' work\n"
_NAMED_MAX = 20
TO_TAKE = (
    "they hold changes of somebody who is not at work here now, a person or an agent that has ended; to take "
    "one all the same: git add -f PATH where git does not know it, else git update-index --no-skip-worktree "
    "PATH && git add PATH"
)
"""What an agent is told of the paths that were left alone."""
_TIMES_MAX = 10_000
_LOOKS_MAX = 1_000
_TREES_OWN = re.compile(  # gitrepository-layout(5): what each working tree has for itself
    r"(MERGE|CHERRY_PICK|REVERT|BISECT|ORIG|AUTO|SQUASH)_[A-Z]+|rebase-(merge|apply)|sequencer"
)
_SPARSE = "info/sparse-checkout"
_ELSEWHERE = (  # variables that would lead git somewhere else
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """What the state says of the repository at one call's place in the order.

    Args:
        key: The object that is the agent's own.
        shared: What agents have written of the repository.
        own: The paths of the tree that earlier calls of the agent have written, or what it goes on from.
        begun_s: When the snapshot of the tree was taken at the earliest, in seconds since the epoch.
    """

    key: Key
    shared: Mapping[Key, Any]
    own: frozenset[str]
    begun_s: float


ReadOnlyRun: TypeAlias = tuple[str, str, Path]
"""A command that only reads, the tree that it sees, and the git folder."""


@dataclass(slots=True)
class RepositoryView:
    """The repository as it is at one call's place in the order."""

    head: str
    refs: dict[str, str]
    private: dict[str, Any]
    key: str
    built: Built
    nobodys: list[str]
    seeded: SeededLayer
    begun_s: float
    read_only_run: ReadOnlyRun | None = None

    def value(self, name: str) -> Any:
        """Return what one of its objects was."""
        if name == self.key:
            return self.private or None
        name = name[len(PREFIX) :]
        return self.head if name == "HEAD" else self.refs.get(name)


class GitCalls:
    """Brings git into the views of one workspace, and what it did out of them.

    Args:
        root: The workspace.
        snapshots: Of it.
        left_out: Tells of a relative path whether it is no part of the workspace.
        above: Whether the repository may be one in a folder of which the workspace lies.
    """

    def __init__(
        self, root: str, snapshots: Snapshots, left_out: Callable[[str], bool], *, above: bool = True
    ) -> None:
        self.repository = Repository(root, above=above)
        self.foreign = ForeignChanges(self.repository, snapshots, left_out)
        self.indexes = Indexes(self.repository, self.foreign.index, lambda: self.foreign.commit)
        self.seeded = SeededLayers()
        self._lock = threading.Lock()  # views are made in threads, several at a time
        self._times: dict[tuple[Position, str], str] = {}
        # Those that have found nothing to write: the next time they need no layer for that.
        self._idle: dict[ReadOnlyRun | None, None] = {}

    @staticmethod
    def mentions_git(text: str) -> bool:
        """Tell whether a command names git; others may come to it through a script."""
        return re.search(r"\bgit\b", text) is not None

    def environment(self, position: Position, text: str, given: Mapping[str, str]) -> dict[str, str]:
        """Return the variables for a command: its commits get the same time whenever it runs.

        Args:
            position: Of its call.
            text: The command.
            given: The variables that it would have.
        """
        found = {key: value for key, value in given.items() if key not in _ELSEWHERE}
        now = self._times.setdefault((position, text), time.strftime("%s %z"))
        while len(self._times) > _TIMES_MAX:
            self._times.pop(next(iter(self._times)))
        return {"GIT_AUTHOR_DATE": now, "GIT_COMMITTER_DATE": now} | found

    @staticmethod
    def git_state(state: State, own: Iterable[Key], before: Iterable[str], begun_s: float) -> RepositoryState:
        """Return what is to be known of the state; all at one moment, on the thread that changes it.

        Args:
            state: The state.
            own: What earlier calls of the agent have written of the tree.
            before: The paths of what agents have written from which it goes on.
            begun_s: When the snapshot of the tree was taken at the earliest, in seconds since the epoch.
        """
        paths = frozenset((*(key.partition(":")[2] for key in own), *before))
        return RepositoryState(agent_key(state.rank), state.written(PREFIX), paths, begun_s)

    def begin(
        self,
        git_state: RepositoryState,
        view: View,
        files: Mapping[str, Content | None],
        fresh: bool,
        read_only_command: str = "",
    ) -> RepositoryView:
        """Make the git folder of a view; give it back with `release`.

        Args:
            git_state: What the state says.
            view: The view.
            files: The files that any agent has written, as they are here, by relative path.
            fresh: Whether to look anew for changes that nobody in the domain has made.
            read_only_command: The command, if it is known to change nothing but times in the index.
        """
        with self._lock:
            git_view = self._place(git_state, files, fresh)
            if read_only_command:
                git_view.read_only_run = (read_only_command, view.lower, git_view.seeded.folder)
            layered = not read_only_command or git_view.read_only_run not in self._idle
        others = ([], []) if read_only_command else (git_view.built.left_tracked, git_view.built.left_new)
        view.seed_git(git_view.seeded.folder, layered=layered, others=others)
        return git_view

    def make_ahead(self, begun_s: float) -> None:
        """Make the index of an agent that has done nothing yet, before the first command has need of it.

        Args:
            begun_s: When the snapshot of the tree was taken at the earliest, in seconds since the epoch.

        Raises:
            TargetError: Git cannot be asked.
        """
        if self.repository.governed:
            with self._lock:
                commit = self.repository.commit()
                differing = [
                    self.repository.prefix + path for path in self.foreign.paths(commit, (), fresh=False)
                ]
                self.indexes.index(commit, {}, {}, differing, begun_s=begun_s)

    def release(self, git_view: RepositoryView) -> None:
        """Say that the command over a place has ended."""
        with self._lock:
            self.seeded.release(git_view.seeded)

    def _place(
        self, git_state: RepositoryState, files: Mapping[str, Content | None], fresh: bool
    ) -> RepositoryView:
        repository = self.repository
        head, refs = repository.head(), repository.refs()
        for key, value in git_state.shared.items():
            name = key[len(PREFIX) :]
            if name == "HEAD":
                head = str(value)
            elif name.startswith("refs/"):
                refs.pop(name, None)
                if value is not None:
                    refs[name] = value
        private = dict(git_state.shared.get(git_state.key) or {})
        commit = repository.commit(head, refs)
        differing = self.foreign.paths(commit, files.keys(), fresh=fresh)
        prefix = repository.prefix
        differing = [prefix + path for path in differing if path not in git_state.own]
        others = {prefix + path: content for path, content in files.items() if path not in git_state.own}
        attributes = {
            prefix + path: value for path, value in files.items() if path.endswith(".gitattributes")
        }
        staged = private.get("staged", {})
        built = self.indexes.index(commit, staged, others, differing, attributes, begun_s=git_state.begun_s)
        refs = dict(sorted(refs.items()))
        seeded = self._seed(head, refs, private, built)
        return RepositoryView(head, refs, private, git_state.key, built, differing, seeded, git_state.begun_s)

    def _seed(self, head: str, refs: dict[str, str], private: Mapping[str, Any], built: Built) -> SeededLayer:
        """Return the folder that makes the real git folder one's own."""
        git = self.repository.common
        own: dict[str, Own | None] = dict.fromkeys(self._of_others())
        own |= {path: _own(file) for path, file in private.get("files", {}).items()}
        if own.get("config") is None:
            own["config"] = Own(self._config(), False)
        own["info/exclude"] = Own(self._exclude(own.get("info/exclude"), built), False)
        packed = ""
        for name, value in refs.items():
            if value.startswith("ref: "):
                own[name] = Own(f"{value}\n".encode(), False)
            else:
                packed += f"{value} {name}\n"

        def make(folder: Path) -> dict[str, Own | None]:
            write_layer(folder, git, own)
            (folder / "packed-refs").write_text(packed, encoding="utf-8")
            (folder / "HEAD").write_text(f"{head}\n", encoding="utf-8")
            shutil.copy2(built.place, folder / "index")
            return own_files(folder, git)

        hidden = tuple(path for path, file in own.items() if file is None and os.path.lexists(git / path))
        return self.seeded.take((head, packed, own, built.place.name, to_hide(git), hidden), make)

    def _of_others(self) -> list[str]:
        """Return what a shared git folder has of other working trees' own, such as a merge under way."""
        repository = self.repository
        if repository.path == repository.common:
            return []
        own = repository.path.relative_to(repository.common).as_posix()
        return [own, *(name for name in os.listdir(repository.common) if _TREES_OWN.fullmatch(name))]

    def _worktree_settings(self) -> bytes:
        """Return settings by which git in a view takes the workspace for its working tree."""
        if not self.repository.elsewhere:
            return b""
        return b"[core]\n\tbare = false\n\tworktree = ..\n"  # relative to the git folder

    def _exclude(self, own: Own | None, built: Built) -> bytes:
        text = own.data if own else _bytes(self.repository.common / "info/exclude")
        if text and not text.endswith(b"\n"):
            text += b"\n"
        text = os.fsencode(_only_below(self.repository.prefix)) + text
        if built.left_new:
            patterns = "".join(f"{exclusion(path)}\n" for path in built.left_new if "\n" not in path)
            text += os.fsencode(_BEGIN + patterns + _END)
        return text

    def _config(self) -> bytes:
        """Return the settings that an agent begins with: the real ones, and a name where git wants one."""
        known = os.environ.get("GIT_AUTHOR_EMAIL") or self.repository.knows("user.email")
        named = os.environ.get("GIT_AUTHOR_NAME") or self.repository.knows("user.name")
        user = "" if known and named else "[user]\n"
        user += "" if named else "\tname = CoAgent agent\n"
        user += "" if known else "\temail = agent@localhost\n"
        head = (
            f"{user}[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[advice]\n\tupdateSparsePath = false\n"
        )
        if self.repository.prefix:  # what is marked as outside of the workspace stays so
            head += "[sparse]\n\texpectFilesOutsideOfPatterns = true\n"
        return head.encode() + _bytes(self.repository.common / "config") + self._worktree_settings()

    # ---- after a command -----------------------------------------------------------------------------------

    def was_used(self, seen: ReadSet | None) -> bool:
        """Tell whether a command has looked into the git folder, or into that of a submodule in it."""
        if seen is None or ".git/HEAD" in seen.looked_up or ".git/HEAD" in seen.opened:
            return True
        if not os.path.isdir(self.repository.common / "modules"):
            return False
        return any(path.startswith(".git/modules/") for path in seen.opened | seen.looked_up)

    def record(self, state: State, git_view: RepositoryView, seen: ReadSet | None) -> None:
        """Make what a command has seen of the repository the reads of its call."""
        if not self.was_used(seen):
            return
        state.trace(f"{PREFIX}HEAD")
        state.trace(git_view.key)
        if git_view.head.startswith("ref: "):
            state.trace(PREFIX + git_view.head[5:])
        if seen is None:
            state.trace(f"{PREFIX}refs/")
            return
        for path in seen.looked_up | seen.opened:
            if path.startswith(".git/refs/") and not path.endswith(".lock"):
                state.trace(f"git:{path}")
        if ".git/refs" in seen.opened:
            state.trace(f"{PREFIX}refs/")

    def end(
        self, view: View, git_view: RepositoryView | None, said: str = ""
    ) -> tuple[dict[str, Any], list[str]]:
        """Return what a command has done in the git folder, as writes, and whose work it left alone.

        Args:
            view: Its view.
            git_view: The repository in it; None where it was not meant to use git.
            said: What it has said.

        Raises:
            ToolFailed: It would drop what is not the agent's, or cannot be kept.
        """
        if git_view is None:
            refuse_ungoverned(view.git_layer)
            return {}, []
        if self.repository.prefix:
            refuse_made(view.git_layer)
            refuse_unwritten(self.repository, said)
        layer = view.git_changes()
        if layer is None:
            self._note_idle(git_view.read_only_run)
            return {}, []
        repository = self.repository
        head = _head(layer)
        refs = read_refs(layer)
        moved = {
            name: refs.get(name)
            for name in sorted(refs.keys() | git_view.refs.keys())
            if refs.get(name) != git_view.refs.get(name)
        }
        own = own_files(layer, repository.common)
        touched = _identity(layer / "index") != _identity(git_view.seeded.folder / "index")
        if touched and git_view.read_only_run is not None:
            touched = False
            with self._lock:
                self.indexes.renew(git_view.built, layer / "index", git_view.begun_s)
        if not moved and head == git_view.head and own == git_view.seeded.own and not touched:
            return {}, []
        if "shallow" in own:
            raise ToolFailed("the command makes the repository shallow", "Leave that to a person.")
        was = git_view.seeded.own
        if own.get(_SPARSE) != was.get(_SPARSE):
            raise refusal("it chooses which files are checked out", "Leave that to a person.")
        refuse_within(path for path, file in own.items() if file is not None and file != was.get(path))
        keep_objects(view.git_layer, repository.common, self._unpack)
        heads = [head.removeprefix("ref: ")] if head != git_view.head else []
        refuse_taken(repository, [*moved, *heads])
        before = dict(git_view.private.get("before", {}))
        for name in moved:
            before.setdefault(name, git_view.refs.get(name))
        refuse_drops(repository, before, moved, refs)
        private: dict[str, Any] = {"before": before} if before else {}
        staged = self._staged_now(layer, head, refs, touched, git_view)
        old, new = repository.commit(git_view.head, git_view.refs), repository.commit(head, refs)
        refuse_outside(repository, (old, new), staged)
        if staged:
            private["staged"] = staged
        elif touched and git_view.read_only_run is None and new is not None and new != old:
            with self._lock:
                self.indexes.go_on_from(new, layer / "index", git_view.begun_s)
        files = self._own_files(own, git_view)
        if files:
            private["files"] = files
        writes: dict[str, Any] = {f"{PREFIX}{name}": value for name, value in moved.items()}
        if head != git_view.head:
            writes[f"{PREFIX}HEAD"] = head
        if private != git_view.private:
            writes[git_view.key] = private or None
        return writes, self.left_alone(git_view) if writes else []

    def _note_idle(self, read_only_run: ReadOnlyRun | None) -> None:
        """Take note that a command that only reads has found nothing to write."""
        if read_only_run is not None:
            with self._lock:
                self._idle[read_only_run] = None
                while len(self._idle) > _LOOKS_MAX:
                    self._idle.pop(next(iter(self._idle)))

    def _unpack(self, pack: bytes) -> None:
        self.repository.run("unpack-objects", "-q", given=pack)

    def _staged_now(
        self, layer: Path, head: str, refs: dict[str, str], touched: bool, git_view: RepositoryView
    ) -> Staged:
        commit = self.repository.commit(head, refs)
        if not touched and commit == self.repository.commit(git_view.head, git_view.refs):
            found: Staged = git_view.private.get("staged", {})
            return found
        index = layer / "index"
        return self.indexes.staged(index, commit) if index.is_file() else {}

    def _own_files(self, own: dict[str, Own | None], git_view: RepositoryView) -> dict[str, Any]:
        """Return the agent's own files as plain data, without those that are as they were seeded anew."""
        mine = git_view.private.get("files", {})
        found: dict[str, Any] = {}
        for path, file in own.items():
            if (
                path in ("config", "info/exclude")
                and path not in mine
                and file == git_view.seeded.own.get(path)
            ):
                continue
            if path == "info/exclude" and file is not None:
                text = re.sub(
                    re.escape(_BEGIN.encode()) + b".*?" + re.escape(_END.encode()),
                    b"",
                    file.data,
                    flags=re.DOTALL,
                )
                file = Own(text, False)
                if path not in mine and text == _bytes(self.repository.common / path):
                    continue
            found[path] = _plain(file)
        return dict(sorted(found.items()))

    def left_alone(self, git_view: RepositoryView) -> list[str]:
        """Return the paths of work that nobody who is at work has done, left alone by git.

        Those of other agents are not among them: what they have not committed changes with each of their
        calls, and no result may depend on what the call has not read.
        """
        left = set(git_view.nobodys) & {*git_view.built.left_tracked, *git_view.built.left_new}
        return sorted(path[len(self.repository.prefix) :] for path in left)[:_NAMED_MAX]


def _head(layer: Path) -> str:
    """Return the HEAD of a layer.

    Raises:
        ToolFailed: It is gone.
    """
    try:
        text = (layer / "HEAD").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ToolFailed("the command destroys the git repository", "Nothing that it did was kept.") from None
    return f"ref: {text[4:].strip()}" if text.startswith("ref:") else text


def _only_below(prefix: str) -> str:
    """Return patterns that exclude all but one folder: `packages/app/`; none where that is everything."""
    parts = prefix.split("/")[:-1]
    lines = ""
    for length in range(len(parts)):
        above = exclusion("/".join(parts[:length])) + "/" if length else "/"
        lines += f"{above}*\n!{exclusion('/'.join(parts[: length + 1]))}/\n"
    return _BEGIN + lines + _END if lines else ""


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_ino, status.st_mtime_ns


def _bytes(path: Path | str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _plain(file: Own | None) -> Any:
    if file is None:
        return None
    try:
        found: dict[str, Any] = {"text": file.data.decode("utf-8")}
    except UnicodeDecodeError:
        found = {"base64": base64.b64encode(file.data).decode("ascii")}
    return {**found, "executable": True} if file.executable else found


def _own(file: Any) -> Own | None:
    if file is None:
        return None
    data = file["text"].encode("utf-8") if "text" in file else base64.b64decode(file["base64"])
    return Own(data, bool(file.get("executable")))

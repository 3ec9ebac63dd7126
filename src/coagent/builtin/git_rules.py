"""What an agent may do with a repository that others share.

The files of `.git` are objects like others, so each agent has HEAD, branches, index and stash as they are at
its place in the order, and a later agent's commit is made again on an earlier one's. Beyond that, an agent
acts on its own work: its commits hold files that it wrote and no others; it does not take back, overwrite or
sweep up what another has not committed; it does not drop commits or stashes of others; and the configuration
and the hooks, which git would run outside of all views, are not changed. A command that would is refused.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.errors import ToolFailed
from coagent.sandbox.overlay import Content

_GIT_S_MAX = 60
_COMMITS_MAX = 500
_SHOWN_MAX = 5
_PROGRAMS = ("config", "config.worktree", "hooks")


@dataclass
class GitWork:
    """What a command has done in a workspace with a repository at its root.

    Args:
        lower: The snapshot that the command saw, below what was put differently.
        prepared: The files that were something else in its view than in the snapshot.
        changes: What it has changed.
        own: The files that the agent wrote before.
        below: What agents before it have written and not committed: keys to values.
        looked: Whether it has looked into the repository.
    """

    lower: Path
    prepared: Mapping[str, Content | None]
    changes: Mapping[str, Content | None]
    own: frozenset[str]
    below: Mapping[str, Any]
    looked: bool

    def check(self) -> None:
        """Refuse what is not the agent's own.

        Raises:
            ToolFailed: With the reason, and what to do instead.
        """
        touched = {path: one for path, one in self.changes.items() if path.startswith(".git/")}
        if not (touched or self.looked) or not (self.lower / ".git" / "HEAD").exists():
            return
        for path in touched:
            if path.split("/")[1] in _PROGRAMS:
                raise _refused(
                    f"the command changes {path}, which git would act on outside of your view",
                    "Pass such settings with `git -c name=value`, or leave them to a person.",
                )
        with tempfile.TemporaryDirectory(prefix="coagent-git-") as scratch:
            git = _Git(self._repository(Path(scratch)), self.lower / ".git")
            moved = self._moved(touched)
            self._keeps_history(git, moved)
            self._commits_own(git, moved)
            self._spares_others(git)

    def _repository(self, place: Path) -> Path:
        """Make a repository in which the new objects can be looked at; return it."""
        for folder in ("objects", "refs"):
            (place / folder).mkdir()
        (place / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        for state in (self.prepared, self.changes):
            for path, content in state.items():
                if path.startswith(".git/objects/") and content is not None:
                    target = place / path[5:]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.data)
        return place

    def _before(self, path: str) -> str | None:
        """Return a file of `.git` as the command found it."""
        if path in self.prepared:
            content = self.prepared[path]
            return None if content is None else content.data.decode("utf-8", "replace")
        try:
            return (self.lower / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def _below(self, path: str) -> str | None:
        """Return a file of `.git` as it was before the agent's own first call."""
        key = f"gitdir:{path}"
        if key in self.below:
            value = self.below[key]
            return (
                None
                if value is None
                else value
                if isinstance(value, str)
                else value.decode("utf-8", "replace")
            )
        return self._before(path)

    def _packed(self) -> dict[str, str]:
        return _packed(self._before(".git/packed-refs") or "")

    def _moved(self, touched: Mapping[str, Content | None]) -> dict[str, tuple[str | None, str | None]]:
        """Return the refs that were moved: what they were below the agent, and what they are."""
        packed = self._packed()
        after = packed
        if ".git/packed-refs" in touched:
            content = touched[".git/packed-refs"]
            text = "" if content is None else content.data.decode("utf-8", "replace")
            after = _packed(text)
        names = {path[5:] for path in touched if path.startswith(".git/refs/")}
        names |= {name for name in packed.keys() | after.keys() if packed.get(name) != after.get(name)}
        moved = {}
        for name in sorted(names):
            path = f".git/{name}"
            old = (self._below(path) or packed.get(name) or "").strip() or None
            if path in touched:
                content = touched[path]
                new = None if content is None else content.data.decode("ascii", "replace").strip()
            else:
                new = (self._before(path) or "").strip() or None
            moved[name] = (old, new or after.get(name))
        return moved

    def _keeps_history(self, git: _Git, moved: Mapping[str, tuple[str | None, str | None]]) -> None:
        for name, (old, new) in moved.items():
            if old is None or old == new:
                continue
            if name == "refs/stash":
                self._keeps_stashes()
                continue
            if name.startswith("refs/remotes/"):
                continue
            others = [one for _, one in moved.values() if one is not None]
            if not any(git.is_ancestor(old, one) for one in ([new] if new is not None else others)):
                raise _refused(
                    f"the command would drop commits of {name} that are not yours",
                    "Take a commit back with `git revert`, and begin a branch of your own for other history.",
                )

    def _keeps_stashes(self) -> None:
        path = ".git/logs/refs/stash"
        old = self._below(path) or ""
        content = self.changes.get(path)
        new = (content.data.decode("utf-8", "replace") if content else "") if path in self.changes else old
        if not new.startswith(old):
            raise _refused(
                "the command would take a stash that is not yours",
                "Apply yours by its number in `git stash list`.",
            )

    def _commits_own(self, git: _Git, moved: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Refuse new commits that hold files of others."""
        tips = [new for name, (_, new) in moved.items() if new is not None and name != "refs/stash"]
        head = self.changes.get(".git/HEAD")
        if head is not None and not head.data.startswith(b"ref:"):
            tips.append(head.data.decode("ascii", "replace").strip())
        if not tips:
            return
        known = {*self._packed().values(), *self._loose()}
        mine = self.own | {path for path in self.changes if not path.startswith(".git/")}
        for commit in git.new_commits(tips, known):
            foreign = sorted(git.files_of(commit) - mine)
            if foreign:
                raise _refused(
                    f"the commit would hold what you have not written: {', '.join(foreign[:_SHOWN_MAX])}",
                    "Name your files: `git commit -m … -- YOUR FILES`.",
                )

    def _loose(self) -> list[str]:
        found = []
        for at, _, names in os.walk(self.lower / ".git" / "refs"):
            here = os.path.relpath(at, self.lower)
            found += [self._before(os.path.join(here, name)) or "" for name in names]
        found += [
            one.data.decode("ascii", "replace")
            for path, one in self.prepared.items()
            if one and "/refs/" in path
        ]
        found.append(self._before(".git/HEAD") or "")
        shas = (one.strip() for one in found)
        return [one for one in shas if len(one) in (40, 64) and not one.startswith("ref")]

    def _spares_others(self, git: _Git) -> None:
        """Refuse to overwrite or remove, by git, what an agent before has not committed."""
        head = self._head()
        lost = [
            path
            for path in self.changes
            if f"file:{path}" in self.below and path not in self.own
            and not git.holds(head, path, self.below[f"file:{path}"])
        ]  # fmt: skip
        if lost:
            names = ", ".join(sorted(lost)[:_SHOWN_MAX])
            raise _refused(
                f"the command would take away what another has not committed: {names}",
                "Name your own files in the git command, or change that file by a command without git.",
            )

    def _head(self) -> str | None:
        head = (self._before(".git/HEAD") or "").strip()
        if not head.startswith("ref: "):
            return head or None
        name = head[5:]
        return (self._before(f".git/{name}") or self._packed().get(name) or "").strip() or None


class _Git:
    """Git, looking at objects; nothing of the repository's own settings or hooks is used."""

    def __init__(self, repository: Path, real: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environment = {
            **kept,
            "GIT_DIR": str(repository),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(real / "objects"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def _run(self, *arguments: str, input_: bytes = b"") -> tuple[int, bytes]:
        done = subprocess.run(
            ["git", *arguments], env=self._environment, input=input_, capture_output=True, check=False,
            timeout=_GIT_S_MAX,
        )  # fmt: skip
        return done.returncode, done.stdout

    def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether a commit, or what a tag names, is in the history of another."""
        return old == new or self._run("merge-base", "--is-ancestor", old, new)[0] == 0

    def new_commits(self, tips: Iterable[str], known: Iterable[str]) -> list[str]:
        """Return the commits of tips that no known one has, merges left out."""
        wanted = [*tips, *(f"^{one}" for one in known)]
        lines = "\n".join(wanted).encode()
        _, found = self._run(
            "rev-list", "--no-merges", f"--max-count={_COMMITS_MAX}", "--stdin", input_=lines
        )
        return found.decode("ascii").split()

    def files_of(self, commit: str) -> set[str]:
        """Return the files that a commit changes."""
        _, found = self._run("diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", commit)
        return set(found.decode("utf-8", "replace").split("\0")) - {""}

    def holds(self, commit: str | None, path: str, value: Any) -> bool:
        """Tell whether a commit has this content, or this absence, of a file."""
        code, blob = self._run("rev-parse", "--verify", "-q", f"{commit}:{path}") if commit else (1, b"")
        if value is None or code != 0:
            return value is None and code != 0
        data = value if isinstance(value, bytes) else str(value).encode()
        return self._run("hash-object", "--stdin", input_=data)[1].strip() == blob.strip()


def _refused(cause: str, cure: str) -> ToolFailed:
    return ToolFailed(f"{cause}. Nothing of the command was kept", cure)


def _packed(text: str) -> dict[str, str]:
    """Return the refs of a file of packed refs. Source: git-pack-refs(1)."""
    lines = (line for line in text.splitlines() if line[:1] not in ("#", "^") and " " in line)
    return {name: sha for sha, name in (line.split(" ", 1) for line in lines)}

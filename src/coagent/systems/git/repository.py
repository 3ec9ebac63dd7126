"""One real git repository, through git itself: its references, its objects, and the index of who works in it.

Nothing here runs a program that settings name (hooks, monitors, filters, signatures): git runs on a folder
of its own, whose settings (`settings.py`) name none. Only references are moved in the real one. Looking
takes no lock. Sources: git(1), gitrepository-layout(5), git-update-ref(1), git-update-index(1),
git-diff-tree(1).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.git.settings import Plain, Signature, plain_environment, signature

PRIVATE_REFS = ("refs/stash", "refs/bisect/", "refs/worktree/", "refs/rewritten/")
"""References that belong to whoever works in a checkout, and so to each agent by itself."""

_NAMED_MAX = 100
_GIT_S_MAX = 120
_LINKED = ("-c", "core.trustctime=false", "-c", "core.checkStat=minimal")
_PASSING = re.compile(
    r"\.lock': File exists|Another git process|No space left on device|Disk quota exceeded|"
    r"Read-only file system|Input/output error|Stale file handle|Out of memory|temporarily unavailable"
)
_IN_PLACE = ("update-ref", "symbolic-ref")  # what is for the real git folder; none reads files


class Entry(NamedTuple):
    """One path of an index at one stage (0, or 1 to 3 while a merge is unresolved)."""

    mode: str
    sha: str
    stage: int


class Repository:
    """The git folder at the top of a workspace, or of the repository that it is a folder of.

    Paths are relative to the top of the working tree, as git's own are.

    Args:
        root: The workspace: the working tree, or a folder in it.
        above: Whether the repository may be one in a folder of which the workspace lies.
    """

    def __init__(self, root: str, *, above: bool = False) -> None:
        self.root = (_top_above(root) if above else "") or root
        """The top of the working tree."""
        self.prefix = f"{os.path.relpath(root, self.root)}/" if self.root != root else ""
        """Where the workspace is in it: `packages/app/`; empty where it is the whole of it."""
        self.path, self.common = git_folders(self.root)
        """Where HEAD and the index are; and where all else is, which is the same but in a linked worktree."""
        self._plain = Plain(self.path, self.common)

    @property
    def elsewhere(self) -> str:
        """The git folder, where it is not in the workspace: that is a linked worktree, or a submodule."""
        return "" if self.common == Path(self.root) / ".git" else str(self.common)

    @property
    def governed(self) -> bool:
        """Whether it is there, and of a kind that can be governed: a folder, with references in files."""
        git = str(self.common)  # asked for each command: paths as objects take four times as long
        return (
            os.path.isfile(f"{self.path}/HEAD")
            and os.path.isdir(f"{git}/objects")
            and not os.path.exists(f"{git}/reftable")
        )

    def run(
        self,
        *arguments: str,
        index: Path | None = None,
        given: bytes | None = None,
        tree: Path | None = None,
        codes: Iterable[int] = (0,),
        linked: bool = False,
    ) -> bytes:
        """Run git on it and return what it says.

        Args:
            index: Instead of its own.
            given: The input.
            tree: A working tree instead of the workspace.
            codes: The exit codes that are no failure.
            linked: Whether times of change say nothing: a snapshot links to files, which changes theirs.

        Raises:
            TargetUnavailable: It cannot be run, somebody else's git is at work, or the disk is in trouble.
            TargetError: It refuses.
        """
        if arguments[0] in _IN_PLACE:
            environment = {**plain_environment(), "GIT_DIR": str(self.path)}
        else:
            environment = self._plain.environment(index or self.path / "index")
        environment["GIT_WORK_TREE"] = str(tree or self.root)
        try:
            done = subprocess.run(
                ["git", *(_LINKED if linked else ()), *arguments],
                cwd=tree or self.root,
                env=environment,
                input=b"" if given is None else given,
                capture_output=True,
                check=False,
                timeout=_GIT_S_MAX,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TargetUnavailable(
                f"git cannot be run: {error}", "Install git, or look why it hangs."
            ) from error
        if done.returncode not in codes:
            said = done.stderr.decode("utf-8", "replace").strip()
            cause = f"git {arguments[0]} failed in {self.root!r}: {said}"
            if _PASSING.search(said):
                raise TargetUnavailable(
                    cause, "Wait for the git at work there; where none runs, delete the lock that is named."
                )
            raise TargetError(cause, "Look at the repository with git fsck.")
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run git and tell whether it says yes (exit code 0).

        Raises:
            TargetUnavailable: It cannot say.
        """
        try:
            self.run(*arguments)
        except TargetUnavailable:
            raise
        except TargetError:
            return False
        return True

    def outside(self) -> tuple[str, ...]:
        """Return the pathspecs of all that is no part of the workspace."""
        return (":(top)", f":(top,literal,exclude){self.prefix[:-1]}")

    def within(self, path: str) -> str | None:
        """Return a path of the working tree as one of the workspace; None where it is not in that."""
        return path[len(self.prefix) :] if path.startswith(self.prefix) else None

    def leave_outside(self, index: Path) -> None:
        """Have git leave alone, with an index, what is no part of the workspace.

        Args:
            index: The index, in which those files are marked.
        """
        if self.prefix:
            listing = self.run("ls-files", "-z", "--", *self.outside(), index=index)
            if listing:
                self.run("update-index", "-z", "--skip-worktree", "--stdin", index=index, given=listing)

    def knows(self, setting: str) -> bool:
        """Tell whether `user.name` or `user.email` is set for who works in it."""
        return setting in self._plain.author()

    def rules(self) -> tuple[Signature | None, ...]:
        """Return what tells whether the rules by which git looks at files changed, but for those in them."""
        parts = self.prefix.split("/")[:-1]
        above = ["/".join([self.root, *parts[:length]]) for length in range(len(parts))]
        files = [f"{folder}/{name}" for folder in above for name in (".gitignore", ".gitattributes")]
        return (*self._plain.rules(), *map(signature, files))

    def head(self) -> str:
        """Return the text of HEAD: `ref: refs/heads/main`, or the name of a commit."""
        return _text(self.path / "HEAD")

    def refs(self) -> dict[str, str]:
        """Return the shared references and their values, `ref: …` for those that name another."""
        return read_refs(self.common)

    def ref(self, name: str) -> str | None:
        """Return the value of HEAD or of one reference; None where there is none."""
        try:
            found = _text(self.place(name))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return packed_refs(self.common).get(name)
        return found or None

    def place(self, name: str) -> Path:
        """Return where the file of HEAD or of a reference is."""
        return (self.path if name == "HEAD" else self.common) / name

    def checked_out_elsewhere(self) -> dict[str, str]:
        """Return the branches that other working trees have checked out, where this one is a linked one."""
        found: dict[str, str] = {}
        if self.path == self.common:
            return found
        others = [self.common, *(self.common / "worktrees").glob("*")]
        for git in others:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                head = _text(git / "HEAD") if git != self.path else ""
                if head.startswith("ref: "):
                    found[head[5:]] = str(git)
        return found

    def commit(self, head: str | None = None, refs: Mapping[str, str] | None = None) -> str | None:
        """Return the commit that a HEAD stands for; None where its branch has none yet.

        Args:
            head: Its text; that of the repository by default.
            refs: The references; those of the repository by default.
        """
        found: str | None = self.head() if head is None else head
        for _ in range(5):  # git follows no more of them (refs.c, SYMREF_MAXDEPTH)
            if found is None or not found.startswith("ref: "):
                return found
            name = found[5:]
            found = self.ref(name) if refs is None else refs.get(name)
        return None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether one commit is the other or lies behind it."""
        return old == new or self.succeeds("merge-base", "--is-ancestor", old, new)

    @property
    def digits(self) -> int:
        """How long the names of objects are: 40 digits, or 64."""
        return len(self.empty_tree())

    def empty_tree(self) -> str:
        """Return the name of the tree with nothing in it."""
        return self.run("hash-object", "-t", "tree", "--stdin").decode().strip()

    def entries(
        self, index: Path | None = None, paths: Collection[str] | None = None
    ) -> dict[str, tuple[Entry, ...]]:
        """Return what is in an index: path to its stages.

        Args:
            index: Instead of the repository's own.
            paths: Those of which it must be told; all by default. Others may be there, too.
        """
        found: dict[str, tuple[Entry, ...]] = {}
        few = paths if paths is not None and len(paths) <= _NAMED_MAX else ()
        named = (f":(literal){path}" for path in few)
        for line in self.run("ls-files", "--stage", "-z", "--", *named, index=index).split(b"\0")[:-1]:
            about, _, path = line.partition(b"\t")
            mode, sha, stage = about.decode().split(" ")
            name = os.fsdecode(path)
            found[name] = (*found.get(name, ()), Entry(mode, sha, int(stage)))
        return found

    def follow(self, old: str | None, new: str | None) -> None:
        """Take the index of the real checkout from one commit to another.

        Only entries that are as in the old one go along: what somebody has staged stays.
        """
        before, after = old or self.empty_tree(), new or self.empty_tree()
        if before == after:
            return
        listing = self.run("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after)
        changes = list(raw_changes(listing))
        index = self.entries(paths=[path for path, _, _ in changes])
        along = [
            change for change in changes if index.get(change[0], ()) == ((change[1],) if change[1] else ())
        ]
        if not along:
            return
        lines = (index_line(path, now, len(before)) for path, _, now in along)
        self.run("update-index", "-z", "--index-info", given=b"".join(lines))
        there = [f":(literal){path}" for path, _, now in along if now]
        if len(along) > _NAMED_MAX:
            self.run("update-index", "-q", "--refresh", codes=(0, 1))
        elif there:  # to look at those alone takes no time, however large the tree is
            self.run("add", "--refresh", "--", *there, codes=(0, 1, 128))  # as far as git looks at them


def git_folders(root: str) -> tuple[Path, Path]:
    """Return the git folder of a workspace, and the one that it shares with others.

    A file `.git` leads to it from a linked worktree, and from a submodule (gitrepository-layout(5)).

    Args:
        root: The workspace.
    """
    git = Path(root) / ".git"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if git.is_file():
            text = git.read_text(encoding="utf-8")
            own = Path(os.path.normpath(git.parent / text.removeprefix("gitdir:").strip()))
            if text.startswith("gitdir:") and (own / "HEAD").is_file():
                shared = own / "commondir"
                leads = shared.read_text(encoding="utf-8").strip() if shared.is_file() else "."
                return own, Path(os.path.normpath(own / leads))
    return git, git


def _top_above(root: str) -> str:
    """Return the nearest folder above one that is the top of a repository; empty where there is none.

    Only a git folder counts that this user may write to: others are looked at, as any program may.
    """
    if os.path.lexists(f"{root}/.git"):
        return ""
    above = os.path.dirname(root)
    while above != "/" and not os.path.lexists(f"{above}/.git"):
        above = os.path.dirname(above)
    git = f"{above}/.git"
    return above if above != "/" and os.path.isdir(git) and os.access(git, os.W_OK) else ""


def raw_changes(listing: bytes) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """Yield path, old and new entry of a `--raw -z --no-renames` listing; unmerged paths are left out."""
    parts = listing.split(b"\0")
    for about, path in zip(parts[0::2], parts[1::2], strict=False):
        mode_old, mode_new, sha_old, sha_new, status = about.decode().lstrip(":").split(" ")
        if status == "U":
            continue
        was = Entry(mode_old, sha_old, 0) if mode_old != "000000" else None
        now = Entry(mode_new, sha_new, 0) if mode_new != "000000" else None
        yield os.fsdecode(path), was, now


def index_line(path: str, entry: Entry | None, digits: int) -> bytes:
    """Return a line for `git update-index -z --index-info`; without an entry the path goes.

    Args:
        path: The path.
        entry: What it becomes.
        digits: How long the names of objects are (40 for SHA-1, 64 for SHA-256).
    """
    if entry is None:
        return b"0 " + b"0" * digits + b"\t" + os.fsencode(path) + b"\0"
    return f"{entry.mode} {entry.sha} {entry.stage}\t".encode() + os.fsencode(path) + b"\0"


def read_refs(git: Path) -> dict[str, str]:
    """Return the shared references that lie in a git folder."""
    found = packed_refs(git)
    _read_below(f"{git}/", "refs", found)
    return {name: found[name] for name in sorted(found) if not name.startswith(PRIVATE_REFS)}


def _read_below(git: str, folder: str, found: dict[str, str]) -> None:
    try:
        entries = list(os.scandir(git + folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            _read_below(git, name, found)
        elif entry.is_file() and not name.endswith(".lock"):
            text = _text(git + name)
            if text:
                found[name] = text


def packed_refs(git: Path) -> dict[str, str]:
    """Return the references in a git folder's `packed-refs`."""
    found = {}
    try:
        lines = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        if line and line[0] not in "#^":
            sha, _, name = line.partition(" ")
            found[name] = sha
    return found


def _text(place: str | Path) -> str:
    with open(place, "rb") as file:  # without what decoding while reading costs: there may be many
        text = file.read().decode().strip()
    return f"ref: {text[4:].strip()}" if text.startswith("ref:") else text

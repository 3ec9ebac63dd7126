"""What of a git command may not be kept: what drops others' work, or reaches out of the workspace."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from coagent.errors import ToolFailed
from coagent.systems.git.nested import refusal_outside
from coagent.systems.git.repository import Repository

_UNWRITTEN = re.compile(
    r"^(?:error|fatal|warning): unable to [a-z ]+ '?(.+?)'?: Read-only file system$", re.MULTILINE
)


def refuse_drops(
    repository: Repository,
    before: Mapping[str, str | None],
    moved: Mapping[str, str | None],
    refs: Mapping[str, str],
) -> None:
    """Refuse what drops commits, branches or tags that the agent did not make.

    Args:
        repository: The repository.
        before: What the references were that the agent has moved, as it found them first.
        moved: Those that a command has moved, and where to; None where one is gone.
        refs: All of them, after the command.

    Raises:
        ToolFailed: It does.
    """
    for name, new in moved.items():
        old = before[name]
        if old is None or old == new or name.startswith("refs/remotes/") or old.startswith("ref: "):
            continue
        what = name.removeprefix("refs/").removeprefix("heads/")
        if new is None:
            heads = [value for reference, value in refs.items() if reference.startswith("refs/heads/")]
            if name.startswith("refs/heads/") and any(
                repository.is_ancestor(old, commit) for commit in heads
            ):
                continue
            raise refusal(f"it would delete {what!r}, which is not yours", "Leave it, or merge it first.")
        if name.startswith("refs/tags/"):
            raise refusal(f"it would move {what!r}, which is not yours", "Choose another name.")
        if new.startswith("ref: ") or not repository.is_ancestor(old, new):
            dropped = repository.run("log", "--format=%h %s", "-5", old, f"^{new}").decode().splitlines()
            raise refusal(
                f"it would drop commits from {what!r} that are not yours ({'; '.join(dropped)})",
                "Take them back with git revert, or make a commit of your own on top.",
            )


def refuse_taken(repository: Repository, names: Iterable[str]) -> None:
    """Refuse to take a branch that another working tree has checked out, as git itself does.

    Args:
        repository: The repository.
        names: The references that a command has moved, and the one that HEAD has come to name.

    Raises:
        ToolFailed: There is one.
    """
    taken = repository.checked_out_elsewhere()
    for name in names:
        if name in taken:
            raise refusal(
                f"{name.removeprefix('refs/heads/')!r} is checked out in another working tree "
                f"({taken[name]})",
                "Work on another branch: git switch -c NAME.",
            )


def refuse_outside(
    repository: Repository, commits: tuple[str | None, str | None], staged: Iterable[str]
) -> None:
    """Refuse what changes files of the repository that are no part of the workspace.

    Nothing is written there, so to whoever works there they would seem changed back.

    Args:
        repository: The repository.
        commits: That of HEAD before a command, and after it.
        staged: The paths that are otherwise in its index than in the commit.

    Raises:
        ToolFailed: It does.
    """
    if not repository.prefix:
        return
    found = {path for path in staged if repository.within(path) is None}
    if commits[0] != commits[1]:
        pair = [commit or repository.empty_tree() for commit in commits]
        how = ("diff-tree", "-r", "-z", "--name-only", "--no-renames")
        listing = repository.run(*how, *pair, "--", *repository.outside())
        found.update(os.fsdecode(path) for path in listing.split(b"\0")[:-1])
    if found:
        raise refusal_outside(f"changes {', '.join(sorted(found)[:5])}", repository.root)


def refuse_unwritten(repository: Repository, said: str) -> None:
    """Refuse what git has done in part, since it could not write beside the workspace.

    Args:
        repository: The repository.
        said: What the command has said.

    Raises:
        ToolFailed: Git could not.
    """
    found = _UNWRITTEN.search(said) if repository.prefix else None
    if found is not None:
        raise refusal_outside(f"would change {found[1]} and the like", repository.root)


def refusal(what: str, cure: str) -> ToolFailed:
    """Return the refusal of what a command has done.

    Args:
        what: What that is.
        cure: What to do instead.
    """
    return ToolFailed(what, f"Nothing that the command did was kept. {cure}")

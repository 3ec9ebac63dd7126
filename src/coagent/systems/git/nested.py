"""Git repositories that are governed in part or not at all: what may not be kept of a command in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path

from coagent.content import Content, above
from coagent.errors import ToolFailed
from coagent.systems.git.settings import plain_environment

_HARMLESS = re.compile(
    r"index|FETCH_HEAD|gc\.log|ORIG_HEAD|COMMIT_EDITMSG|logs/.*|objects/.*|(.*/)?[^/]*\.lock"
)
"""What git refreshes, or makes without harm when nothing else comes of it."""


_WITHIN = re.compile(r"(modules|worktrees)/(?P<rest>.+)")
_HARMLESS_WITHIN = re.compile(
    r"(.*/)?(index|FETCH_HEAD|ORIG_HEAD|COMMIT_EDITMSG|gc\.log|[^/]*\.lock)|(.*/)?(logs|objects)/.*"
)


def refuse_within(changed: Iterable[str]) -> None:
    """Refuse what a command leaves in the repository of a submodule or in a further working tree.

    Those lie in the git folder, where they would be the agent's own and end with it, while the commits and
    folders that need them are shared.

    Args:
        changed: The files of the git folder that it has changed or made.

    Raises:
        ToolFailed: There is something.
    """
    for path in sorted(changed):
        found = _WITHIN.fullmatch(path)
        if found is None or _HARMLESS_WITHIN.fullmatch(found["rest"]):
            continue
        if found[1] == "modules":
            raise ToolFailed(
                f"the command changes the repository of a submodule ({path}), which would end with you",
                "Nothing that it did was kept. Have a person do that, or clone into a folder of its own.",
            )
        raise ToolFailed(
            f"the command leaves a further working tree behind ({path}), which would end with you",
            "Nothing that it did was kept. Remove it in the same command (git worktree remove), or look "
            "at other commits with git show.",
        )


def refuse_ungoverned(layer: Path) -> None:
    """Refuse a command that has changed a git folder at the top which is not governed.

    Args:
        layer: What it has written there (the upper layer of an overlay).

    Raises:
        ToolFailed: It has.
    """
    for at, _, names in os.walk(layer):
        for name in names:
            path = os.path.relpath(os.path.join(at, name), layer)
            if not _HARMLESS.fullmatch(path) or stat.S_ISCHR(os.lstat(os.path.join(at, name)).st_mode):
                raise ToolFailed(
                    f"the command changes the git repository ({path}), which keeps its references in another "
                    "way than in files",
                    "Nothing that it did was kept. Leave that repository to a person.",
                )
    refuse_made(layer)


def refuse_made(layer: Path) -> None:
    """Refuse a command that has made a git repository of the workspace.

    Args:
        layer: What it has written in a git folder, beside what it has written in the tree.

    Raises:
        ToolFailed: It has.
    """
    if any((layer.parent / "upper" / ".git").glob("*")):
        raise ToolFailed(
            "the command makes a git repository of the workspace",
            "Nothing that it did was kept. Have a person run git init.",
        )


def refuse_programs(
    changes: Mapping[str, Content | None],
    before: Callable[[str], Content | None],
    written: Container[str],
) -> None:
    """Refuse a command that changes settings or hooks of a repository in a subfolder that no agent has made.

    The files there are governed one by one, so a person's git would act on such changes outside of all views.

    Args:
        changes: What it has changed.
        before: Returns a file as the command found it.
        written: The objects that agents have written.

    Raises:
        ToolFailed: It changes them, in a repository that was there before.
    """
    for path in changes:
        folder, inside, rest = path.rpartition("/.git/")
        programs = rest in ("config", "config.worktree") or rest.startswith("hooks/")
        made = f"gitdir:{folder}/.git/config" in written
        if inside and programs and not made and before(f"{folder}/.git/HEAD") is not None:
            raise ToolFailed(
                f"the command changes {path!r}, which a person's git would act on outside of your view",
                "Nothing that it did was kept. Pass settings with `git -c name=value`.",
            )


def refusal_outside(what: str, top: str) -> ToolFailed:
    """Return the refusal of git that would work on files beside the workspace, which is a folder of its tree.

    Args:
        what: What the command does.
        top: The top of the working tree.
    """
    return ToolFailed(
        f"the command {what} outside of the workspace, which is a folder of the repository {top!r}",
        "Nothing that it did was kept. Keep to files in it, or have a person open a workspace at that top.",
    )


_UNWRITABLE = re.compile(
    r"Read-only file system|Permission denied|cannot lock ref|insufficient permission for adding an object"
)


def refuse_elsewhere(root: str, said: str) -> None:
    """Say of a git command why it could not write, where the repository lies outside the workspace.

    Args:
        root: The workspace.
        said: What the command has said.

    Raises:
        ToolFailed: It could not for that reason.
    """
    if not _UNWRITABLE.search(said):
        return
    found = _elsewhere(root)
    if found is None or found[0] not in said:
        return
    git, top = found
    cure = (
        f"Have a person open the workspace at the top of the repository, {top!r}."
        if top
        else "Have a person open the workspace where that repository is, or clone it into this folder."
    )
    raise ToolFailed(
        f"git cannot write here: the repository of this workspace is {git!r}, outside of it, and read-only "
        "to commands",
        f"Nothing that the command did was kept. {cure} To look is possible: git status, diff, log, show.",
    )


def _elsewhere(root: str) -> tuple[str, str] | None:
    """Return the git folder of a workspace that has it elsewhere, and the top of its repository if above."""
    place = f"{root}/.git"
    if os.path.isdir(place):
        return None
    if os.path.isfile(place):
        with contextlib.suppress(OSError), open(place, "rb") as file:
            found = _LEADS.fullmatch(file.read(_LEADS_BYTES_MAX))
            if found is not None:
                return os.path.normpath(os.path.join(root, os.fsdecode(found[1]))).partition("/.git/")[
                    0
                ] + "/.git", ""
        return None
    above = os.path.dirname(root)
    while above != "/":
        if os.path.lexists(f"{above}/.git"):
            leads = _elsewhere(above)
            return (f"{above}/.git" if leads is None else leads[0]), above
        above = os.path.dirname(above)
    return None


_COMMANDS_APART = re.compile(r"[;&|\n]")
_GIT = re.compile(r"\bgit\b")
_OVERWRITING = re.compile(
    r"\b(stash|clean|reset|checkout|switch|restore|submodule|pull|merge|rebase|revert|cherry-pick|read-tree|"
    r"checkout-index)\b"
)
_LEADS = re.compile(rb"gitdir: (.+?)\n?", re.DOTALL)
_LEADS_BYTES_MAX = 8192
_ASKED_S_MAX = 60


def _overwriting_verb(text: str) -> str | None:
    """Return the git command in a text that takes away changes, None for none; in time linear in the text."""
    for part in _COMMANDS_APART.split(text):
        named = _GIT.search(part)
        verb = _OVERWRITING.search(part, named.end()) if named is not None else None
        if verb is not None:
            return verb[1]
    return None


def refuse_overwriting_others(
    text: str,
    changes: Mapping[str, Content | None],
    before: Callable[[str], Content | None],
    others: Container[str],
    looked_at: Container[str] | None,
    root: str,
) -> None:
    """Refuse a git command that takes away what other agents have written in a repository in a subfolder.

    Git does not know there whose work is whose: neither in a repository of its own nor in a submodule. A
    script in which git was at work has taken away what is gone, or what that repository knows as it is now.

    Args:
        text: The command; git may also be run by a script in it.
        changes: What it has changed.
        before: Returns a file as the command found it.
        others: The files that agents before this one have written, and it has not.
        looked_at: The paths that it has looked at; None where that is not known.
        root: The tree.

    Raises:
        ToolFailed: It would.
    """
    verb = _overwriting_verb(text)
    if verb is None and _GIT.search(text):
        return
    overwritten: dict[str, list[str]] = {}
    for path, after in changes.items():
        if path not in others or "/.git/" in path:
            continue
        for folder in above(path):
            git = _git_folder(folder, before)
            if git is None or (verb is None and looked_at is not None and f"{git}/HEAD" not in looked_at):
                continue
            gone = after is None or not after.is_file
            if verb is not None or gone or _knows(os.path.join(root, git), after):
                overwritten.setdefault(folder, []).append(path)
    for folder, paths in overwritten.items():
        raise ToolFailed(
            f"git {verb or '(in a script)'} changes files of other agents in the repository {folder!r} "
            f"({', '.join(sorted(paths)[:5])})",
            "Nothing that it did was kept. Name your own files: git stash push -- PATH, git restore PATH.",
        )


def _git_folder(folder: str, before: Callable[[str], Content | None]) -> str | None:
    """Return the git folder of a repository in a subfolder, as a relative path; None where there is none."""
    if before(f"{folder}/.git/HEAD") is not None:
        return f"{folder}/.git"
    leads = before(f"{folder}/.git")  # of a submodule: its repository lies in that of the tree
    found = _LEADS.fullmatch(leads.data) if leads is not None and leads.is_file else None
    return None if found is None else os.path.normpath(os.path.join(folder, os.fsdecode(found[1])))


def _knows(git: str, content: Content | None) -> bool:
    """Tell whether a content is one that a repository has among its objects."""
    if content is None:
        return False
    names = [make(b"blob %d\0" % len(content.data) + content.data) for make in (hashlib.sha1, hashlib.sha256)]
    for name in names:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run(
                ["git", "cat-file", "-e", name.hexdigest()],
                env={**plain_environment(), "GIT_DIR": git},
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_ASKED_S_MAX,
            )  # fmt: skip
            if asked.returncode == 0:
                return True
    return False


def refuse_undeclared(moved: Mapping[str, object]) -> None:
    """Refuse changes of a repository by a command that says in advance what it changes: it cannot say those.

    Args:
        moved: What it has changed, by key.

    Raises:
        ToolFailed: There is something.
    """
    if moved:
        names = ", ".join(sorted(moved)[:5])
        raise ToolFailed(
            f"the tool changes the git repository ({names}), which it does not declare",
            "Nothing that it did was kept. Use git in the shell.",
        )

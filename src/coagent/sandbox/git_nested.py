"""Git repositories that are governed in part or not at all: what may not be kept of a command in them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from coagent.content import Content
from coagent.errors import ToolFailed

_HARMLESS = re.compile(
    r"index|FETCH_HEAD|gc\.log|ORIG_HEAD|COMMIT_EDITMSG|logs/.*|objects/.*|(.*/)?[^/]*\.lock"
)
"""What git refreshes, or makes without harm when nothing else comes of it."""


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
    if any((layer.parent / "upper" / ".git").glob("*")):
        raise ToolFailed(
            "the command makes a git repository of the workspace",
            "Nothing that it did was kept. Have a person run git init.",
        )


def refuse_programs(changes: Mapping[str, Content | None], before: Callable[[str], Content | None]) -> None:
    """Refuse a command that changes settings or hooks of a repository in a subfolder.

    The files there are governed one by one, so a person's git would act on such changes outside of all views.

    Args:
        changes: What it has changed.
        before: Returns a file as the command found it.

    Raises:
        ToolFailed: It changes them, in a repository that was there before.
    """
    for path in changes:
        folder, inside, rest = path.rpartition("/.git/")
        programs = rest in ("config", "config.worktree") or rest.startswith("hooks/")
        if inside and programs and before(f"{folder}/.git/HEAD") is not None:
            raise ToolFailed(
                f"the command changes {path!r}, which a person's git would act on outside of your view",
                "Nothing that it did was kept. Pass settings with `git -c name=value`.",
            )


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

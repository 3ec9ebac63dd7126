"""Links and empty folders of a workspace: `link:` and `folder:` objects.

A `link:` object holds where a symbolic link leads. A `folder:` object is there where a folder is empty: one
with something in it is there because of that, as long as that is.
"""

from __future__ import annotations

import os
import stat

from coagent.content import EXECUTABLE, FOLDER, is_mode
from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.files.workspace import Workspace

LINK_LENGTH_MAX = 4095
"""The bytes of a link's text: PATH_MAX without its end (limits.h)."""


def can_lead(text: str) -> bool:
    """Tell whether a symbolic link can hold a text."""
    try:
        return 0 < len(text.encode("utf-8")) <= LINK_LENGTH_MAX and "\0" not in text
    except UnicodeEncodeError:
        return False


def check(key: Key, value: Value) -> None:
    """Refuse what a `mode:`, `link:` or `folder:` object cannot be.

    Raises:
        TargetError: It cannot be that.
    """
    scheme, _, relative = key.partition(":")
    if not relative or relative.endswith("/"):
        raise TargetError(f"{key!r} names no object", "Name one without a slash at its end.")
    if value is None:
        return
    if scheme == "mode" and not is_mode(value):
        cure = f"It is {EXECUTABLE!r}, four octal digits such as '0600', or None for the usual rights."
        raise TargetError(f"{key!r} cannot be {value!r}", cure)
    if scheme == "folder" and value != FOLDER:
        raise TargetError(f"{key!r} cannot be {value!r}", f"It is {FOLDER!r}, or None.")
    if scheme == "link" and (type(value) is not str or not can_lead(value)):
        raise TargetError(f"{key!r} cannot lead to {value!r}", "A link leads to a path.")


def link(path: str) -> str | None:
    """Return where a symbolic link leads; None where there is none, or its text is not valid UTF-8."""
    try:
        text = os.readlink(path)
    except OSError:
        return None
    return text if can_lead(text) else None


def folder(workspace: Workspace, relative: str) -> str | None:
    """Return `FOLDER` where there is a folder that holds no object, and may hold one; None otherwise."""
    if workspace.excluded(f"{relative}/x"):
        return None
    try:
        is_folder = stat.S_ISDIR(os.lstat(workspace.absolute(relative)).st_mode)
    except OSError:
        return None
    return FOLDER if is_folder and workspace.is_empty(relative) else None

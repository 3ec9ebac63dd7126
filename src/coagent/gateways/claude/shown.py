"""What a session is shown by its own tools, put right where it may see other files than are on disk.

The tools of Claude Code answer with objects (`tool_response`); an answer of the same shape can take the place
of one (`updatedToolOutput`). Shapes as found in version 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coagent.config.domain_file import FOLDER
from coagent.protocol.keys import Key, glob_matches
from coagent.protocol.patterns import BadPattern, line_pattern
from coagent.protocol.values import Value
from coagent.wording.quoting import one_line

_LINES_DEFAULT = 2000


def read_answer(response: Any, path: str, text: str, tool_input: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what Read would have answered for a text; None where that is what it has answered.

    Args:
        response: What it has answered.
        path: The path that was asked for.
        text: The file as the session may see it.
        tool_input: The call, for its range of lines.
    """
    if not isinstance(response, dict) or response.get("type") not in ("text", "file_unchanged"):
        return None
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines = lines[:-1] if len(lines) > 1 else lines
    first = _whole(tool_input.get("offset"), 1)
    shown = lines[first - 1 : first - 1 + _whole(tool_input.get("limit"), _LINES_DEFAULT)]
    content = "\n".join(shown)
    file = response.get("file", {})
    if response["type"] == "text" and str(file.get("content", "")).rstrip("\n") == content.rstrip("\n"):
        return None
    return {
        "type": "text",
        "file": {
            **file,
            "filePath": path,
            "content": content,
            "numLines": len(shown),
            "startLine": first,
            "totalLines": len(lines),
        },
    }


def glob_answer(
    response: Any, differing: Mapping[Key, Value], folder: str, pattern: str, root: str
) -> dict[str, Any] | None:
    """Return what Glob would have answered; None where that is what it has answered.

    Args:
        response: What it has answered.
        differing: Files that the session sees otherwise than they are on disk.
        folder: Where it has looked, as an absolute path.
        pattern: What it has looked for.
        root: The workspace.
    """
    if not isinstance(response, dict) or not isinstance(response.get("filenames"), list):
        return None
    ours = f"{root}/{FOLDER}/"
    names = [name for name in response["filenames"] if not _absolute(name, folder, root).startswith(ours)]
    absolute = any(str(name).startswith("/") for name in names)
    for key, value in differing.items():
        path = f"{root}/{key.removeprefix('file:')}"
        known = next((name for name in names if _same_path(name, path, folder, root)), None)
        if value is None and known is not None:
            names.remove(known)
        elif value is not None and known is None and _matches_glob(path, folder, pattern):
            names.append(one_line(path if absolute else path[len(root) + 1 :], len(path)))
    if names == response["filenames"]:
        return None
    answer = {**response, "filenames": names}
    for count in ("numFiles", "totalMatches"):
        if count in response:
            answer[count] = len(names)
    return answer


def grep_answer(
    response: Any,
    differing: Mapping[Key, Value],
    tool_input: Mapping[str, Any],
    folder: str,
    root: str,
    cwd: str,
) -> dict[str, Any] | None:
    """Return what Grep would have answered; None where that is what it has answered.

    Lines of files that the session sees otherwise are made anew, without lines around them.
    """
    if not isinstance(response, dict):
        return None
    try:
        pattern = line_pattern(str(tool_input.get("pattern", "")), bool(tool_input.get("-i")))
    except BadPattern:
        return None  # nor does ripgrep know it
    mode = tool_input.get("output_mode") or response.get("mode") or "files_with_matches"
    content = str(response.get("content") or "")
    lines = content.split("\n") if content else []
    names = list(response.get("filenames") or [])
    for key, value in differing.items():
        path = f"{root}/{key.removeprefix('file:')}"
        if not path.startswith(folder.rstrip("/") + "/") and path != folder:
            continue
        if tool_input.get("glob") and not _matches_glob(path, folder, f"**/{tool_input['glob']}"):
            continue
        name = path[len(cwd) + 1 :] if path.startswith(f"{cwd}/") else path
        hits = pattern.lines(value) if isinstance(value, str) else []
        lines = [line for line in lines if not re.match(re.escape(name) + r"[:-]", line)]
        names = [name for name in names if not _same_path(name, path, folder, root)]
        if hits:
            name = one_line(name, len(name))
            names.append(name)
            if mode == "count":
                lines.append(f"{name}:{len(hits)}")
            else:
                numbered = tool_input.get("-n", True)
                lines += [
                    f"{name}:{number}:{text}" if numbered else f"{name}:{text}" for number, text in hits
                ]
    changed = {"content": "\n".join(lines)} if mode != "files_with_matches" else {"filenames": names}
    if all(changed[field] == (response.get(field) or type(changed[field])()) for field in changed):
        return None
    answer = {**response, **changed}
    if mode == "files_with_matches" and "numFiles" in response:
        answer["numFiles"] = len(names)
    if mode == "content" and "numLines" in response:
        answer["numLines"] = len(lines)
    if mode == "count":
        counts = {"numFiles": len(lines), "numMatches": sum(_count(line) for line in lines)}
        answer |= {field: count for field, count in counts.items() if field in response}
    return answer


def _count(line: str) -> int:
    count = line.rpartition(":")[2]
    return int(count) if count.isdecimal() else 0


def _matches_glob(path: str, folder: str, pattern: str) -> bool:
    if pattern.startswith("/"):
        return glob_matches(pattern.lstrip("/"), path.lstrip("/"))
    base = folder.rstrip("/") + "/"
    return path.startswith(base) and glob_matches(pattern, path[len(base) :])


def _same_path(name: str, path: str, folder: str, root: str) -> bool:
    return name == path or any(f"{base.rstrip('/')}/{name}" == path for base in (folder, root))


def _absolute(name: str, folder: str, root: str) -> str:
    return (
        name if name.startswith("/") else f"{root if name.startswith(FOLDER) else folder.rstrip('/')}/{name}"
    )


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default

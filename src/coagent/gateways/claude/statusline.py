"""One line for Claude Code's `statusLine`: where the session stands in the order.

Claude Code runs it after each message and shows what it prints, so it is quick, and it never fails: the
daemon of the workspace is asked over its socket; where there is none, the log is read. It imports little, as
the hook does. Source: Claude Code documentation, "Customize your status line" (JSON on stdin, a line out).
"""

# What the module `socket` adds to `_socket` takes as long to import as all the rest.
import _socket
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_HERE = "coagent: not governing here"
NOT_THIS = "coagent: not governing this session"
_FOLDER = ".coagent"
_ANSWER_S_MAX = 0.5
_SOCKET_PATH_MAX = 100
_WAITS_FOR_MAX = 2


def main() -> None:
    """Print the line for the session that the JSON on standard input is about."""
    try:
        text = line("" if sys.stdin.isatty() else sys.stdin.read())
    except Exception:  # a status line has nobody to complain to
        text = ""
    if text:
        try:
            sys.stdout.write(
                "".join(character if character.isprintable() else "?" for character in text) + "\n"
            )
            sys.stdout.flush()
        except (OSError, ValueError):
            os._exit(0)  # whoever reads has gone, or cannot be told like this


def line(given: str) -> str:
    """Return the line.

    Args:
        given: What Claude Code says of the session, as JSON text: `session_id`, `cwd`, and in `workspace`
            `current_dir` and `project_dir`. Empty for the folder of this process and no session.
    """
    said = json.loads(given) if given.strip() else {}
    folders = said.get("workspace")
    if not isinstance(folders, dict):
        folders = {}
    start = folders.get("project_dir") or folders.get("current_dir") or said.get("cwd") or "."
    root = _root(str(start))
    if root is None:
        return NOT_HERE
    name = _name(root, str(said.get("session_id") or ""))
    found = _ask(root, name)
    return describe(_read(root, name) if found is None else found, has_session=bool(said.get("session_id")))


def describe(found: "dict[str, Any]", *, has_session: bool = True) -> str:
    """Return in words where an agent stands.

    Args:
        found: As `runtime/place_in_order.py` has it.
        has_session: Whether there is a session that should be one of them.
    """
    of, stuck = int(found.get("of", 0)), int(found.get("stuck", 0))
    parts = []
    if "place" in found:
        parts.append(f"{_nth(int(found['place']))} of {of}")
        notices = int(found.get("notices", 0))
        if notices:
            parts.append(f"{notices} notice{'' if notices == 1 else 's'}")
        waits_for = [str(name) for name in found.get("waits_for", [])]
        if waits_for:
            more = len(waits_for) - _WAITS_FOR_MAX
            named = ", ".join(waits_for[:_WAITS_FOR_MAX]) + (f" and {more} more" if more > 0 else "")
            parts.append(f"waits for {named}")
        elif found.get("finished"):
            parts.append("finished")
    elif has_session:
        parts.append(f"not at work{f', {of} others are' if of > 1 else ', one other is' if of else ''}")
    else:
        parts.append(f"{of} at work" if of else "nobody at work")
    if stuck:
        parts.append(f"{stuck} stuck")
    return "coagent: " + " · ".join(parts)


def _nth(number: int) -> str:
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def _root(start: str) -> "str | None":
    folder = os.path.realpath(start)
    while not os.path.isfile(f"{folder}/{_FOLDER}/config.toml"):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def _name(root: str, session: str) -> str:
    """Return the agent of a session; empty where it has none."""
    try:
        with open(f"{root}/{_FOLDER}/sessions.json", encoding="utf-8") as kept:
            return str(json.load(kept)[session][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""


def _ask(root: str, name: str) -> "dict[str, Any] | None":
    """Return what the daemon says; None where none listens, or it is of a version that does not know."""
    path = f"{root}/{_FOLDER}/daemon.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        from coagent.gateways.claude.hook import socket_path

        path = socket_path(root)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_ANSWER_S_MAX)
        connection.connect(path)
        if hasattr(_socket, "SO_PEERCRED"):
            peer = connection.getsockopt(
                _socket.SOL_SOCKET, _socket.SO_PEERCRED, 12
            )  # pid, uid, gid (unix(7))
            if int.from_bytes(peer[4:8], sys.byteorder) != os.geteuid():
                return None
        connection.sendall(json.dumps({"place_of": name}).encode() + b"\n")
        received = b""
        while not received.endswith(b"\n"):
            part = connection.recv(1 << 16)
            if not part:
                return None
            received += part
        found = json.loads(received).get("answer")
    except (OSError, ValueError):
        return None
    finally:
        connection.close()
    return found if isinstance(found, dict) and "of" in found else None


def _read(root: str, name: str) -> "dict[str, Any]":
    """Return what the log says, read from its last checkpoint on; nothing is written."""
    import tomllib

    from coagent.log.base import NothingYet
    from coagent.runtime.place_in_order import place_in_order
    from coagent.runtime.watch import Watch

    with open(f"{root}/{_FOLDER}/config.toml", "rb") as file:
        log = str(tomllib.load(file).get("log", "sqlite:log.db"))
    scheme, _, path = log.partition(":")
    if scheme == "sqlite" and not path.startswith(("/", "~")):
        log = f"sqlite:{root}/{_FOLDER}/{path}"
    try:
        watch = Watch(log)
    except NothingYet:
        return {"of": 0, "stuck": 0}
    try:
        for _ in watch.events():
            pass
        return place_in_order(watch.kernel, name)
    finally:
        watch.close()


if __name__ == "__main__":
    main()

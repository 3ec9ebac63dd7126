"""The hook: hands one event of a Claude Code session to the daemon of its workspace, and prints the answer.

It runs before and after every tool call, so it imports little, and nothing of coagent. It is imported, by
`python -IS -c`: as a module it need not be compiled each time. Where no daemon listens, it starts one.

An event and its answer are handed on as they are. Only where something is out of the way are they read.

Source: Claude Code documentation, "Hooks reference" (input on stdin, JSON answers on stdout).
"""

# What `socket`, `json` and `contextlib` add to these takes 20 ms to import, and every tool call waits for us.
import _socket
import os
import sys

TYPE_CHECKING = False  # as type checkers know it; `typing` takes two milliseconds to import
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import Any

VERSION = "0.2.0"
"""Of CoAgent, as pyproject.toml has it; a daemon of another one may take what we ask for something else."""
FOLDER = ".coagent"
START_S_MAX = 15.0
_SOCKET_PATH_MAX = 100  # of 108 bytes that Linux has for it (unix(7))
NEXT_S_MAX = 20.0
"""How long to look for the daemon that comes after one that has died, in seconds."""
_AT_ONCE_S = 0.25  # who breaks off within it had died before it was asked
_POLL_S = 0.005
ANSWER_S_MAX = 30.0
"""How long the daemon may take for an answer: longer than it ever waits for others, but at a turn's end."""
_SOON_S = 10.0  # by then most have come: only later is it looked up how long one may take
_COMMAND_S_MAX = 140.0  # where a command has no view of its own, one runs at a time
_STOP_S_MORE = 15.0
_OF_SESSION = ("TMPDIR", "TMP", "TEMP", "CLAUDE_CODE_SESSION_ID")
"""What may end with the session that starts the daemon, which serves others after it."""
_ANSWER = b'{"answer": '
_PASSED_ON = ("COAGENT_AGENT", "COAGENT_RANK", "CLAUDE_CODE_SHELL_PREFIX", "TRACEPARENT")


WORKTREES = "/.claude/worktrees/"
"""Where Claude Code keeps the worktrees that it makes, below the main one."""
_ALONE = (
    "CoAgent leaves this session alone: it works in a git worktree of its own. To govern sessions that share "
    "this worktree, run `coagent init` in it."
)
END_IT = (
    "end its process, whose number is in .coagent/daemon.lock (the next call starts another), and run "
    "`coagent init` with the CoAgent that is meant"
)


class HookError(Exception):
    """The daemon cannot be asked; the message says why."""


class BrokenOff(HookError):
    """The daemon has died before it answered."""


def find_root(start: str) -> str | None:
    """Return the nearest folder, from one upwards, that is a workspace of CoAgent's."""
    folder = os.path.realpath(start)
    while True:
        if os.path.isfile(os.path.join(folder, FOLDER, "config.toml")):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def socket_path(root: str) -> str:
    """Return where the daemon of a workspace listens; short enough for a socket, however deep the folder."""
    path = os.path.join(root, FOLDER, "daemon.sock")
    if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
        return path
    import hashlib

    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/coagent-{os.getuid()}"
    return os.path.join(base, f"coagent-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.sock")


def ask(root: str, message: "dict[str, Any]", limit_s: float = ANSWER_S_MAX) -> "dict[str, Any]":
    """Send a message to the daemon of a workspace and return its answer, starting one where none listens.

    Args:
        root: The workspace.
        message: The message.
        limit_s: How long to wait for the answer, in seconds.

    Raises:
        HookError: There is none and none can be started, or it does not answer.
    """
    import json

    received = _ask(connect(root), json.dumps(message).encode(), limit_s, lambda: limit_s)
    answer = json.loads(received)
    if "error" in answer:
        raise HookError(str(answer["error"]))
    return dict(answer["answer"])


def _ask(connection: _socket.socket, message: bytes, soon_s: float, limit_s: "Callable[[], float]") -> bytes:
    """Return the line that the daemon answers a line with.

    Args:
        connection: Closed afterwards.
        message: The message, without the end of its line.
        soon_s: How long to wait for the answer before it is looked up how long one may take, in seconds.
        limit_s: Returns how long one may take, in seconds.

    Raises:
        HookError: It does not answer.
    """
    waited_s = soon_s
    try:
        connection.settimeout(soon_s)
        connection.sendall(message + b"\n")
        received = b""
        while not received.endswith(b"\n"):
            try:
                part = connection.recv(1 << 16)
            except TimeoutError:
                left_s = limit_s() - waited_s
                if left_s <= 0:
                    raise
                waited_s += left_s
                connection.settimeout(left_s)
                continue
            if not part:
                raise BrokenOff("the daemon broke off: see .coagent/daemon.log")
            received += part
        return received
    except TimeoutError:
        raise HookError(
            f"the daemon has not answered for {limit_s():g} s; its process is in .coagent/daemon.lock"
        ) from None
    except (BrokenPipeError, ConnectionResetError) as error:
        raise BrokenOff(f"the daemon broke off: {error}; see .coagent/daemon.log") from None
    except OSError as error:
        raise HookError(f"the daemon cannot be asked: {error}") from None
    finally:
        connection.close()


def connect(root: str) -> _socket.socket:
    """Return a connection to the daemon of a workspace, which is started where none listens.

    Raises:
        HookError: It cannot be started; the message says why.
    """
    path = socket_path(root)
    found = _connection(path)
    if found is not None:
        return found
    import time

    process = _start(root)
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        found = _connection(path)
        if found is not None:
            return found
        if process.poll() not in (None, 0):  # 0: another one came first, and listens in a moment
            raise HookError(f"the daemon does not start: {_last_line(root)}")
        time.sleep(_POLL_S)
    raise HookError(f"no daemon listens after {START_S_MAX:g} s: {_last_line(root)}")


def _connection(path: str) -> _socket.socket | None:
    """Return a connection to who listens at a path; None where nobody does."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    _require_own(connection, path)
    return connection


def _require_own(connection: _socket.socket, path: str) -> None:
    """Speak to nobody else: what is asked holds files, and what is answered is done."""
    if hasattr(_socket, "SO_PEERCRED"):
        peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid (unix(7))
        owner = int.from_bytes(peer[4:8], sys.byteorder)
    else:
        owner = os.stat(os.path.dirname(path)).st_uid
    if owner != os.geteuid():
        connection.close()
        raise HookError(f"user {owner} listens at {path}: end that program, or set XDG_RUNTIME_DIR")


def _start(root: str) -> "subprocess.Popen[bytes]":
    import subprocess

    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(os.path.join(root, FOLDER, "daemon.log"), flags, 0o600), "ab") as log:
        if os.fstat(log.fileno()).st_mode & 0o077:
            os.fchmod(log.fileno(), 0o600)
        return subprocess.Popen(
            [sys.executable, "-m", "coagent.gateways.claude.daemon", root],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=root,
            env={name: value for name, value in os.environ.items() if name not in _OF_SESSION},
            start_new_session=True,
        )


def _last_line(root: str) -> str:
    try:
        with open(os.path.join(root, FOLDER, "daemon.log"), errors="replace") as log:
            lines = [line for line in log.read()[-4000:].splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "it left no word"


def failed(root: str, event: "dict[str, Any]", why: str) -> "dict[str, Any]":
    """Return the answer where CoAgent itself fails: a warning, or the end of the session, as configured."""
    text = (
        f"CoAgent does not govern this session: {why}. Its work is not coordinated with that of others. "
        "Run `coagent status` in the workspace; `coagent init --remove` takes the hooks out."
    )
    if stops(root):
        return {"continue": False, "stopReason": text, "systemMessage": text}
    answer: dict[str, Any] = {"systemMessage": text}
    name = event.get("hook_event_name")
    if name in ("SessionStart", "UserPromptSubmit", "PostToolUse", "PostToolUseFailure"):
        answer["hookSpecificOutput"] = {
            "hookEventName": name,
            "additionalContext": f"[coagent warning] {text}",
        }
    return answer


def stops(root: str) -> bool:
    """Tell whether sessions are to stop where CoAgent itself fails, and not to go on ungoverned."""
    return _setting(root, "on_failure") == '"stop"'


def answer_limit_s(root: str, event: "dict[str, Any]") -> float:
    """Return how long the daemon may take to answer an event, in seconds."""
    if event.get("hook_event_name") == "Stop":
        try:
            return float(_setting(root, "wait_s") or 60) + _STOP_S_MORE
        except ValueError:
            return ANSWER_S_MAX
    return _COMMAND_S_MAX if event.get("tool_name") == "Bash" else ANSWER_S_MAX


def _setting(root: str, name: str) -> str:
    """Return a setting as it is written; a plain look: reading TOML would cost more than all the rest."""
    try:
        with open(os.path.join(root, FOLDER, "config.toml")) as config:
            for line in config:
                known, _, value = line.partition("#")[0].replace(" ", "").strip().partition("=")
                if known == name:
                    return value
    except OSError:
        pass
    return ""


def alone(root: str, event: "dict[str, Any]") -> bool:
    """Tell whether an event comes from a worktree of the client's own, where nobody else works.

    A session that has entered one is still heard of when its turn, or it, has ended.
    """
    cwd = os.path.realpath(str(event.get("cwd") or "."))
    if not f"{cwd}/".startswith(f"{root}{WORKTREES}"):
        return False
    name = event.get("hook_event_name")
    if name == "SessionStart":
        import json

        print(json.dumps({"systemMessage": _ALONE}))
    if name in ("Stop", "SubagentStop", "SessionEnd"):
        try:
            with open(os.path.join(root, FOLDER, "sessions.json")) as kept:
                return str(event.get("session_id")) not in kept.read()
        except OSError:
            pass
    return True


def _may_be_alone(given: bytes) -> bool:
    """Tell whether an event is worth reading for `alone`."""
    try:
        return b"worktrees" in given or WORKTREES in f"{os.getcwd()}/"
    except OSError:
        return True


def main() -> None:
    """Answer the event on standard input."""
    given = sys.stdin.buffer.read()
    root = None
    try:
        root = find_root(os.environ.get("CLAUDE_PROJECT_DIR") or str(_read(given).get("cwd") or "."))
        if root is None or (_may_be_alone(given) and alone(root, _read(given))):
            return
        answer = _answer(root, given)
    except (HookError, ValueError, OSError) as error:
        import json

        print(f"coagent: {error}", file=sys.stderr)
        answer = json.dumps(failed(root or ".", _read(given), str(error))).encode()
    if answer != b"{}":
        sys.stdout.buffer.write(answer + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # taking the interpreter down properly takes 3 ms


def _answer(root: str, given: bytes) -> bytes:
    """Return what the daemon answers an event."""
    event = given.replace(b"\n", b" ")  # as in JSON they can only stand between its parts
    environment = b",".join(
        _quote(name) + b":" + _quote(os.environ[name]) for name in _PASSED_ON if name in os.environ
    )
    version = VERSION.encode()
    message = b'{"event":%b,"environment":{%b},"pid":%d,"version":"%b"}' % (
        event, environment, _client(), version
    )  # fmt: skip
    try:
        received = _ask(connect(root), message, _SOON_S, lambda: answer_limit_s(root, _read(given)))
    except BrokenOff:
        received = _asked_of_the_next(root, message, lambda: answer_limit_s(root, _read(given)))
    end = b', "version": "%b"}\n' % version
    if received.startswith(_ANSWER) and received.endswith(end):
        return received[len(_ANSWER) : -len(end)]
    other = f"the daemon of this workspace is of another CoAgent than {VERSION}: {END_IT}"
    raise HookError(str(_read(received).get("error", other)))


def _asked_of_the_next(root: str, message: bytes, limit_s: "Callable[[], float]") -> bytes:
    """Ask the daemon that comes after one that has died: it does what of an event has not been done.

    Raises:
        HookError: It does not answer either.
    """
    import time

    until = time.monotonic() + NEXT_S_MAX
    while True:
        began = time.monotonic()
        try:
            return _ask(connect(root), message, _SOON_S, limit_s)
        except BrokenOff:
            # What the dead one has left behind, such as its launcher, may hold its socket for a moment.
            if time.monotonic() > until or time.monotonic() - began > _AT_ONCE_S:
                raise
        time.sleep(_POLL_S)


def _quote(text: str) -> bytes:
    import _json

    return _json.encode_basestring_ascii(text).encode()


def _read(text: bytes) -> "dict[str, Any]":
    """Return an object of JSON; an empty one where it is none."""
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _client() -> int:
    """Return the process of the session: our parent, or its parent where a shell stands between."""
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/comm", "rb", 0) as comm:
            shell = comm.read().strip() in (b"sh", b"bash", b"dash", b"zsh")
        if shell:
            with open(f"/proc/{parent}/stat", "rb", 0) as status:
                return int(status.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return parent


if __name__ == "__main__":  # settings that an earlier version wrote run it as a file
    main()

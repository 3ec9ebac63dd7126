"""The shell prefix: hands one Bash command of a session to the daemon of its workspace, and ends as it does.

Claude Code runs each command as `PREFIX 'COMMAND'` (CLAUDE_CODE_SHELL_PREFIX); a small script in the settings
folder (`setup/shell_script.py`) runs this one, with ROOT and COMMAND as arguments. It imports little, and
nothing of coagent. The command writes into our streams by itself; we wait for its end, and tell the daemon
when we are told to end. Source: Claude Code documentation, "Environment variables".
"""

# What the modules `socket`, `signal` and `json` add to these takes 20 ms to import, for each command.
import _json
import _socket
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any
else:
    import _signal

_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)
_END_S_MAX = 5
"""How long a command that is told to end may take for that, in seconds."""
_POLL_S = 0.02
_DONE = b'{"answer": {"exit_code": '
_VERSION = "0.2.0"  # as hook.py has it


def main() -> None:
    """Run the command that the command line names."""
    root, script = sys.argv[1:3]
    run = os.urandom(8).hex()
    connection = _connect(root, script)
    told: list[int] = []

    def end(number: int, frame: object) -> None:
        told.append(number)
        if number == _signal.SIGALRM:  # nor does the daemon answer any more
            os._exit(128 + told[0])
        _signal.alarm(_END_S_MAX)
        try:  # noqa: SIM105
            connection.shutdown(_socket.SHUT_WR)  # the daemon ends the command
        except OSError:
            pass

    for number in (*_ENDING, _signal.SIGALRM):
        _signal.signal(number, end)
    received = _ask(connection, script, run)
    code = received[len(_DONE) :].partition(b"}")[0]
    if not received.startswith(_DONE) or not code.isdigit():
        code = _exit_code(root, script, run, received)
    sys.stderr.flush()
    os._exit(128 + told[0] if told else int(code))


def _connect(root: str, script: str) -> _socket.socket:
    """Return a connection to the daemon, which is started where none listens."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(f"{root}/.coagent/daemon.sock")
        peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid (unix(7))
        if int.from_bytes(peer[4:8], sys.byteorder) == os.geteuid():
            return connection
    except (OSError, AttributeError):  # it does not run, or listens elsewhere, since the path is too long
        pass
    connection.close()
    hook = _hook()
    try:
        found: _socket.socket = hook.connect(root)
    except (hook.HookError, OSError) as error:
        _without(root, script, str(error))
    return found


def _hook() -> "Any":
    """Return `hook.py`, beside this file, which knows all about daemons."""
    sys.path.append(os.path.dirname(os.path.realpath(__file__)))
    return __import__("hook")


def _ask(connection: _socket.socket, script: str, run: str) -> bytes:
    """Have the daemon run the command; return its answer, less than a line where it has broken off."""
    quoted = _json.encode_basestring_ascii
    known = os.environ
    pid = known.get("CLAUDE_PID", "")
    fields = {
        "command": quoted(script),
        "run": quoted(run),
        "session_id": quoted(known.get("CLAUDE_CODE_SESSION_ID", "")),
        "pid": pid if pid.isdecimal() else "0",
        "cwd": quoted(_cwd()),
        "version": quoted(_VERSION),
        "environment": _object({quoted(name): quoted(value) for name, value in known.items()}),
    }
    data = _object({quoted(name): value for name, value in fields.items()}).encode() + b"\n"
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2))
    try:
        connection.sendmsg([data[:1]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        connection.sendall(data[1:])
        return _line(connection)
    except OSError:
        return b""


def _object(fields: "dict[str, str]") -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in fields.items()) + "}"


def _line(connection: _socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(1 << 16)
        if not part:
            break
        received += part
    return received


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.environ.get("PWD", "/")


def _exit_code(root: str, script: str, run: str, received: bytes) -> bytes:
    """Return the exit code, after an answer that says more."""
    import json

    answer = json.loads(received) if received.endswith(b"\n") else _look_up(root, run)
    if "error" in answer:
        _without(root, script, str(answer["error"]))
    found = answer["answer"]
    if found.get("plain"):
        _plain(script)
    if found.get("says"):
        print(found["says"], file=sys.stderr)
    return str(found["exit_code"]).encode()


def _look_up(root: str, run: str) -> "dict[str, Any]":
    """Ask the next daemon what has become of a command whose daemon has died."""
    import json
    import time

    hook = _hook()
    until = time.monotonic() + hook.NEXT_S_MAX
    while time.monotonic() < until:
        try:
            connection = hook.connect(root)
            connection.sendall(json.dumps({"ended": run}).encode() + b"\n")
            received = _line(connection)
        except hook.HookError:
            break
        except OSError:
            received = b""
        if received:
            answer = json.loads(received)
            if answer.get("answer", {}).get("exit_code") is not None:
                return dict(answer)
            break
        time.sleep(
            _POLL_S
        )  # what the dead one has left behind, such as its launcher, holds its socket open yet
    text = (
        "coagent: the daemon of this workspace died while this command ran, and the command with it. Nothing "
        "that it changed in the workspace was kept: look at what is there, and run it again."
    )
    return {"answer": {"exit_code": 1, "says": text}}


def _without(root: str, script: str, why: str) -> None:
    """Run the command ungoverned, or refuse it, as configured for when CoAgent itself fails."""
    if _hook().stops(root):
        print(f"coagent: this command was refused, since CoAgent fails: {why}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
    print(f"coagent: CoAgent does not govern this command: {why}", file=sys.stderr)
    _plain(script)


def _plain(script: str) -> None:
    for number in (*_ENDING, _signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    sys.stderr.flush()
    shell = "zsh" if "/snapshot-zsh-" in script else "bash"
    os.execvp(shell, [shell, "-c", script])

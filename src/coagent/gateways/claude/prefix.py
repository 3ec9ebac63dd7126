"""The shell prefix: hands one Bash command of a session to the daemon of its workspace, and ends as it does.

Claude Code runs each command as `PREFIX 'COMMAND'` (CLAUDE_CODE_SHELL_PREFIX); a small script in the settings
folder (`setup/shell_script.py`) runs this one as `python -IS prefix.py ROOT COMMAND`. It imports little, and
nothing of coagent. The command writes into our streams by itself; we wait for its end, and tell the daemon
when we are told to end. Source: Claude Code documentation, "Environment variables".
"""

import contextlib
import json
import os
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coagent.gateways.claude import hook
else:
    sys.path.append(os.path.dirname(os.path.realpath(__file__)))
    import hook

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """Run the command that the command line names."""
    root, script = sys.argv[1:3]
    run = os.urandom(8).hex()
    try:
        connection = hook.connected(root)
    except (hook.HookError, OSError) as error:
        _without(root, script, str(error))
    told: list[int] = []

    def end(number: int, frame: object) -> None:
        told.append(number)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)  # the daemon ends the command

    for number in _ENDING:
        signal.signal(number, end)
    answer = _asked(connection, root, script, run)
    if answer is None:
        answer = _looked_up(root, run)
    if "error" in answer:
        _without(root, script, str(answer["error"]))
    found = answer["answer"]
    if found.get("plain"):
        _plain(script)
    if found.get("says"):
        print(found["says"], file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + told[0] if told else int(found["exit_code"]))


def _asked(connection: socket.socket, root: str, script: str, run: str) -> "dict | None":  # type: ignore[type-arg]
    """Have the daemon run the command; return its answer, None where it has broken off."""
    known = os.environ
    message = {
        "command": script,
        "run": run,
        "session_id": known.get("CLAUDE_CODE_SESSION_ID", ""),
        "pid": int(known["CLAUDE_PID"]) if known.get("CLAUDE_PID", "").isdigit() else 0,
        "cwd": _cwd(),
        "environment": dict(known),
    }
    try:
        data = json.dumps(message).encode() + b"\n"
        sent = socket.send_fds(connection, [data[:1]], [1, 2])
        connection.sendall(data[sent:])
        return _received(connection)
    except OSError:
        return None


def _received(connection: socket.socket) -> "dict | None":  # type: ignore[type-arg]
    received = bytearray()
    while not received.endswith(b"\n"):
        part = connection.recv(1 << 16)
        if not part:
            return None
        received += part
    return dict(json.loads(received))


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.environ.get("PWD", "/")


def _looked_up(root: str, run: str) -> "dict":  # type: ignore[type-arg]
    """Ask the next daemon what has become of a command whose daemon has died."""
    with contextlib.suppress(hook.HookError, OSError):
        connection = hook.connected(root)
        connection.sendall(json.dumps({"ended": run}).encode() + b"\n")
        answer = _received(connection)
        if answer is not None and "answer" in answer and answer["answer"].get("exit_code") is not None:
            return answer
    text = (
        "coagent: the daemon of this workspace died while this command ran, and the command with it. Nothing "
        "that it changed in the workspace was kept: look at what is there, and run it again."
    )
    return {"answer": {"exit_code": 1, "says": text}}


def _without(root: str, script: str, why: str) -> None:
    """Run the command ungoverned, or refuse it, as configured for when CoAgent itself fails."""
    if hook.stops(root):
        print(f"coagent: this command was refused, since CoAgent fails: {why}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
    print(f"coagent: CoAgent does not govern this command: {why}", file=sys.stderr)
    _plain(script)


def _plain(script: str) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    sys.stderr.flush()
    shell = "zsh" if "/snapshot-zsh-" in script else "bash"
    os.execvp(shell, [shell, "-c", script])


if __name__ == "__main__":
    main()

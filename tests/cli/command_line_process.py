"""Imports the command line once, and runs each command that it is asked for in a process of its own.

Usage: command_line_process.py SOCKET MODULE...; it ends when its input does. A request comes with three
descriptors over a connection: `arguments`, `cwd` and `environment` in JSON. The answers are the number of the
process and, when that has ended, its exit code. Where the other side goes before, the process is ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any

from disk import wait_for_none


def main() -> None:
    """Fork for each request; the child leaves the loop, and is the command."""
    place, *modules = sys.argv[1:]
    for name in modules:
        importlib.import_module(name)
    wait_for_none()
    gc.collect()
    gc.freeze()  # what is imported is not looked through, and so not copied, in each command
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(place)
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([0, listener], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    asked = _forked(connection)
                    break
            _forget_ended()
        else:
            os.unlink(place)
            os.rmdir(os.path.dirname(place))
            return
    _become(*asked)
    runpy.run_module("coagent", run_name="__main__", alter_sys=True)


def _forked(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork once more: the child returns with what it shall be, and this process sees to its end."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    pid = os.fork()
    if pid == 0:
        return json.loads(message), descriptors
    for one in descriptors:
        os.close(one)
    connection.send(str(pid).encode())
    process = os.pidfd_open(pid)
    if process not in select.select([process, connection], [], [])[0]:
        os.kill(pid, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        connection.send(str(code).encode())
    finally:
        os._exit(0)


def _forget_ended() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become(asked: dict[str, Any], descriptors: list[int]) -> None:
    """Take on what a process is started with."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["coagent", *asked["arguments"]]


if __name__ == "__main__":
    main()

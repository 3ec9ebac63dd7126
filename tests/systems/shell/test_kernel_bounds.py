"""What Landlock and seccomp take from a process, each beside the same thing done without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coagent.systems.shell.views import kernel_bounds

needs_landlock = pytest.mark.skipif(not kernel_bounds.version(), reason="the kernel has no Landlock")
_LOADED = f"""
import errno, importlib.util, os, socket, sys
found = importlib.util.spec_from_file_location("kernel_bounds", {kernel_bounds.__file__!r})
bounds = importlib.util.module_from_spec(found)
found.loader.exec_module(bounds)
def tried(what):
    try:
        what()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
def write(place):
    with open(place, "a") as file:
        file.write("x")
"""


def _said(program: str, *arguments: str) -> list[str]:
    """Run a program of its own, which nobody can free again, and return its lines."""
    argv = [sys.executable, "-IS", "-c", _LOADED + program, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.split()


@needs_landlock
def test_files_stay_as_they_are_but_below_the_places_that_are_let(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    (tmp_path / "link").symlink_to("theirs")
    program = """
places = [f"{sys.argv[1]}/{one}/file" for one in ("mine", "theirs", "link")]
for place in places:
    tried(lambda: write(place))
bounds.keep_files([(f"{sys.argv[1]}/mine", bounds.CHANGES), (f"{sys.argv[1]}/link", bounds.CHANGES)],
                  bounds.CHANGES, scoped=False, links=LINKS)
for place in places:
    tried(lambda: write(place))
tried(lambda: os.remove(places[1]))
tried(lambda: open(places[1]).close())
"""
    held = ["done", "EACCES", "EACCES", "EACCES", "done"]
    freed = ["done", "done", "done", "done", "ENOENT"]
    assert _said(program.replace("LINKS", "False"), str(tmp_path)) == ["done"] * 3 + held
    assert _said(program.replace("LINKS", "True"), str(tmp_path)) == ["done"] * 3 + freed


@needs_landlock
def test_reading_is_taken_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    program = """
tried(lambda: open(sys.argv[1]).close())
bounds.keep_files([("/usr", bounds.all_rights())], bounds.all_rights(), scoped=True, links=True)
tried(lambda: open(sys.argv[1]).close())
tried(lambda: os.listdir("/etc"))
tried(lambda: os.listdir("/usr"))
"""
    assert _said(program, str(tmp_path / "secret")) == ["done", "EACCES", "EACCES", "done"]


@pytest.mark.parametrize(
    ("families", "local", "inet"),
    [
        ("(bounds.AF_UNIX, bounds.AF_NETLINK)", "done", "ENETUNREACH"),
        ("(bounds.AF_INET,)", "ENETUNREACH", "done"),
    ],
)
def test_sockets_of_other_families_are_not_made(families: str, local: str, inet: str) -> None:
    program = f"""
def make(family):
    socket.socket(family, socket.SOCK_STREAM).close()
tried(lambda: make(socket.AF_UNIX))
tried(lambda: make(socket.AF_INET))
bounds.keep_sockets({families}, errno.ENETUNREACH)
tried(lambda: make(socket.AF_UNIX))
tried(lambda: make(socket.AF_INET))
tried(lambda: os.stat("/"))
"""
    assert _said(program) == ["done", "done", local, inet, "done"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of io_uring_setup is that of x86-64")
def test_sockets_are_not_made_by_way_of_io_uring() -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def ring():
    if libc.syscall(425, 1, None) < 0:
        raise OSError(ctypes.get_errno(), "")
tried(ring)
bounds.keep_sockets((bounds.AF_UNIX,), errno.ENETUNREACH)
tried(ring)
"""
    before, after = _said(program)
    assert before != "ENETUNREACH"
    assert after == "ENETUNREACH"

"""Which process is meant, and whether it lives: told by its place, its number and when it began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from coagent.processes import Process, has_died, this_process


def process_of(pid: int) -> Process:
    """Return a process of this place as it would name itself."""
    found = subprocess.run(
        [sys.executable, "-c", f"from coagent.processes import _started; print(_started({pid}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return this_process()._replace(pid=pid, started=found.stdout.strip())


def test_a_process_lives_until_it_is_killed_and_is_dead_before_anybody_has_asked_after_it() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = process_of(child.pid)
    assert not has_died(process)
    os.kill(child.pid, signal.SIGSTOP)
    assert not has_died(process), "a process that is stopped is none that has died"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_died(process), "what is left of it for its parent is no process"
    child.wait()
    assert has_died(process)


def test_another_process_of_the_same_number_is_another_process() -> None:
    assert has_died(this_process()._replace(started="1"))
    assert not has_died(this_process())


def test_of_a_process_elsewhere_nobody_can_tell() -> None:
    assert not has_died(this_process()._replace(place="another boot/pid:[1]", pid=2**22 + 1))

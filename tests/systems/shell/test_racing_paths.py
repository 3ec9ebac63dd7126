"""Programs that mislead who follows what they look up: then they have read everything.

The kernel reads a path again after the tracer has read it, so another thread may put another one there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest_sandbox import SOURCES, give_away, needs_views, ordinary_python

from coagent.systems.shell.views.confined import Confined, Frame, ReadSet, Trace
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views.trace import Trace as PythonTrace

pytestmark = [needs_views, pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")]

_RACER = """
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char path[16];
static volatile int round_, wanted;
static void *flip(void *none)
{
    unsigned seed = 1;
    for (int done = 0; done < wanted; done++) {
        while (round_ <= done)
            sched_yield();
        for (volatile int wait = rand_r(&seed) % 60000; wait; wait--)
            ;
        path[0] = 'y';
    }
    return none;
}
static void *toggle(void *none)
{
    for (;;)
        *(volatile char *)path ^= 'x' ^ 'y';
    return none;
}
static int loop(int rounds)
{
    pthread_t thread;
    strcpy(path, "x0000");
    pthread_create(&thread, 0, toggle, 0);
    for (int i = 0; i < rounds; i++)
        close(open(path, O_RDONLY));
    return 0;
}
int main(int count, char **argument)
{
    pthread_t thread;
    wanted = atoi(argument[1]);
    if (wanted < 0) /* keep flipping, whatever the other thread does */
        return loop(-wanted);
    if (count > 2)
        pthread_create(&thread, 0, flip, 0);
    for (int i = 0; i < wanted; i++) {
        char found = '-';
        sprintf(path, "x%04d", i);
        round_ = i + 1;
        int file = open(path, O_RDONLY);
        if (read(file, &found, 1) == 1 && found == 'y')
            printf("y%04d\\n", i);
        close(file);
        if (count > 2)
            while (path[0] != 'y')
                sched_yield();
    }
    return 0;
}
"""
_BLIND = """
#include <stdio.h>
#include <sys/prctl.h>
int main(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    return fopen("x0000", "r") == 0;
}
"""
_ROUNDS = 60


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("racing") / "work"
    root.mkdir()
    for name, text in (("racer", _RACER), ("blind", _BLIND)):
        (root / f"{name}.c").write_text(text)
        subprocess.run(["cc", "-O1", "-pthread", "-o", root / name, root / f"{name}.c"], check=True)
    for number in range(_ROUNDS):
        (root / f"x{number:04d}").write_text("x")
        (root / f"y{number:04d}").write_text("y")
    return root


@pytest.fixture(scope="module", params=["c", "python"])
def server(request: pytest.FixtureRequest) -> Iterator[LaunchServer]:
    found = LaunchServer(compiled=request.param == "c")
    yield found
    found.close()


def _seen(
    server: LaunchServer, root: Path, command: str, trace: Trace = True
) -> tuple[list[str], ReadSet | None]:
    scratch = Path(tempfile.mkdtemp(prefix="coagent-test-"))
    view = Confined(Frame(str(root)), root, scratch, trace=trace)
    try:
        view.prepare({})
        view.spec(["bash", "-c", command], str(root), dict(os.environ))
        with tempfile.TemporaryFile() as output:
            assert server.run(view, output, 60) == 0
            output.seek(0)
            said = output.read().decode().split()
        begun, seen = view.outcome()
        assert begun
        return said, seen
    finally:
        view.remove()


def test_a_program_whose_threads_keep_racing_for_a_path_is_caught_and_has_read_everything(
    server: LaunchServer, tree: Path
) -> None:
    if server.tracer == "c":  # that in Python is too slow for this to be certain
        _, seen = _seen(server, tree, "./racer -20000 race")
        assert seen is None


def test_a_path_that_has_changed_when_it_is_read_again_is_no_path_to_trust() -> None:
    paths = iter(["x", "x", "x", "y"])

    class Racing(PythonTrace):
        def _text(self, pid: int, address: int) -> str:
            return f"/none/{next(paths)}"

    trace = Racing("/none", "/none", [], -1, {2: (((-1, 0),), "open")}, lambda source, target: None)
    for complete in (True, False):
        trace._note(1, 2, (0, os.O_RDONLY, 0, 0, 0, 0))
        assert trace.complete is complete


def test_where_that_is_strict_no_thread_can_race_for_a_path_unseen(server: LaunchServer, tree: Path) -> None:
    _, seen = _seen(server, tree, "./racer 1 race", trace="strict")
    assert seen is None


@pytest.mark.parametrize("command", ["./racer 60", "cat x0000 | cat - y0001; (cat x0002); python3 -IS -c 1"])
def test_where_that_is_strict_programs_without_threads_are_followed(
    server: LaunchServer, tree: Path, command: str
) -> None:
    _, seen = _seen(server, tree, command, trace="strict")
    assert seen is not None
    assert {"x0000", "x0002"} <= seen.opened


@pytest.mark.parametrize(
    "meddles",
    [
        "import mmap; mmap.mmap(-1, 4096)",  # shared with what is forked later
        "import ctypes; ctypes.CDLL(None).process_vm_writev(1, None, 0, None, 0, 0)",
        "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
        "open('/proc/self/mem', 'rb')",
    ],
)
def test_who_shares_or_writes_memory_of_others_has_read_everything(
    server: LaunchServer, tree: Path, meddles: str
) -> None:
    _, seen = _seen(server, tree, f'python3 -IS -c "{meddles}"', trace="strict")
    assert seen is None


def test_the_same_without_a_race_is_followed(server: LaunchServer, tree: Path) -> None:
    got, seen = _seen(server, tree, f"./racer {_ROUNDS}")
    assert got == []
    assert seen is not None
    assert {f"x{number:04d}" for number in range(_ROUNDS)} <= seen.opened


def test_a_link_that_flips_while_others_go_through_it_is_followed_to_both_ends_or_all_is_read(
    server: LaunchServer, tree: Path
) -> None:
    flips = "for i in $(seq 40); do ln -sfn y0001 link; ln -sfn x0001 link; done"
    got, seen = _seen(server, tree, f"({flips}) & for i in $(seq 40); do cat link 2> /dev/null; done; wait")
    both = {f"{one}0001" for one in set("".join(got))}
    assert seen is None or both <= seen.opened


_AS_A_USER = """
import sys; sys.path[:0] = sys.argv[2:]
import json, os, pathlib, tempfile
from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.copied import Copied
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views import copied, overlay
root, found, server = sys.argv[1], {}, LaunchServer()
for kind, why_not in ((Confined, overlay.available()), (Copied, copied.available())):
    if why_not:
        continue
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="coagent-test-"))
    view = kind(Frame(root, fenced=kind is Copied), pathlib.Path(root), scratch)
    view.prepare({})
    view.spec(["./blind"], root, {"PATH": os.environ["PATH"]}, f"{scratch}/tree/blind" if kind is Copied else f"{root}/blind")
    with tempfile.TemporaryFile() as output:
        code = server.run(view, output, 60)
    begun, seen = view.outcome()
    found[kind.__name__] = [code, begun, "everything" if seen is None else sorted(seen.opened)]
    view.remove()
server.close()
print(json.dumps(found))
"""  # noqa: E501


@pytest.mark.parametrize("who", ["root", "user"])
def test_a_program_that_lets_nobody_look_into_it_is_followed_or_has_read_everything(
    tree: Path, who: str
) -> None:
    identity = {"user": 65534, "group": 65534} if who == "user" and os.geteuid() == 0 else {}
    if identity:
        give_away(tree)
    done = subprocess.run(
        [ordinary_python() if identity else sys.executable, "-c", _AS_A_USER, str(tree), *SOURCES],
        **identity, capture_output=True, text=True, check=True, cwd="/", timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    for code, begun, seen in json.loads(done.stdout).values():
        assert (code, begun) == (0, True)
        assert seen == "everything" or "x0000" in seen
    if who == "user":  # nothing but its own user's rights: it is blind to it, and knows
        assert json.loads(done.stdout).get("Copied", [0, True, "everything"])[2] == "everything"

"""What commands do that would do harm, by malice or carelessly, comes to nothing; as root and as a user."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views
from probing import WHO, argv_of, identity_of, probed

pytestmark = needs_views

_WAYS = {
    # Of the machine, nothing can be set. What is tried would change nothing: each writes what is there.
    "sysctl": (
        "for one in kernel/core_pattern kernel/randomize_va_space vm/swappiness; do (cat "
        "/proc/sys/$one > /proc/sys/$one) 2> /dev/null && echo DONE; done; true"
    ),
    "sysrq": (
        "(: > /proc/sysrq-trigger) 2> /dev/null && echo DONE; true"
    ),
    "proc": (
        "find /proc -maxdepth 2 -name '[a-z]*' ! -path '/proc/[0-9s]*/*' ! -type l ! -path "
        "'/proc/self*' ! -path '/proc/thread-self*' ! -path '/proc/net*' ! -path "
        "'/proc/pressure/*' -type f -perm /222 2> /dev/null | while read -r one; do (: >> $one) 2> "
        "/dev/null && echo DONE $one; done; true"
    ),
    "sys": (
        "for one in /sys/power/state /sys/kernel/mm/transparent_hugepage/enabled; do test -e $one "
        "&& (: >> $one) 2> /dev/null && echo DONE; done; true"
    ),
    "cgroup": (
        "for one in $(find /sys/fs/cgroup -name cgroup.procs | head -20); do (: >> $one) 2> "
        "/dev/null && echo DONE; done; find /sys/fs/cgroup -type d | while read -r one; do mkdir "
        "$one/x 2> /dev/null && echo DONE; done; true"
    ),
    "devices": (
        "for one in $(find /dev -type b -o -name mem -o -name kmsg -o -name 'tty[0-9]*' -o -name "
        "kvm); do (: 0<> $one) 2> /dev/null && echo DONE $one; done; mknod x b 254 0 2> /dev/null "
        "&& echo DONE mknod; true"
    ),
    "mount": (
        "mount -t tmpfs none /mnt 2> /dev/null && echo DONE; umount -l /proc 2> /dev/null && echo "
        "DONE; umount -l . 2> /dev/null && echo DONE; mount -o remount,rw / 2> /dev/null && echo "
        "DONE; true"
    ),
    "unshare": (
        "unshare -Urm sh -c 'umount -l . && echo DONE; umount -l / && echo DONE; mount -o "
        "remount,rw,bind / && echo DONE; mount -o remount,rw,bind /usr && echo DONE; (: >> "
        "/etc/passwd) && echo DONE' 2> /dev/null; true"
    ),
    "nsenter": (
        "nsenter -t 1 -m true 2> /dev/null && echo DONE; nsenter -t $PPID -m true 2> /dev/null && "
        "echo DONE; true"
    ),
    "parent": (
        "for one in 1 $PPID; do (: 1<> /proc/$one/mem) 2> /dev/null && echo DONE $one mem; head -c "
        "1 /proc/$one/environ 2> /dev/null | grep -q . && echo DONE $one environ; for place in "
        "root fd/0 fd/4 cwd; do readlink /proc/$one/$place | sed s/^/DONE/; done; done; true"
    ),
    # Its parent is its own shell; all that is above that is the first process of the view.
    "ptrace": (
        "python3 -c \"import ctypes\n"
        "if ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0) >= 0: print('DONE')\""
    ),
    "names": (
        "mkdir -p deep; (: >> deep/../../beside.txt) 2> /dev/null && echo DONE; ln -s "
        "../../beside.txt deep/link; (echo x >> deep/link) 2> /dev/null && echo DONE; ln "
        "../beside.txt hard 2> /dev/null && echo x >> hard; ln -s /proc/1/root/ up; (: >> "
        "up/etc/passwd) 2> /dev/null && echo DONE; rm -f deep/link up hard; true"
    ),
    "descriptors": (
        "for one in /proc/$$/fd/*; do case ${one##*/} in 0|1|2|255) ;; *) test ! -e $one || echo "
        "DONE $one;; esac; done"
    ),
    "setuid": (
        "cp /usr/bin/id own; chmod u+s own; grep -q 'NoNewPrivs:.1' /proc/self/status || echo "
        "DONE; rm own"
    ),
    "handles": (
        "python3 -c \"import ctypes, os, struct\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "handle = ctypes.create_string_buffer(struct.pack('IiIi', 8, 1, 2, 0), 136)\n"
        "for place in '/var/tmp', '/usr', '.':\n"
        "    got = libc.open_by_handle_at(os.open(place, os.O_RDONLY), handle, os.O_RDONLY)\n"
        "    if got >= 0: print('DONE', place, os.readlink(f'/proc/self/fd/{got}'))\""
    ),
    "terminal": (
        "python3 -c \"import fcntl, os, termios\n"
        "for place in '/dev/tty', '/dev/console', '/dev/pts/0':\n"
        "    try: fcntl.ioctl(os.open(place, os.O_RDWR), termios.TIOCSTI, b'x'); print('DONE')\n"
        "    except OSError: pass\""
    ),
    "kernel log": (
        "dmesg -n 7 2> /dev/null && echo DONE; true"
    ),
    "priority": (
        "chrt -f 50 true 2> /dev/null && echo DONE; nice -n -5 true 2> /dev/null | grep x; true"
    ),
    "limits": (
        "ulimit -Hn $(($(ulimit -Hn) + 1)) 2> /dev/null && echo DONE; true"
    ),
    "clock": (
        "date -s \"$(date)\" 2> /dev/null > /dev/null && echo DONE; hostname \"$(hostname)\" 2> "
        "/dev/null && echo DONE; true"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Give what runs all ways once for each kind of view and user, and tells what came of them."""

    @cache
    def run(who: str, view: str) -> tuple[dict[str, str], Path]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path_factory.mktemp(f"{who}-{view}")))
        root = folder / "work"
        root.mkdir()
        (root / "a.txt").write_text("one\n")
        git(root, "init", "-q")
        (folder / "beside.txt").write_text("as it was\n")
        found = probed(root, who, view, list(_WAYS.values()))
        said = [f"{one.get('output', '')}{one.get('refused', '')}" for one in found]
        return dict(zip(_WAYS, said, strict=True)), folder

    return run


_WHERE = [
    ("overlay", "root"),
    *(
        pytest.param(*one, marks=pytest.mark.long)
        for one in (("overlay", "user"), ("copy", "root"), ("copy", "user"))
    ),
]


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize(("view", "who"), _WHERE)
def test_it_comes_to_nothing(outcomes, view: str, who: str, way: str) -> None:  # type: ignore[no-untyped-def]
    said, folder = outcomes(who, view)
    assert "DONE" not in said[way], said[way]
    assert "has not ended" not in said[way], said[way]
    assert (folder / "beside.txt").read_text() == "as it was\n"


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_nothing_of_a_command_outlives_a_daemon_that_is_killed(workspace: Path, view: str, who: str) -> None:
    meeting = workspace.parent / "meeting"
    meeting.mkdir()
    os.mkfifo(meeting / "pipe")
    os.chmod(meeting / "pipe", 0o666)
    # Whatever the command leaves running keeps the pipe open: its reader hears the end of the last of them.
    command = f"exec 1> {meeting}/pipe; echo begun; setsid -f sleep 999; (sleep 999 &); sleep 999"
    argv = argv_of(workspace, who, view, [command], {"writable": [str(meeting)]})
    environment = {"PATH": os.environ["PATH"], "HOME": str(workspace.parent / "home")}
    daemon = subprocess.Popen(argv, **identity_of(who), cwd="/", env=environment)
    with open(meeting / "pipe") as pipe:
        assert pipe.readline() == "begun\n"
        daemon.kill()
        assert pipe.read() == ""
    daemon.wait()
    assert "coagent-process" not in Path("/proc/self/mountinfo").read_text()

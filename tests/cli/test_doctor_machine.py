"""What `coagent doctor` says of the machine: file systems, room, private views; no check ends the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import environment
from doctoring import workspace

from coagent.cli.doctor import shell as shell_check
from coagent.cli.doctor.finding import Finding, worst
from coagent.cli.doctor.limits import Check, carried_out
from coagent.cli.doctor.machine import network_file_system, type_at
from coagent.cli.doctor.place import find_place
from coagent.systems.shell.views import copied, overlay

MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:50 / /home rw - nfs4 server:/home rw
31 30 0:51 / /home/a\\040b rw - tmpfs tmpfs rw
32 22 0:52 / /mnt/x rw master:1 - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv", "ext4"),
        ("/home/c", "nfs4"),
        ("/homes", "ext4"),
        ("/home/a b/c", "tmpfs"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_tells_the_type(path: str, kind: str) -> None:
    assert type_at(MOUNTS, Path(path)) == kind


def test_a_workspace_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:50 / {tmp_path} rw - nfs4 server:/ rw\n")
    monkeypatch.setattr("coagent.cli.doctor.machine._MOUNTS", mounts)
    found = list(network_file_system(find_place(tmp_path)))
    assert [one.state for one in found] == ["warning", "warning"]
    assert "nfs4" in found[0].text


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can mount")
def test_a_disk_that_is_nearly_full_is_warned_of(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=20m tmpfs "$1" && exec "$2" -m coagent doctor "$1"'
    (tmp_path / "small").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path / "small"), sys.executable],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(done.stderr)
    line = next(one for one in done.stdout.splitlines() if "free for the workspace" in one)
    assert line.split()[:2] == ["warning", "disk"], line


def test_where_there_are_no_views_it_says_why_and_what_is_used_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path)
    place = find_place(tmp_path)
    monkeypatch.setattr(overlay, "available", lambda: "a private view cannot be mounted: not permitted")
    monkeypatch.setattr(copied, "available", lambda: "")
    first, second = shell_check.shell(place)
    assert first.state == "note"
    assert "copies" in first.text
    assert "not permitted" in first.text
    assert "Claude Code run in the tree itself" in second.text
    monkeypatch.setattr(copied, "available", lambda: "the kernel does not bound programs")
    assert next(iter(shell_check.shell(place))).state == "warning"
    config = place.root / ".coagent" / "config.toml"
    config.write_text(config.read_text().replace('"files", ', '"files", "bash", '))
    assert next(iter(shell_check.shell(find_place(tmp_path)))).state == "problem"


def test_a_check_that_fails_or_never_ends_is_a_finding_and_the_others_are_there() -> None:
    ever = threading.Event()

    def fails() -> Iterator[Finding]:
        yield Finding("half", "ok", "begun")
        raise RuntimeError("broken")

    def hangs() -> list[Finding]:
        ever.wait()
        return []

    found = carried_out(
        [
            Check("half", fails),
            Check("slow", hangs, 0.05),
            Check("good", lambda: [Finding("good", "ok", "x")]),
        ]
    )
    ever.set()
    assert [(one.about, one.state) for one in found] == [
        ("half", "problem"),
        ("slow", "problem"),
        ("good", "ok"),
    ]
    assert "RuntimeError: broken" in found[0].text
    assert worst(found) == "problem"
    assert worst([]) == "ok"

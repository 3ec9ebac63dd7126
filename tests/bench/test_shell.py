"""The benchmark of the shell measures what it says; how fast it is, is no test's business."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import coagent

from coagent.systems.shell.views.overlay import available

pytestmark = pytest.mark.skipif(bool(available()), reason=available() or "private views can be had")


@pytest.mark.long
def test_each_command_is_timed_in_each_way(tmp_path: Path) -> None:
    done = coagent("bench", "shell", "--files", "20", "--samples", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tracer = found["parameters"].pop("tracer")
    assert tracer == ("c" if shutil.which("cc") else "python")
    assert found["parameters"] == {"files": 20, "samples": 1}
    assert "git status" in found["commands"]
    for one in found["commands"].values():
        for way in ("coarse", "traced"):
            assert one[f"{way}_ratio"] == pytest.approx(one[f"{way}_s"] / one["plain_s"], rel=0.05)


def test_a_command_that_fails_is_not_timed(tmp_path: Path) -> None:
    done = coagent("bench", "shell", "--root", ".", "--command", "exit 3", cwd=tmp_path)
    assert done.returncode == 1
    assert "'exit 3' ends with 3 (plain)" in done.stderr


def test_a_workspace_of_ones_own_needs_a_command(tmp_path: Path) -> None:
    done = coagent("bench", "shell", "--root", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "needs --command" in done.stderr


@pytest.mark.long
def test_commands_over_a_whole_tree_are_timed_alone_and_before_another(tmp_path: Path) -> None:
    done = coagent(
        "bench", "shell", "--whole-tree", "--files", "300", "--samples", "1", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ways = {"alone, first", "alone, later", "before another, first", "before another, later"}
    for one in found["commands"].values():
        assert set(one["ratios"]) == set(one["governed_s"]) == ways
    assert set(found["edit_s"]) == {"alone", "before another"}


def test_a_whole_tree_is_no_workspace_of_ones_own(tmp_path: Path) -> None:
    done = coagent("bench", "shell", "--whole-tree", "--root", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "commands of its own" in done.stderr

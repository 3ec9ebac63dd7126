"""The demos show what they are meant to show, and can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from commands import coagent, environment

from coagent.demos import repo
from coagent.demos.report import DemoReport, DemoRun
from coagent_lab.demos import canary

DEMOS = ("canary", "repo")
TITLES = ("serial", "naive", "mtpo")


def _runs(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {run["protocol"]: run for run in json.loads(done.stdout)["runs"]}


@pytest.mark.parametrize("name", DEMOS)
def test_only_naive_ends_as_no_serial_run_does(name: str) -> None:
    done = coagent("demo", name, "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["demo"] == name
    runs = _runs(done)
    assert tuple(runs) == TITLES
    assert {title: run["serializable"] for title, run in runs.items()} == {
        "serial": True,
        "naive": False,
        "mtpo": True,
    }
    assert runs["mtpo"]["order"] == ["A", "B"]
    assert [runs[title]["notifications"] for title in TITLES] == [0, 0, 1]
    assert [runs[title]["repaired_calls"] for title in TITLES] == [0, 0, 1]
    assert runs["naive"]["makespan_s"] < runs["mtpo"]["makespan_s"] < runs["serial"]["makespan_s"]
    assert runs["naive"]["tokens"] == runs["serial"]["tokens"] < runs["mtpo"]["tokens"]


def test_the_canary_has_the_bad_image_under_naive_only() -> None:
    runs = _runs(coagent("demo", "canary", "--json"))
    assert runs["naive"]["final"]["geo-canary"] == {
        "image": canary.BROKEN["geo"],
        "pods": "ImagePullBackOff",
    }
    for title in ("serial", "mtpo"):
        final = runs[title]["final"]
        assert {one["pods"] for one in final.values()} == {"Running"}
        assert {name: one["image"] for name, one in final.items()} == {
            **canary.RELEASED,
            "geo-canary": canary.RELEASED["geo"],
        }


def test_the_repository_s_tests_fail_under_naive_only(tmp_path: Path) -> None:
    done = coagent("demo", "repo", "--json", "--keep", TMPDIR=str(tmp_path))
    runs = _runs(done)
    assert {title: run["final"]["tests_pass"] for title, run in runs.items()} == {
        "serial": True,
        "naive": False,
        "mtpo": True,
    }
    assert runs["naive"]["final"]["tests"] == [
        "5 tests: FAILED (errors=1)",
        "ImportError: cannot import name 'total_price' from 'shop.pricing'",
    ]
    assert "?? shop/report.py" in runs["mtpo"]["final"]["git_status"]
    (kept,) = tmp_path.glob("coagent-repo-*")
    for title, name in (("serial", repo.NEW), ("naive", repo.OLD), ("mtpo", repo.NEW)):
        assert name in (kept / title / "shop/report.py").read_text()
        assert repo.OLD not in (kept / title / "shop/cart.py").read_text()


@pytest.mark.parametrize("name", DEMOS)
@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.long)])
def test_what_is_shown_fits(name: str, width: int, tmp_path: Path) -> None:
    done = coagent("demo", name, COLUMNS=str(width), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= width
    assert sum("▼ B is told" in line for line in lines) == 1
    assert sum("✗ not serializable" in line for line in lines) == 1
    assert sum("◆✓" in line for line in lines) == 1
    assert list(tmp_path.glob(f"coagent-{name}-*")) == []
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("name", DEMOS)
def test_the_other_protocols_are_serial_too_at_a_higher_price(name: str) -> None:
    runs = _runs(
        coagent("demo", name, "--json", "--protocol", "2pl", "-p", "occ", "-p", "mtpo", "--seed", "7")
    )
    assert all(run["serializable"] for run in runs.values())
    assert all(runs[title]["tokens"] > runs["mtpo"]["tokens"] for title in ("2pl", "occ"))


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in (3, 4))])
def test_other_seeds_tell_the_same_story(seed: int, tmp_path: Path) -> None:
    report: DemoReport = anyio.run(repo.repo, TITLES, seed, tmp_path, lambda text: None)
    assert report.as_expected


def _judged(protocol: str, order: list[str] | None, *, sound: bool = True, failure: str = "") -> bool:
    return DemoRun(protocol, order, 1, 0, 0, 0, None, "", sound, [], failure=failure).as_expected


def test_a_demo_can_fail() -> None:
    assert _judged("mtpo", ["A", "B"])
    assert not _judged("mtpo", None)
    assert not _judged("mtpo", ["A", "B"], sound=False)
    assert not _judged("serial", ["A", "B"], failure="it gave up")
    assert _judged("naive", None)
    assert not _judged("naive", ["A", "B"])


def test_a_run_that_goes_otherwise_ends_with_1() -> None:
    code = (
        "import coagent.runtime.domain as domain\n"
        "domain.PROTOCOLS['mtpo'] = domain.PROTOCOLS['naive']\n"
        "from coagent.cli.main import main\n"
        "main(['demo', 'repo', '-p', 'mtpo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "This demo went wrong: not as expected: mtpo." in done.stdout


def test_a_package_that_is_missing_is_named_with_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['uvicorn'] = None\n"
        "from coagent.cli.main import main\nmain(['demo', 'canary'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'canary' (coagent_lab.demos.canary:CANARY_DEMO) cannot be imported" in done.stderr
    assert "Install coagent-lab again, with all that it needs." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_git_is_told(tmp_path: Path) -> None:
    done = coagent("demo", "repo", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "error: this demo needs git, which was not found\n       Install git.\n"

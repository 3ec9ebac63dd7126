"""A git repository: one agent renames a function across files while another writes a new caller of it.

Afterwards the repository's own tests are run in what they have left.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

from coagent.agents.scripted import Step
from coagent.demos import Demo
from coagent.demos.play import Labelled, Role, drawn, lanes_of, order_of, play, play_one
from coagent.demos.report import DemoReport, DemoRun
from coagent.demos.shop import FILES, REPORT, REPORT_TEST
from coagent.errors import CoAgentError
from coagent.systems.files.target import Files
from coagent.systems.files.tools import FILE_TOOLS

OLD, NEW = "total_price", "order_total"

_TESTS_TIME_MAX_S = 60
_THINK_A_S = {"search_files": 4.0, "read_file": 2.0, "edit_file": 3.0, "repair": 5.0}
_THINK_B_S = {"read_file": 3.0, "write_file": 11.0, "repair": 5.0}
_LABELLED = (
    Labelled(r"^search_files", "read", "searches"),
    Labelled(r"edit_file\(.*pricing", "write", "renames in pricing.py"),
    Labelled(r"edit_file", "write"),
    Labelled(r"write_file\(path='shop/report.py'", "write", "writes report.py", "amends report.py"),
    Labelled(r"write_file\(path='tests/test_report.py'", "write", "and its test", "amends the test"),
    Labelled(r"read_file\(path='shop/pricing.py'", "read", "reads pricing.py"),
)
_EXPLANATION = (
    f"Under naive, B called {OLD} as it had read it, while A, whose search came before B's file, renamed it: "
    f"the tests cannot import it. Under mtpo, B was told that pricing.py had changed, amended the one file "
    f"that rested on it, and the tests pass."
)
# A hook of git, or the user's settings, may name another repository and other ways.
_GIT_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
_IDENTITY = ("-c", "user.name=demo", "-c", "user.email=demo@example.org", "-c", "init.defaultBranch=main")


async def repo(
    protocols: Sequence[str], seed: int, folder: Path, progress: Callable[[str], None]
) -> DemoReport:
    """Run the demo.

    Args:
        protocols: What to run it under.
        seed: What think times are drawn from.
        folder: An empty directory; each run gets a repository in it.
        progress: Told what is being done.

    Raises:
        CoAgentError: There is no git, or an agent failed even alone.
    """
    roles = _roles(seed)
    serial = {}
    for order in permutations(roles):
        names = tuple(role.name for role in order)
        progress(f"one after another: {', then '.join(names)}")
        root = _repository(folder / "-then-".join(names))
        for role in order:
            await play_one(role, [Files(root)], FILE_TOOLS)
        serial[names] = Files(root).snapshot()
    runs = []
    for protocol in protocols:
        progress(f"both at once: {protocol}")
        runs.append(await _run(protocol, roles, folder, serial))
    if runs:
        root = folder / runs[-1].protocol
        runs[-1].details["git status --short, git diff --stat"] = [
            *_status(root),
            *_git(root, "diff", "--stat").splitlines(),
        ]
    agents = {role.name: role.task for role in roles}
    return DemoReport("repo", seed, agents, runs, "tests", _EXPLANATION, str(folder))


def _roles(seed: int) -> list[Role]:
    renames = drawn(seed, _THINK_A_S)
    reports = drawn(seed + 1, _THINK_B_S)
    return [
        Role("A", f"renames {OLD} to {NEW} in all files", partial(_rename, renames), renames),
        Role("B", f"writes a report that calls {OLD}, and a test for it", partial(_report, reports), reports),
    ]


def _rename(think_s: Mapping[str, float]) -> Generator[Step, Any, str]:
    look = f"First I look for all that names {OLD}."
    lines = yield Step("search_files", {"pattern": rf"\b{OLD}\b"}, think_s["search_files"], says=look)
    paths = sorted({line.partition(":")[0] for line in lines})
    for number, path in enumerate(paths, 1):
        says = f"{path} is file {number} of {len(paths)} that name it."
        yield Step("read_file", {"path": path}, think_s["read_file"], says=says)
        change = {"path": path, "old_string": OLD, "new_string": NEW, "replace_all": True}
        yield Step("edit_file", change, think_s["edit_file"], says=f"I rename it in {path}.")
    return f"{OLD} is {NEW} now in all {len(paths)} files that named it."


def _report(think_s: Mapping[str, float]) -> Generator[Step, Any, str]:
    look = "I look in pricing.py for the function that adds an order up."
    pricing = yield Step("read_file", {"path": "shop/pricing.py"}, think_s["read_file"], says=look)
    found = re.search(r"^def (\w+)\(quantities", pricing, re.MULTILINE)
    assert found is not None, "pricing.py has a function over quantities"
    content = REPORT.format(function=found[1])
    says = f"It is {found[1]}: the report calls that."
    file = {"path": "shop/report.py", "content": content}
    yield Step("write_file", file, think_s["write_file"], says=says)
    test = {"path": "tests/test_report.py", "content": REPORT_TEST}
    yield Step("write_file", test, think_s["write_file"], says="And a test of the report.")
    return f"The report is there, tested, and calls {found[1]}."


async def _run(
    protocol: str, roles: Sequence[Role], folder: Path, serial: Mapping[tuple[str, ...], Any]
) -> DemoRun:
    root = _repository(folder / protocol)
    report = await play(roles, protocol, [Files(root)], FILE_TOOLS, folder / f"{protocol}.log")
    passed, summary, reasons = _tests(root)
    return DemoRun(
        protocol=protocol,
        order=order_of(Files(root).snapshot(), serial),
        makespan_s=report.makespan_s,
        tokens=report.total("tokens"),
        notifications=report.total("notifications"),
        repaired=report.total("amended") + report.total("undone"),
        final={"tests_pass": passed, "tests": [summary, *reasons], "git_status": _status(root)},
        outcome=summary,
        sound=passed,
        lanes=lanes_of(report, roles, _LABELLED, "B is told: pricing.py has changed"),
        details={} if passed else {"python -m unittest": [*reasons, summary]},
        failure="; ".join(agent.failure for agent in report.agents if agent.failure),
    )


def _repository(root: Path) -> Path:
    """Make a git repository with the shop in one commit."""
    for path, text in FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for arguments in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "A small shop")):
        _git(root, *arguments)
    return root


def _git(root: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *_IDENTITY, *arguments],
            cwd=root,
            env=environment | _GIT_ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        raise CoAgentError("this demo needs git, which was not found", "Install git.") from None
    except subprocess.CalledProcessError as error:
        raise CoAgentError(f"git {arguments[0]} failed: {error.stderr.strip()}") from None
    return done.stdout


def _status(root: Path) -> list[str]:
    return _git(root, "status", "--short", "--untracked-files=all").splitlines()


def _tests(root: Path) -> tuple[bool, str, list[str]]:
    """Run the repository's own tests: do they pass, what do they say in short, and what is wrong."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TESTS_TIME_MAX_S,
    )
    counted = re.search(r"^Ran (\d+ tests?)", done.stderr, re.MULTILINE)
    verdict = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output"
    reasons = re.findall(r"^(\w*Error: (?!Failed to import).*?)(?: \(.*\))?$", done.stderr, re.MULTILINE)
    passed = done.returncode == 0 and counted is not None
    return passed, f"{counted[1] if counted else 'no tests'}: {verdict}", sorted(set(reasons))


REPO = Demo("Two agents in a git repository: one renames a function, one begins to call it.", repo)
"""What is registered."""

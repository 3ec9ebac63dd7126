"""Runs commands in views of a kind, as root or as an ordinary user with a home of its own.

A program of its own (`python probing.py REQUEST SOURCES…`): who runs it is who runs the commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NOBODY = 65534
WHO = ("root", "user")


def identity_of(who: str) -> dict[str, Any]:
    """Return what has `subprocess` run a program as somebody; skips the test where that cannot be."""
    import pytest

    if os.geteuid() == 0:
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if who == "user" else {}
    if who == "root":
        pytest.skip("only root can be root")
    return {}


def argv_of(workspace: Path, who: str, view: str, commands: list[str], options: dict[str, Any]) -> list[str]:
    """Return the command line that runs this program; the workspace and a home are given to who runs it."""
    from conftest_sandbox import SOURCES, give_away, ordinary_python

    home = workspace.parent / "home"
    home.mkdir(exist_ok=True)
    identity = identity_of(who)
    if identity:
        give_away(home)
        give_away(workspace)
    request = json.dumps([str(workspace), view, commands, options])
    return [ordinary_python() if identity else sys.executable, __file__, request, *SOURCES]


def probed(
    workspace: Path,
    who: str,
    view: str,
    commands: list[str],
    variables: dict[str, str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Run commands one after another as those of one agent, and return their results.

    Args:
        workspace: In which they run; given away to the user where one runs them.
        who: "root" or "user".
        view: The kind of views.
        commands: The commands; of one that fails as a call, the result is its `refused`.
        variables: Set for the process that begins them.
        options: More, for `bash_tools`.
    """
    import pytest

    done = subprocess.run(
        argv_of(workspace, who, view, commands, options),
        **identity_of(who), cwd="/", capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(workspace.parent / "home"), **(variables or {})},
    )  # fmt: skip
    if done.stdout.startswith("SKIP"):
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


async def _main(root: str, view: str, commands: list[str], options: dict[str, Any]) -> None:
    from conftest_sandbox import shells

    from coagent.errors import ToolFailed
    from coagent.systems.shell.views import copied, overlay

    why_not = overlay.available() if view == "overlay" else copied.available()
    if why_not:
        print("SKIP", why_not)
        return
    timeout_s = options.pop("each_s", 60)
    found: list[dict[str, Any]] = []
    async with shells(Path(root), view=view, **options) as domain:
        agent = await domain.join("A")
        for command in commands:
            try:
                found.append((await agent.call("bash", command=command, timeout_s=timeout_s)).value)
            except ToolFailed as error:
                found.append({"refused": str(error)})
    print(json.dumps(found))


if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    import anyio

    anyio.run(_main, *json.loads(sys.argv[1]))

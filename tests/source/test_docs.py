"""Commands explain themselves, and no file names a machine."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sources import PACKAGE, listed, tracked_texts

MACHINE_BOUND = {
    "a package registry": re.compile(
        r"(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com)|(?<!emit-)index-url[ =]", re.I
    ),
    "a path of one machine": re.compile(r"(?<![\w.})-])/(?:work|root|opt)/\w|file:/{3}"),
    "a folder beside the project": re.compile(r"\.\./shared\b"),
}


def machine_bound(texts: dict[str, str]) -> list[str]:
    """Return the lines that hold only on some machine."""
    return [
        f"{path}:{number} names {what}: {line.strip()[:100]}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in MACHINE_BOUND.items()
        if pattern.search(line)
    ]


def commands(command: Any, path: tuple[str, ...] = ("coagent",)) -> Iterator[tuple[str, Any]]:
    """Yield each command that a user can name, with what is typed to call it."""
    nested = getattr(command, "commands", None)
    if nested is None:
        yield " ".join(path), command
        return
    for name, child in nested.items():
        yield from commands(child, (*path, name))


def unexplained(name: str, command: Any) -> list[str]:
    """Return what a command's help lacks."""
    text = f"{command.help or ''}\n{command.epilog or ''}"
    faults = []
    if not (command.help or "").strip():
        faults.append(f"{name}: no help")
    if not re.search(rf"^\W*{re.escape(name)}\b", text, re.M):
        faults.append(f"{name}: no example, a line of its help that begins with {name!r}")
    silent = [each.name for each in command.params if hasattr(each, "help") and not each.help]
    return faults + [f"{name}: no help for {parameter}" for parameter in silent]


def test_no_file_names_a_machine() -> None:
    texts = tracked_texts()
    assert "pyproject.toml" in texts
    faults = machine_bound(texts)
    assert not faults, listed(faults)


@pytest.mark.parametrize(
    "line",
    [
        "see " + "https://" + "pypi" + ".org/simple",
        "--index-url" + " x",
        "cd /wo" + "rk/main",
        "a .." + "/shared/b",
    ],
)
def test_a_machine_bound_line_would_be_seen(line: str) -> None:
    assert len(machine_bound({"a.md": f"first\n{line}\n"})) == 1


def test_ordinary_lines_pass() -> None:
    text = "pip-compile --no-emit-index-url\nhttp://localhost/api\nfile:src/wo" + "rk/a.py\n/etc/hosts\n"
    assert machine_bound({"a.md": text}) == []


def test_commands_explain_themselves() -> None:
    if not (PACKAGE / "cli/main.py").exists():
        pytest.skip("there is no coagent.cli.main yet")
    main = importlib.import_module("coagent.cli.main")
    typer_main = importlib.import_module("typer.main")
    root = typer_main.get_command(main.app)
    faults = [fault for name, command in commands(root) for fault in unexplained(name, command)]
    assert not faults, listed(faults)

"""The import table holds, and the kernel stays pure."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application import use_cases
from sources import PACKAGE, PACKAGES, ROOT, Module, imports, listed, modules, parsed

PURE_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "bisect",
        "collections",
        "collections.abc",
        "copy",
        "dataclasses",
        "decimal",
        "difflib",
        "enum",
        "fnmatch",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "types",
        "typing",
        "typing_extensions",
        "unicodedata",
    }
)
"""What the kernel may import besides itself: nothing with I/O, clock, chance, logging or async in it."""

PURE_BY_FILE = {"src/coagent/protocol/patterns.py": {"re2"}}
"""The one third party in the kernel: a pure function, as `re` is, and in one place alone."""

IMPURE_CALLS = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "hash", "id", "input", "open", "print"}
)
"""Built-in functions that do something, or that return something else in the next process."""

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

ASYNC_SYNTAX = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


def impurities(module: Module) -> list[str]:
    """Return what a module of the kernel must not hold."""
    found: list[tuple[int, str]] = []
    for line, name in imports(module.tree):
        if (
            name not in PURE_MODULES
            and name not in PURE_BY_FILE.get(module.path, ())
            and name != "coagent.protocol"
            and not name.startswith("coagent.protocol.")
        ):
            found.append((line, f"imports {name}"))
    for node in ast.walk(module.tree):
        if isinstance(node, ASYNC_SYNTAX):
            found.append((node.lineno, "is async"))
        elif isinstance(node, ast.comprehension) and node.is_async:
            found.append((node.iter.lineno, "is async"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append((node.lineno, f"calls {node.func.id}()"))
    return [f"{module.path}:{line} {what}" for line, what in sorted(found)]


def test_the_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    configuration.configure()
    kept = use_cases.lint_imports(str(ROOT / "pyproject.toml"), cache_dir=None, no_logo=True)
    assert kept, capsys.readouterr().out


def test_the_import_contracts_can_break(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, line in {
        "coagent/errors.py": "import coagent.runtime.session",  # layers
        "coagent/protocol/values.py": "import time",  # kernel
        "coagent/tools/native.py": "import coagent.protocol.mtpo",  # rules
        "coagent/runtime/notices.py": "import coagent.targets.memory",  # runtime-targets
        "coagent/systems/git/views.py": "import coagent.systems.files.encoding",  # systems
        "coagent/systems/sql/url.py": "import coagent.systems.files.encoding",  # systems-apart
        "coagent/audit/broken.py": "import coagent.protocol.values",  # audit
        "coagent/log/memory.py": "import coagent.log.sqlite",  # logs
        "coagent/runtime/clock.py": "import opentelemetry.trace",  # telemetry
        "coagent/runs/report.py": "import coagent.telemetry.names",  # telemetry-users
        "coagent/tools/declared.py": "import coagent.audit.graph",  # audit-users
        "coagent/runs/broken.py": "import kube_emulator",  # product
        "coagent_lab/sim/options.py": "import coagent_lab.bench.subject",  # lab
        "kube_emulator/broken.py": "import coagent.errors",  # emulator
    }.items():
        with (tmp_path / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    report = subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]
    assert report.returncode == 1, report.stdout + report.stderr
    assert [name for name in names if f"{name} BROKEN" not in report.stdout] == [], report.stdout


def test_the_kernel_is_pure() -> None:
    kernel = modules(PACKAGE / "protocol")
    assert kernel, "there is no kernel to look at"
    faults = [fault for module in kernel for fault in impurities(module)]
    assert not faults, listed(faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import time", "imports time"),
        ("import os.path", "imports os.path"),
        ("import re2", "imports re2"),
        ("from random import choice", "imports random"),
        ("from coagent.runtime.clock import Clock", "imports coagent.runtime.clock"),
        ("from coagent.protocols import x", "imports coagent.protocols"),
        ("from . import keys", "imports ."),
        ("def late():\n    import logging", "imports logging"),
        ("async def step(): pass", "is async"),
        ("def f():\n    return [x async for x in y]", "is async"),
        ("print('here')", "calls print()"),
        ("def f(path):\n    return open(path).read()", "calls open()"),
        ("order = sorted(keys, key=lambda key: hash(key))", "calls hash()"),
    ],
)
def test_an_impure_kernel_would_be_seen(text: str, fault: str) -> None:
    assert [found.split(" ", 1)[1] for found in impurities(parsed("bad.py", text))] == [fault]


def test_a_pure_module_passes() -> None:
    text = (
        "from dataclasses import dataclass\nfrom coagent.protocol.keys import Key\nlisted = sorted({1, 2})\n"
    )
    assert impurities(parsed("good.py", text)) == []

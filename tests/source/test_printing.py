"""Whoever shows values to people goes through one place, which masks secrets and what steers terminals."""

from __future__ import annotations

import ast

import pytest
from sources import LAB, PACKAGE, Module, imports, listed, modules, parsed

PRINTING = frozenset({"src/coagent/cli/output.py", "src/coagent/cli/safe_console.py"})
"""The one place; everybody else in `cli/`, `runs/` and `terminal/` uses its functions."""
BARE_CALLS = frozenset({"print", "pprint", "Console", "print_exc", "print_exception"})
METHODS = frozenset(
    {"echo", "secho", "print_exc", "print_exception", "dumps", "dump", "write_text", "write_bytes"}
)
STREAMS = frozenset({"stdout", "stderr"})
UNMASKED = frozenset({"coagent.protocol.differences"})
"""Its `brief` and `difference` are for models, which work with the values; `Mask.brief` is for people."""


def ways_past(module: Module) -> list[str]:
    """Return where a module prints, writes or puts values into words by itself."""
    found = [(line, f"imports {name}") for line, name in imports(module.tree) if name in UNMASKED]
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in BARE_CALLS:
            found.append((node.lineno, f"calls {called.id}()"))
        elif isinstance(called, ast.Attribute):
            stream = called.value.attr if isinstance(called.value, ast.Attribute) else ""
            if called.attr in METHODS or (called.attr == "write" and stream in STREAMS):
                found.append((node.lineno, f"calls .{called.attr}()"))
    return [f"{module.path}:{line} {what}" for line, what in sorted(found)]


def test_commands_and_runs_print_through_one_place() -> None:
    shown = [*modules(PACKAGE / "cli", PACKAGE / "runs", PACKAGE / "terminal", LAB / "cli")]
    shown += [one for one in modules(PACKAGE / "runtime") if one.path.endswith("/chronicle.py")]
    assert len(shown) > 20
    faults = [fault for module in shown if module.path not in PRINTING for fault in ways_past(module)]
    assert not faults, listed(faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("print(value)", "calls print()"),
        ("typer.echo(value)", "calls .echo()"),
        ("sys.stderr.write(value)", "calls .write()"),
        ("out = Console(stderr=True)", "calls Console()"),
        ("text = json.dumps(value)", "calls .dumps()"),
        ("path.write_text(value)", "calls .write_text()"),
        ("traceback.print_exc()", "calls .print_exc()"),
        ("from coagent.protocol.differences import brief", "imports coagent.protocol.differences"),
    ],
)
def test_a_way_past_it_would_be_seen(text: str, fault: str) -> None:
    assert [found.split(" ", 1)[1] for found in ways_past(parsed("bad.py", text))] == [fault]


def test_the_one_place_passes() -> None:
    text = (
        "from coagent.cli.output import print_json\nprint_json(value)\nout.print(text)\nsys.stdout.flush()\n"
    )
    assert ways_past(parsed("good.py", text)) == []

"""Files and functions stay small enough to be read in one go. There are no exceptions."""

from __future__ import annotations

from sources import Module, functions, listed, modules, parsed

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def too_long(module: Module) -> list[str]:
    """Return the file and the functions that are longer than they may be."""
    faults = []
    lines = len(module.text.splitlines())
    if lines > FILE_LINES_MAX:
        faults.append(f"{module.path}: {lines} lines, {FILE_LINES_MAX} at most")
    for function in functions(module.tree):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            where = f"{module.path}:{function.lineno} {function.name}"
            faults.append(f"{where}: {lines} lines, {FUNCTION_LINES_MAX} at most")
    return faults


def test_files_and_functions_are_small() -> None:
    faults = [fault for module in modules() for fault in too_long(module)]
    assert not faults, listed(faults)


def test_the_bounds_are_exact() -> None:
    body = "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert too_long(parsed("a.py", "def f():\n" + body)) == []
    assert too_long(parsed("a.py", "async def f():\n" + body + "    x = 2\n")) == [
        "a.py:1 f: 71 lines, 70 at most"
    ]
    assert too_long(parsed("a.py", "#\n" * FILE_LINES_MAX)) == []
    assert too_long(parsed("a.py", "#\n" * (FILE_LINES_MAX + 1))) == ["a.py: 501 lines, 500 at most"]

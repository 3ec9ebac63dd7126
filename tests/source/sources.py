"""What the tests of the source share: where it is, and its syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "coagent"
EMULATOR = ROOT / "packages" / "kube-emulator" / "src" / "kube_emulator"
LAB = ROOT / "packages" / "coagent-lab" / "src" / "coagent_lab"
PACKAGES = (PACKAGE, EMULATOR, LAB)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A Python file and its syntax tree."""

    path: str
    text: str
    tree: ast.Module


def parsed(path: str, text: str) -> Module:
    """Return the module that a text makes."""
    return Module(path, text, ast.parse(text, path))


@cache
def modules(*under: Path) -> tuple[Module, ...]:
    """Return all modules below folders; of all packages where none is named."""
    return tuple(
        parsed(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in under or PACKAGES
        for path in sorted(folder.rglob("*.py"))
    )


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield all functions, methods and nested functions."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for each import, wherever it stands; a relative one keeps its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


@cache
def tracked_texts() -> dict[str, str]:
    """Return path to text for the files of the project: those git knows, or all where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
    else:
        folders = ("src", "packages", "tests", "docs", ".ci")
        paths = [*ROOT.glob("*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
        names = [path.relative_to(ROOT).as_posix() for path in paths]
    texts = {}
    for name in names:
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content:
                texts[name] = content.decode("utf-8", "replace")
    return texts


def listed(faults: list[str]) -> str:
    """Return the message of a failed test: one fault a line."""
    return f"{len(faults)} found:\n" + "\n".join(faults)

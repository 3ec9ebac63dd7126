"""What users may name exists and says what it is."""

from __future__ import annotations

import abc
import ast
import builtins
import enum
import inspect
import typing
from collections.abc import Iterable

from sources import Function, Module, listed, modules, parsed

import coagent


def base_names(node: ast.ClassDef) -> list[str]:
    """Return the last part of each base class's name."""
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in bases]


def described(tree: ast.AST) -> set[str]:
    """Return the names of the functions right inside a node that have a docstring."""
    return {
        node.name
        for node in ast.iter_child_nodes(tree)
        if isinstance(node, Function) and ast.get_docstring(node) is not None
    }


def inherited(name: str, classes: dict[str, list[ast.ClassDef]]) -> set[str]:
    """Return the methods that a class with this name, or one it derives from, describes."""
    found: set[str] = set()
    waiting, seen = [name], {""}
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            for node in classes.get(name, []):
                found |= described(node)
                waiting += base_names(node)
    return found


def undescribed(all_modules: Iterable[Module]) -> list[str]:
    """Return the public modules, classes, functions and methods without a docstring.

    A method may leave it to where it comes from: a base class in these modules, a class of a framework, or,
    as `Protocol` classes need no naming, an interface in these modules that describes a method of this name.
    """
    all_modules = list(all_modules)
    classes: dict[str, list[ast.ClassDef]] = {}
    for module in all_modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
    interfaces = {name for name, nodes in classes.items() if any("Protocol" in base_names(n) for n in nodes)}
    structural = set().union(*(described(node) for name in interfaces for node in classes[name]))

    def foreign(base: str) -> bool:
        return base not in classes and not any(
            hasattr(known, base) for known in (abc, builtins, enum, typing)
        )

    def within(tree: ast.AST, where: str, exempt: set[str]) -> Iterable[str]:
        for node in ast.iter_child_nodes(tree):
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            if ast.get_docstring(node) is None and node.name not in exempt and not overloaded(node):
                yield f"{where}:{node.lineno} {node.name}"
            if isinstance(node, ast.ClassDef) and not any(foreign(name) for name in base_names(node)):
                yield from within(node, where, structural | inherited(node.name, classes))

    faults = [
        f"{module.path}:1 the module" for module in all_modules if ast.get_docstring(module.tree) is None
    ]
    for module in all_modules:
        faults += within(module.tree, module.path, set())
    return faults


def overloaded(node: ast.AST) -> bool:
    """Return whether this is one of several signatures, or the setter of a property."""
    last_parts = [
        getattr(each, "attr", getattr(each, "id", "")) for each in getattr(node, "decorator_list", [])
    ]
    return bool({"overload", "setter", "deleter", "override"} & set(last_parts))


def test_public_names_exist_and_are_described() -> None:
    assert len(coagent.__all__) == len(set(coagent.__all__))
    missing = [name for name in coagent.__all__ if not hasattr(coagent, name)]
    assert not missing, listed(missing)
    silent = [name for name in coagent.__all__ if not inspect.getdoc(getattr(coagent, name))]
    assert not silent, listed(silent)


def test_the_fixed_names_are_public() -> None:
    fixed = {"open_domain", "tool", "State", "Notification", "targets", "CoAgentError"}
    errors = {"UnknownTool", "ToolFailed", "AgentNotActive", "FootprintViolation", "TargetError", "LogError"}
    assert fixed | errors <= set(coagent.__all__)
    assert all(issubclass(getattr(coagent, name), coagent.CoAgentError) for name in errors)


def test_public_definitions_are_described() -> None:
    faults = undescribed(modules())
    assert not faults, listed(faults)


def test_a_missing_description_would_be_seen() -> None:
    text = '''
"""A module."""
class Base:
    """A class."""
    def known(self):
        """Do."""
class Derived(Base):
    def known(self): ...
    def new(self): ...
    def _private(self): ...
    def __len__(self): ...
def function(): ...
'''
    faults = undescribed([parsed("a.py", text), parsed("b.py", "")])
    assert faults == ["b.py:1 the module", "a.py:7 Derived", "a.py:9 new", "a.py:12 function"]

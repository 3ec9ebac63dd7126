"""Names say what a thing is: the field's word where there is one, and what a loop runs over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from sources import PACKAGE, Module, listed, modules, parsed

SYSTEMS = PACKAGE / "systems"
COINED = {
    "distrust": "suspect",
    "heed": "react to",
    "hinge": "validator",
    "hinges": "validators",
    "laid": "seeded",
    "lay": "seed",
    "moment": "context, generation or time",
    "secluded": "isolated",
    "sweep": "whole-tree read",
    "sweeps": "whole-tree reads",
    "sweeping": "whole-tree reads",
    "unowned": "foreign",
}
"""Words that nobody in the field uses, and what is said there."""
SAYS_NOTHING = {"found", "known", "made", "one"}
NAMELESS_MAX = 89
"""How many variables of the product's loops may say nothing: fewer, as they are given names; never more."""


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of all that a module names: definitions, parameters, variables, fields."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def words(name: str) -> list[str]:
    """Return the words of a name, `_in_two` or `InTwo`."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def coined(module: Module) -> list[str]:
    """Return the names in which a coined word stands, the module's own among them."""
    stem = module.path.rpartition("/")[2].removesuffix(".py")
    return [
        f"{module.path}:{line} {name}: say {COINED[word]!r}, not {word!r}"
        for line, name in [(1, stem), *names(module.tree)]
        for word in words(name)
        if word in COINED
    ]


def nameless(module: Module) -> list[str]:
    """Return the variables of loops and comprehensions whose names say nothing of what they run over."""
    loops = (ast.For, ast.AsyncFor, ast.comprehension)
    return [
        f"{module.path}:{name.lineno} {name.id}"
        for node in ast.walk(module.tree)
        if isinstance(node, loops)
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name) and name.id in SAYS_NOTHING
    ]


def test_live_systems_have_the_words_of_the_field() -> None:
    faults = [fault for module in modules(SYSTEMS) for fault in coined(module)]
    assert not faults, listed(faults)


def test_no_more_loops_have_a_variable_that_says_nothing() -> None:
    faults = [fault for module in modules(PACKAGE) for fault in nameless(module)]
    assert len(faults) <= NAMELESS_MAX, listed(faults)


def test_coined_words_are_noticed() -> None:
    text = (
        "class Unowned:\n"
        "    def lay_git(self, moment_ns): self._hinges = moment_ns\n"
        "def delay(layer, overlay, player): ...\n"
        "for heed in laid_out: ...\n"
    )
    found = [fault.split(":")[1] for fault in coined(parsed("a/secluded.py", text))]
    assert found == ["1 secluded", "1 Unowned", "2 lay_git", "4 heed", "2 moment_ns", "2 _hinges"]


def test_variables_that_say_nothing_are_noticed() -> None:
    text = (
        "for one in many: ...\n"
        "x = {made: key for key, made in pairs}\n"
        "y = [part for found in many for part in found]\n"
        "async def f():\n    async for known, path in z: ...\n"
        "for path in paths: one = path\n"
    )
    assert sorted(nameless(parsed("a.py", text))) == [
        "a.py:1 one",
        "a.py:2 made",
        "a.py:3 found",
        "a.py:5 known",
    ]

"""A gold patch as a model's calls: each file is read, and the fewest lines that stand there once edited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from coagent_lab.bench.pairs.tree import Change


class Step(NamedTuple):
    """One call of a scripted agent.

    Args:
        tool: The tool.
        arguments: What it is called with.
    """

    tool: str
    arguments: dict[str, Any]


def steps_of(changes: Iterable[Change]) -> list[Step]:
    """Return the calls that make a feature."""
    return [step for change in changes for step in _steps(change)]


def _steps(change: Change) -> Iterator[Step]:
    path, before, after = change
    if before is not None:
        yield Step("read_file", {"path": path})
    if after is None:
        yield Step("delete_file", {"path": path})
    elif before is None:
        yield Step("write_file", {"path": path, "content": after})
    else:
        for old, new in edits_between(before, after):
            whole = old == ""  # the file was empty
            arguments = (
                {"path": path, "content": new}
                if whole
                else {"path": path, "old_string": old, "new_string": new}
            )
            yield Step("write_file" if whole else "edit_file", arguments)


def edits_between(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield edits (old, new) of whole lines that lead from one text to another, from the top down.

    Each `old` stands once in the text as the edits before have left it.
    """
    olds, news = before.splitlines(keepends=True), after.splitlines(keepends=True)
    hunks = [
        hunk[1:]
        for hunk in SequenceMatcher(None, olds, news, autojunk=False).get_opcodes()
        if hunk[0] != "equal"
    ]
    for first, last, new_first, new_last in hunks:
        rest = olds[last:]
        text = "".join(news[:new_first] + olds[first:])
        above, below = 0, 0
        while True:
            head, tail = news[new_first - above : new_first], rest[:below]
            old = "".join([*head, *olds[first:last], *tail])
            if (old and text.find(old) == text.rfind(old)) or (above == new_first and below == len(rest)):
                break
            if above < new_first and (above <= below or below == len(rest)):
                above += 1
            else:
                below += 1
        yield old, "".join([*head, *news[new_first:new_last], *tail])

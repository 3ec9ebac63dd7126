"""How a scenario is written down: commands, each followed by its complete output.

    # What the scenario shows; lines like this are kept.

    A put x 2
    ----
    A.1 done "ok"
    live: kv:x 1 -> 2

A command is one line, a line `----` ends it, and its output ends at the first empty line: an output has no
empty lines. Words are divided by blanks; what reads as JSON is that (`7`, `null`, `"two words"`, `{"n":1}`),
anything else is a word.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

RULE = "----"
_WORDS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')


class Step(NamedTuple):
    """A command with its output, and the comments before it."""

    comments: tuple[str, ...]
    command: str
    output: tuple[str, ...]


class Scenario(NamedTuple):
    """Steps, and what is said after the last one."""

    steps: tuple[Step, ...]
    end: tuple[str, ...] = ()


def parsed(text: str) -> Scenario:
    """Return the scenario that a text holds."""
    steps: list[Step] = []
    comments: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip():
            continue
        if line.startswith("#"):
            comments.append(line)
            continue
        following = next(lines, RULE)
        assert following == RULE, f"{line!r} is followed by {following!r}, not by {RULE!r}"
        output = []
        for shown in lines:
            if not shown:
                break
            output.append(shown)
        steps.append(Step(tuple(comments), line, tuple(output)))
        comments = []
    return Scenario(tuple(steps), tuple(comments))


def written(scenario: Scenario) -> str:
    """Return the text that holds a scenario."""
    blocks = []
    for step in scenario.steps:
        if step.comments:
            blocks.append("\n".join(step.comments))
        blocks.append("\n".join([step.command, RULE, *step.output]))
    if scenario.end:
        blocks.append("\n".join(scenario.end))
    return "\n\n".join(blocks) + "\n"


def words(command: str) -> list[Any]:
    """Return the words of a command, as data where they read as such."""
    return [_value(word) for word in _WORDS.findall(command)]


def options(given: list[Any]) -> dict[str, Any]:
    """Return words of the form NAME=VALUE as a mapping."""
    pairs = [str(word).partition("=") for word in given]
    assert all(equals for _, equals, _ in pairs), f"{given} are not all of the form NAME=VALUE"
    return {name: _value(value) for name, _, value in pairs}


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word

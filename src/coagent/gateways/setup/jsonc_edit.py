"""A JSON text made to hold something else, by the fewest changes: the rest of it keeps every byte.

Comments, blanks, line ends, trailing commas and the way in which values are written stay. What is put in
looks like what is beside it, and taking it out again leaves what was there before.
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import Any

from coagent.gateways.setup.jsonc import Node, blank_end, read

_INDENT = "  "
_BLANKS = " \t\r\n"


def changed(text: str, wanted: dict[str, Any]) -> str:
    """Return a text that holds what is wanted.

    Args:
        text: What is there: a JSON object, with comments or without.
        wanted: What it is to hold; the order of names has no meaning.

    Raises:
        NotJson: The text is no JSON.
    """
    steps_max = len(text) + len(_sorted(wanted))
    for _ in range(steps_max):
        node = read(text)
        if _same(node.value, wanted):
            return text
        text = _step(text, node, wanted)
    raise AssertionError("the changes come to no end")


def _step(text: str, node: Node, wanted: Any) -> str:
    """Make one change on the way to what is wanted."""
    if isinstance(node.value, dict) and isinstance(wanted, dict):
        for index, part in enumerate(node.parts):
            if part.name not in wanted:
                return _without(text, node, index)
        for name, value in wanted.items():
            member = node.member(name)
            if member is None:
                return _with(text, node, len(node.parts), f"{json.dumps(name, ensure_ascii=False)}: ", value)
            if not _same(member.node.value, value):
                return _step(text, member.node, value)
    if isinstance(node.value, list) and isinstance(wanted, list):
        return _list_step(text, node, wanted)
    new = _laid_out(text, node.start, wanted)
    return text[: node.start] + new + text[node.end :]


def _list_step(text: str, node: Node, wanted: list[Any]) -> str:
    there, to_be = [_sorted(item) for item in node.value], [_sorted(item) for item in wanted]
    steps = SequenceMatcher(None, there, to_be, autojunk=False).get_opcodes()
    tag, index, _, other, _ = next(step for step in steps if step[0] != "equal")
    if tag == "insert":
        return _with(text, node, index, "", wanted[other])
    if tag == "delete":
        return _without(text, node, index)
    return _step(text, node.parts[index].node, wanted[other])


def _same(one: Any, other: Any) -> bool:
    return _sorted(one) == _sorted(other)


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _with(text: str, node: Node, index: int, head: str, value: Any) -> str:
    """Put a part in before the one of some number; behind all where there is none."""
    if not node.parts:
        return _with_first(text, node, head, value)
    gap = _gap(text, node)
    new = f"{head}{_fitting(text, value, gap)}"
    if index < len(node.parts):
        at = node.parts[index].start
        return f"{text[:at]}{new},{gap}{text[at:]}"
    end = node.parts[-1].end
    if node.comma is None:
        at = _trivia_end(text, end)
        return f"{text[:end]},{text[end:at]}{gap}{new}{text[at:]}"
    at = _trivia_end(text, node.comma + 1)
    return f"{text[:at]}{gap}{new},{text[at:]}"


def _with_first(text: str, node: Node, head: str, value: Any) -> str:
    begin, end = node.start + 1, node.end - 1
    kept = text[begin:end].rstrip(_BLANKS)
    if node.start and not kept and "\n" not in text.strip():
        return f"{text[:begin]}{head}{_one_line(value)}{text[end:]}"
    outer, line_end = _indent_at(text, node.start), _line_end(text)
    inner = outer + _unit(text)
    new = f"{line_end}{inner}{head}{_dumped(text, value, inner)}{line_end}{outer}"
    return f"{text[:begin]}{kept}{new}{text[end:]}"


def _without(text: str, node: Node, index: int) -> str:
    """Take a part out, with the comma that it needs and the blanks before it."""
    part, last = node.parts[index], index == len(node.parts) - 1
    before, end = _blanks_before(text, part.start), part.end
    if last and node.comma is None:
        if index > 0:
            comma = blank_end(text, node.parts[index - 1].end)
            text = f"{text[:comma]}{text[comma + 1 :]}"
            before, end = before - 1, end - 1
    else:
        comma = blank_end(text, end)
        text = f"{text[:comma]}{text[comma + 1 :]}"
        if index == 0 and not last and "\n" not in text[before : part.start]:
            before, end = (
                part.start,
                _blank_run_end(text, end),
            )  # of `{ "a": 1, "b": 2 }` the first blank stays
    kept = "\n" if "//" in text[text.rfind("\n", 0, before) + 1 : before] else ""
    rest = text[end:]
    if kept and rest.lstrip(" \t")[:1] in ("\r", "\n"):
        kept = ""
    text = f"{text[:before]}{kept}{rest}"
    return _closed(text, node.start + 1) if len(node.parts) == 1 else text


def _closed(text: str, begin: int) -> str:
    """Return a text in which an object or a list that is empty now has no blanks either."""
    end = _blank_run_end(text, begin)
    return f"{text[:begin]}{text[end:]}" if text[end : end + 1] in ("}", "]") else text


def _gap(text: str, node: Node) -> str:
    """Return what stands between two parts: a blank, or a line end and an indent."""
    for part in reversed(node.parts):
        blanks = text[_blanks_before(text, part.start) : part.start]
        if "\n" in blanks:
            return _line_end(text) + blanks.rpartition("\n")[2]
    end = node.parts[-1].end if node.comma is None else node.comma + 1
    if "//" in text[end : _trivia_end(text, end)]:
        return _line_end(text) + _indent_at(text, node.start) + _unit(text)
    return " " if len(node.parts) == 1 or text[node.parts[1].start - 1] in _BLANKS else ""


def _fitting(text: str, value: Any, gap: str) -> str:
    _, broken, indent = gap.rpartition("\n")
    return _dumped(text, value, indent) if broken else _one_line(value)


def _laid_out(text: str, at: int, value: Any) -> str:
    """Return a value as it is written at some place of a text, in the place of another one."""
    return _dumped(text, value, _indent_at(text, at)) if "\n" in text else _one_line(value)


def _dumped(text: str, value: Any, indent: str) -> str:
    new = json.dumps(value, indent=_unit(text), ensure_ascii=False)
    return new.replace("\n", f"{_line_end(text)}{indent}")


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _trivia_end(text: str, at: int) -> int:
    """Return where blanks and comments end behind a place, without the blanks before what follows."""
    return _blanks_before(text, blank_end(text, at), at)


def _blanks_before(text: str, at: int, least: int = 0) -> int:
    while at > least and text[at - 1] in _BLANKS:
        at -= 1
    return at


def _blank_run_end(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANKS:
        at += 1
    return at


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """Return what one level is indented by: as the first line that is."""
    found = re.search(r"^([ \t]+)[\"{}\[\]]", text, re.M)
    return found[1] if found else _INDENT


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"

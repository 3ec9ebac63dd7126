"""Shapes of commands that copy, move, remove and link files as they are."""

from __future__ import annotations

from collections.abc import Callable

from coagent.toolsmith.parse import Simple
from coagent.toolsmith.shapes import Draft
from coagent.toolsmith.spec import Parameter


def _place(description: str, *, itself: bool = False) -> Parameter:
    return Parameter(type="path", description=description, itself=itself)


def _of(name: str) -> list[str]:
    return [f"file:{{{name}}}", f"file:{{{name}}}/"]


def _plain(steps: list[Simple], program: str, options: str, operands: int) -> list[str] | None:
    """Return the operands of one command of a program with no other options than some of one letter."""
    one = steps[0]
    if len(steps) != 1 or one.program != program or one.redirects or len(one.operands) != operands:
        return None
    given = [word for word in one.options if word != "--"]
    fits = all(word[1:] and set(word[1:]) <= set(options) for word in given)
    return one.operands if fits else None


def copy(steps: list[Simple], in_place: str) -> Draft | None:
    """Copy a file, or a folder with all in it."""
    found = _plain(steps, "cp", "rRaf", 2)
    if found is None:
        return None
    return Draft(
        "copy",
        "Copy a file, or a folder with all in it; into the destination where that is a folder.",
        'cp -rH -- "$source" "$destination"',
        {"source": found[0], "destination": found[1]},
        {"source": _place("What is copied."), "destination": _place("Where to.")},
        writes=_of("destination"),
    )


def move(steps: list[Simple], in_place: str) -> Draft | None:
    """Move or rename a file or folder."""
    found = _plain(steps, "mv", "f", 2)
    if found is None:
        return None
    return Draft(
        "move",
        "Move or rename a file or folder; into the destination where that is a folder.",
        'mv -f -- "$source" "$destination"',
        {"source": found[0], "destination": found[1]},
        {"source": _place("What is moved.", itself=True), "destination": _place("Where to.")},
        writes=[*_of("source"), *_of("destination")],
    )


def remove(steps: list[Simple], in_place: str) -> Draft | None:
    """Remove a file, or a folder with all in it."""
    found = _plain(steps, "rm", "rRf", 1)
    if found is None:
        return None
    return Draft(
        "remove",
        "Remove a file, or a folder with all in it.",
        'rm -r -- "$target"',
        {"target": found[0]},
        {"target": _place("What is removed.", itself=True)},
        writes=_of("target"),
    )


def link(steps: list[Simple], in_place: str) -> Draft | None:
    """Make a symbolic link, or let one lead elsewhere."""
    found = _plain(steps, "ln", "sfnT", 2)
    if found is None or not any("s" in word for word in steps[0].options):
        return None
    return Draft(
        "link",
        "Make a symbolic link, or let the one that is there lead elsewhere.",
        '[ ! -d "$link" ] || [ -L "$link" ] || exit 1; ln -sfn -- "$leads_to" "$link"',
        {"link": found[1], "leads_to": found[0]},
        {
            "link": _place("The link.", itself=True),
            "leads_to": Parameter(
                type="string",
                description="Where it leads: a path as seen from the folder of the link, or an absolute one.",
                option_safe=True,
                pattern=".+",
            ),
        },
        writes=["file:{link}"],
    )


FILES: tuple[Callable[[list[Simple], str], Draft | None], ...] = (copy, move, remove, link)

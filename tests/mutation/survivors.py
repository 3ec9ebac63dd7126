"""Compares the mutants that no test has caught with those that have been judged in `judged.md`.

`make mutate` runs it after mutmut. A survivor is known by its function and by what it changes, not by its
number, so that a judgement stays true while code around it changes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

JUDGED: Final = Path(__file__).with_name("judged.md")
_ENTRY = re.compile(r"- `(?P<function>[^`]+)`: ``(?P<old>.*?)`` → ``(?P<new>.*?)``")
_NUMBER = re.compile(r"__mutmut_\d+$")


class Survivor(NamedTuple):
    """A mutant that all tests have passed."""

    function: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"- `{self.function}`: ``{self.old}`` → ``{self.new}``"


def survivor(name: str, difference: str) -> Survivor:
    """Return a mutant by its name and unified diff, as mutmut gives them."""
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    old, new = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)).partition("  #")[0]
        for sign in ("-", "+")
    )
    module, _, mangled = _NUMBER.sub("", name).removeprefix("coagent.protocol.").partition(".")
    function = mangled.removeprefix("xǁ").replace("ǁ", ".").removeprefix("x_")
    return Survivor(f"{module}.{function}", old, new)


def judged(text: str) -> set[Survivor]:
    """Return the survivors that a text judges."""
    return {Survivor(found["function"], found["old"], found["new"]) for found in _ENTRY.finditer(text)}


def unjudged(found: Iterable[Survivor], known: set[Survivor]) -> list[Survivor]:
    """Return the survivors about which nobody has said anything, each once, in order."""
    return sorted(set(found) - known)


def survivors() -> tuple[list[Survivor], Mapping[str, int]]:
    """Return what survived mutmut's last run in this folder, and how many mutants ended in which way."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files

    found: list[Survivor] = []
    counts: dict[str, int] = {}
    for path in walk_mutatable_files():
        mutated = SourceFileMutationData(path=path)
        mutated.load()
        for name, code in mutated.exit_code_by_key.items():
            status = status_by_exit_code[code]
            counts[status] = counts.get(status, 0) + 1
            if status in ("survived", "no tests"):
                found.append(survivor(name, get_diff_for_mutant(name, path=path)))
    return found, counts


def main() -> int:
    found, counts = survivors()
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    text = JUDGED.read_text(encoding="utf-8")
    gone = judged(text) - set(found) if "not checked" not in counts else set()
    for stale in sorted(gone):
        print(f"does not survive any more:\n{stale}")
    new = unjudged(found, judged(text))
    for one in new:
        print(f"survives, and nobody has judged it:\n{one}")
    return 1 if new or not counts else 0


if __name__ == "__main__":
    sys.exit(main())

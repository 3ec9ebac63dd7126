"""Demos: scripted agents in each other's way, under several protocols, judged by real serial runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from coagent.demos.report import DemoReport

GROUP = "coagent.demos"
"""The entry points by which installed packages register theirs; a name there is what users type."""

Play: TypeAlias = Callable[[Sequence[str], int, Path, Callable[[str], None]], Awaitable[DemoReport]]
"""Takes protocols, a seed, an empty folder, and who is told what is being done."""


class Demo(NamedTuple):
    """What is registered as a demo: what it is about, in a sentence, and what plays it."""

    about: str
    play: Play

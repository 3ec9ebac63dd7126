"""The layers that lie over the real git folder and under that of a command, kept for the next ones.

Most commands of an agent find its git folder as the one before left it; none writes into a seeded layer.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.scratch import new_folder
from coagent.systems.git.layer import Own

_KEPT_MAX = 16


@dataclass(eq=False)
class SeededLayer:
    """A layer to lie over the real git folder.

    Args:
        key: What it was made of.
        folder: The folder.
        own: The agent's own files in it.
        uses: How many commands run over it.
    """

    key: Any
    folder: Path
    own: Mapping[str, Own | None]
    uses: int = 0


class SeededLayers:
    """Makes such folders, and keeps the last ones and those in use."""

    def __init__(self) -> None:
        self.folder = new_folder("git")
        weakref.finalize(self, shutil.rmtree, self.folder, True)
        """In which they are."""
        self._kept: list[SeededLayer] = []
        self.made = 0
        """How many were made anew."""

    def take(self, key: Any, make: Callable[[Path], Mapping[str, Own | None]]) -> SeededLayer:
        """Return a folder; give it back with `release`.

        Args:
            key: All that its content depends on.
            make: Fills a new one, and returns the agent's own files in it.
        """
        found = next((layer for layer in self._kept if layer.key == key), None)
        if found is None:
            self.made += 1
            place = self.folder / str(self.made)
            found = SeededLayer(key, place, make(place))
        else:
            self._kept.remove(found)
        self._kept.append(found)
        found.uses += 1
        self._drop()
        return found

    def release(self, seeded: SeededLayer) -> None:
        """Say that a command that ran over it has ended."""
        seeded.uses -= 1
        self._drop()

    def _drop(self) -> None:
        unused = [layer for layer in self._kept[:-_KEPT_MAX] if not layer.uses]
        for layer in unused:
            self._kept.remove(layer)
            shutil.rmtree(layer.folder, ignore_errors=True)

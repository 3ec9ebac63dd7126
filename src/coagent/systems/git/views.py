"""What git needs of the view that a command runs in, and of the snapshots below it: those are the shell's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class View(Protocol):
    """A private view of a workspace, with a layer of its own over the git folder."""

    @property
    def lower(self) -> str:
        """The snapshot below it."""

    @property
    def git_layer(self) -> Path:
        """What the command has written in the git folder."""

    def seed_git(self, folder: Path, *, layered: bool, others: tuple[Sequence[str], Sequence[str]]) -> None:
        """Put a seeded layer over the git folder.

        Args:
            folder: The folder.
            layered: Whether the command may write there, in a layer above; to make one takes time.
            others: The paths of others' work that git knows, and of that which it does not know.
        """

    def git_changes(self) -> Path | None:
        """Return all that lies over the git folder after the command; None where it has changed nothing."""


class ReadSet(Protocol):
    """What a command has looked up in the tree, by relative paths."""

    @property
    def looked_up(self) -> frozenset[str]:
        """Whether it is there, and what kind of thing."""

    @property
    def opened(self) -> frozenset[str]:
        """Its content, or for a folder its listing."""


class Snapshots(Protocol):
    """Knows what has changed in a tree from one snapshot to the next."""

    @property
    def generation(self) -> int:
        """Grows with each snapshot that differs from the one before."""

    def changed_since(self, generation: int) -> frozenset[str] | None:
        """Return the files and links that have changed, as relative paths; None where that is forgotten.

        Args:
            generation: What `generation` was then.
        """

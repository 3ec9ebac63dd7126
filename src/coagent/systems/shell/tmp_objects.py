"""What an agent's commands leave in /tmp, /var/tmp and $TMPDIR, as an object that is the agent's own.

`tmp:agent/RANK/layers` names the layers that its commands have left there (`views/tmp_stack.py`), as of one
call's place in the order. A command that leaves something writes it, and has read it; one that looks there
reads it. So what is undone leaves `/tmp`, and a command that runs again finds there what was there at its
place. It has no live value, since it ends with its agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coagent.errors import TargetError
from coagent.protocol.calls import Rank
from coagent.protocol.keys import Key
from coagent.systems.shell.views.confined import Confined, ReadSet
from coagent.systems.shell.views.tmp_stack import Stack, TemporaryLayers
from coagent.tools.state import State

SCHEME = "tmp"
_LOST = (
    "What your commands had left in temporary folders is gone in part or whole: the process that kept it has "
    "ended, or it was too much. Make it again."
)


def own_key(rank: Rank) -> Key:
    """Return the key of what an agent has left in temporary folders."""
    return Key(f"{SCHEME}:agent/{rank}/layers")


class OwnTmp:
    """The temporary folders of one run of a command.

    Args:
        layers: Where they are.
        key: The agent's object.
        names: The layers at the call's place in the order, the lowest first.
    """

    def __init__(self, layers: TemporaryLayers, key: Key, names: Sequence[str]) -> None:
        self._layers = layers
        self._key = key
        self._names = tuple(names)
        self._stack: Stack | None = None
        self.writes: dict[Key, Any] = {}
        """What has changed, as writes of the call; known after `end`."""

    @classmethod
    def at_call(cls, state: State, layers: TemporaryLayers) -> OwnTmp:
        """Return those at a call's place in the order; asked at the same moment as the rest of the state."""
        key = own_key(state.rank)
        value = state.written(key.removesuffix("layers")).get(key) or {}
        return cls(layers, key, value.get("layers", ()))

    def begin(self, view: Confined) -> None:
        """Lay them into a view, before its `spec`; give them back with `release`."""
        if self._names:
            self._stack = self._layers.take(self._names)
            view.seed_tmp(self._layers, self._stack)

    def on_path(self, variables: Mapping[str, str]) -> bool:
        """Tell whether programs may be looked for in what the agent has left."""
        folders = variables.get("PATH", "").split(":")
        return bool(self._names) and any(
            f"{folder}/".startswith(("/tmp/", "/var/tmp/")) for folder in folders
        )

    def end(self, view: Confined) -> dict[str, str]:
        """Keep what the command has left, and return what its agent is told of that.

        Raises:
            TargetError: It cannot be kept.
        """
        stack = self._stack or Stack()
        told = {"tmp_lost": _LOST} if stack.lost else {}
        uppers, whole = view.left_in_tmp()
        try:
            names = self._layers.keep(stack, uppers, whole=whole)
        except OSError as error:
            raise TargetError(
                f"what the command has left in temporary folders cannot be kept: {error.strerror}",
                "Free some space there.",
            ) from error
        if names is None:
            mib = self._layers.bytes_max // 1024**2
            told["tmp_not_kept"] = (
                f"With this it would be more than {mib} MiB in temporary folders: they are as before. Remove "
                "something there, or use the workspace."
            )
        elif names != self._names:
            self.writes = {self._key: {"layers": list(names)} if names else None}
        return told

    def record(self, state: State, view: Confined, seen: ReadSet | None) -> None:
        """Make it a read of the call, if the command has looked there or left something."""
        if seen is None or view.looked_in_tmp or self.writes:
            state.trace(self._key.removesuffix("layers"))

    def release(self) -> None:
        """Say that the run has ended."""
        if self._stack is not None:
            self._layers.release(self._stack)

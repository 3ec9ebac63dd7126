"""The references of a git repository as objects, and what each agent keeps in its git folder.

`git:.git/HEAD` and `git:.git/refs/…` hold what git's files of that name hold: the name of an object, or
`ref: NAME`. `git:.git/agent/RANK` holds what an agent has there for itself (its index, stashes, settings,
a merge under way); that has no live value, since it ends with its agent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.targets.base import GuardFailed
from coagent.targets.git_repository import PRIVATE_REFS, Repository

PREFIX: Final = "git:.git/"
"""How the keys begin."""

_NAME = re.compile(r"HEAD|refs/[^\s~^:?*\[\\]+|agent/\d+")
_SHA = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def agent_key(rank: int) -> Key:
    """Return the key of what an agent has in the git folder for itself."""
    return f"{PREFIX}agent/{rank}"


class GitObjects:
    """The objects of the scheme `git:` of one workspace.

    Args:
        root: The workspace.
        lock: Keeps other processes from writing to it.
    """

    def __init__(self, root: str, lock: Callable[[], AbstractContextManager[None]]) -> None:
        self.repository = Repository(root)
        self._lock = lock
        self._index_at: str | None = None

    def unseen(self, key: Key) -> bool:
        """Tell whether an object is what an agent keeps for itself, which has no live value."""
        return key.startswith(f"{PREFIX}agent/")

    def canonical(self, key: Key) -> Key:
        """Return the key if it is one.

        Raises:
            TargetError: It is none, or there is no repository that can be governed.
        """
        name = key[len(PREFIX) :]
        prefix = key.endswith(("/", ":")) and (PREFIX.startswith(key) or name in ("refs/", "agent/"))
        if not prefix and not key.endswith("/") and (not key.startswith(PREFIX) or not _NAME.fullmatch(name)):
            raise TargetError(
                f"{key!r} names nothing in a git repository", f"Name {PREFIX}HEAD or {PREFIX}refs/heads/main."
            )
        if name.startswith(PRIVATE_REFS):
            raise TargetError(f"{name!r} is no shared reference", "Each agent has its own: use git.")
        return key

    def get(self, key: Key) -> Value:
        """Return the live value; None where there is none."""
        name = key[len(PREFIX) :]
        if name.startswith("agent/") or not self.repository.governed:
            return None
        return self.repository.ref(name)

    def list(self, prefix: str) -> dict[Key, Value]:
        """Return the live objects under a prefix."""
        if not self.repository.governed:
            return {}
        found: dict[Key, Value] = {f"{PREFIX}HEAD": self.repository.head()}
        found.update({f"{PREFIX}{name}": value for name, value in self.repository.refs().items()})
        return {key: value for key, value in sorted(found.items()) if key.startswith(prefix)}

    def admit(self, key: Key, value: Value) -> Value:
        """Return the value if git would take it.

        Raises:
            TargetError: It would not.
        """
        name = key[len(PREFIX) :]
        if name.startswith("agent/"):
            if value is not None and type(value) is not dict:
                raise TargetError(f"{key!r} cannot be {type(value).__name__}", "It is a dict, or None.")
            return value
        if value is None and name != "HEAD":
            return None
        if type(value) is str and value.startswith("ref: refs/"):
            return value
        if type(value) is str and _SHA.match(value) and self.repository.succeeds("cat-file", "-e", value):
            return value
        raise TargetError(
            f"{key!r} cannot be {value!r}", "It is the full name of an object that exists, or 'ref: refs/…'."
        )

    def put(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        """Move a reference from an expected value, and the index of the real checkout with it.

        Raises:
            GuardFailed: It has another value.
            TargetError: Git refuses.
        """
        name = key[len(PREFIX) :]
        if name.startswith("agent/"):
            return
        repository = self.repository
        with self._lock():
            found = self.get(key)
            if found == value:
                return
            if found not in expected:
                raise GuardFailed(key, found)
            before = repository.commit() or self._index_at
            if value is None:
                repository.run("update-ref", "--no-deref", "-d", name)
            elif str(value).startswith("ref: "):
                repository.run("symbolic-ref", name, str(value)[5:])
            else:
                old = "0" * len(str(value)) if found is None else str(found)
                guard = () if old.startswith("ref: ") else (old,)
                repository.run("update-ref", "--no-deref", name, str(value), *guard)
            after = repository.commit()
            # A branch that HEAD names may come to be a moment later: the index goes there in one step.
            # Where there is no branch any more, the first commit of all has been undone.
            waits = after is None and bool(repository.refs())
            self._index_at = before if waits else None
            if not waits:
                repository.follow(before, after)

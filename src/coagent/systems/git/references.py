"""The references of a git repository as objects, and what each agent keeps in its git folder.

`git:.git/HEAD` and `git:.git/refs/…` hold what git's files of that name hold: the name of an object, or
`ref: NAME`. `git:.git/agent/RANK` holds what an agent has there for itself (its index, stashes, settings,
a merge under way); that has no live value, since it ends with its agent.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final
from uuid import uuid4

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.git.repository import PRIVATE_REFS, Repository
from coagent.targets.base import GuardFailed, require_wanted
from coagent.targets.folders import make_folders
from coagent.targets.os_failures import os_failure
from coagent.targets.stamps import Stamp, stamp_at

PREFIX: Final = "git:.git/"
"""How the keys begin."""

_NAME = re.compile(r"HEAD|refs/[^\s~^:?*\[\\]+|agent/\d+")
_SHA = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_OURS = "coagent-lock-"
"""How the second names of locks begin that are ours."""
_RANGES_MAX, _REFS_MAX = 16, 2_000


def agent_key(rank: int) -> Key:
    """Return the key of what an agent has in the git folder for itself."""
    return Key(f"{PREFIX}agent/{rank}")


class GitObjects:
    """The objects of the scheme `git:` of one workspace.

    Args:
        root: The workspace.
        lock: Keeps other processes from writing to it.
    """

    def __init__(self, root: str, lock: Callable[[], AbstractContextManager[None]]) -> None:
        self.repository = Repository(root, above=True)
        self._lock = lock
        self._index_at: str | None = None
        self._listed: dict[str, dict[Key, Value]] = {}

    def unseen(self, key: Key) -> bool:
        """Tell whether an object is what an agent keeps for itself, which has no live value."""
        return key.startswith(f"{PREFIX}agent/")

    def canonical(self, key: str) -> Key:
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
        return Key(key)

    def get(self, key: Key) -> Value:
        """Return the live value; None where there is none.

        Raises:
            TargetError: It cannot be read.
        """
        name = key[len(PREFIX) :]
        if name.startswith("agent/") or not self.repository.governed:
            return None
        with _reading(name):
            return self.repository.ref(name)

    def stamp(self, key: Key) -> tuple[Stamp | None, ...]:
        """Return what is something else when the value of an object is, without reading it.

        Raises:
            OSError: It cannot be looked at.
        """
        name = key[len(PREFIX) :]
        if name.startswith("agent/") or not self.repository.governed:
            return ()
        return stamp_at(str(self.repository.place(name))), stamp_at(f"{self.repository.common}/packed-refs")

    def list(self, prefix: str) -> dict[Key, Value]:
        """Return the live objects under a prefix.

        Raises:
            TargetError: They cannot be read.
        """
        if not self.repository.governed:
            return {}
        with _reading("refs"):
            found: dict[Key, Value] = {Key(f"{PREFIX}HEAD"): self.repository.head()}
            found.update({Key(f"{PREFIX}{name}"): value for name, value in self.repository.refs().items()})
        return {key: value for key, value in sorted(found.items()) if key.startswith(prefix)}

    def listed(self, prefix: str) -> dict[Key, Value]:
        """Return the live objects under a prefix, and remember them for `changed`.

        Raises:
            TargetError: They cannot be read.
        """
        found = self.list(prefix)
        if prefix not in self._listed:  # somebody may rest on an earlier listing
            self._remember(prefix, found)
        return found

    def _remember(self, prefix: str, found: dict[Key, Value]) -> None:
        self._listed.pop(prefix, None)
        if len(found) <= _REFS_MAX:
            self._listed[prefix] = found
            while len(self._listed) > _RANGES_MAX:
                self._listed.pop(next(iter(self._listed)))

    def changed(self, prefixes: Collection[str]) -> set[Key]:
        """Return the objects under some prefixes that are not as they were when those were last looked at.

        Raises:
            TargetError: They cannot be read.
        """
        changed: set[Key] = set()
        for prefix in prefixes:
            if prefix.startswith("git:"):
                before, now = self._listed.get(prefix), self.list(prefix)
                self._remember(prefix, now)
                if before is not None:
                    changed.update(key for key in before.keys() | now if before.get(key) != now.get(key))
        return changed

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
        with self._lock():
            require_wanted(in_thread=True)
            found = self.get(key)
            if found == value:
                if self._index_at is not None:
                    self._move_index(self._index_at)
                return
            if found not in expected:
                raise GuardFailed(key, found)
            self._check_index()
            before = self._index_at or self.repository.commit()
            try:
                self._move(name, found, value)
            except TargetError:
                now = self.get(key)
                if now not in (found, value):  # git has compared, too
                    raise GuardFailed(key, now) from None
                if now != value:
                    raise
            self._move_index(before)

    def _move(self, name: str, found: Value, value: Value) -> None:
        """Move a reference, if it is still where it was found.

        Raises:
            TargetError: It is not, or git refuses, or cannot.
        """
        repository = self.repository
        symbolic = found is not None and str(found).startswith("ref: ")
        if value is None:
            repository.run("update-ref", "--no-deref", "-d", name, *(() if symbolic else (str(found),)))
        elif str(value).startswith("ref: "):
            repository.run("check-ref-format", str(value)[5:])
            self._write(name, found, value)
        else:
            old = "0" * len(str(value)) if found is None else str(found)
            repository.run("update-ref", "--no-deref", name, str(value), *(() if symbolic else (old,)))

    def _write(self, name: str, found: Value, value: Value) -> None:
        """Write a symbolic reference as git does: its lock file takes its place (gitrepository-layout(5))."""
        path = str(self.repository.place(name))
        ours = f"{self.repository.path}/{_OURS}{uuid4().hex}"
        held = False
        try:
            make_folders(os.path.dirname(path), [])
            descriptor = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{value}\n")
            os.link(ours, f"{path}.lock")  # whoever finds both knows whose lock it is, should we die here
            held = True  # once it has taken its place, a lock of that name is somebody else's
            if self.get(Key(f"{PREFIX}{name}")) != found:
                raise TargetUnavailable(f"{name!r} has been moved", "Look where it is now.")
            os.rename(f"{path}.lock", path)
            held = False
        except FileExistsError:
            raise _lock_error(f"{path}.lock") from None
        except OSError as error:
            raise os_failure(f"{name!r} cannot be written", error) from error
        finally:
            if held:
                os.unlink(f"{path}.lock")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(ours)

    def tidy(self, keys: Collection[Key]) -> None:
        """Remove the locks that processes have left which died while they wrote a reference.

        Args:
            keys: The references that they may have been writing.

        Raises:
            TargetUnavailable: Another process is writing just now.
        """
        git = str(self.repository.path)
        if not any(name.startswith(_OURS) for name in _names_in(git)):
            return
        with self._lock():  # so nobody of the domain is writing
            left = [f"{git}/{name}" for name in _names_in(git) if name.startswith(_OURS)]
            for lock in [f"{git}/{key[len(PREFIX) :]}.lock" for key in keys]:
                with contextlib.suppress(FileNotFoundError):
                    if any(os.path.samefile(lock, ours) for ours in left):
                        os.unlink(lock)
            for ours in left:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(ours)

    def _check_index(self) -> None:
        """Refuse to move a reference while the index could not follow.

        Raises:
            TargetUnavailable: Somebody else's git is changing it.
        """
        lock = f"{self.repository.path}/index.lock"
        if os.path.lexists(lock):
            raise _lock_error(lock)

    def _move_index(self, before: str | None) -> None:
        """Let the index of the real checkout follow a reference that has moved.

        Raises:
            TargetError: Git refuses, or cannot just now; the same put comes back to it.
        """
        repository = self.repository
        after = repository.commit()
        self._index_at = before
        # A branch that HEAD names may come to be a moment later: the index goes there in one step.
        # Where there is no branch any more, the first commit of all has been undone.
        if after is None and repository.refs():
            return
        repository.follow(before, after)
        self._index_at = None


def _names_in(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise os_failure(f"{name!r} cannot be read", error) from error


def _lock_error(lock: str) -> TargetUnavailable:
    return TargetUnavailable(
        f"another git is at work: there is {lock!r}", "Wait for it; where none runs, delete that file."
    )

"""A host's own checkout of a tree that several hosts work on: each puts there what the log says.

References, the index and git's objects are of each repository and stay there; the files go everywhere. All
hosts begin with the same content: in a git working tree that is the tree of a commit, told by its name;
elsewhere each value is compared when the log first tells of it.

How far a checkout has come stands in it, in `.coagent/host.json`. It only ever says too little: what was put
since is looked at once more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio.to_thread

from coagent.errors import TargetError, TargetUnavailable
from coagent.partial_files import drop_left, partial_of
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.git.repository import Repository
from coagent.targets.base import Copy, GuardFailed, Lag
from coagent.targets.os_failures import os_failure

_IDENTITY = "files:replicated"
_NAMED_MAX = 5
OF_EACH_HOST = "git"
"""The scheme whose objects each host keeps for itself."""


class FileCopy(Copy):
    """The checkout of one host.

    Args:
        root: The folder.
        repository: The git repository there, if there is one.
        look: Returns what an object holds, without taking note of it.
        put: Puts a value where one of some others is.
    """

    def __init__(
        self,
        root: str,
        repository: Repository,
        look: Callable[[Key], Value],
        put: Callable[[Key, Value, Sequence[Value]], Awaitable[None]],
    ) -> None:
        self._root = root
        self._repository = repository
        self._look = look
        self._put = put
        self._lags: dict[Key, Lag] = {}
        self._unsynced: set[str] = set()
        self._place = os.path.join(root, ".coagent", "host.json")
        self._log, self._base, self._number, self._chain = "", "", -1, 0
        self._written: set[str] = set()  # the paths of which this copy has ever taken a value
        self._read()

    @property
    def identity(self) -> str:
        """The same on all hosts: that of the content that they began with, where it has a name."""
        base = self._base or self._tree()
        return f"{_IDENTITY}@{base}" if base else _IDENTITY

    # ---- values --------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        return bool(self._lags)

    def lag(self, key: Key) -> Lag | None:
        return self._lags.get(key)

    def replicate(self, key: Key, value: Value, held: Sequence[Value]) -> None:
        """Hear from the log that an object is to hold another value.

        Args:
            key: The object.
            value: The value.
            held: What it may hold until then, beside what was known of already.
        """
        if key.startswith(f"{OF_EACH_HOST}:"):
            return
        known = self._lags.pop(key, None)
        before = [] if known is None else [*known.held, known.value]
        for value_held in held:
            if not any(value_held is other or same(value_held, other) for other in before):
                before.append(value_held)
        self._lags[key] = Lag(value, before)

    def arrived(self, key: Key, value: Value) -> None:
        """Hear that a value has been put."""
        path = key.partition(":")[2]
        self._unsynced.add(path)
        self._written.add(path)
        lag = self._lags.get(key)
        if lag is None:
            return
        if same(lag.value, value):
            del self._lags[key]
        elif not any(same(value, value_held) for value_held in lag.held):
            lag.held.append(value)

    async def bring(self) -> list[tuple[Key, Value]]:
        found: list[tuple[Key, Value]] = []
        failure: TargetError | None = None
        # What is deleted may be in the way of what is written; a file has its rights after its content.
        for key in sorted(self._lags, key=lambda key: (self._lags[key].value is not None, key)):
            lag = self._lags.get(key)
            if lag is None:
                continue
            try:
                await self._put(key, lag.value, lag.held)
            except GuardFailed as guard:
                if self._lags.get(key) is lag:
                    found.append((key, guard.found))
            except TargetUnavailable as away:
                failure = failure or away
            except TargetError as refusal:
                failure = TargetError(
                    f"this host's checkout does not take what was written to {key!r}: {refusal.cause}",
                    refusal.cure or "Make room for it; it is tried again.",
                )
        if failure is not None and not found:
            raise failure
        return found

    # ---- what it began with --------------------------------------------------------------------------------

    def check(self, identities: Sequence[str]) -> None:
        if self._number >= 0:
            return  # it was compared when it was taken into use
        begun = next((identity for identity in identities if identity.startswith(_IDENTITY)), None)
        tree = self._tree() if begun is None else begun.partition("@")[2]
        if not tree:
            return
        if not self._repository.governed:
            raise TargetError(
                f"{self._root!r} is no git working tree, and the other hosts began with one",
                "Clone the repository here, and check out the commit that they began with.",
            )
        if not self._repository.succeeds("cat-file", "-e", tree):
            raise TargetError(
                f"{self._root!r} does not know the content that the other hosts began with (tree {tree})",
                "Fetch, and check out the commit that they began with.",
            )
        said = self._repository.run("diff", "--no-ext-diff", "--name-only", "-z", tree)
        paths = [os.fsdecode(path) for path in said.split(b"\0") if path]
        if paths:
            cure = (
                "Commit or stash that, so that every host can begin with the same content."
                if begun is None
                else f"Check out the commit that they began with (its tree is {tree[:12]}), unchanged."
            )
            what = "its commit" if begun is None else "what the other hosts began with"
            raise TargetError(f"{self._root!r} differs from {what}: {_some(paths)}", cure)

    def begin(self, log: str) -> None:
        if self._number >= 0:
            if self._log != log:
                raise TargetError(
                    f"{self._root!r} has been a checkout of log {self._log!r}, not of {log!r}",
                    f"To use it here, check out what its hosts began with and delete {self._place!r}.",
                )
            return
        differing = [key for key, lag in self._lags.items() if not self._may_take(key, lag)]
        if differing:
            raise TargetError(
                f"{self._root!r} holds what no host began with: {_some(differing)}",
                "Make it what the other hosts began with, or copy a whole checkout from one whose domain is "
                "closed there.",
            )
        base = self._base or self._tree()
        self._write(log, base, 0, 0)

    def _may_take(self, key: Key, lag: Lag) -> bool:
        found = self._look(key)
        return any(same(found, value) for value in (lag.value, *lag.held))

    def _tree(self) -> str:
        commit = self._repository.commit() if self._repository.governed else None
        return (
            "" if commit is None else self._repository.run("rev-parse", f"{commit}^{{tree}}").decode().strip()
        )

    async def stands_as_begun(self, key: Key, found: Value) -> bool:
        scheme, _, path = key.partition(":")
        if not self._base or scheme != "file" or path in self._written:
            return False
        return await anyio.to_thread.run_sync(self._is_as_begun, path, found)

    def _is_as_begun(self, path: str, found: Value) -> bool:
        known = bool(self._repository.run("ls-tree", "-z", self._base, "--", path))
        if found is None or not known:
            return found is None and not known
        literally = ("--literal-pathspecs", "diff", "--no-ext-diff", "--quiet")
        return self._repository.succeeds(*literally, self._base, "--", path)

    # ---- how far it has come -------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        return self._number

    @property
    def chain(self) -> int:
        return self._chain

    def keep(self, number: int, chain: int) -> None:
        if number <= self._number and not self._unsynced:
            return
        paths, self._unsynced = self._unsynced, set()
        for path in {*paths, *map(os.path.dirname, paths)}:
            with contextlib.suppress(OSError):  # it is gone again, or is no file
                _sync(os.path.join(self._root, path))
        self._write(self._log, self._base, number, chain)

    def _read(self) -> None:
        try:
            with open(self._place, encoding="utf-8") as file:
                kept = json.load(file)
            self._log, self._base, self._number = str(kept["log"]), str(kept["base"]), int(kept["number"])
            self._chain = int(kept.get("chain", 0))
            self._written = set(map(str, kept["written"]))
        except FileNotFoundError:
            return
        except OSError as error:
            raise os_failure(f"{self._place!r} cannot be read", error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(
                f"{self._place!r} cannot be understood: {error}",
                "Check out what the hosts began with, and delete it.",
            ) from error

    def _write(self, log: str, base: str, number: int, chain: int) -> None:
        half = partial_of(Path(self._place))
        try:
            os.makedirs(os.path.dirname(self._place), exist_ok=True)
            with open(half, "w", encoding="utf-8") as file:
                kept = {"log": log, "base": base, "number": number, "chain": chain}
                json.dump({**kept, "written": sorted(self._written)}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(half, self._place)
            drop_left(Path(self._place))
        except OSError as error:
            raise os_failure(f"{self._place!r} cannot be written", error) from error
        self._log, self._base, self._number, self._chain = log, base, number, chain


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(map(repr, sorted(names)[:_NAMED_MAX])) + (f" and {more} more" if more > 0 else "")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

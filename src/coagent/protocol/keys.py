"""Keys `scheme:path` name objects, the units of conflict; a scan names a prefix and perhaps a glob."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, NewType

from coagent.protocol.patterns import LENGTH_MAX, full_matcher, literally
from coagent.protocol.values import Selector

Key = NewType("Key", str)
"""`scheme:path`, for instance `file:src/app.py` or `k8s:default/deployments/geo`."""

_STARS = re.compile(r"\*+")
# `re` is five times faster than RE2 on something as short as a path, but takes up to the path's length to the
# power of the number of stars.
_STARS_QUICK = 2
_PATH_QUICK = 1_000
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")


def scheme_of(key: str) -> str:
    """Return the scheme of a key or prefix.

    Raises:
        ValueError: There is no colon, or what stands before it is no scheme (RFC 3986, section 3.1).
    """
    scheme, colon, _ = key.partition(":")
    if not colon or not _SCHEME.match(scheme):
        raise ValueError(f"a key is written scheme:path, like 'file:src/app.py', not {key!r}")
    return scheme


class Scan(NamedTuple):
    """A read of all keys under a prefix: which exist, or (with a selector) what that part of each holds.

    Args:
        prefix: The keys that start with it are in the scan's range.
        glob: Narrows the range to keys whose path (what follows the colon) matches it.
        selector: None: the scan saw which keys exist. Otherwise: it saw this part of every value,
            and objects of which the part is empty are as good as absent.
    """

    prefix: str
    glob: str | None = None
    selector: Selector | None = None

    def covers(self, key: Key) -> bool:
        """Tell whether `key` lies in the scan's range."""
        return key.startswith(self.prefix) and (
            self.glob is None or glob_matches(self.glob, key.partition(":")[2])
        )

    def __str__(self) -> str:
        text = self.prefix if self.glob is None else f"{self.prefix} ({self.glob})"
        return text if self.selector is None else f"{text}, {self.selector}"


def glob_matches(glob: str, path: str) -> bool:
    """Tell whether a path matches a glob: `*` and `?` stay within one segment, `**` crosses segments.

    Raises:
        re.error: It is no glob, for what stands in brackets.
    """
    return _any_of((glob,))(path)


def any_glob_matches(globs: tuple[str, ...], path: str) -> bool:
    """Tell whether a path matches one of several globs, with one look at it."""
    return bool(globs) and _any_of(globs)(path)


def glob_too_large(glob: str) -> bool:
    """Tell whether a glob is longer than one that can be matched; such a one is taken to match anything."""
    return len(glob) > LENGTH_MAX


@lru_cache(maxsize=1024)
def _any_of(globs: tuple[str, ...]) -> Callable[[str], bool]:
    if any(map(glob_too_large, globs)):
        return lambda path: True  # in a log perhaps: a scan may see too much, but misses nothing
    match = re.compile(rf"(?:{'|'.join(map(_expression, globs))})\Z", re.DOTALL).match
    safely = full_matcher(f"(?:{'|'.join(_expression(glob, literally) for glob in globs)})")
    if any(len(_STARS.findall(glob)) > _STARS_QUICK for glob in globs):
        return lambda path: safely(path) is not False

    def test(path: str) -> bool:
        return match(path) is not None if len(path) <= _PATH_QUICK else safely(path) is not False

    return test


def _expression(glob: str, escape: Callable[[str], str] = re.escape) -> str:
    parts: list[str] = []
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif glob.startswith("**", at):
            parts.append(".*")
            at += 2
        elif glob[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif glob[at] == "?":
            parts.append("[^/]")
            at += 1
        elif glob[at] == "[" and (end := glob.find("]", at + 2)) > 0:
            negated = glob[at + 1] == "!"
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", glob[at + 1 + negated : end])
            parts.append(f"[^{members}]" if negated else f"[{members}]")
            at = end + 1
        else:
            parts.append(escape(glob[at]))
            at += 1
    return "".join(parts)

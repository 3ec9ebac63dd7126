"""Markdown files by heading, so that agents at different sections of one file do not disturb each other.

A file is a list of headings with a body each (`markdown.py`). Its objects:

- `doc:plan.md#`        the outline, `[[level, path, source], ...]`; None where the file does not exist
- `doc:plan.md#/`       the text before the first heading
- `doc:plan.md#A/B`     the body of heading B below heading A; a title that stands twice becomes `B~2`

An empty body is an absent object: a heading that the outline creates has none until its own put, and one that
the outline drops has lost it by then. In order of key the outline always comes first.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import anyio.to_thread

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.documents.markdown import Document, Heading, parse, stands_alone
from coagent.systems.files import placing, swap
from coagent.systems.files.encoding import create_file
from coagent.systems.files.folder_lock import FolderLocked, folder_lock
from coagent.systems.files.ranges import FileRanges
from coagent.systems.files.reading import FileReader
from coagent.systems.files.workspace import Workspace
from coagent.targets.base import Before, GuardFailed, MustWait, Target, require_wanted
from coagent.targets.news import News
from coagent.targets.os_failures import os_failure
from coagent.targets.stamps import ReadCache, Stamp

_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SUFFIXES = (".md", ".markdown")
_FILES_MAX, _CHARACTERS_MAX = 1_000, 32 * 1024**2
_ATTEMPTS = 8
_LOCK_S_MAX = 5.0
_LONG = 16 * 1024
"""From how many characters or bytes on a text is parsed beside the event loop, which takes 5 ms and more."""


class _Parsed(NamedTuple):
    """A file as it was read last; `document` is None where there was none."""

    stamp: Stamp | None
    sure: bool
    text: str
    document: Document | None


class _Text:
    """Looks at a file that was replaced: whether it still held the text that the new one was made from."""

    def __init__(self, reader: FileReader, workspace: Workspace, former: str, new: str) -> None:
        self._reader = reader
        self._root = workspace.root
        self._former = former
        self._new = new

    def expected(self, path: str) -> bool:
        return self._holds(path, self._former)

    def reported(self, path: str) -> bool:
        return False  # what is there instead is read again, so what has to go must not be lost

    def ours(self, path: str) -> bool:
        return self._holds(path, self._new)

    def appended(self, path: str) -> bool:
        return False

    def _holds(self, path: str, text: str) -> bool:
        try:
            return bool(self._reader.current(Key(f"file:{path[len(self._root) + 1 :]}")) == text)
        except TargetError:
            return False


class Documents(Target):
    """The Markdown files below a directory (`.md`, `.markdown`; names with `#` in them are left out).

    Its identity is the path and the inode of the directory.

    Args:
        root: The directory; symbolic links that lead out of it are refused.
    """

    schemes = ("doc",)
    admits = True
    asks_last = True

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._workspace = Workspace(root)
        self._reader = FileReader(self._workspace, sys.maxsize)
        self._ranges = FileRanges(self._workspace)
        self._parsed: OrderedDict[str, _Parsed] = OrderedDict()
        self._characters = 0
        self._parsing = threading.Lock()
        self._given = ReadCache()
        self._listed: OrderedDict[str, Document | None] = OrderedDict()
        """Files as they were when they were listed, or when `changed` looked at them last."""
        self._news = News()

    @property
    def identity(self) -> str:
        return f"documents:{self._workspace.identity}"

    def canonical(self, key: str) -> Key:
        name, hash_sign, section = key.removeprefix("doc:").partition("#")
        return Key(f"doc:{self._workspace.canonical(name)}{hash_sign}{section}")

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        file = f"{key.partition('#')[0]}#"
        return any(other.startswith(file) for other in others)

    # ---- reading -------------------------------------------------------------------------------------------

    async def get(self, key: Key) -> Value:
        name, section = _split(key)
        if self._is_long(name):
            parsed = await anyio.to_thread.run_sync(self._read, name)
        else:
            parsed = self._read(name)
        value = _part(parsed.document, section)
        return self._given.note(key, None, value, sure=True)

    async def list(self, prefix: str) -> Mapping[Key, Value]:
        return await anyio.to_thread.run_sync(self._list, prefix)

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        """Return outline, preamble and bodies of every file as objects."""
        found = self._list(prefix)
        return {key: value for key, value in found.items()}  # noqa: C416 -- with names that are plain text

    def _list(self, prefix: str) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        for name in self._names(prefix):
            document = self._read(name).document
            self._listed.setdefault(name, document)
            found.update(_objects(name, document))
        while len(self._listed) > _FILES_MAX:
            self._listed.popitem(last=False)
        return {key: found[key] for key in sorted(found) if key.startswith(prefix)}

    def _names(self, prefix: str) -> Sequence[str]:
        name, hash_sign, _ = prefix.removeprefix("doc:").partition("#")
        if hash_sign:
            self._watch(name)
            return [name]
        self._workspace.check()
        found = sorted(self._workspace.walk(name, before=self._ranges.watch))
        self._ranges.note_listing(name)
        with contextlib.suppress(FolderLocked):
            self._workspace.tidy()
        return [path for path in found if _is_document(path)]

    def _read(self, name: str) -> _Parsed:
        if not name.endswith(_SUFFIXES):
            raise TargetError(
                f"{name!r} is no Markdown file", f"Its name must end in {' or '.join(_SUFFIXES)}."
            )
        known = self._parsed.get(name)
        if known is not None and self._stands(name, known):
            return known
        value, stamp, sure = self._reader.read(Key(f"file:{name}"))
        if type(value) is bytes or (type(value) is str and "\0" in value):
            wide = type(value) is not bytes or value.startswith(_WIDE_MARKS)
            what = "UTF-16 text" if wide else "not UTF-8 text"
            raise TargetError(f"{name!r} is {what}", "Convert it to UTF-8, or leave it to a file target.")
        if value is None:
            return self._remember(name, _Parsed(stamp, sure, "", None))
        if known is not None and known.document is not None and known.text == value:
            return self._remember(name, _Parsed(stamp, sure, value, known.document))
        return self._remember(name, _Parsed(stamp, sure, value, parse(value)))

    def _is_long(self, name: str, value: Value = None) -> bool:
        """Tell whether a file, or what is to stand in it, takes so long to parse that others should go on."""
        if type(value) is str and len(value) > _LONG:
            return True
        try:
            return os.stat(self._workspace.absolute(name)).st_size > _LONG
        except OSError:
            return False

    def _stands(self, name: str, known: _Parsed) -> bool:
        try:
            return known.sure and self._reader.stamp(Key(f"file:{name}")) == known.stamp
        except OSError:
            return False

    def _remember(self, name: str, parsed: _Parsed) -> _Parsed:
        with self._parsing:
            known = self._parsed.pop(name, None)
            self._characters += len(parsed.text) - (len(known.text) if known else 0)
            self._parsed[name] = parsed
            while len(self._parsed) > _FILES_MAX or self._characters > _CHARACTERS_MAX:
                _, oldest = self._parsed.popitem(last=False)
                self._characters -= len(oldest.text)
        return parsed

    # ---- what others change --------------------------------------------------------------------------------

    def unchanged(self, key: Key) -> bool:
        name, _, section = key.removeprefix("doc:").partition("#")
        given, known = self._given.find(key), self._parsed.get(name)
        if given is None or known is None or not self._stands(name, known):
            return False
        try:
            if known.document is None:
                self._workspace.check()
        except TargetError:
            return False
        return same(given.value, _part(known.document, section))

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        return await anyio.to_thread.run_sync(self._changed, list(keys), list(prefixes))

    def _changed(self, keys: Sequence[Key], prefixes: Sequence[str]) -> Collection[Key]:
        self._workspace.check()
        found = {key for key in keys if not self.unchanged(key)}
        self._ranges.begin()
        files = []
        for prefix in prefixes:
            name, hash_sign, _ = prefix.removeprefix("doc:").partition("#")
            files.append(f"file:{name}")
            if hash_sign:
                self._watch(name)
        for changed in self._ranges.changed(files):
            name = changed.removeprefix("file:")
            if _is_document(name):
                self._news.add(self._changed_objects(name))
        return found | {key for key in self._news.take(prefixes) if not self.unchanged(key)}

    def _watch(self, name: str) -> None:
        """Watch the folder of a file, and not all that is below it."""
        self._ranges.watch(name.rpartition("/")[0])
        self._ranges.note_listing(name)

    def _changed_objects(self, name: str) -> Collection[Key]:
        """Return the objects of a file that are not as they were when it was listed."""
        try:
            now = self._read(name).document
        except TargetError:
            return ()  # whoever touches it will see
        old, new = _objects(name, self._listed.pop(name, None)), _objects(name, now)
        self._listed[name] = now
        return [key for key in old.keys() | new if not same(old.get(key), new.get(key))]

    async def tidy(self, keys: Collection[Key]) -> None:
        names = {key.removeprefix("doc:").partition("#")[0] for key in keys}
        await anyio.to_thread.run_sync(self._workspace.tidy, names)

    # ---- writing -------------------------------------------------------------------------------------------

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if not self._is_long(_split(key)[0], value):
            with contextlib.suppress(
                FolderLocked, swap.BeingSaved, MustWait
            ):  # somebody would have to be waited for
                self._put(key, value, expected, 0)
                return
        await anyio.to_thread.run_sync(self._put, key, value, expected, _LOCK_S_MAX)

    async def admit(self, key: Key, value: Value, before: Before | None = None) -> Value:
        _, section = _split(key)
        if not section:
            return value
        if value is not None and type(value) is not str:
            raise TargetError(f"the body {key!r} must be text, not {type(value).__name__}")
        if value:
            stands = partial(stands_alone, value, first=section == "/")
            if not (await anyio.to_thread.run_sync(stands) if len(value) > _LONG else stands()):
                raise TargetError(
                    f"the body {key!r} holds a heading, or leaves a code fence or a comment open",
                    "Write headings to the outline, and close what is open: it would hide all that follows.",
                )
        return value or None

    def _put(self, key: Key, value: Value, expected: Sequence[Value], wait_s_max: float) -> None:
        name, section = _split(key)
        value = value or None if section else value
        self._given.forget(key)
        self._workspace.check()
        try:
            with folder_lock(self._workspace.root, wait_s_max):
                require_wanted(in_thread=wait_s_max > 0)
                self._put_section(key, value, expected, patient=wait_s_max > 0)
        except OSError as error:
            raise os_failure(f"{name!r} cannot be written", error) from error
        self._given.note(key, None, value, sure=True)

    def _put_section(self, key: Key, value: Value, expected: Sequence[Value], *, patient: bool) -> None:
        name, section = _split(key)
        path, leftovers = self._workspace.absolute(name), self._workspace.leftovers
        leftovers.before_put(path)
        for _ in range(_ATTEMPTS):
            swap.wait_for_savers(path, patient=patient)
            now = self._read(name)
            found = _part(now.document, section)
            if same(found, value):
                if leftovers.after_another(path):
                    continue
                return
            if not any(same(found, each) for each in expected):
                raise GuardFailed(key, found)
            if not section and value is None:
                judge = _Text(self._reader, self._workspace, now.text, "")
                if placing.take_away(path, judge, now.text, patient):
                    return
                continue
            text = _change_text(key, now.document, section, value)
            if self._place(name, path, text, now, patient):
                return
        raise swap.BeingSaved(
            f"{name!r} changes faster than it can be written", "Find out which program keeps writing it."
        )

    def _place(self, name: str, path: str, text: str, former: _Parsed, patient: bool) -> bool:
        """Write a file; False where it is no longer as it was read."""
        status = self._reader.status(name)
        judge = _Text(self._reader, self._workspace, former.text, text)
        return placing.place(
            path,
            lambda temporary: create_file(temporary, text.encode(), status),
            judge,
            None if former.document is None else former.text,
            text,
            patient=patient,
        )


def _is_document(path: str) -> bool:
    return path.endswith(_SUFFIXES) and "#" not in path


def _objects(name: str, document: Document | None) -> dict[Key, Value]:
    """Return all objects of a file."""
    if document is None:
        return {}
    found: dict[Key, Value] = {Key(f"doc:{name}#"): document.outline}
    if document.preamble:
        found[Key(f"doc:{name}#/")] = document.preamble
    found.update({Key(f"doc:{name}#{path}"): body for path, body in document.bodies.items()})
    return found


def _split(key: Key) -> tuple[str, str]:
    name, hash_sign, section = key.removeprefix("doc:").partition("#")
    if not hash_sign:
        raise TargetError(
            f"{key!r} names no section", f"Write {f'{key}#Heading'!r}, or {f'{key}#'!r} for the outline."
        )
    return name, section


def _part(document: Document | None, section: str) -> Value:
    if document is None:
        return None
    if not section:
        return document.outline
    if section == "/":
        return document.preamble or None
    return document.bodies.get(section)


def _change_text(key: Key, document: Document | None, section: str, value: Value) -> str:
    """Return the file's text with one object changed.

    Raises:
        TargetError: Read back, it would be another object than the one written.
    """
    now = document or Document("", [], {})
    if document is None and section:
        raise TargetError(f"the file of {key!r} does not exist", "Write its outline first.")
    if not section:
        try:
            wanted = now._replace(headings=[Heading(*entry) for entry in value])
        except TypeError:
            raise TargetError(f"the outline {key!r} must be a list of [level, path, source]") from None
    elif section == "/":
        wanted = now._replace(preamble=value or "")
    else:
        if all(heading.path != section for heading in now.headings):
            raise TargetError(f"there is no section {key!r}", "Append it: write it to the outline.")
        wanted = now._replace(bodies={**now.bodies, section: value or ""})
    text = wanted.text
    if not same(_part(parse(text), section), value):
        raise TargetError(
            f"{key!r} would read back otherwise",
            "A heading must stay a heading: close fences and lists before it, and keep it out of bodies.",
        )
    return text

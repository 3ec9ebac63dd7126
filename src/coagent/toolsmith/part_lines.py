"""The parts of files that are made of lines: INI files, lines of `key=value`, and tables of accounts."""

from __future__ import annotations

import configparser
import re

from coagent.toolsmith.part_documents import PARTS_MAX, Unclear, escape, text_of

_LINE_LENGTH_MAX = 2000
_NO_SECTION = "\x01"
_BLANKS = re.compile(r"\s{100}")  # many blanks make the pattern of configparser slow
_FLAGS = (".ini", ".cfg")


def ini_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the parts of an INI file, or of lines of `key=value`, or None.

    An indented line that holds a delimiter is a key to some programs and a continued value to others, so such
    a file has no parts.
    """
    try:
        text = text_of(data)
        delimiters = ("=",) if ".env" in path.rpartition("/")[2] else ("=", ":")
        _check(text, delimiters)
        parser = configparser.RawConfigParser(
            allow_no_value=path.endswith(_FLAGS),
            delimiters=delimiters,
            default_section="\x02",  # no section lends its keys to others
            empty_lines_in_values=False,
        )
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(f"[{_NO_SECTION}]\n{text}")
        return _parts(path, parser)
    except (configparser.Error, Unclear):
        return None


def _check(text: str, delimiters: tuple[str, ...]) -> None:
    if "\x01" in text or "\x02" in text or "\r" in text.replace("\r\n", ""):
        raise Unclear
    for line in text.split("\n"):
        if len(line) > _LINE_LENGTH_MAX or _BLANKS.search(line):
            raise Unclear
        bare = line.strip()
        if (
            bare
            and line[:1].isspace()
            and bare[0] not in "#;"
            and any(delimiter in bare for delimiter in delimiters)
        ):
            raise Unclear
        if bare.startswith("[") and not re.fullmatch(r"\[[^\[\]]+\]", bare):
            raise Unclear
        if any(ord(character) in (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029) for character in line):
            raise Unclear  # Python ends a line there, other programs do not


def _parts(path: str, parser: configparser.RawConfigParser) -> dict[str, str]:
    parts: dict[str, str] = {}
    for section in parser.sections():
        name = "" if section == _NO_SECTION else escape(section)
        if name:
            parts[f"ini:{path}#{name}"] = ""
        for key, value in parser.items(section):
            parts[f"ini:{path}#{name}/{escape(key)}"] = "(no value)" if value is None else f"={value}"
    if len(parts) > PARTS_MAX:
        raise Unclear
    return parts


def table_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the lines of a table of accounts (passwd(5), group(5)) by their first field, or None."""
    try:
        parts: dict[str, str] = {}
        for line in text_of(data).split("\n"):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, _ = line.partition(":")
            key = f"line:{path}#{escape(name)}"
            if not name or not colon or key in parts or len(parts) >= PARTS_MAX:
                return None
            parts[key] = line
        return parts
    except Unclear:
        return None

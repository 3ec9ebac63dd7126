"""Foreign data in what is shown: names on one line each, values between markers that nobody else can know.

Keys, names and values come from other agents, from files and from servers. A line feed in a name would let it
write lines of its own, and a value that knew its end marker could go on behind it in our voice. So names are
escaped and cut, and each recipient's markers are made with a key of its own that is written nowhere: whoever
has seen one marker knows nothing of the next, and none is used twice. Source: OWASP LLM01, prompt injection.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata

NAME_LENGTH_MAX = 200
DATA_LENGTH_MAX = 2000
_MARK_DIGITS = 12
_KEY_BYTES = 32
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"  # fillers that are no spaces
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))  # variation selectors
"""Characters that count as printable and show nothing; what is hidden in them, a model still reads."""
_IMITATIONS = re.compile(r"\[(?=\s{0,8}(?:coagent|call)\b)|<(?=\s{0,8}/?\s{0,8}data\b)", re.I)
"""How our own lines begin: notices, call ids and markers."""


def one_line(text: str, length_max: int = NAME_LENGTH_MAX) -> str:
    """Return a name on one line, bounded: what would not show as itself, or passes for ours, is escaped."""
    cut = f"… ({len(text)} characters)" if len(text) > length_max else ""
    shown = _IMITATIONS.sub(_escaped_match, _visible(text[:length_max], ""))
    return shown[: length_max * 2] + cut  # escapes are longer than what they stand for


def printable(text: str) -> str:
    """Return a text of several lines in which all is escaped that does not show as what it is."""
    return _visible(text, "\n\t")


class Quoting:
    """Puts foreign data into what one recipient is shown.

    Args:
        key: What its markers are made with; random by default. It is for this recipient and this process
            alone: whoever has it can write data that seems to end.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES) if key is None else key
        self._count = 0

    def delimited(self, data: str, length_max: int = DATA_LENGTH_MAX) -> str:
        """Return data for reading, between two markers: cut, and escaped as names are but for its lines."""
        more = len(data) - length_max
        shown = _IMITATIONS.sub(_escaped_match, printable(data[:length_max]))[: length_max * 2]
        cut = f" (cut: {more} more characters)" if more > 0 else ""
        return f"{self._between(shown)}{cut}"

    def set_apart(self, text: str) -> str:
        """Return what a tool has given as it is, but between markers if it could pass for a line of ours."""
        return self._between(text) if _IMITATIONS.search(_as_read(text)) else text

    def _between(self, data: str) -> str:
        mark = self._mark(data)
        while mark in data:  # by chance alone: it depends on a key that the data's author does not have
            mark = self._mark(data)
        return f"<data {mark}>\n{data}\n</data {mark}>"

    def _mark(self, data: str) -> str:
        self._count += 1
        message = b"%d:%b" % (self._count, data.encode("utf-8", "surrogatepass"))
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_MARK_DIGITS]


def _as_read(text: str) -> str:
    """Return a text as a model may read it, which passes over what does not show and knows wide letters."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text)
    return "".join(character for character in plain if character.isspace() or _shows(character))


def _visible(text: str, kept: str) -> str:
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        character if character in kept or _shows(character) else _escaped(character) for character in text
    )


def _shows(character: str) -> bool:
    return character.isprintable() and character not in _INVISIBLE


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped_match(match: re.Match[str]) -> str:
    return _escaped(match[0])

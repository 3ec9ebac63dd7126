r"""Patterns that agents send, matched in time linear in the text, whatever the pattern is (RE2).

Python's `re` tries alternatives one after another, which for `(a+)+$` takes exponentially long; RE2 follows
them all at once. It is a pure function as `re` is, so the kernel may use it. A pattern means what it means to
users of ripgrep: lines are searched one by one, `^` and `$` are the ends of a line, and `\w`, `\d`, `\s` and
ignoring case go by Unicode. Only `\b` and `\B` know no letters but those of ASCII.

What is bounded: the length of a pattern; its states, once its repetitions are written out; and their product
with the length of a text, which is what a search takes at worst.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

import re2

Line: TypeAlias = list[int | str]
"""`[number, text]` of a line, numbers from 1."""

LENGTH_MAX: Final = 2_000
"""How many characters a pattern has at most."""
TOO_LARGE: Final = "(not searched: the text is too large for this pattern)"
"""Stands as line 0 where a search could take too long: an answer that says so is better than none."""

NOT_UTF_8: Final = "(not valid UTF-8: searched byte by byte, and shown as Latin-1)"
"""Stands as line 0 of a text in another encoding, where lines of it match."""
UTF_16: Final = "(UTF-16)"
"""The same of one that says so itself, by a byte order mark."""
BINARY: Final = "(a binary file; it matches)"
"""Stands as line 0, and alone, where something in a binary file matches."""
NOT_SEARCHED: Final = "(not searched: too large, or not readable)"
"""Stands as line 0, and alone, of a file that is kept by reference, or cannot be read."""
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_32_MARK = b"\xff\xfe\0\0"

_STATES_MAX = 2_000
_STEPS_MAX = 1_000_000_000
"""Of states times bytes. RE2 does about 200 million a second where a pattern defeats its automaton."""
_ANY_LETTER_SIZE = 8
"""How many instructions `.` takes in UTF-8, about, of which one is reached at a time."""
_MEMORY_BYTES_MAX = 4 * 1024**2
"""Of one compiled pattern with its automaton, of which up to 128 are kept (by re2 itself)."""

_WORD = r"\p{L}\p{M}\p{N}\p{Pc}"
_SPACE = r"\t-\r \x{85}\p{Z}"
_NO_SPACE = (  # the complement of _SPACE: a class cannot hold a negated one
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}"
    r"\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}"
)
_ESCAPES = {
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
    r"\A": "^",
    r"\Z": "$",
    r"\z": "$",
}
_IN_CLASS = {
    r"\w": _WORD,
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\s": _SPACE,
    r"\S": _NO_SPACE,
    r"\b": r"\x08",
}
_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[pPx]\{[^}]*\}|\\[pP].|\\."  # escapes
    r"|\[\^?+\]?+(?:\\.|\[:\^?\w++:\]|[^\]\\])*+\]"  # classes
    r"|\(\?(?:P?=|!|<=|<!|>|\#|\(|:)?|\{,\d+\}|.",
    re.DOTALL,
)
_CLASS_TOKEN = re.compile(r"\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\.|[^\\]", re.DOTALL)
_CHARACTER = re.compile(r"\.\Z|\[.|\\[wWdDsSpP]|\\[xuU].|[^\x00-\x7f]", re.DOTALL)
"""A token that stands for one character, which may be one of many."""
_GROUPING = frozenset({"(", "(?:", ")", "|"})
_BACKREFERENCE = re.compile(r"\\[1-9]|\(\?P=|\\[gk]")

_NO_LOOKING = "Search for the text itself and pick from what is found; (^|\\W)name(\\W|$) finds a whole word."
_UNSUPPORTED = {
    "(?=": ("looking ahead", _NO_LOOKING),
    "(?!": ("looking ahead", _NO_LOOKING),
    "(?<=": ("looking behind", _NO_LOOKING),
    "(?<!": ("looking behind", _NO_LOOKING),
    "(?>": ("atomic groups", "Write (?:...): no pattern can take long here."),
    "(?(": ("conditions", "Write both cases as alternatives, a|b."),
    "(?#": ("comments", "Leave the comment out."),
}


class BadPattern(ValueError):
    """A pattern that cannot be searched for.

    Args:
        cause: Why, naming the pattern.
        cure: What to write instead.
    """

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(f"{cause}. {cure}")
        self.cause = cause
        self.cure = cure


class LinePattern:
    """A compiled regular expression, for the lines of texts.

    Args:
        pattern: As RE2 takes it.
        ignore_case: Match letters of either case.
    """

    __slots__ = ("_search", "_whole", "states")

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        options = _options(ignore_case)
        self.states = 1
        """How many its automaton has before it is made deterministic, about."""
        self._search = re2.compile(f"(?m){pattern}".encode(), options).search
        self._whole = re2.compile(f"(?m)^.*(?:{pattern}).*$".encode(), options).finditer

    def lines(self, text: str) -> list[Line]:
        """Return the lines that match, without their ends; line 0 says so where the text is too large."""
        data = text.encode("utf-8", "surrogatepass")
        if len(data) * self.states > _STEPS_MAX:
            return [[0, TOO_LARGE]]
        returns = b"\r" in data
        if not data or (not returns and self._search(data) is None):
            return []  # most files of a tree match nowhere: one look at the whole text settles those
        text = text.removesuffix("\n")
        if returns:
            text = "\n".join([line.rstrip("\r") for line in text.split("\n")])
        data = text.encode("utf-8", "surrogatepass")
        found: list[Line] = []
        number, counted = 1, -1
        plain = text.isascii()
        for match in self._whole(data):
            first, last = match.span()
            if first == counted:
                continue  # re2 gives an empty match twice
            number += data.count(b"\n", max(counted, 0), first)
            counted = first
            line = text[first:last] if plain else data[first:last].decode("utf-8", "surrogatepass")
            found.append([number, line])
        return found


def line_pattern(pattern: str, ignore_case: bool = False) -> LinePattern:
    """Return a regular expression for the lines of texts.

    Raises:
        BadPattern: It is none, uses what is not supported, or is too large.
    """
    compiled = _line_pattern(pattern, ignore_case)
    if isinstance(compiled, BadPattern):
        raise BadPattern(compiled.cause, compiled.cure)
    return compiled


def matching_lines(pattern: str, ignore_case: bool, text: str | bytes) -> list[Line]:
    """Return the lines of a text that match; none where the pattern is not supported.

    Logs of earlier versions may hold such patterns. No tool takes one, so the calls that have one fail, with
    its reason, as soon as they run again.

    Args:
        pattern: The pattern.
        ignore_case: Match letters of either case.
        text: The text; as bytes where it is not valid UTF-8. Then line 0 says how it was read, if any match.
    """
    compiled = _line_pattern(pattern, ignore_case)
    if isinstance(compiled, BadPattern):
        return []
    if isinstance(text, str):
        return compiled.lines(text)
    how, decoded = _decoded(text)
    found = compiled.lines(decoded)
    if not found or found[0][0] == 0:
        return found
    return [[0, how]] if how == BINARY else [[0, how], *found]


def _decoded(data: bytes) -> tuple[str, str]:
    """Return how bytes are read that are not valid UTF-8, and what they are then; like grep, NULs are binary.

    As Latin-1 each byte is one character, so that ASCII is found in whatever encoding has it as it is.
    """
    if data[:2] in _UTF_16_MARKS and data[:4] != _UTF_32_MARK:
        return UTF_16, data.decode("utf-16", "replace")
    return BINARY if b"\0" in data else NOT_UTF_8, data.decode("latin-1")


@lru_cache(maxsize=128)
def whole_pattern(pattern: str) -> Callable[[str], bool | None]:
    """Return the test whether the whole of a text matches a pattern; None where that is not valid Unicode.

    Raises:
        BadPattern: As for `line_pattern`.
    """
    line_pattern(pattern)
    return full_matcher(_translated(pattern)[0], any_letter=False)


def full_matcher(
    expression: str, *, ignore_case: bool = False, any_letter: bool = True
) -> Callable[[str], bool | None]:
    """Return the test whether the whole of a text matches an expression; None where that cannot be told.

    Args:
        expression: As RE2 takes it.
        ignore_case: Match letters of either case.
        any_letter: Whether `.` stands for line feeds too.
    """
    options = _options(ignore_case)
    options.never_nl, options.dot_nl = False, any_letter
    try:
        compiled = re2.compile(expression.encode(), options)
    except (re2.error, UnicodeEncodeError):
        return lambda text: None
    match = compiled.fullmatch
    length_max = _STEPS_MAX // (compiled.programsize // _ANY_LETTER_SIZE + 1)

    def test(text: str) -> bool | None:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return None
        return match(data) is not None if len(data) <= length_max else None

    return test


def literally(text: str) -> str:
    """Return an expression that matches a text as it stands."""
    escaped: str = re2.escape(text)
    return escaped


@lru_cache(maxsize=128)
def _line_pattern(pattern: str, ignore_case: bool) -> LinePattern | BadPattern:
    try:
        if len(pattern) > LENGTH_MAX:
            raise BadPattern(
                f"the pattern {pattern[:60]!r}… has {len(pattern)} characters, more than {LENGTH_MAX}",
                "Search for a part of it.",
            )
        translated, rough = _translated(pattern)
        compiled = LinePattern(translated, ignore_case=ignore_case)
        compiled.states = re2.compile(rough.encode(), _options(ignore_case)).programsize
        return _too_large(pattern) if compiled.states > _STATES_MAX else compiled
    except BadPattern as bad:
        return bad
    except UnicodeEncodeError:
        return BadPattern(
            f"the pattern {pattern!r} is not valid Unicode", "Write it without lone surrogates."
        )
    except re2.error as error:
        return _refused(pattern, error)


def _options(ignore_case: bool) -> re2.Options:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.never_nl = options.never_capture = True
    options.max_mem = _MEMORY_BYTES_MAX
    options.log_errors = False
    return options


def _refused(pattern: str, error: re2.error) -> BadPattern:
    reason = error.args[0].decode("utf-8", "replace").replace("(?m)", "", 1)
    if "too large" in reason:
        return _too_large(pattern)
    if re.match(r"bad repetition operator: .\+", reason):
        return _not_supported(
            pattern, "possessive repetition", "Drop the second +: no pattern can take long here."
        )
    cure = "Escape what is meant as it stands (\\( \\[ \\{ \\.), or correct it; the syntax is that of RE2."
    if "repetition size" in reason:
        cure = "A count goes up to 1000, all counts within one another together; + and * have no limit."
    return BadPattern(f"{pattern!r} is not a regular expression: {reason}", cure)


def _too_large(pattern: str) -> BadPattern:
    return BadPattern(
        f"the pattern {pattern!r} is too large once its repetitions are written out",
        "Use smaller counts, or + and *; or search for a part of it.",
    )


def _not_supported(pattern: str, what: str, cure: str) -> BadPattern:
    return BadPattern(f"the pattern {pattern!r} uses {what}, which this search does not support", cure)


def _translated(pattern: str) -> tuple[str, str]:
    """Return the pattern as RE2 takes it, with Unicode's classes and the ends of a line.

    Returns:
        It, and a rough one in which each character class is one letter: its program has as many instructions
        as the pattern has states with its repetitions written out. One class of Unicode may alone be a
        thousand instructions, of which no more than a few are ever reached at once.

    Raises:
        BadPattern: It uses what RE2 does not know, or what means something else to it.
    """
    tokens = _TOKEN.findall(pattern)
    parts, rough = [], []
    for index, token in enumerate(tokens):
        if token in _UNSUPPORTED:
            raise _not_supported(pattern, *_UNSUPPORTED[token])
        if _BACKREFERENCE.match(token):
            what = f"the reference {token} to a group"
            raise _not_supported(pattern, what, "Write out what may stand there, as in (\"x\"|'x').")
        if token in (r"\b", r"\B") and not _letters_beside(tokens, index).isascii():
            cure = "Write (^|\\W) before the word and (\\W|$) after it."
            raise _not_supported(pattern, f"{token} beside a letter that is not ASCII", cure)
        if token[0] == "[" and len(token) > 1:
            parts.append(_class(pattern, token))
        elif token.startswith("{,"):
            parts.append(f"{{0{token[1:]}")
        elif token[:2] in (r"\u", r"\U") and len(token) > 2:
            parts.append(f"\\x{{{token[2:]}}}")
        elif token.startswith(r"\Q") and not token.endswith(r"\E"):
            parts.append(rf"{token}\E")
        else:
            parts.append(_ESCAPES.get(token, token))
        rough.append("x" if _CHARACTER.match(token) else parts[-1])
    return "".join(parts), "".join(rough)


def _letters_beside(tokens: list[str], index: int) -> str:
    """Return the characters right before and after a token, groups apart."""
    before = [token for token in tokens[:index] if token not in _GROUPING]
    after = [token for token in tokens[index + 1 :] if token not in _GROUPING]
    return "".join(before)[-1:] + "".join(after)[:1]


def _class(pattern: str, token: str) -> str:
    """Return a character class as RE2 takes it; one that holds a negated one becomes two alternatives."""
    negated = token.startswith("[^")
    members = _CLASS_TOKEN.findall(token[1 + negated : -1])
    no_word = r"\W" in members
    if no_word and negated:
        cure = r"Write \p{L} for a letter, \p{N} for a digit."
        raise _not_supported(pattern, r"\W within a negated class", cure)
    inner = "".join(
        f"\\x{{{member[2:]}}}"
        if member[:2] in (r"\u", r"\U") and len(member) > 2
        else _IN_CLASS.get(member, member)
        for member in members
        if member != r"\W"
    )
    if not no_word:
        return f"[{'^' * negated}{inner}]"
    return f"(?:[{inner}]|[^{_WORD}])" if inner else f"[^{_WORD}]"

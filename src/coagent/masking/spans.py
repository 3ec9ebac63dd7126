"""Where secrets stand in a text: by the shape of well-known tokens, and by the name in front of a value.

Every search goes through the text once, with bounded steps back, whatever somebody has put into it. The
shapes are those that the makers of the tokens publish; the list is that of widely used ones, not of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from coagent.masking.names import counts_tokens, is_secret_name

Span: TypeAlias = tuple[int, int]

MASK: Final = "[masked]"
"""What stands where a secret was. It begins as a list does, so that it is taken for a value as a whole."""

_QUOTES: Final = "\"'`"
_QUOTED: Final = tuple(_QUOTES)
_AROUND: Final = f"{_QUOTES}\\"
_SHORT_LENGTH_MAX: Final = 200
_SHORT_COUNT_MAX: Final = 10_000
"""Objects are read again and again, and most of what they hold is short texts that are known by then."""
_ROUNDS_MAX: Final = 8
"""A mask changes what is around it a little; in a few rounds nothing changes any more."""
_VALUE_LENGTH_MAX: Final = 20_000
_AFTER_BRACKET: Final = ("", *" \t\r\n,;:.)]}\\", *_QUOTES)
_BACK_MAX: Final = 200
"""How far back the beginning of a line is looked for, in characters."""
_TOKENS: Final = re.compile(
    r"""gh[pousr]_[A-Za-z0-9]{30,255} | github_pat_[A-Za-z0-9_]{20,255}          # GitHub
    | (?<![A-Za-z0-9])(?:
      gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat)-[\w.=-]{16,255}              # GitLab
    | sk-[\w-]{16,255} | [rsp]k_(?:live|test)_[A-Za-z0-9]{10,255} | whsec_[A-Za-z0-9+/=]{16,255}
    | xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,255} | xapp-[A-Za-z0-9-]{8,255}     # Slack
    | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])                         # AWS
    | AIza[\w-]{30,60} | ya29\.[\w-]{16,255} | GOCSPX-[\w-]{20,64}               # Google
    | npm_[A-Za-z0-9]{30,64} | pypi-[\w-]{16,512} | dckr_pat_[\w-]{20,64}
    | hf_[A-Za-z0-9]{20,64} | gsk_[A-Za-z0-9]{20,80} | SG\.[\w-]{16,64}\.[\w-]{16,64}
    | do[oprt]_v1_[a-f0-9]{32,80} | (?:shpat|shpss|shpca|shppa)_[a-fA-F0-9]{20,64}
    | hv[sbr]\.[\w-]{20,255} | dapi[a-f0-9]{32} | AGE-SECRET-KEY-1[A-Z0-9]{20,80}
    ) | (?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{4,8192}(?:\.[\w-]{0,4096}){0,3}          # JWT, JWE
    """,
    re.X,
)
_URL_USER: Final = re.compile(r"://[^\s/:@\"'<>]{0,256}:(?!\d{1,5}/)([^\s\"'<>]{1,512})@")
_URL_TOKEN: Final = re.compile(r"://([^\s/:@\"'<>]{16,512})@")
_BEARER: Final = re.compile(
    r"(?i)(?<![a-z])(?:bearer|basic)[ \t]{1,4}(?=[\w.~+/=-]{0,200}\d|[\w.~+/=-]{20})([\w.~+/=-]{6,4096})"
)
_ASSIGNED: Final = re.compile(
    r"(?<![A-Za-z0-9_])([A-Za-z_][\w.-]{0,79})"
    r"(\\{0,8}[\"'`])?\]?[ \t]{0,8}(=>|:=|={1,3}|:)[ \t]{0,8}"
)
_OPTION: Final = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]{1,60})[ \t]{1,8}(?=[^\s-])")
_LITERAL: Final = re.compile(r"--from-literal[= \t]{1,4}[\"']?[\w.-]{1,253}=")
_LOGIN: Final = re.compile(r"(?<![\w-])(?:-u|--user)[ \t=]{1,2}[\"']?[^\s:\"'/]{1,100}:([^\s\"']{1,400})")
_SQL: Final = re.compile(r"(?i)\b(?:password|identified[ \t]{1,4}by)[ \t]{1,4}'")
_INSERT: Final = re.compile(
    r"(?i)\binsert[ \t]{1,4}(?:or[ \t]\w{1,10}[ \t])?into[ \t]{1,4}[\w.\"`\[\]]{1,200}[ \t\n]{0,4}"
)
_NAMED: Final = re.compile(
    r"(?<![A-Za-z_])name\\{0,8}[\"']?[ \t]{0,4}:[ \t]{0,4}"
    r"\\{0,8}[\"']?([\w.-]{1,80})\\{0,8}[\"']?[ \t]{0,4},?"
    r"\s{0,80}+(?:\\n[ \t]{0,80}+)?[+-]?[ \t]{0,80}+\\{0,8}[\"']?value\\{0,8}[\"']?[ \t]{0,4}:[ \t]{0,4}"
)
"""An entry of a list of variables, as containers have: `name: DB_PASSWORD`, then `value: x`."""
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{1,60}-----")
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{1,60}-----")
_SECRET_KIND: Final = re.compile(
    r"[\"']?kind\\{0,8}[\"']?[ \t]{0,4}:[ \t]{0,4}\\{0,8}[\"']?Secret(?![A-Za-z])"
)
_SECRET_DATA: Final = re.compile(r"(?<![A-Za-z])(data|stringData)\\{0,8}[\"']?[ \t]{0,4}:[ \t]{0,4}(\{)?")
_LINES: Final = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def secret_spans(text: str) -> list[Span]:
    """Return where secrets stand in a text that are not masked yet, in order and apart from each other."""
    return list(_short_spans(text)) if len(text) <= _SHORT_LENGTH_MAX else _spans(text)


@lru_cache(_SHORT_COUNT_MAX)
def _short_spans(text: str) -> tuple[Span, ...]:
    return tuple(_spans(text))


def _spans(text: str) -> list[Span]:
    found = [span for search in _SEARCHES for span in search(text) if span[0] < span[1]]
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [(start, end) for start, end in merged if text[start:end].strip(_AROUND) != MASK]


def masked_text(text: str) -> str:
    """Return a text with a mask in the place of each secret."""
    for _ in range(_ROUNDS_MAX):
        spans = secret_spans(text)
        if not spans:
            break
        parts, done = [], 0
        for start, end in spans:
            parts += [text[done:start], MASK]
            done = end
        text = "".join([*parts, text[done:]])
    return text


def _tokens(text: str) -> Iterator[Span]:
    for match in _TOKENS.finditer(text):
        yield match.span()
    for match in _BEARER.finditer(text):
        yield match.span(1)
    if "://" in text:
        for match in (*_URL_USER.finditer(text), *_URL_TOKEN.finditer(text)):
            yield match.span(1)


def _blocks(text: str) -> Iterator[Span]:
    """PEM blocks; one whose end is missing goes to the end of the text."""
    at = 0
    while (begin := _PEM.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end())
        at = len(text) if end is None else end.start()
        yield begin.end(), at


def _assigned(text: str) -> Iterator[Span]:
    """Values behind the names of secrets: `password: x`, `"token": "x"`, `API_KEY=x`, `--password x`."""
    yield from _after(_ASSIGNED, text)
    yield from _after(_OPTION, text)
    yield from _after(_NAMED, text)
    for match in _LITERAL.finditer(text):
        yield match.end(), _word_end(text, match.end(), "")
    for match in _LOGIN.finditer(text):
        if not match[1].isdigit():  # a user and group, as of `docker run`
            yield match.span(1)


def _after(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Yield what comes after the matches that name a secret; a value is not looked into again."""
    at = 0
    while (match := pattern.search(text, at)) is not None:
        at = match.end()
        if is_secret_name(match[1]) and not (counts_tokens(match[1]) and text[at : at + 1].isdigit()):
            end = _value_end(match)
            yield at, end
            at = max(at, end)


def _value_end(match: re.Match[str]) -> int:
    """Return where a value ends: with what begins it, or as its kind of file would have it."""
    text, start = match.string, match.end()
    last = min(len(text), start + _VALUE_LENGTH_MAX)
    begins = start
    while begins < last and text[begins] == "\\":
        begins += 1
    if text[begins : begins + 1] in _QUOTED:
        return _quote_end(text, begins, last)
    around = _quote_around(text, match.start())
    if text[start : start + 1] in ("{", "["):
        end = _bracket_end(text, start, last)
        return end if text[end : end + 1] in _AFTER_BRACKET else _word_end(text, end, around)
    if match.re is _ASSIGNED:
        name, quote, sign = match.groups()
        if quote:  # JSON: a number, or a word
            return _first_of(text, start, ",}]\n")
        spaced = text[start - 1] in " \t" or text[start : start + 1] in ("", "\r", "\n")
        if name.lower() in _LINES or (spaced and sign in (":", "=")):
            return _line_end(text, match.start(), start, around)
    return _word_end(text, start, around)


def _line_end(text: str, name: int, start: int, around: str) -> int:
    """Return where a value of YAML or INI ends: with its line, and the lines indented deeper below it."""
    last = min(len(text), start + _VALUE_LENGTH_MAX)
    end = _end_of_line(text, start, last)
    if around:
        return next((at for at in range(start, end) if text[at] == around and text[at - 1] != "\\"), end)
    depth = _indent(text[text.rfind("\n", max(0, name - _BACK_MAX), name) + 1 : name] + "x")
    while end < last:
        following = _end_of_line(text, end + 1, last)
        line = text[end + 1 : following]
        if line.strip() and _indent(line) <= depth:
            break
        end = following
    return end


def _word_end(text: str, start: int, around: str) -> int:
    """Return where a shell would end a word, or the quotes round it end."""
    last = min(len(text), start + _VALUE_LENGTH_MAX)
    at = start
    while at < last and not text[at].isspace():
        if text[at] == around and text[at - 1] != "\\":
            break
        at = _quote_end(text, at, last) if text[at] in _QUOTES else at + 1
    return at


def _bracket_end(text: str, start: int, last: int) -> int:
    """Return where a list or a mapping ends."""
    at, depth = start, 0
    while at < last:
        if text[at] in _QUOTES:
            at = _quote_end(text, at, last)
            continue
        depth += (text[at] in "[{") - (text[at] in "]}")
        at += 1
        if not depth:
            break
    return at


def _quote_around(text: str, start: int) -> str:
    """Return the quote that is open at a place, as far as its line tells; an apostrophe opens none."""
    first = max(text.rfind("\n", max(0, start - _BACK_MAX), start) + 1, start - _BACK_MAX, 0)
    quote = ""
    for at in range(first, start):
        before = text[at - 1] if at > first else " "
        if text[at] == quote and before != "\\":
            quote = ""
        elif not quote and text[at] in _QUOTES and not before.isalnum():
            quote = text[at]
    return quote


def _end_of_line(text: str, start: int, last: int) -> int:
    end = text.find("\n", start, last)
    return last if end < 0 else end


def _first_of(text: str, start: int, characters: str) -> int:
    return next((at for at in range(start, len(text)) if text[at] in characters), len(text))


def _quote_end(text: str, start: int, last: int) -> int:
    """Return where a quoted text ends; with escaped quotes round it, at the next quote escaped like them."""
    quote, escapes = text[start], 0
    while start > escapes and text[start - escapes - 1] == "\\":
        escapes += 1
    if text.startswith(quote * 3, start):
        end = text.find(quote * 3, start + 3, last)
        return last if end < 0 else end + 3
    at = start + 1
    while (at := text.find(quote, at, last)) >= 0:
        before = 0
        while text[at - before - 1] == "\\":
            before += 1
        closed = before <= escapes or (not escapes and before % 2 == 0)
        if closed and not (quote == "'" and text.startswith("''", at)):
            return at + 1
        at += 2 if closed else 1  # two of them stand for one, in SQL and YAML
    return last


def _sql(text: str) -> Iterator[Span]:
    """Passwords in statements: `PASSWORD 'x'`, and rows for a table with a column that is named like one."""
    for match in _SQL.finditer(text):
        yield match.end() - 1, _quote_end(text, match.end() - 1, min(len(text), match.end() + 4096))
    done = 0
    for match in _INSERT.finditer(text):
        close = text.find(")", match.end(), match.end() + 4096)
        if text[match.end() : match.end() + 1] != "(" or close < 0 or match.start() < done:
            continue
        columns = text[match.end() + 1 : close].split(",")
        if any(is_secret_name(column.strip(" \t\n\"'`[]")) for column in columns):
            done = text.find(";", close)
            done = len(text) if done < 0 else done
            yield close + 1, done


def _manifests(text: str) -> Iterator[Span]:
    """What Secrets of Kubernetes hold, as YAML or JSON, also in the middle of something else."""
    of_secret = _SECRET_KIND.search(text) is not None
    if not of_secret and "stringData" not in text:
        return
    done = 0
    for match in _SECRET_DATA.finditer(text):
        if match.start() < done or (match[1] == "data" and not of_secret):
            continue
        values = _json_values(text, match.end()) if match[2] else _yaml_values(text, match)
        yield from values
        done = values[-1][1] if values else match.end()


def _json_values(text: str, start: int) -> list[Span]:
    """What stands between two braces, but not the names in front of colons."""
    found: list[Span] = []
    at, value = start, False
    while at < len(text) and text[at] != "}":
        quoted = text[at] in _QUOTES
        if quoted or (value and not text[at].isspace() and text[at] != "\\"):
            end = _quote_end(text, at, len(text)) if quoted else _first_of(text, at, ",}\n")
            if value:
                found.append((at, end))
            value, at = False, end
            continue
        value = value or text[at] == ":"
        at += 1
    return found


def _yaml_values(text: str, match: re.Match[str]) -> list[Span]:
    """The values in the lines that are indented deeper than the name of a mapping."""
    found: list[Span] = []
    depth = _indent(text[text.rfind("\n", 0, match.start()) + 1 : match.start()] + "x")
    inner: int | None = None
    at = text.find("\n", match.end())
    while 0 <= at < len(text) - 1:
        start, at = at + 1, _end_of_line(text, at + 1, len(text))
        line = text[start:at]
        if line.strip() and _indent(line) <= depth:
            break
        name, colon, value = line.partition(":")
        if inner is None or _indent(line) <= inner:
            inner = _indent(line)
            if colon and value[:1] in ("", " ", "\t", "\r"):
                start += len(name) + 1
        start += len(text[start:at]) - len(text[start:at].lstrip())
        found.append((start, at))
    return [span for span in found if span[0] < span[1]]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t+-"))


_SEARCHES: Final = (_tokens, _blocks, _assigned, _sql, _manifests)

"""Pipelines of programs that only read, as values: lists of words that are checked and never parsed again.

A stage is a program of a fixed list with options of a fixed list. Options that write (`sort -o`), run
programs (`tar --to-command`, `find -exec`), read further files (`grep -f`) or never end (`tail -f`) are in
none of them, so what a later release of a program learns is refused too. `{}` stands for the one file or
folder that is looked at; no other word can name a file, but for what git keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from coagent.toolsmith.parse import LOCALES

PLACE = "{}"
"""The word that stands for the file or folder; in the first stage only, once."""
OTHER = "{2}"
"""The word that stands for the second file of programs that look at two; right after that for the first."""
WORD_END, STAGE_END = "\x1f", "\x1e"
"""End a word and a stage in the text that commands get; no word can hold them."""
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_STAGES_MAX = 12

AWK_HARMLESS = (
    r"(?!.*(?:(?:system|close|fflush)\s*\(|getline|ENVIRON|PROCINFO|ARG|@))"  # programs, other files
    r"(?!.*(?<!\|)\|(?!\|))(?!.*print.*>)"  # pipes and redirects; a > before any print is a comparison
    r".+"
)
"""An awk program that neither runs programs nor touches other files, as far as its text tells."""


class NoReader(ValueError):
    """A stage is none that is known only to read; the message says what of it."""


@dataclass(frozen=True)
class _Program:
    """What a program may be given.

    Args:
        flags: Options of one letter without a value.
        valued: Options of one letter with a value, and what it must match.
        long: What long options must match.
        texts: Least and most operands before the place.
        instead: Options that take the place of an operand, such as `grep -e`.
        place: Whether it looks at files; otherwise at what the stage before it prints.
        piped: Whether it can follow another stage.
        number: Whether `-5` is an option.
        text: What operands must match.
    """

    flags: str = ""
    valued: dict[str, str] | None = None
    long: str = r"(?!)"
    texts: tuple[int, int] = (0, 0)
    instead: str = ""
    place: bool = True
    piped: bool = True
    number: bool = False
    text: str = r"(?s).*"


_ANY = r"(?s).*"
_COUNT = r"[+-]?\d{1,9}"
_JQ_HARMLESS = r"(?s)(?!.*\b(?:import|include|env|modulemeta)\b)(?!.*\$ENV).+"
_PROGRAMS = {
    "basename": _Program("a", {"s": _ANY}, place=False, piped=False),  # by xargs only
    "cat": _Program("nbsAETv"),
    "cut": _Program("s", dict.fromkeys("dfcb", _ANY), long=r"--complement|--output-delimiter=.*"),
    "dirname": _Program(place=False, piped=False),
    "du": _Program("abcdhkms", {"d": r"\d{1,3}"}, piped=False),
    "fold": _Program("sb", {"w": r"\d{1,6}"}),
    "grep": _Program(
        "cinvEFowxlLhHsqa", {"e": _ANY, "m": r"\d{1,9}", **dict.fromkeys("ABC", r"\d{1,6}")},
        texts=(1, 1), instead="e", long=r"--(?:include|exclude|exclude-dir)=.+|--count|--ignore-case",
    ),
    "head": _Program("q", {"n": _COUNT, "c": _COUNT}, number=True, long=r"--lines=[+-]?\d{1,9}"),
    "jq": _Program("rcsSeanj", texts=(1, 1), text=_JQ_HARMLESS),
    "ls": _Program("1aAdFhilnRrStp", piped=False),
    "nl": _Program("", {"b": r"[atn]", "w": r"\d{1,3}", "s": _ANY}),
    "paste": _Program("s", {"d": _ANY}),
    "rev": _Program(),
    "sed": _Program("nErsz", {"e": _ANY}, texts=(1, 1), instead="e", long="--sandbox"),
    "sha256sum": _Program(),
    "sort": _Program("bdfghinrVMcsuz", {"k": r"[\d.,bdfghinrMV]+", "t": _ANY}),
    "stat": _Program("", {"c": _ANY}, piped=False),
    "tac": _Program(),
    "tail": _Program("q", {"n": _COUNT, "c": _COUNT}, number=True, long=r"--lines=[+-]?\d{1,9}"),
    "tr": _Program("cCdst", texts=(1, 2), place=False),
    "uniq": _Program("cdui", dict.fromkeys("fsw", r"\d{1,6}")),
    "wc": _Program("lwcmL"),
}  # fmt: skip


_PAIRED = {
    "cat": _PROGRAMS["cat"],
    "cmp": _Program("sl"),
    "comm": _Program("123z", long="--nocheck-order"),
    "diff": _Program("uqwbBiy", {"U": r"\d{1,6}"}, long="--brief|--suppress-common-lines"),
    "join": _Program(
        "i", {**dict.fromkeys("te", _ANY), **dict.fromkeys("12av", r"\d{1,3}"), "o": r"[\d.,]+"}
    ),
    "paste": _PROGRAMS["paste"],
    "sort": _PROGRAMS["sort"],
}
"""Programs that look at two files."""


def check_stages(stages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return stages in the one form in which they are run; a sed has its `--sandbox`.

    Args:
        stages: Words of each stage: the program, then its arguments; the first has `{}` for the place.

    Raises:
        NoReader: One of them is not known to do no more than read.
    """
    if not 1 <= len(stages) <= _STAGES_MAX:
        raise NoReader(f"has no stage, or more than {_STAGES_MAX}")
    found = []
    for number, stage in enumerate(stages):
        words = list(stage)
        if not words or not all(isinstance(word, str) for word in words):
            raise NoReader("has a stage without a program")
        if any(_CONTROLS.search(word) for word in words):
            raise NoReader("has control characters or line ends in it")
        before = words[:2] if words[0] == "env" else []
        if before and (len(before) < 2 or before[1] not in LOCALES):
            raise NoReader("has an env of more than one variable, or not of LC_ALL=C and its like")
        words = words[len(before) :]
        if not words:
            raise NoReader("has an env without a program")
        check = _OWN.get(words[0])
        if check is not None:
            check(words, number == 0)
        else:
            _require_known(words, number == 0)
        if words[0] == "sed" and "--sandbox" not in words:
            words.insert(1, "--sandbox")
        found.append([*before, *words])
    return found


def encode(stages: Sequence[Sequence[str]]) -> str:
    """Return stages as the text that the command takes apart again: each word and each stage is ended."""
    return "".join("".join(f"{word}{WORD_END}" for word in (*stage, STAGE_END)) for stage in stages)


def decode(text: str) -> list[list[str]]:
    """Return the stages of a text that `encode` made, or nonsense that no check lets pass."""
    stages = text.removesuffix(f"{STAGE_END}{WORD_END}").split(f"{STAGE_END}{WORD_END}")
    return [stage.removesuffix(WORD_END).split(WORD_END) for stage in stages]


def _require_known(words: list[str], first: bool) -> None:
    pair = first and words[-2:] == [PLACE, OTHER]
    program = (_PAIRED if pair else _PROGRAMS).get(words[0])
    if program is None:
        raise NoReader(f"runs {words[0]!r}, which is none of the programs that only read")
    if not (program.place if first else program.piped):
        raise NoReader(f"has {words[0]!r} where it cannot stand")
    _words(words[:-1] if pair else words, program, first)


def _words(words: list[str], program: _Program, first: bool) -> None:
    least, most = program.texts
    operands = []
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("--"):
            if not re.fullmatch(program.long, word):
                raise NoReader(f"gives {words[0]} {word!r}, which is not let in")
        elif not word.startswith("-") or word == "-":
            operands.append(word)
        elif not (program.number and re.fullmatch(r"-\d{1,9}", word)):
            least, most = (0, 0) if _letters(words[0], word, rest, program, first) else (least, most)
    places = [PLACE] if first else []
    texts = operands[: len(operands) - len(places)]
    if operands[len(texts) :] != places or not least <= len(texts) <= most:
        raise NoReader(f"gives {words[0]} other operands than it takes, with {PLACE} for the file")
    if PLACE in texts or not all(re.fullmatch(program.text, text) for text in texts):
        raise NoReader(f"gives {words[0]} a text that is not let in")


def _letters(name: str, word: str, rest: Iterator[str], program: _Program, first: bool) -> bool:
    """Check options of one letter; tell whether one of them takes the place of an operand."""
    for number, letter in enumerate(word[1:], 2):
        if letter in (program.valued or {}):
            value = word[number:] or next(rest, None)
            if value is None or value == PLACE or not re.fullmatch((program.valued or {})[letter], value):
                raise NoReader(f"gives {name} a value of -{letter} that is not let in")
            return letter in program.instead
        if letter not in program.flags and not (name == "grep" and letter == "r" and first):
            raise NoReader(f"gives {name} -{letter}, which is not let in")
    return False


def _awk(words: list[str], first: bool) -> None:
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        value = option[2:] or (rest.pop(0) if rest else "")
        variable = re.fullmatch(r"(?s)(?!ENVIRON|ARG)[A-Za-z_]\w*=.*", value)
        if not value or not (option[:2] == "-F" or (option[:2] == "-v" and variable)):
            raise NoReader(f"gives awk {option!r}, which is not let in")
    if rest[1:] != ([PLACE] if first else []) or not rest or not re.fullmatch(AWK_HARMLESS, rest[0]):
        raise NoReader("has an awk that is not known to do no more than print")


_TESTS = {
    **dict.fromkeys(("-name", "-iname", "-path", "-ipath"), _ANY),
    **dict.fromkeys(("-maxdepth", "-mindepth"), r"\d{1,3}"),
    **dict.fromkeys(("-mtime", "-mmin", "-links"), r"[+-]?\d{1,9}"),
    "-newermt": r"(?!-)[\w: .+-]+",
    "-type": r"[fdl](?:,[fdl])*", "-size": r"[+-]?\d{1,12}[cwbkMG]?", "-perm": r"[-/]?[0-7ugoarwxst=+,-]+",
    "-printf": r"(?s)(?:[^%]|%[pfhPsmMy%])*",
}  # fmt: skip
_PLAIN_TESTS = frozenset(
    {"!", "-not", "-o", "-or", "-a", "-and", "(", ")", "-empty", "-print", "-executable"}
)


def _find(words: list[str], first: bool) -> None:
    if not first or words[1:2] != [PLACE]:
        raise NoReader(f"has a find that is not the first stage, or not of {PLACE}")
    rest = iter(words[2:])
    for word in rest:
        if word in _TESTS:
            value = next(rest, None)
            if value is None or value == PLACE or not re.fullmatch(_TESTS[word], value):
                raise NoReader(f"gives find a value of {word} that is not let in")
        elif word not in _PLAIN_TESTS:
            raise NoReader(f"gives find {word!r}, which is not let in")


_GIT_OPTIONS = (
    r"-\d{1,9}|--count|--all|--oneline|--reverse|--(?:no-)?merges|--first-parent|--name-only|--stat|--tags|--heads"
    r"|--max-count=\d{1,9}|--(?:author|since|until|after|before|grep|sort)=.*|--abbrev-ref|--abbrev=\d{1,2}"
    r"|--always|--(?:format|pretty)=(?!.*%[-+ ]?G).*|-r|-p"
)
_GIT_READS = frozenset(
    {"cat-file", "describe", "for-each-ref", "grep", "log", "ls-files", "ls-tree", "rev-list", "rev-parse"}
)
_REVISION = r"(?!-)[\w./~^@{}:+-]+"


def _git(words: list[str], first: bool) -> None:
    """Let in questions to a repository; a patch is not among them, as git runs filters of its own for it."""
    if not first or words[1:3] != ["-C", PLACE] or len(words) < 4 or words[3] not in _GIT_READS:
        raise NoReader(f"has a git that is none of `git -C {PLACE} {'|'.join(sorted(_GIT_READS))}`")
    if words[3] == "grep":
        _git_grep(words[4:])
        return
    for word in words[4:]:
        option = word.startswith("-")
        if word == PLACE or not re.fullmatch(_GIT_OPTIONS if option else _REVISION, word):
            raise NoReader(f"gives git {word!r}, which is not let in")
        if word in ("-p", "-r") and words[3] != ("cat-file" if word == "-p" else "ls-tree"):
            raise NoReader(f"gives git {words[3]} {word}, which is not let in")


def _git_grep(words: list[str]) -> None:
    """Let in options that choose and show, then one pattern, and perhaps a revision; `-O` runs a pager."""
    while words and re.fullmatch(r"-[clnivwEFPhqH]+|--(?:count|ignore-case|cached)", words[0]):
        words = words[1:]
    if words[:1] == ["-e"]:
        words = words[1:]
    elif words and words[0].startswith("-"):
        raise NoReader(f"gives git grep {words[0]!r}, which is not let in")
    if (
        not 1 <= len(words) <= 2
        or PLACE in words
        or not all(re.fullmatch(_REVISION, word) for word in words[1:])
    ):
        raise NoReader("has a git grep of other operands than a pattern and a revision")


def _tar(words: list[str], first: bool) -> None:
    if not first or len(words) != 3 or words[2] != PLACE or not re.fullmatch(r"-?tv?[zjJ]?v?f", words[1]):
        raise NoReader(f"has a tar that is not `tar -tf {PLACE}`")


def _xargs(words: list[str], first: bool) -> None:
    """Let in what makes names of names: any other program would take them for files."""
    rest = words[1:]
    if rest[:1] == ["-n"]:
        rest = [f"-n{''.join(rest[1:2])}", *rest[2:]]
    if rest and re.fullmatch(r"-n\d{1,4}", rest[0]):
        rest = rest[1:]
    if first or not rest or rest[0] not in ("basename", "dirname"):
        raise NoReader("has an xargs of another program than basename and dirname")
    _words(rest, _PROGRAMS[rest[0]], False)


_OWN: dict[str, Callable[[list[str], bool], None]] = {
    "awk": _awk, "find": _find, "git": _git, "tar": _tar, "xargs": _xargs,
}  # fmt: skip
PAIRED = tuple(sorted(_PAIRED))
"""The programs that begin stages of two files."""
PROGRAMS = tuple(sorted({*_PROGRAMS, *_OWN}))
"""The programs of stages."""


def at_folder(words: Sequence[str]) -> list[str]:
    """Return a command with the folder that it looks at named, where that is the one that it stands in."""
    if words[0] == "env" and len(words) > 2:
        return [*words[:2], *at_folder(words[2:])]
    program, rest = words[0], list(words[1:])
    if program == "git" and rest[:1] != ["-C"]:
        return [program, "-C", ".", *rest]
    if program == "find" and (not rest or rest[0].startswith(("-", "!", "("))):
        return [program, ".", *rest]
    if program in ("ls", "du") and all(word.startswith("-") for word in rest):
        return [program, *rest, "."]
    return [program, *rest]


def placed(stages: list[list[str]]) -> tuple[list[list[str]], str] | None:
    """Return stages with `{}` for what they look at, and what that was; None where they are none."""
    first = at_folder(stages[0])
    for number in range(len(first) - 1, 0, -1):
        with_place = [*first[:number], PLACE, *first[number + 1 :]]
        if first[number].startswith("-"):
            continue
        try:
            return check_stages([with_place, *stages[1:]]), first[number]
        except NoReader:
            continue
    return None


def placed_pair(stages: list[list[str]]) -> tuple[list[list[str]], str, str] | None:
    """Return stages with `{}` and `{2}` for the files they look at, and both; None if they are none."""
    *words, one, other = stages[0] if len(stages[0]) > 2 else ["", "-", "-"]
    if one.startswith("-") or other.startswith("-"):
        return None
    try:
        return check_stages([[*words, PLACE, OTHER], *stages[1:]]), one, other
    except NoReader:
        return None

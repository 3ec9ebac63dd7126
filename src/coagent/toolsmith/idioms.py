"""Ways of saying the same in bash, brought to one: a file that is there for a moment, a find that deletes.

Whatever is said here is tried: the tool that comes of it must do what the command as it was sent does.
"""

from __future__ import annotations

import re

from coagent.toolsmith.parse import Simple, syntax, walk

_MADE = re.compile(r"\s*(\w+)=(?:\$\(mktemp\)|\"\$\(mktemp\)\")[ \t]*(?:&&|;|\n)[ \t]*")
_EXPANSIONS = ("simple_expansion", "expansion", "$")
_TEMPORARY = "/tmp/of-the-command"
_EXECUTED = [["-exec", "rm", *force, "{}", end] for force in ([], ["-f"]) for end in ("+", ";")]


def name_temporaries(command: str) -> str:
    """Return a command with a fixed name for the file that it has made by `mktemp`, or named by `$$`.

    Args:
        command: For bash.
    """
    found = _MADE.match(command)
    name = found[1] if found else ""
    text = command[found.end() :] if found else command
    data = text.encode("utf-8", "surrogateescape")
    for node in reversed([candidate for candidate in walk(syntax(text)) if candidate.type in _EXPANSIONS]):
        said = (node.text or b"").decode("utf-8", "surrogateescape")
        if said == "$$" or (name and said in (f"${name}", f"${{{name}}}")):
            put = b"0" if said == "$$" else _TEMPORARY.encode()
            data = data[: node.start_byte] + put + data[node.end_byte :]
    return data.decode("utf-8", "surrogateescape")


def with_folder_named(steps: list[Simple]) -> list[Simple]:
    """Return steps that ask git in the folder that a `cd` names as git's own `-C` says it."""
    rest = steps[1:]
    if steps[0].program != "cd" or len(steps[0].words) != 2 or not rest or rest[0].joined != "&&":
        return steps
    if rest[0].program != "git" or rest[0].words[1:2] == ["-C"] or steps[0].redirects:
        return steps
    if any(step.joined != "|" for step in rest[1:]) or any(step.redirects or step.globs for step in rest):
        return steps
    return [Simple(["git", "-C", steps[0].words[1], *rest[0].words[1:]]), *rest[1:]]


def sorted_in_place(one: Simple) -> tuple[Simple, str]:
    """Return a sort without the `-o` that names the file it sorts, and that file."""
    words = one.words
    if words[0] != "sort" or one.redirects or one.globs:
        return one, ""
    for number, word in enumerate(words[1:-1], 1):
        if word == "-o" and words.count(words[number + 1]) == 2 and len(one.operands) == 2:
            return Simple([*words[:number], *words[number + 2 :]], joined=one.joined), words[number + 1]
    return one, ""


def deleting_find(steps: list[Simple]) -> Simple | None:
    """Return the `find ... -delete` for what steps do by `-exec rm` or `xargs rm`; None if they do else."""
    one = steps[0]
    if one.program != "find" or one.redirects or one.globs:
        return None
    words = list(one.words)
    if len(steps) == 1 and words[-1] == "-delete":
        return one
    if {"-o", "-or"} & set(words):  # what is done then belongs to the last of them only
        return None
    if len(steps) == 1:
        end = next((end for end in _EXECUTED if words[-len(end) :] == end), None)
        return None if end is None else Simple([*words[: -len(end)], "-delete"])
    if len(steps) != 2 or steps[1].joined != "|" or steps[1].redirects:
        return None
    if words[-1] in ("-print", "-print0"):
        words.pop()
    apart = steps[1].words
    if apart[0] != "xargs" or apart[-1] not in ("rm", "-f"):
        return None
    if [word for word in apart[1:] if word not in ("-0", "-r", "-0r", "-r0")] not in (["rm"], ["rm", "-f"]):
        return None
    return Simple([*words, "-delete"])


def sed_of_perl(script: str) -> str | None:
    """Return what `sed -E` calls a substitution of perl, or None where it is more than sed could do.

    Args:
        script: What follows `perl -pi -e`.
    """
    found = re.fullmatch(r"s([/|#,!])((?:\\.|(?!\1)[^\\])+)\1((?:\\.|(?!\1)[^\\])*)\1(g?i?);?", script)
    if found is None:
        return None
    sign, pattern, text, flags = found.groups()
    more_than_sed = re.search(
        r"\(\?|[*+?}][?+]|\\[^\d.\\/|#,!*+?()\[\]{}^$swSWbBd-]|[$@](?![)|]|$)|\n", pattern
    )
    if more_than_sed or re.search(r"\[[^\]]*\\", pattern) or re.search(r"\\[^\d/|#,!.\\]|@|&|\n", text):
        return None
    text = re.sub(r"\$\{?(\d)\}?", r"\\\1", text)
    if "$" in text:
        return None
    return f"s{sign}{pattern.replace(chr(92) + 'd', '[0-9]')}{sign}{text}{sign}{flags.replace('i', 'I')}"

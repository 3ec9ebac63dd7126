"""The maker by example: takes a command apart and finds its parameters, without a model.

Where the shape of a command is known (`shapes.py`), one command is enough for a general tool. Otherwise
programs and options stay as they are, and every other word becomes a parameter; equal words become one. What
the command reads and writes is not guessed but observed by the verifier, and the inverse is the before-image.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from typing import Any

from coagent.errors import ToolFailed
from coagent.systems.files.workspace import Workspace
from coagent.toolsmith.file_shapes import FILES
from coagent.toolsmith.idioms import name_temporaries, sorted_in_place, with_folder_named
from coagent.toolsmith.maker import Judge, Proposal
from coagent.toolsmith.parse import Simple, parse
from coagent.toolsmith.piped import PIPED
from coagent.toolsmith.shapes import SHAPES, Draft, awk_program
from coagent.toolsmith.spec import Parameter, ToolSpec

_PARAMETERS_MAX = 8
_NAME = r"(?!.*\.\.)[\w.@+][\w./@+-]*"
_IN_PLACE = 'out=$(mktemp) && {command} > "$out" && cat "$out" > "$file"'
# Programs whose first operand says what they do.
_WITH_VERBS = frozenset({"cargo", "docker", "git", "go", "kubectl", "npm", "pip", "systemctl", "tar", "uv"})
# Programs with an operand that is code: it stays as it is, since a value there could do anything.
_WITH_CODE = re.compile(
    r"(?:[gmn]?awk|bash|dash|eval|g?sed|k?sh|lua|node|perl|php|psql|mysql|python|pypy|Rscript|ruby|sqlite"
    r"|bc|bun|dc|deno|ed|ex|expect|gdb|jshell|julia|m4|tclsh|vim?|xargs|yq|zsh)[\d.]*"
)
# Programs whose words are another program and its words.
_RUNNERS = frozenset(
    {
        ".", "builtin", "busybox", "chroot", "command", "doas", "env", "exec", "flock",
        "ionice", "nice", "nohup", "parallel", "script", "setsid", "source", "ssh",
        "stdbuf", "strace", "sudo", "time", "timeout", "trap", "unshare", "watch",
    }
)  # fmt: skip
# Options of find and others after which a word is part of the command's shape.
_FIXED_AFTER = frozenset(
    {"-type", "-maxdepth", "-mindepth", "-exec", "-print", "-size", "-o", "-k", "-t", "-d", "-F"}
)
_NAMES = {
    "chmod": "change_mode", "cp": "copy_file", "find": "find_files", "ln": "link_file", "ls": "list_folder",
    "mkdir": "make_folder", "mv": "move_file", "rm": "remove_file", "rmdir": "remove_folder",
    "touch": "touch_file",
    "cat": "show_file", "head": "show_begin", "tail": "show_end", "wc": "count_in_file", "sort": "sort_file",
}  # fmt: skip


class ByExample:
    """Makes tools of the commands of one workspace.

    Args:
        workspace: Where the commands are for.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def propose(self, request: str, command: str) -> list[Proposal]:
        """Return tools that do what a command does, the most general first.

        Args:
            request: What for, in plain language.
            command: For bash.

        Raises:
            ToolFailed: It is no valid bash, or only running it would tell what it is.
        """
        steps = parse(name_temporaries(command))
        core, in_place = _core(with_folder_named(steps))
        found: list[Proposal] = []
        if not any(step.globs or step.merged for step in core):
            drafts = (shape(core, in_place) for shape in (*SHAPES, *FILES, *PIPED))
            found = [
                _proposal(draft, request) for draft in drafts if draft is not None and self._usable(draft)
            ]
        try:
            found.append(_proposal(_Words(self._workspace, steps).draft(), request))
        except ToolFailed:
            if not found:
                raise
        return found

    async def make(self, request: str, command: str, judge: Judge) -> int:
        """Propose what `propose` returns until one is taken; it uses no tokens."""
        for proposal in self.propose(request, command):
            if not await judge(proposal):
                break
        return 0

    def _usable(self, draft: Draft) -> bool:
        places = [name for name, parameter in draft.parameters.items() if parameter.type == "path"]
        return all(_inside(self._workspace, draft.arguments[name]) for name in places)


def _core(steps: list[Simple]) -> tuple[list[Simple], str]:
    """Return the steps without the idiom that puts their output in the place of a file, and that file."""
    end = next((number for number, step in enumerate(steps) if number and step.joined != "|"), len(steps))
    core, rest = steps[:end], steps[end:]
    last = core[-1]
    if len(steps) == 1:
        one, file = sorted_in_place(last)
        return [one], file
    if not rest or len(last.redirects) != 1 or last.redirects[0].operator != ">":
        return steps, ""
    temporary = last.redirects[0].file
    place = ""
    if rest[0].words == ["cat", temporary] and len(rest) == 2 and rest[1].words in (
        ["rm", temporary], ["rm", "-f", temporary]
    ):  # fmt: skip
        redirects = rest[0].redirects
        place = redirects[0].file if len(redirects) == 1 and redirects[0].operator == ">" else ""
    elif len(rest) == 1 and rest[0].program == "mv" and rest[0].operands == [temporary, rest[0].words[-1]]:
        place = rest[0].words[-1]
    if not place or place not in core[0].words or any(step.joined != "&&" for step in rest):
        return steps, ""
    return [*core[:-1], Simple(last.words, last.globs, last.joined, [], last.merged)], place


def _proposal(draft: Draft, request: str) -> Proposal:
    command = _IN_PLACE.format(command="@@").replace("@@", draft.command) if draft.in_place else draft.command
    reads = [f"file:{{{name}}}" for name, parameter in draft.parameters.items() if parameter.type == "path"]
    spec = ToolSpec(
        name=draft.name,
        description=draft.description,
        effect="write" if draft.writes else "read",
        reads=reads,
        writes=draft.writes,
        reverse="before-image" if draft.writes else "",
        command=command,
        parameters=draft.parameters,
        maker="example",
        request=request,
    )
    return Proposal(spec, draft.arguments)


def _inside(workspace: Workspace, path: str) -> bool:
    return not os.path.isabs(path) and ".." not in path.split("/") and workspace.root != path


def _has_code(step: Simple) -> bool:
    return _WITH_CODE.fullmatch(os.path.basename(step.program)) is not None


def _fixed(step: Simple) -> set[int]:
    """Return the numbers of the words that stay: the program, its options, and what says what is done."""
    numbers = range(len(step.words))
    if step.program in _RUNNERS:
        return set(numbers)
    before = ["", *step.words]
    fixed = {
        at
        for at, word in enumerate(step.words)
        if at == 0 or word.startswith("-") or word in ("{}", ";", "+") or before[at] in _FIXED_AFTER
    }
    code = _has_code(step)
    by_option = {at for at in numbers[1:] if code and re.fullmatch(r"-\w*[ce]", before[at])}
    operands = [at for at in numbers if at not in fixed | by_option and before[at] != "-C"]
    if code and not by_option:
        return fixed | set(operands[1:2] if step.program.startswith("sqlite") else operands[:1])
    plain_tar = step.program == "tar" and 1 in fixed
    verb = operands[:1] if step.program in _WITH_VERBS and not plain_tar else []
    return fixed | by_option | set(verb)


class _Words:
    """A tool whose parameters are the words of a command that are no programs and no options."""

    def __init__(self, workspace: Workspace, steps: list[Simple]) -> None:
        self._workspace = workspace
        self._steps = steps
        self._folder = ""
        self.parameters: dict[str, Parameter] = {}
        self.arguments: dict[str, Any] = {}

    def draft(self) -> Draft:
        """Return the draft; what it writes has yet to be observed."""
        command = " ".join(part for step in self._steps for part in self._step(step))
        if len(self.parameters) > _PARAMETERS_MAX:
            raise ToolFailed(
                f"the command has {len(self.parameters)} words that differ, too many for a tool",
                "Run it with bash, or send a part of it.",
            )
        if not self.parameters and any(_has_code(step) for step in self._steps):
            raise ToolFailed(
                "the command is code of which no word can be another, so its tool could do nothing else",
                "Run it with bash.",
            )
        shown = " ".join(part for step in self._steps for part in self._show(step))
        return Draft(self._name(), f"Run: {shown}"[:300], command, self.arguments, self.parameters)

    def _step(self, step: Simple) -> Iterator[str]:
        if step.joined:
            yield step.joined
        if step.program == "cd" and len(step.words) == 2:
            self._folder = step.words[1]
        fixed = _fixed(step)
        for number, word in enumerate(step.words):
            if number in step.globs:
                yield re.sub(r"([^\w./*?\[\]-])", r"\\\1", word)
            elif number in fixed:
                yield self._code(step, word) if number else shlex.quote(word)
            else:
                yield f'"${self._parameter(step, word)}"'
        for redirect in step.redirects:
            device = redirect.file.startswith("/dev/")
            place = redirect.file if device else f'"${self._parameter(step, redirect.file, path=True)}"'
            yield f"{redirect.operator} {place}"
        if step.merged:
            yield "2>&1"

    def _code(self, step: Simple, word: str) -> str:
        if step.program == "awk" and "'" not in word and not word.startswith("-"):
            return f"'{awk_program(word, lambda value, _: self._comparison(value))}'"
        return shlex.quote(word)

    def _comparison(self, value: str) -> str:
        known = next((name for name, argument in self.arguments.items() if argument == value), "")
        described = Parameter(type="string", description=f"Such as {value!r}.", option_safe=True)
        return known or self._add("text", value, described)

    def _show(self, step: Simple) -> list[str]:
        by_value = {str(value): name for name, value in self.arguments.items()}
        words = [by_value.get(word, word).upper() if word in by_value else word for word in step.words]
        places = [
            f"{operator} {by_value.get(file, file).upper() if file in by_value else file}"
            for operator, file in ((redirect.operator, redirect.file) for redirect in step.redirects)
        ]
        return [*([step.joined] if step.joined else []), *words, *places]

    def _parameter(self, step: Simple, word: str, *, path: bool = False) -> str:
        for name, value in self.arguments.items():
            if value == word:
                return name
        place = os.path.join(self._workspace.root, word)
        if self._folder and step.program != "cd" and not os.path.isabs(word):
            place = os.path.join(self._workspace.root, self._folder, word)
            if path or os.path.lexists(place):  # its place depends on where the command has gone
                return self._add("name", word, Parameter(type="string", pattern=_NAME, description="A file."))
        path = path or (word not in ("", "/") and os.path.lexists(place))
        if (path or "/" in word) and os.path.isabs(word):
            return self._add("text", word, Parameter(type="string", description=f"Such as {word!r}."))
        if path or step.program in ("cp", "mv", "mkdir", "touch", "ln", "cd"):
            kind = "folder" if os.path.isdir(place) or step.program in ("mkdir", "cd") else "file"
            return self._add(kind, word, Parameter(type="path", description=f"Such as {word}."))
        if re.fullmatch(r"[1-9]\d*|0", word) and step.program != "chmod":
            return self._add("number", word, Parameter(type="integer", description=f"Such as {word}."))
        kind = "mode" if step.program == "chmod" else "text"
        described = Parameter(type="string", description=f"Such as {word!r}.", multiline="\n" in word)
        return self._add(kind, word, described)

    def _add(self, kind: str, word: str, parameter: Parameter) -> str:
        number, name = 1, kind
        while name in self.parameters:
            number += 1
            name = f"{kind}{number}"
        self.parameters[name] = parameter
        self.arguments[name] = word
        return name

    def _name(self) -> str:
        programs = [step for step in self._steps if step.program not in ("cd", "sort")] or self._steps
        first = programs[0]
        parts = [_NAMES.get(first.program, first.program)]
        if first.program in _WITH_VERBS:
            skip = {
                word for option, word in zip(first.words, first.words[1:], strict=False) if option == "-C"
            }
            parts += [word for word in first.operands if word not in skip][:1]
        parts += [step.program for step in programs[1:3] if step.program != first.program]
        parts = [part for at, part in enumerate(parts) if part not in parts[:at]]
        name = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")
        return name[:40] if re.match(r"[a-z]", name) and len(name) > 1 else f"run_{name[:36]}"

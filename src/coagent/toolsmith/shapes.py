"""Shapes of commands that are known: what in them is a parameter follows from the program's own language.

Each function looks at one kind of command and returns a draft, or None where it is another kind. Values go
into a program's text by the program's own means (`jq --arg`, `awk` and its environment).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coagent.toolsmith.idioms import sed_of_perl
from coagent.toolsmith.parse import Simple
from coagent.toolsmith.spec import Parameter

_FILE = Parameter(type="path", description="The file.")
_BEGIN, _END = r"^\s*", r"\s*$"
_JQ_PATH = r"((?:\.[A-Za-z_]\w*|\.?\[\d+\]|\.?\[?\"[^\"\\]*\"\]?)+)"
_JQ_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]|\"([^\"]*)\"")
# Takes a JSON Pointer apart along the document, which tells numbers of lists from names.
_JQ_STEPS = (
    'def steps($p): reduce ($p | split("/")[1:][] | gsub("~1"; "/") | gsub("~0"; "~")) as $s '
    '({at: ., path: []}; (if (.at | type) == "array" then ($s | tonumber) else $s end) as $k '
    "| {at: (if .at == null then null else .at[$k] end), path: (.path + [$k])}) | .path; "
)


@dataclass
class Draft:
    """A tool in the making.

    Args:
        name: What agents call it.
        description: What models are told.
        command: For bash, with parameters as variables.
        arguments: What the parameters are in the command that was seen.
        parameters: By name.
        in_place: Whether its output takes the place of the file.
        writes: Key templates; the whole file by default where it is written.
    """

    name: str
    description: str
    command: str
    arguments: dict[str, Any]
    parameters: dict[str, Parameter]
    in_place: bool = False
    writes: list[str] = field(default_factory=list)


def _text(description: str, **more: Any) -> Parameter:
    return Parameter(type="string", description=description, **more)


def jq(steps: list[Simple], in_place: str) -> Draft | None:
    """Read a value of a JSON file by a filter, or set one by its path."""
    if len(steps) != 1 or steps[0].program != "jq" or len(steps[0].operands) != 2:
        return None
    program, file = steps[0].operands
    if not in_place:
        if set(steps[0].options) - {"-r", "--raw-output"}:
            return None
        return Draft(
            "json_get",
            "Read from a JSON file with a jq filter, such as .version or .features|length.",
            'jq -r "$filter" "$file"',
            {"file": file, "filter": program},
            {"file": _FILE, "filter": _text("A jq filter.")},
        )
    found = re.fullmatch(rf"{_BEGIN}{_JQ_PATH}\s*=\s*(.+?){_END}", program)
    if steps[0].options or found is None or file != in_place:
        return None
    try:
        value = json.dumps(json.loads(found[2]), ensure_ascii=False)
    except ValueError:
        return None
    parts = [
        next(part for part in match.groups() if part is not None) for match in _JQ_STEP.finditer(found[1])
    ]
    pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)
    return Draft(
        "json_set",
        "Set one value of a JSON file, by JSON Pointer (RFC 6901), such as /limits/rate.",
        'jq --arg pointer "$pointer" --argjson value "$value" '
        f"'{_JQ_STEPS}setpath(steps($pointer); $value)' \"$file\"",
        {"file": file, "pointer": pointer, "value": value},
        {
            "file": _FILE,
            "pointer": _text("Where: a JSON Pointer.", pattern=r"(/[^/]*)+"),
            "value": _text('The new value as JSON: 250, true, "text".', option_safe=True),
        },
        in_place=True,
        writes=["json:{file}#{pointer}"],
    )


def sqlite(steps: list[Simple], in_place: str) -> Draft | None:
    """Query a SQLite database, or change it."""
    if len(steps) != 1 or steps[0].program != "sqlite3" or steps[0].options or len(steps[0].operands) != 2:
        return None
    file, sql = steps[0].operands
    if not sql.strip() or sql.lstrip().startswith("."):
        return None
    import sqlglot
    from sqlglot import exp

    try:
        statements = [
            statement for statement in sqlglot.parse(sql, dialect="sqlite") if statement is not None
        ]
    except sqlglot.errors.SqlglotError:
        statements = []
    reads = bool(statements) and all(isinstance(statement, exp.Query) for statement in statements)
    statement = _text("SQL; no dot commands.", pattern=r"(?s)\s*[^.\s].*", multiline=True)
    if reads:
        return Draft(
            "sqlite_query",
            "Query a SQLite database.",
            'sqlite3 -safe -readonly "$file" "$sql"',
            {"file": file, "sql": sql},
            {"file": _FILE, "sql": statement},
        )
    return Draft(
        "sqlite_exec",
        "Change a SQLite database with SQL.",
        'sqlite3 -safe "$file" "$sql"',
        {"file": file, "sql": sql},
        {"file": _FILE, "sql": statement},
        writes=["file:{file}"],
    )


_KEY_FIND = (
    'BEGIN { key = ENVIRON["key"] } '
    'function rest() { return index($0, key) == 1 ? substr($0, length(key) + 1) : "" } '
)
_KEY_TEXT = r"([A-Za-z_][\w.-]*)"


def sed_get(steps: list[Simple], in_place: str) -> Draft | None:
    """Read the value of a key in a file of `key=value` or `key: value` lines."""
    script = _sed(steps, "-n")
    found = re.fullmatch(rf"s/\^{_KEY_TEXT}(=|: \*|:|: ) ?//p", script[0]) if script else None
    if script is None or found is None:
        return None
    return Draft(
        "key_get",
        "Read the value of a key in a file of key=value or key: value lines.",
        f"awk '{_KEY_FIND}{{ r = rest() }} r ~ /^[ \\t]*[=:]/ "
        '{ sub(/^[ \\t]*[=:][ \\t]*/, "", r); print r }\' "$file"',
        {"file": script[1], "key": found[1]},
        {"file": _FILE, "key": _text("The key, at the beginning of its line.", pattern=".+")},
    )


def sed_set(steps: list[Simple], in_place: str) -> Draft | None:
    """Set the value of a key in a file of `key=value` or `key: value` lines."""
    script = _sed(steps, "-i")
    if script is None:
        return None
    found = re.fullmatch(rf"s/\^{_KEY_TEXT}( ?[=:] ?)\.\*/\1\2([^/&\\]*)/", script[0])
    if found is None:
        found = re.fullmatch(rf"s/\^{_KEY_TEXT}( ?[=:]) ?\.\*/\1\2 ?([^/&\\]*)/", script[0])
    if found is None:
        return None
    return Draft(
        "key_set",
        "Set the value of a key that a file of key=value or key: value lines has.",
        f"awk '{_KEY_FIND}{{ r = rest() }} match(r, /^[ \\t]*[=:][ \\t]*/) "
        '{ print key substr(r, 1, RLENGTH) ENVIRON["value"]; next } { print }\' "$file"',
        {"file": script[1], "key": found[1], "value": found[3].strip()},
        {
            "file": _FILE,
            "key": _text("The key, at the beginning of its line.", pattern=".+"),
            "value": _text("The new value.", option_safe=True),
        },
        in_place=True,
        writes=["ini:{file}#*/{key}", "yaml:{file}#/{key}", "toml:{file}#*/{key}"],
    )


def sed_script(steps: list[Simple], in_place: str) -> Draft | None:
    """Edit a file by a sed script that neither runs programs nor touches others: sed sees to that."""
    found = _edit(steps[0]) if len(steps) == 1 and not steps[0].redirects else None
    if found is None:
        return None
    script, file, syntax = found
    return Draft(
        "edit_with_sed",
        "Edit a file with a sed script.",
        'case $syntax in extended) set -- -E;; *) set --;; esac; sed --sandbox "$@" -i -e "$script" "$file"',
        {"file": file, "script": script, "syntax": syntax},
        {
            "file": _FILE,
            "script": _text("A sed script.", multiline=True, option_safe=True),
            "syntax": _text("Of regular expressions, basic or extended.", pattern="basic|extended"),
        },
        writes=["file:{file}"],
    )


def _edit(one: Simple) -> tuple[str, str, str] | None:
    """Return the script, file and syntax of a sed that edits, or of a perl that does no more than sed can."""
    perl = one.program == "perl"
    scripts, operands, options = [], [], set()
    words = iter(one.words[1:])
    for word in words:
        if word in (("-e", "-pe", "-pie") if perl else ("-e",)):
            options.add(word)
            scripts.append(next(words, ""))
        elif word.startswith("-"):
            options.add(word)
        else:
            operands.append(word)
    if not scripts and not perl and operands:
        scripts.append(operands.pop(0))
    if len(operands) != 1 or not scripts:
        return None
    if not perl:
        fits = "-i" in options and options <= {"-i", "-e", "-E", "-r"}
        syntax = "extended" if options & {"-E", "-r"} else "basic"
        return ("\n".join(scripts), operands[0], syntax) if fits else None
    edits = [sed_of_perl(script) for script in scripts]
    if options not in ({"-pi", "-e"}, {"-i", "-pe"}, {"-p", "-i", "-e"}) or None in edits:
        return None
    return "\n".join(edit for edit in edits if edit), operands[0], "extended"


def _sed(steps: list[Simple], option: str) -> tuple[str, str] | None:
    """Return the script and the file of a sed command."""
    one = steps[0]
    if len(steps) != 1 or one.program != "sed" or one.options != [option] or one.redirects:
        return None
    operands = one.operands
    return (operands[0], operands[1]) if len(operands) == 2 and "\n" not in operands[0] else None


_INI_KEY = "ini:{file}#{section}/{key}"
_COMPARED = re.compile(r'(\$\w+\s*[=!]=\s*|\b\w+\s*[=!]=\s*(?=")|~\s*(?="))("(?:[^"\\])*"|\d+(?![\w.]))')


def awk_program(program: str, parameter: Callable[[str, str], str]) -> str:
    """Return an awk program in which what fields and texts are compared with comes from the environment.

    Args:
        program: The program.
        parameter: Takes a value and a wish for a name; returns the name of the parameter for it.
    """

    def compared(one: re.Match[str]) -> str:
        value = one[2].strip('"')
        bare = re.fullmatch(r"\[(\w+)\]", value)
        if bare is not None:  # the header of a section
            return f'{one[1]}("[" ENVIRON["{parameter(bare[1], "section")}"] "]")'
        return f'{one[1]}ENVIRON["{parameter(value, "text")}"]'

    return _COMPARED.sub(compared, program)


def awk(steps: list[Simple], in_place: str) -> Draft | None:
    """Read or set a key in a section of an INI file, by an awk program that compares with both."""
    if len(steps) != 1 or steps[0].program != "awk" or steps[0].redirects:
        return None
    words = steps[0].words[1:]
    given: dict[str, str] = {}
    while len(words) >= 2 and words[0] == "-v" and "=" in words[1]:
        name, _, value = words[1].partition("=")
        given[name] = value
        words = words[2:]
    if len(words) != 2 or words[0].startswith("-") or "\\" in "".join(given.values()):
        return None
    program, file = words
    parameters, arguments = {"file": _FILE}, {"file": file}

    def parameter(value: str, name: str) -> str:
        for earlier, argument in arguments.items():
            if argument == value and earlier != "file":
                return earlier
        name = _awk_name(program, value, name, arguments)
        parameters[name] = _text(f"Such as {value!r}.", pattern="(?s).+", option_safe=True)
        arguments[name] = value
        return name

    program = awk_program(program, parameter)
    opening = "".join(f'{name}=ENVIRON["{parameter(value, name)}"]; ' for name, value in given.items())
    if opening:
        program = f"BEGIN {{ {opening}}} {program}"
    if "'" in program or "section" not in parameters:
        return None
    return Draft(
        "ini_set" if in_place else "ini_get",
        ("Set" if in_place else "Read") + " a key in a section of an INI file.",
        f"awk '{program}' \"$file\"",
        arguments,
        parameters,
        in_place=bool(in_place),
        writes=[_INI_KEY if {"section", "key"} <= parameters.keys() else "file:{file}"] if in_place else [],
    )


def _awk_name(program: str, value: str, name: str, taken: dict[str, Any]) -> str:
    """Return what to call a value in an awk program: by its part in an INI file where it reads one."""
    if re.search(r"/\^\\\[/", program):
        for wish in ("section", "key", "value"):
            if wish not in taken:
                return wish
    known = {"k": "key", "v": "value", "s": "text", "n": "name"}
    name = known.get(name, name.lower())
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        name = "text"
    number, wish = 1, name
    while wish in taken:
        number += 1
        wish = f"{name}{number}"
    return wish


def lines(steps: list[Simple], in_place: str) -> Draft | None:
    """Append a line or more to a file, or make them all that is in it."""
    one = steps[0]
    line = _printed(one)
    if len(steps) != 1 or line is None or len(one.redirects) != 1 or one.globs:
        return None
    (redirect,) = one.redirects
    if redirect.operator not in (">", ">>") or "\n" in redirect.file:
        return None
    appends = redirect.operator == ">>"
    return Draft(
        "append_line" if appends else "write_line",
        "Append a line or several to a file." if appends else "Make a file of a line or several.",
        f'printf \'%s\\n\' "$line" {redirect.operator} "$file"',
        {"file": redirect.file, "line": line},
        {"file": _FILE, "line": _text("The line, or the lines.", option_safe=True, multiline=True)},
        writes=["file:{file}"],
    )


def _printed(one: Simple) -> str | None:
    """Return what an echo or printf of whole lines prints, without the last line end; None for others."""
    if one.program == "echo" and not one.options:
        return " ".join(one.words[1:])
    if one.program != "printf" or len(one.words) < 2:
        return None
    form, values = one.words[1], one.words[2:]
    if form == "%s\\n" and values:
        return "\n".join(values)
    if values or re.search(r"%|\\[^nt\\]", form) or not form.endswith("\\n"):
        return None
    signs = {"n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nt\\])", lambda match: signs[match[1]], form)[:-1]


SHAPES: tuple[Callable[[list[Simple], str], Draft | None], ...] = (
    jq, sqlite, sed_get, sed_set, sed_script, awk, lines,
)  # fmt: skip

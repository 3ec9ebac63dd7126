"""Bash commands taken apart, by tree-sitter: simple commands, how they are joined, words, redirects.

Only what can be taken apart wholly becomes a tool: literal words, pipes, lists and redirects. Variables,
substitutions, loops and functions say what they mean only when they run. A here-document is taken apart where
`cat` makes a file of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from coagent.errors import ConfigurationError, ToolFailed

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

COMMAND_LENGTH_MAX = 20_000
_CURE = "Send one made of plain commands, or run it with bash."
_JOINS = ("&&", "||", ";", "|")
LOCALES = ("LC_ALL=C", "LC_COLLATE=C", "LC_ALL=C.UTF-8", "LANG=C")
"""Variables that may be set for one command: the order and the signs that filters go by."""


@dataclass(frozen=True)
class Redirect:
    """One redirect to or from a file, such as `>> FILE`."""

    operator: str
    file: str


@dataclass
class Simple:
    """One simple command.

    Args:
        words: The program and its arguments, quotes removed.
        globs: The numbers of the words in which the shell would look for file names.
        joined: What stands before it: "" for the first one, "&&", "||", ";" or "|".
        redirects: To and from files.
        merged: Whether its errors go where its output goes (`2>&1`).
    """

    words: list[str]
    globs: set[int] = field(default_factory=set)
    joined: str = ""
    redirects: list[Redirect] = field(default_factory=list)
    merged: bool = False

    @property
    def program(self) -> str:
        """The program that it runs."""
        return self.words[0]

    @property
    def options(self) -> list[str]:
        """The words that look like options."""
        return [word for word in self.words[1:] if word.startswith("-") and word != "-"]

    @property
    def operands(self) -> list[str]:
        """The words that do not look like options."""
        return [word for word in self.words[1:] if not word.startswith("-") or word == "-"]


def parse(command: str) -> list[Simple]:
    """Return the simple commands of a command, in order.

    Raises:
        ToolFailed: It is no valid bash, or does something that only running it would tell.
        ConfigurationError: The grammar is not installed.
    """
    if not command.strip():
        raise ToolFailed("there is no command", "Send one.")
    if len(command) > COMMAND_LENGTH_MAX or "\0" in command:
        raise ToolFailed("the command is too long, or has a NUL in it", _CURE)
    data = command.strip().encode("utf-8", "surrogateescape")
    root = _parser().parse(data).root_node
    if root.has_error:
        place = next((node for node in walk(root) if node.is_error or node.is_missing), root)
        line, column = place.start_point
        raise ToolFailed(
            f"the command is no valid bash (line {line + 1}, column {column + 1})", "Correct the command."
        )
    found: list[Simple] = []
    _program(root, found, "")
    if not found:
        raise ToolFailed("there is no command", "Send one.")
    return found


@cache
def _parser() -> Parser:
    try:
        import tree_sitter
        import tree_sitter_bash
    except ImportError as error:
        raise ConfigurationError(
            f"commands cannot be read: {error}", "Install it: pip install 'coagent-mtpo[toolsmith]'."
        ) from error
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def syntax(command: str) -> Node:
    """Return the syntax tree of a command, as tree-sitter-bash makes it.

    Raises:
        ConfigurationError: The parser is not installed.
    """
    return _parser().parse(command.encode()).root_node


def walk(node: Node) -> Iterator[Node]:
    """Yield a node of a syntax tree and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def _program(node: Node, found: list[Simple], joined: str) -> None:
    """Take apart what has commands in it: a program, a list or a pipeline."""
    for child in node.children:
        if child.type in _JOINS or child.type == "\n":
            joined = ";" if child.type == "\n" else child.type
        elif child.type in ("list", "pipeline"):
            _program(child, found, joined)
        elif child.type == "comment":
            continue
        else:
            _command(child, found, joined)
            joined = ";"
    if node.type == "program" and node.children and node.children[-1].type == "&":
        raise ToolFailed("the command leaves something in the background", _CURE)


def _command(node: Node, found: list[Simple], joined: str) -> None:
    if node.type == "redirected_statement":
        body = node.child_by_field_name("body")
        if body is None or body.type not in ("command", "list", "pipeline"):
            raise _refusal(node)
        if any(child.type == "heredoc_redirect" for child in node.children):
            _here(node, body, found, joined)
            return
        if body.type == "command":
            _command(body, found, joined)
        else:
            _program(body, found, joined)
        for redirect in node.children_by_field_name("redirect"):
            _redirect(redirect, found[-1])
        return
    if node.type != "command":
        raise _refusal(node)
    simple = Simple([], joined=joined)
    for child in node.children:
        if child.type == "variable_assignment" and _text(child) in LOCALES:
            simple.words += ["env", _text(child)]
            continue
        if child.type == "command_name":
            child = child.children[0]
        if child.type == "file_redirect":
            _redirect(child, simple)
            continue
        text, globbed = _word(child)
        if globbed:
            simple.globs.add(len(simple.words))
        simple.words.append(text)
    if not simple.words or simple.program.startswith("-"):
        raise _refusal(node)
    found.append(simple)


def _here(node: Node, body: Node, found: list[Simple], joined: str) -> None:
    """Take `cat > FILE <<'END'` for the printf that does the same."""
    here = next(child for child in node.children if child.type == "heredoc_redirect")
    parts = {child.type: child for child in here.children}
    known = {"<<", "heredoc_start", "file_redirect", "heredoc_body", "heredoc_end"}
    if _text(body) != "cat" or len(parts) != len(here.children) or "<<" not in parts or parts.keys() - known:
        raise _refusal(node)
    text = _text(parts["heredoc_body"]) if "heredoc_body" in parts else ""
    quoted = any(sign in _text(parts["heredoc_start"]) for sign in "'\"\\")
    if not text.endswith("\n") or (not quoted and any(sign in text for sign in "$`\\")):
        raise _refusal(node)
    simple = Simple(["printf", "%s\\n", text[:-1]], joined=joined)
    for child in (*node.children, *here.children):
        if child.type == "file_redirect":
            _redirect(child, simple)
    found.append(simple)


def _redirect(node: Node, simple: Simple) -> None:
    place = node.child_by_field_name("destination")
    operator = next((child.type for child in node.children if child.type in (">", ">>", "<", ">&", "&>")), "")
    descriptor = node.child_by_field_name("descriptor")
    number = _text(descriptor) if descriptor is not None else ""
    if place is None or not operator:
        raise _refusal(node)
    text, _ = _word(place)
    if operator == ">&" and (number, text) == ("2", "1"):
        simple.merged = True
    elif text == "/dev/null" and operator == ">" and number == "2":
        simple.redirects.append(Redirect("2>", text))
    elif operator in (">", ">>", "<") and not number:
        simple.redirects.append(Redirect(operator, text))
    else:
        raise _refusal(node)


def _word(node: Node) -> tuple[str, bool]:
    """Return a word with its quotes removed, and whether the shell would look for file names in it."""
    text = _text(node)
    if node.type in ("word", "number", "file_descriptor"):
        if any(child.type not in ("word",) for child in node.children):
            raise _refusal(node)
        plain = "".join(_unescape(text))
        return plain, any(sign in text for sign in "*?[") and "\\" not in text
    if node.type == "raw_string":
        return text[1:-1], False
    if node.type == "string":
        if any(child.type not in ('"', "string_content") for child in node.children):
            raise _refusal(node)
        return "".join(_unescape(text[1:-1], only='$`"\\')), False
    if node.type == "concatenation":
        parts = [_word(child) for child in node.children]
        return "".join(part for part, _ in parts), any(globbed for _, globbed in parts)
    if node.type in ("[", "]"):
        return text, True
    raise _refusal(node)


def _unescape(text: str, only: str = "") -> Iterator[str]:
    signs = iter(text)
    for sign in signs:
        if sign == "\\":
            following = next(signs, "\\")
            yield following if not only or following in only else f"\\{following}"
        else:
            yield sign


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogateescape")


_WORDS = {
    "simple_expansion": "uses a variable",
    "expansion": "uses a variable",
    "command_substitution": "puts the output of another command in",
    "process_substitution": "puts the output of another command in",
    "arithmetic_expansion": "calculates",
    "heredoc_redirect": "has a here-document",
    "herestring_redirect": "has a here-string",
    "ansi_c_string": "has a string of escapes",
    "subshell": "has a shell of its own",
    "compound_statement": "has a block",
    "for_statement": "has a loop",
    "while_statement": "has a loop",
    "if_statement": "has a condition",
    "case_statement": "has a condition",
    "negated_command": "negates a command",
    "function_definition": "defines a function",
    "variable_assignment": "sets a variable",
    "variable_assignments": "sets variables",
    "declaration_command": "sets variables",
    "test_command": "has a condition",
}


def _refusal(node: Node) -> ToolFailed:
    kinds = [_WORDS[child.type] for child in walk(node) if child.type in _WORDS]
    what = kinds[0] if kinds else f"has {_text(node)[:60]!r} in it"
    return ToolFailed(f"no tool can be made of a command that {what}", _CURE)

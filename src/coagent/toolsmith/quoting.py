"""Where a command lets the shell take a parameter apart: without quotes it becomes words and file names."""

from __future__ import annotations

from collections.abc import Collection

from coagent.toolsmith.parse import syntax, walk

_EXPANSIONS = ("simple_expansion", "expansion")
_WHOLE = frozenset({
    "string", "variable_assignment", "test_command", "case_statement", "heredoc_body", "herestring_redirect",
    "arithmetic_expansion", "expansion", "subscript",
})  # fmt: skip
"""In these a value stays one word. Source: Bash Reference Manual, "Shell Expansions"."""
_ANEW = frozenset(
    {"array", "command", "command_substitution", "process_substitution", "for_statement", "file_redirect"}
)
"""In these words begin anew, whatever is around them."""


def unquoted_parameters(command: str, names: Collection[str]) -> list[str]:
    """Return the parameters that a command expands outside quotes somewhere.

    Args:
        command: For bash.
        names: Its parameters.
    """
    found = set()
    for node in walk(syntax(command)):
        if node.type not in _EXPANSIONS:
            continue
        used = {
            child.text.decode() for child in node.children if child.type == "variable_name" and child.text
        } & set(names)
        counts = any(child.type == "#" for child in node.children)  # ${#name} is a number
        around = node.parent
        while around is not None and around.type not in _WHOLE | _ANEW:
            around = around.parent
        plain_test = around is not None and around.type == "test_command" and around.children[0].type == "["
        if used and not counts and (around is None or around.type in _ANEW or plain_test):
            found |= used
    return sorted(found)

"""A parameter that the shell would take apart is found, whatever is around it."""

from __future__ import annotations

import subprocess

import pytest

from coagent.toolsmith.quoting import unquoted_parameters

_LOOSE = (
    "cat $file", "cat ${file}", "cat x$file", "cat < $file", "echo x > $file", 'echo "a" $file',
    "for i in $file; do :; done", "case x in x) cat $file ;; esac", "[ -e $file ]", "[[ -e $(cat $file) ]]",
    'echo "$(cat $file)"', "cat ${file:-x}", "(cat $file)", "if cat $file; then :; fi", "x=1 cat $file",
    "cat $file | wc", "cat a && cat $file", "diff <(cat $file) a", "while read -r a; do cat $file; done",
    'words=($file); cat "${words[@]}"', 'words+=(a $file)',
)  # fmt: skip
_WHOLE = (
    'cat "$file"', 'cat "${file}"', 'cat "x$file"', 'echo "$(cat "$file")"', "x=$file; true",
    "[[ -e $file ]]", 'cat < "$file"', "echo '$file'", "echo ${#file}", "cat <<< $file",
    'words=("$file"); cat "${words[@]}"', "declare -a x=(${#file})",
    "case $file in a) ;; esac",
    "echo $other", "echo $((file + 1))",
)  # fmt: skip


@pytest.mark.parametrize("command", _LOOSE)
def test_outside_quotes_it_is_found(command: str) -> None:
    assert unquoted_parameters(command, {"file"}) == ["file"]


@pytest.mark.parametrize("command", _WHOLE)
def test_what_stays_one_word_is_let_be(command: str) -> None:
    assert unquoted_parameters(command, {"file"}) == []


def _words(word: str) -> list[str]:
    """Return the words that bash makes of one, where the parameter is `*  b` in a folder with one file."""
    script = f"cd \"$(mktemp -d)\"; touch one; file='*  b'; printf '%s\\n' {word}; rm one; rmdir \"$PWD\""
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize("word", ["$file", "${file}", "${file:-x}", '"$file"', '"${file%x}"', "${file%x}"])
def test_bash_agrees(word: str) -> None:
    assert (len(_words(word)) > 1) == bool(unquoted_parameters(f"echo {word}", {"file"}))

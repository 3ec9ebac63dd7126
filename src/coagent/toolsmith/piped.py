"""Shapes of commands whose programs are arguments: pipelines that only read, and what is done with them.

One tool serves all of a kind, since programs and their options are values too, checked against fixed lists
(`stages.py`) and handed over as lists of words: the command takes them apart at their ends, and no shell
reads them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coagent.toolsmith.idioms import deleting_find
from coagent.toolsmith.parse import Simple
from coagent.toolsmith.shapes import Draft
from coagent.toolsmith.spec import Parameter
from coagent.toolsmith.stages import PAIRED, PROGRAMS, WORD_END, at_folder, placed, placed_pair

_WORDS = 'words=(); while [ -n "$stages" ]; do ' + (
    "words+=(\"${stages%%$'\\x1f'*}\"); stages=${stages#*$'\\x1f'}; done"
)
# A path with = in it would be a variable to awk, and one with : a machine to tar.
_PLACE = "at=$file; case $at in *[=:]*) at=./$at;; esac"
# A grep that finds nothing has not failed (1), nor has what a head did not want to hear to the end (141).
_PIPE = f"""
{_PLACE}
{_WORDS}
run() {{
  local code=0
  command "$@" || code=$?
  case $1:$3:$code in grep:*:1|env:grep:1|diff:*:1|cmp:*:1|*:141) code=0;; esac
  return $code
}}
pipe() {{
  local stage=()
  while [ "$1" != $'\\x1e' ]; do
    if [ "$1" = '{{}}' ]; then stage+=("$at"); else stage+=("$1"); fi
    shift
  done
  shift
  if [ $# -gt 0 ]; then run "${{stage[@]}}" | pipe "$@"; else run "${{stage[@]}}"; fi
}}
set -o pipefail
pipe "${{words[@]}}"
""".strip()
_SECOND = "second=$other; case $second in *[=:]*) second=./$second;; esac"
_PIPE_OF_TWO = f"{_SECOND}\n{_PIPE}".replace(
    "; else stage+=", '; elif [ "$1" = \'{2}\' ]; then stage+=("$second"); else stage+='
)
_STAGES = Parameter(
    type="stages",
    description=(
        "The programs, each a list of words, joined by pipes; {} in the first for the file or folder: "
        '[["cut", "-d,", "-f2", "{}"], ["sort"], ["uniq", "-c"]]. Known: ' + ", ".join(PROGRAMS) + "."
    ),
)


def _stages(steps: list[Simple]) -> tuple[list[list[str]], str] | None:
    """Return a pipeline as stages, and the file or folder that it looks at."""
    if any(step.joined != "|" for step in steps[1:]) or any(step.redirects for step in steps[1:]):
        return None
    first = steps[0]
    words = [step.words for step in steps]
    if first.redirects:
        if [redirect.operator for redirect in first.redirects] != ["<"]:
            return None
        words.insert(0, ["cat", first.redirects[0].file])
    return placed(words)


def look(steps: list[Simple], in_place: str) -> Draft | None:
    """Print what a pipeline of programs that only read finds in a file or folder."""
    found = None if in_place else _stages(steps)
    if found is None:
        return None
    return Draft(
        "look_into",
        "Print what a pipeline of programs that only read (grep, awk, cut, sort, find, git log ...) finds in "
        "a file or folder.",
        _PIPE,
        {"file": found[1], "stages": found[0]},
        {"file": Parameter(type="path", description="The file or folder."), "stages": _STAGES},
    )


def rewrite(steps: list[Simple], in_place: str) -> Draft | None:
    """Put what a pipeline makes of a file in its place."""
    found = _stages(steps) if in_place else None
    if found is None or found[1] != in_place:
        return None
    return Draft(
        "rewrite_file",
        "Replace a file by what a pipeline of filters (sort, tail, awk, jq ...) makes of it.",
        f"{{ {_PIPE}; }}",
        {"file": found[1], "stages": found[0]},
        {"file": Parameter(type="path", description="The file."), "stages": _STAGES},
        in_place=True,
        writes=["file:{file}"],
    )


def write_found(steps: list[Simple], in_place: str) -> Draft | None:
    """Put what a pipeline finds into another file."""
    last = steps[-1]
    if in_place or len(last.redirects) != 1 or last.redirects[0].operator not in (">", ">>"):
        return None
    (redirect,) = last.redirects
    found = _stages([*steps[:-1], replace(last, redirects=[])])
    if found is None or redirect.file == found[1] or redirect.file.startswith("/dev/"):
        return None
    adds = redirect.operator == ">>"
    return Draft(
        "append_found" if adds else "write_found",
        f"{'Append' if adds else 'Write'} to a file what a pipeline of programs that only read finds in "
        "another file or folder.",
        f'{{ {_PIPE}; }} {redirect.operator} "$output"',
        {"file": found[1], "stages": found[0], "output": redirect.file},
        {
            "file": Parameter(type="path", description="The file or folder."),
            "stages": _STAGES,
            "output": Parameter(type="path", description="The file that is written."),
        },
        writes=["file:{output}"],
    )


def compare(steps: list[Simple], in_place: str) -> Draft | None:
    """Print, or put into a file, what programs that look at two files find in them."""
    last = steps[-1]
    redirects = last.redirects
    if (
        in_place
        or any(step.joined != "|" for step in steps[1:])
        or any(step.redirects for step in steps[:-1])
    ):
        return None
    if len(redirects) > 1 or any(
        redirect.operator != ">" or redirect.file.startswith("/dev/") for redirect in redirects
    ):
        return None
    found = placed_pair([step.words for step in steps])
    if found is None or any(redirect.file in found[1:] for redirect in redirects):
        return None
    parameters = {
        "file": Parameter(type="path", description="The first file."),
        "other": Parameter(type="path", description="The second file."),
        "stages": Parameter(
            type="stages",
            description=(
                "The programs, each a list of words, joined by pipes; {} and {2} at the end of the first for "
                f'the two files: [["comm", "-12", "{{}}", "{{2}}"]]. It begins with {", ".join(PAIRED)}.'
            ),
            pattern=rf"(?s)[^\x1e]*\{{\}}{WORD_END}\{{2\}}{WORD_END}\x1e.*",
        ),
    }
    arguments: dict[str, Any] = {"file": found[1], "other": found[2], "stages": found[0]}
    if not redirects:
        about = "Print what comm, diff, join, paste, sort and the like find in two files."
        return Draft("compare_files", about, _PIPE_OF_TWO, arguments, parameters)
    return Draft(
        "combine_files",
        "Put what comm, join, paste, sort, cat and the like make of two files into another file.",
        f'{{ {_PIPE_OF_TWO}; }} > "$output"',
        {**arguments, "output": redirects[0].file},
        {**parameters, "output": Parameter(type="path", description="The file that is written.")},
        writes=["file:{output}"],
    )


def delete_found(steps: list[Simple], in_place: str) -> Draft | None:
    """Delete what a find finds."""
    one = deleting_find(steps)
    if one is None:
        return None
    found = _stages([replace(one, words=one.words[:-1])])
    if found is None:
        return None
    one_find = Parameter(
        type="stages",
        description='One find and its tests: [["find", "{}", "-name", "*.bak"]].',
        pattern=rf"find{WORD_END}[^\x1e]*\x1e{WORD_END}",
    )
    return Draft(
        "delete_found",
        "Delete the files and empty folders below a folder that the tests of find choose.",
        f'{_WORDS}\nfind "$file" "${{words[@]:2:${{#words[@]}}-3}}" -delete',
        {"file": found[1], "stages": found[0]},
        {"file": Parameter(type="path", description="The folder."), "stages": one_find},
        writes=["file:{file}/"],
    )


def tar(steps: list[Simple], in_place: str) -> Draft | None:
    """Pack a file or folder into an archive, or unpack one into a folder."""
    one = steps[0]
    if len(steps) != 1 or one.program != "tar" or one.redirects:
        return None
    at, name = [".", one.words[3]] if len(one.words) == 4 else ["", ""]
    if len(one.words) == 6 and one.words[3] == "-C":
        at, name = one.words[4:]
    packs = re.fullmatch(r"-?c([zjJ]?)f", one.words[1]) if at else None
    archive = Parameter(type="path", description="The archive.")
    if packs is not None and not name.startswith(("-", "/")) and ".." not in name.split("/"):
        return Draft(
            "pack_archive",
            "Pack a file or folder into a tar archive.",
            'tar --force-local "-c${format}f" "$archive" -C "$folder" -- "$name"',
            {"archive": one.words[2], "folder": at, "name": name, "format": packs[1]},
            {
                "archive": archive,
                "folder": Parameter(type="path", description="In which folder it is."),
                "name": Parameter(
                    type="string",
                    description="The file or folder, as seen from that folder; . for all.",
                    pattern=r"(?!/)(?!(?:.*/)?\.\.(?:/|$)).+",
                ),
                "format": Parameter(
                    type="string", description="z: gzip, j: bzip2, J: xz, or nothing.", pattern="[zjJ]?"
                ),
            },
            writes=["file:{archive}"],
        )
    words = one.words[1:]
    if len(words) == 4 and words[2] == "-C":
        words = [*words[2:], *words[:2]]
    if len(words) != 4 or words[0] != "-C" or not re.fullmatch(r"-x[zjJ]?f", words[2]):
        return None
    return Draft(
        "unpack_archive",
        "Unpack a tar archive into a folder that is there.",
        'tar --force-local -C "$folder" -xf "$archive"',
        {"archive": words[3], "folder": words[1]},
        {"archive": archive, "folder": Parameter(type="path", description="The folder.")},
        writes=["file:{folder}/"],
    )


_REFERENCE = r"(?!.*(?:\.\.|//|@\{|\.lock))[\w][\w.+-]*(?:/[\w][\w.+-]*)*"


def git_name(steps: list[Simple], in_place: str) -> Draft | None:
    """Give a commit the name of a tag or a branch."""
    words = at_folder(steps[0].words)
    if len(steps) != 1 or words[:2] != ["git", "-C"] or len(words) not in (5, 6) or steps[0].redirects:
        return None
    folder, kind, name, commit = [*words[2:], ""][:4]
    if kind not in ("tag", "branch") or not re.fullmatch(_REFERENCE, name) or commit.startswith("-"):
        return None
    kinds = {"tag": "tags", "branch": "heads"}
    return Draft(
        "git_name",
        "Give a commit the name of a new tag or branch.",
        'set -- "$name"; [ -z "$commit" ] || set -- "$name" "$commit"; '
        'case $kind in tags) git -C "$folder" tag "$@";; '
        'heads) git -C "$folder" branch --no-track "$@";; esac',
        {"folder": folder, "kind": kinds[kind], "name": name, "commit": commit},
        {
            "folder": Parameter(type="path", description="The repository."),
            "kind": Parameter(type="string", description="tags or heads (branches).", pattern="tags|heads"),
            "name": Parameter(type="string", description="The new name.", pattern=_REFERENCE),
            "commit": Parameter(type="string", description="A revision; empty for the current one."),
        },
        writes=[f"file:{{folder}}/.git/{place}refs/{{kind}}/{{name}}" for place in ("", "logs/")],
    )


PIPED: tuple[Callable[[list[Simple], str], Draft | None], ...] = (
    look, rewrite, write_found, compare, delete_found, tar, git_name,
)  # fmt: skip

"""What a command has changed is its agent's own from then on: also for the git commands that follow in it.

The index of a view leaves others' work alone (`index.py`), which holds for what it was as the command began.
In `sed -i s/a/b/ f; git commit -am x` the file is the agent's own by the time of the commit, just as if these
were two commands. So the `git` that such a command finds is a script, which looks what has been changed by
now, lets the index know, and becomes git. It looks at the view's upper layer, and not at the tree: else each
of these files would be a premise of the command.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from coagent.systems.git.index import exclusion

FOLDER = "own-work"
"""The folder of a view in which the script and what it needs are."""
PLACE = ".git/coagent"
"""Where a command finds that, in the tree."""

_SCRIPT = """\
#!/bin/sh
# git, to which what this command has changed by now is its agent's own work.
here={here} root={root}
before={before}
now=$(cd "$here/upper" && LC_ALL=C xargs -0 -r stat -c '%i %.9Y %s %f %n' -- < "$here/paths" 2>/dev/null)
newly=
for folder in {folders}; do
  if [ -e "$here/upper/$folder" ] && [ ! -d "$here/upper/$folder" ]; then
    newly="$newly$(awk -F '\\t' -v top="$folder/" 'index($2, top) == 1 {{ print $2 }}' "$here/known")
"
  fi
done
case $now in *" $here/paths"*) ;; *) now=$before ;; esac
if [ -n "$newly" ] || [ "$now" != "$before" ]; then
  (
    export LC_ALL=C GIT_DIR="$root/.git"
    unset GIT_INDEX_FILE GIT_WORK_TREE
    newly="$newly$(printf '%s\\n' "$now" "$before" | sort | uniq -u | cut -d ' ' -f 5- | sort -u)"
    printf '%s\\n' "$newly" | awk -F '\\t' 'NR == FNR {{ own[$0] = 1; next }}
      $2 in own && $1 == "tracked" {{ printf "%s%c", $2, 0 }}' - "$here/known" |
      (cd "$root" && "$here/real" update-index -z --no-skip-worktree --stdin)
    printf '%s\\n' "$newly" | awk -F '\\t' 'NR == FNR {{ own[$0] = 1; next }}
      $2 in own && $1 == "new" {{ print $3 }}' - "$here/known" > "${{TMPDIR:-/tmp}}/.own-$$"
    if [ -s "${{TMPDIR:-/tmp}}/.own-$$" ]; then
      left=$(grep -vxFf "${{TMPDIR:-/tmp}}/.own-$$" "$GIT_DIR/info/exclude")
      printf '%s\\n' "$left" > "$GIT_DIR/info/exclude"
    fi
    rm -f "${{TMPDIR:-/tmp}}/.own-$$"
  ) < /dev/null > /dev/null 2>&1
fi
exec "$here/real" "$@"
"""


def write(
    folder: Path,
    here: str,
    root: str,
    upper: Path,
    tracked: Iterable[str],
    new: Iterable[str],
    *,
    prefix: str = "",
) -> None:
    """Write the script and what it needs.

    Args:
        folder: Where to.
        here: What that is called in the view; `upper` and `real` in it are the upper layer, and git.
        root: The working tree in the view.
        upper: The upper layer, as it is before the command.
        tracked: Paths of others' work that git knows in the view.
        new: Those that it does not know.
        prefix: Where in the working tree that layer is, without the slash at the end.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(exist_ok=True)
    known = [("tracked", path, "") for path in tracked] + [("new", path, exclusion(path)) for path in new]
    known = [fields for fields in known if not set(fields[1]) & {"\n", "\t"}]
    paths = sorted({path for _, path, _ in known})
    folders = sorted({above for path in paths for above in _above(path)})
    listed = b"".join(os.fsencode(path) + b"\0" for path in [*paths, f"{here}/paths"])
    (folder / "paths").write_bytes(listed)
    (folder / "known").write_bytes(b"".join(os.fsencode("\t".join(fields)) + b"\n" for fields in known))
    lines = [line for path in paths if (line := _line(upper / os.path.relpath(path, prefix or "."), path))]
    lines.append(_line(folder / "paths", f"{here}/paths"))
    script = _SCRIPT.format(
        here=shlex.quote(here),
        root=shlex.quote(root),
        before=shlex.quote("\n".join(lines)),
        folders=" ".join(map(shlex.quote, folders)),
    )
    (folder / "git").write_bytes(os.fsencode(script))
    (folder / "git").chmod(0o755)


def _line(place: Path, name: str) -> str:
    """Return what stat(1) says of a path in that format; empty where nothing is there."""
    try:
        status = os.lstat(place)
    except OSError:
        return ""
    seconds, rest = divmod(status.st_mtime_ns, 10**9)
    return f"{status.st_ino} {seconds}.{rest:09d} {status.st_size} {status.st_mode:x} {name}"


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]

"""Whether git leaves CoAgent's own files alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place

_ABOUT = "git ignore"
_ANSWER_S_MAX = 5
_IGNORE = "printf '/*\\n!/tools/\\n' > .coagent/.gitignore"


def ignored(place: Place) -> Iterator[Finding]:
    """Yield whether git would take up, or has taken up, what is in `.coagent`; grown tools are for review."""
    if not place.is_workspace:
        return
    asked = _git(place, "rev-parse", "--is-inside-work-tree")
    if asked is None or asked.stdout.strip() != "true":
        return
    kept = _git(place, "ls-files", "--", ".coagent", ":!.coagent/tools", ":!.coagent/.gitignore")
    names = kept.stdout.split("\n")[:-1] if kept else []
    if names:
        few = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        state = "note" if names == [".coagent/config.toml"] else "warning"
        cure = "" if state == "note" else f"git rm --cached -r .coagent && {_IGNORE}"
        yield Finding(_ABOUT, "note" if state == "note" else "warning", f"git tracks {few}", cure)
    elif (found := _git(place, "check-ignore", "-q", ".coagent/log.db")) and found.returncode == 1:
        yield Finding(_ABOUT, "warning", "`git add` would take up .coagent, with the log in it", _IGNORE)
    else:
        yield Finding(_ABOUT, "ok", "git ignores .coagent")


def _git(place: Place, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Return what git says; None where it cannot be asked."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", "-C", str(place.root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=_ANSWER_S_MAX,
            env=known,
        )
    except (OSError, subprocess.SubprocessError):
        return None

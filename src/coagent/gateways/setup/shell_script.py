"""The small script that Claude Code runs Bash commands by (CLAUDE_CODE_SHELL_PREFIX).

Claude Code runs hooks and MCP servers by it, too: only commands of sessions go to the daemon. It stands
beside the settings that name it, so that whoever removes those by hand removes both. Where CoAgent is gone,
it says so and runs the command. Source: Claude Code documentation, "Environment variables".
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from coagent.errors import ConfigurationError
from coagent.gateways.claude import hook

PREFIX = "CLAUDE_CODE_SHELL_PREFIX"
"""The variable that names it."""
SCRIPT = "coagent-shell"
"""Its name."""

# As a module it need not be compiled each time.
_RUN = "import sys; sys.path.append(sys.argv.pop(1)); import prefix; prefix.main()"


def text(root: Path, chained: str = "", python: str = sys.executable) -> str:
    """Return the script.

    Args:
        root: The workspace.
        chained: Another prefix, which what is not governed is run by.
        python: The interpreter.
    """
    given, program = (
        shlex.quote(python),
        shlex.quote(str(Path(hook.__file__).resolve().with_name("prefix.py"))),
    )
    run = f"{given} -IS -c {shlex.quote(_RUN)} {shlex.quote(str(Path(hook.__file__).resolve().parent))}"
    worktrees = shlex.quote(f"{root}{hook.WORKTREES}")
    other = f'exec {shlex.quote(chained)} "$1"\n' if chained else ""
    return f"""#!/bin/sh
# Runs the Bash commands of Claude Code sessions at their place in CoAgent's order (docs/claude-code.md).
# Hooks and MCP servers are run by it too, and left alone. `coagent init --remove` takes it out again.
# Worktrees that the client has made for one session or subagent are its own business.
case "$1" in
*' && pwd -P >| '*)
  alone=; case "$PWD/" in {worktrees}*) alone=1 ;; esac
  if [ -n "$CLAUDE_CODE_SESSION_ID" ] && [ -z "$alone" ]; then
    if [ -x {given} ] && [ -f {program} ]; then exec {run} {shlex.quote(str(root))} "$1"; fi
    echo "coagent: CoAgent is not installed here any more, and does not govern this command" >&2
  fi
  {other}case "$1" in */snapshot-zsh-*) exec zsh -c "$1" ;; esac
  exec bash -c "$1" ;;
esac
{other}exec /bin/sh -c "$1"
"""


def write(place: Path, content: str) -> bool:
    """Write the script.

    Returns:
        Whether it has changed.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        if place.is_file() and place.read_text(encoding="utf-8") == content:
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
        place.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(f"{str(place)!r} cannot be written: {error.strerror}") from None
    return True

"""`coagent statusline`: one line for Claude Code's status line.

`coagent/__main__.py` comes here only where options are given; it calls the same function without this module
and the rest of the command line, which take longer to import than the line takes to be made.
"""

from __future__ import annotations


def statusline() -> None:
    """Print where a Claude Code session stands: its place, unread notices, whom it waits for, what is stuck.

    It is for Claude Code's setting "statusLine": {"type": "command", "command": "coagent statusline"}, which
    gives it JSON on standard input. Where nothing is governed it says so. It never fails.
    """
    from coagent.gateways.claude.statusline import main

    main()

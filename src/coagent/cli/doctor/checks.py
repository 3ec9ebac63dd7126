"""All checks of a place, in the order in which they are shown."""

from __future__ import annotations

from coagent.cli.doctor.claude_hooks import hooks, installed_client, ungoverned
from coagent.cli.doctor.daemon import daemon
from coagent.cli.doctor.domain import domain_file
from coagent.cli.doctor.git import ignored
from coagent.cli.doctor.installation import installation
from coagent.cli.doctor.limits import Check
from coagent.cli.doctor.log import log
from coagent.cli.doctor.machine import disk, network_file_system
from coagent.cli.doctor.mcp_clients import mcp_clients
from coagent.cli.doctor.place import Place
from coagent.cli.doctor.programs import programs
from coagent.cli.doctor.shell import shell
from coagent.cli.doctor.shell_prefix import prefix
from coagent.cli.doctor.targets import targets

_TARGETS_S_MAX = 12.0
_SHELL_S_MAX = 15.0


def all_checks(place: Place) -> list[Check]:
    """Return the checks of a place."""
    return [
        Check("coagent", installation),
        Check("domain file", lambda: domain_file(place)),
        Check("log", lambda: log(place), 20.0),
        Check("targets", lambda: targets(place), _TARGETS_S_MAX),
        Check("shell", lambda: shell(place), _SHELL_S_MAX),
        Check("programs", programs),
        Check("claude code", lambda: installed_client(place)),
        Check("claude code", lambda: ungoverned(place)),
        Check("hooks", lambda: hooks(place)),
        Check("shell prefix", lambda: prefix(place)),
        Check("daemon", lambda: daemon(place)),
        Check("mcp clients", lambda: mcp_clients(place)),
        Check("file system", lambda: network_file_system(place)),
        Check("disk", lambda: disk(place)),
        Check("git", lambda: ignored(place)),
    ]

"""Another user of this machine, to see what such a one can do."""

from __future__ import annotations

import subprocess
from pathlib import Path

OTHER = 65534
"""A user that every system has, and who owns nothing."""


class OtherUser:
    """Another user of this machine; only root can act as one."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, user=OTHER, group=OTHER, extra_groups=[], capture_output=True, text=True, check=False
        )

    def reaches(self, folder: Path) -> list[str]:
        """Return what the user can read or write at a place, or below it."""
        done = self.run("find", str(folder), "(", "-readable", "-o", "-writable", ")", "-print")
        return done.stdout.splitlines()

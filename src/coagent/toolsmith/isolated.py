"""Runs a command of a trial that can read the workspace and the system's programs, and nothing else.

It is a script of its own, run in a view: `python isolated.py BASH ROOT COMMAND`. Landlock takes the rest away
from it and from all that it starts: home folders with their keys, other processes, most of `/etc`. A seccomp
filter takes the sockets of the machine's services, which the absence of a network leaves. Without both,
nothing is run.
"""

from __future__ import annotations

import os
import sys
from importlib import util
from pathlib import Path

UNAVAILABLE = 126
_EACCES = 13
_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd"),
    *("/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/magic", "/etc/mime.types"),
    *("/dev/zero", "/dev/random", "/dev/urandom"),
)


def _seclude(root: str) -> None:
    views = Path(__file__).parent.parent / "systems" / "shell" / "views"
    place = views / "kernel_bounds.py"  # the package is not there for it
    found = util.spec_from_file_location("kernel_bounds", place)
    assert found is not None
    assert found.loader is not None
    bounds = util.module_from_spec(found)
    found.loader.exec_module(bounds)
    if not bounds.version():
        raise OSError("the kernel has no Landlock")
    looks = bounds.EXECUTE | bounds.READ_FILE | bounds.READ_FOLDER
    readable = [(folder, looks) for folder in _READABLE]
    own = [(path, bounds.all_rights()) for path in (root, os.environ.get("TMPDIR", "/tmp"), "/dev/null")]
    bounds.keep_files([*readable, *own], bounds.all_rights(), scoped=True, links=True)
    bounds.keep_sockets((bounds.AF_INET, bounds.AF_INET6, bounds.AF_NETLINK), _EACCES)


def main() -> None:
    """Restrict this process and become the command."""
    bash, root, command = sys.argv[1:4]
    try:
        _seclude(root)
    except OSError as error:
        print(f"nothing was run: it could not be kept from the rest of the machine: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    os.execv(bash, ["bash", "-c", command])


if __name__ == "__main__":
    main()

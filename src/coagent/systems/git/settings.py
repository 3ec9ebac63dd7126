"""Settings for a git that runs outside of all views: those of the repository, but none that names a program.

What a file is to git (line ends, its mode, what is ignored) must be as the repository says. But filters,
monitors, hooks, helpers for differences and signatures are programs, and which files go through them is said
by `.gitattributes` in the working tree, which agents write. So git runs on a git folder of its own with the
objects of the real one, and with those settings alone that name no program. Sources: git-config(1),
gitattributes(5), git(1) "Environment Variables".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import weakref
from pathlib import Path
from typing import Final, TypeAlias

from coagent.errors import TargetError
from coagent.scratch import new_folder

_KEPT: Final = frozenset({
    "core.repositoryformatversion", "core.filemode", "core.ignorecase", "core.symlinks", "core.autocrlf",
    "core.eol", "core.trustctime", "core.checkstat", "core.excludesfile", "core.attributesfile",
    "core.precomposeunicode", "core.protecthfs", "core.protectntfs", "core.bigfilethreshold",
    "core.sparsecheckout", "core.sparsecheckoutcone", "extensions.objectformat",
})  # fmt: skip
"""Settings that say what files are, none of which names a program."""

_PROGRAMLESS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_READ_S_MAX = 60
Signature: TypeAlias = tuple[int, int, int]
"""Inode, time of change in nanoseconds and size in bytes of a file."""


def plain_environment() -> dict[str, str]:
    """Return the variables for a git that runs no hook and no monitor, fetches nothing and takes no lock."""
    found = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    found |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(_PROGRAMLESS)),
    }
    for number, (name, value) in enumerate(_PROGRAMLESS.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


class Plain:
    """A git folder beside a real one, with its objects and without its programs.

    Args:
        git: The real git folder.
        common: The one that it shares with others, where it is that of a linked worktree.
    """

    def __init__(self, git: Path, common: Path) -> None:
        self._git = git
        self._common = common
        self._folder: Path | None = None
        self._known: dict[str, Signature | None] = {}
        self._rules: tuple[str, ...] = ()
        self._author: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def environment(self, index: Path) -> dict[str, str]:
        """Return the variables for a git on it.

        Args:
            index: The index that git uses.

        Raises:
            TargetError: The settings cannot be read.
        """
        with self._lock:
            folder = self._make()
            for shared in self._git.glob("sharedindex.*"):
                if not (folder / shared.name).is_symlink():
                    (folder / shared.name).symlink_to(shared)
        return plain_environment() | {
            "GIT_DIR": str(folder),
            "GIT_OBJECT_DIRECTORY": str(self._common / "objects"),
            "GIT_SHALLOW_FILE": str(self._common / "shallow"),
            "GIT_INDEX_FILE": str(index),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def author(self) -> frozenset[str]:
        """Return which of `user.name` and `user.email` the settings have.

        Raises:
            TargetError: They cannot be read.
        """
        with self._lock:
            self._make()
            return self._author

    def rules(self) -> tuple[Signature | None, ...]:
        """Return the signatures of the files that say how git looks at a tree, but for those in it.

        Raises:
            TargetError: The settings cannot be read.
        """
        with self._lock:
            self._make()
            return (*self._known.values(), *map(signature, self._rules))

    def _make(self) -> Path:
        if self._folder is None:
            folder = new_folder("git-dir")
            weakref.finalize(self, shutil.rmtree, folder, True)
            (folder / "refs").mkdir()
            (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
            (folder / "info").symlink_to(self._common / "info")
            self._write(folder)
            self._folder = folder
        elif any(signature(path) != before for path, before in self._known.items()):
            self._write(self._folder)
        return self._folder

    def _write(self, folder: Path) -> None:
        before = {path: signature(path) for path in self._sources()}
        settings, sources = self._read()
        self._author = frozenset({"user.name", "user.email"} & settings.keys())
        found = {name: value for name, value in settings.items() if name in _KEPT}
        lines = []
        for name, value in found.items():
            section, _, word = name.partition(".")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            lines.append(f'[{section}]\n\t{word} = "{escaped}"\n')
        further = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        excludes = found.get("core.excludesfile", f"{further}/git/ignore")
        attributes = found.get("core.attributesfile", f"{further}/git/attributes")
        private = [str(self._common / "info" / name) for name in ("exclude", "attributes", "sparse-checkout")]
        self._rules = (excludes, attributes, *private)
        (folder / "config").write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
        self._known = {path: before.get(path, signature(path)) for path in {*before, *sources}}

    def _sources(self) -> list[str]:
        """Return the files that settings can come from, but for those that they include."""
        home = os.path.expanduser("~")
        further = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        real = [str(self._common / "config"), str(self._git / "config.worktree")]
        return [*real, f"{home}/.gitconfig", f"{further}/git/config", "/etc/gitconfig"]

    def _read(self) -> tuple[dict[str, str], list[str]]:
        try:
            done = subprocess.run(
                ["git", "config", "--list", "--null", "--show-origin", "--includes"],
                cwd=self._git,
                env={**plain_environment(), "GIT_DIR": str(self._git)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_READ_S_MAX,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            raise TargetError(
                f"the settings of the repository {str(self._git)!r} cannot be read: "
                f"{said.decode('utf-8', 'replace').strip() or error}",
                "Look at them with git config --list.",
            ) from error
        parts = [os.fsdecode(part) for part in done.stdout.split(b"\0")[:-1]]
        found, sources = {}, []
        for origin, setting in zip(parts[0::2], parts[1::2], strict=True):
            kind, _, path = origin.partition(":")
            if kind == "file":
                sources.append(os.path.join(self._git, path))
            name, equals, value = setting.partition("\n")
            if name in _KEPT or name.startswith("user."):
                found[name] = os.path.expanduser(value) if equals else "true"
        return found, sources


def signature(path: str) -> Signature | None:
    """Return what is something else when a file is; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size

"""What an agent's commands leave in temporary folders: layers that its later commands find there again.

A layer is what one command has changed, as the upper layer of an overlay, and is never written again. It is
named by its content, so that a command that leaves the same again leaves the same name. The layers are in a
folder of this process and end with it; those of other living processes are found too. The folder is in
/var/tmp, since an overlay takes no layer that lies in another one, and /tmp itself is the lowest. Source:
Linux kernel, fs/overlayfs/super.c, `ovl_check_layer`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coagent.overlay_layers import put_into, put_over
from coagent.scratch import PREFIX, ScratchFolder
from coagent.systems.shell.views.tmp_layer import has_left, move, name_and_size, prune, tidy

PLACES = {"tmp": "/tmp", "var-tmp": "/var/tmp"}
"""The temporary folders, by the names that they have in a layer."""
_REAL = {"tmp": Path("/tmp")}
"""Of these, what commands see below all layers."""
BYTES_MAX_DEFAULT = 1024**3
_KIND = "tmp"
_NEW = "new-"
_NAME = re.compile(r"[0-9a-f]{32}")
_LAYERS_MAX = 20
"""How many layers lie over one another at most: overlays take a bounded number, and get slow before."""
_KEPT_TIMES_MAX = 4
"""How many times what one agent may leave is kept for all of them."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers over one another.

    Args:
        names: The lowest first.
        lost: Whether some that should be among them are gone.
    """

    names: tuple[str, ...] = ()
    lost: bool = False


class TemporaryLayers:
    """The layers of one process; several threads may use them.

    Args:
        bytes_max: How much one agent may leave.
    """

    def __init__(self, bytes_max: int = BYTES_MAX_DEFAULT) -> None:
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._scratch: ScratchFolder | None = None
        self._sizes: dict[str, int] = {}
        """The layers that are here, those used last at the end."""
        self._uses: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """In which the layers are."""
        with self._lock:
            if self._scratch is None or not self._scratch.path.is_dir():
                self._scratch = ScratchFolder(_KIND, _parent())
            return self._scratch.path

    @property
    def apart(self) -> bool:
        """Whether they lie outside /tmp, as overlays need."""
        return not f"{os.path.realpath(_parent())}/".startswith(f"{os.path.realpath('/tmp')}/")

    def close(self) -> None:
        """Remove all layers."""
        with self._lock:
            if self._scratch is not None:
                self._scratch.close()
            self._scratch = None
            self._sizes.clear()

    def take(self, names: Sequence[str]) -> Stack:
        """Return the layers of those names that are still there; give them back with `release`."""
        folder = self.folder
        with self._lock:
            known = [layer for layer in names if _NAME.fullmatch(layer)]  # a log may have been edited by hand
            found = tuple(
                layer for layer in known if self._is_here(folder, layer) or self._fetch(folder, layer)
            )
            for layer in found:
                self._sizes[layer] = self._sizes.pop(layer)
                self._uses[layer] = self._uses.get(layer, 0) + 1
        return Stack(found, lost=len(found) < len(names))

    def release(self, stack: Stack) -> None:
        """Say that the command over some layers has ended; those that nobody uses may go for new ones."""
        with self._lock:
            for layer in stack.names:
                self._uses[layer] -= 1
                if not self._uses[layer]:
                    del self._uses[layer]
            total = sum(self._sizes.values())
            for layer in list(self._sizes)[:-1]:
                if total > _KEPT_TIMES_MAX * self.bytes_max and layer not in self._uses:
                    total -= self._sizes.pop(layer)
                    if self._scratch is not None:
                        shutil.rmtree(self._scratch.path / layer, ignore_errors=True)

    def keep(self, stack: Stack, uppers: Mapping[str, Path], *, whole: bool) -> tuple[str, ...] | None:
        """Make what a command has left a layer, and return the names of all that its agent has then.

        Args:
            stack: Over which it ran.
            uppers: Where it has written, by the names in `PLACES`; that is taken away.
            whole: Whether all is there, and not only what differs.

        Returns:
            The names, the lowest first; those of before where it has left nothing. None where it is too much:
            then nothing of it is kept.

        Raises:
            OSError: It cannot be kept.
        """
        written = {name: upper for name, upper in uppers.items() if has_left(upper)}
        if not written:
            return () if whole else stack.names
        folder = self.folder
        made = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
        try:
            for name, upper in written.items():
                tidy(upper, _REAL.get(name))
                if not whole:
                    prune(upper, self._below(folder, stack, name))
                if has_left(upper):
                    move(upper, made / name)
            if not any(made.iterdir()):
                return () if whole else stack.names
            return self._over(folder, () if whole else stack.names, made)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _below(self, folder: Path, stack: Stack, name: str) -> list[Path]:
        """Return what commands see below what they write in a temporary folder, the highest first."""
        layers = [folder / layer / name for layer in reversed(stack.names)]
        return [*layers, *([_REAL[name]] if name in _REAL else [])]

    def _over(self, folder: Path, names: tuple[str, ...], made: Path) -> tuple[str, ...] | None:
        """Lay something new over layers, or make one of all of them; None where it is too much."""
        digest, size = name_and_size(made)
        with self._lock:
            total = size + sum(self._sizes[layer] for layer in names)
        again = digest in names  # an overlay takes no layer twice
        if total <= self.bytes_max and len(names) < _LAYERS_MAX and not again:
            self._put(folder / digest, made, size)
            return (*names, digest)
        if not names:
            return None
        merged = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
        try:
            for layer in (*(folder / inner for inner in names), made):
                for name in PLACES:
                    if (layer / name).is_dir():
                        (merged / name).mkdir(exist_ok=True)
                        lowest = _REAL.get(name, merged / "none")
                        put_over(layer / name, merged / name, lowest=lowest)
            return self._over(folder, (), merged)
        finally:
            shutil.rmtree(merged, ignore_errors=True)

    def _put(self, place: Path, made: Path, size: int) -> None:
        with self._lock:
            if place.name not in self._sizes:
                made.rename(place)
                self._sizes[place.name] = size

    def apply(self, stack: Stack, name: str, place: Path) -> None:
        """Put all that the layers have for a temporary folder into a plain one.

        Args:
            stack: The layers.
            name: As in `PLACES`.
            place: Where it is put.
        """
        for layer in stack.names:
            if (self.folder / layer / name).is_dir():
                put_into(self.folder / layer / name, place)

    def _is_here(self, folder: Path, name: str) -> bool:
        if name in self._sizes and not (folder / name).is_dir():
            del self._sizes[name]  # somebody has cleared it away
        return name in self._sizes

    def _fetch(self, folder: Path, name: str) -> bool:
        """Take a layer over from another process, if one has it."""
        for other in folder.parent.glob(f"{PREFIX}{_KIND}-*/{name}"):
            if other.parent == folder or other.parent.lstat().st_uid != os.geteuid():
                continue
            made = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
            with contextlib.suppress(OSError):
                for kind in PLACES:
                    if (other / kind).is_dir():
                        (made / kind).mkdir()
                        put_over(other / kind, made / kind)
                digest, size = name_and_size(made)
                if digest == name:
                    made.rename(folder / name)
                    self._sizes[name] = size
                    return True
            shutil.rmtree(made, ignore_errors=True)
        return False


def _parent() -> Path:
    known = Path("/var/tmp")
    return known if os.access(known, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())

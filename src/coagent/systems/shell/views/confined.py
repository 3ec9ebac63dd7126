"""A private view for one command over a snapshot, with processes (and a network) of its own.

Everything outside the tree is read-only to the command, but for a temporary folder and a home that end with
it. The work is done by `launcher.py`, a program of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from coagent.content import EXECUTABLE, above, mode_value, rights
from coagent.overlay_layers import put_over
from coagent.systems.git import own_work
from coagent.systems.git.layer import OBJECTS, is_untouched
from coagent.systems.shell.limits import Limits
from coagent.systems.shell.views.overlay import Overlay
from coagent.systems.shell.views.tmp_stack import PLACES, Stack, TemporaryLayers

_LOST_MAX = 20
Trace: TypeAlias = bool | Literal["strict"]
"""Whether what commands look up is followed, and what that rests on."""


def _private(place: str, flags: int) -> int:
    return os.open(place, flags, 0o600)


class Frame(NamedTuple):
    """What is known of a command before it comes, so that its process can begin ahead.

    Args:
        root: Where it finds the tree.
        network: Whether it has one.
        writable: Folders elsewhere that it may write to.
        fenced: Whether it is bounded by a fence alone, without namespaces.
        seeded: The folder of all layers that may lie over the git folder; none where that is empty.
        layers: The folder of all layers that may lie over temporary folders; none where that is empty.
        open: Whether all but the tree is the machine's own: its folders, processes and network.
        limits: What it may use.
        devices: Devices that it has beside those that every program needs.
        git: The git folder, where it lies elsewhere than in the tree: the command finds it there.
        top: The top of the repository of which the tree is a folder, and where its git folder stays.
    """

    root: str
    network: bool = False
    writable: tuple[str, ...] = ()
    fenced: bool = False
    seeded: str = ""
    layers: str = ""
    open: bool = False
    limits: Limits = Limits()
    devices: tuple[str, ...] = ()
    git: str = ""
    top: str = ""

    def message(self, scratch: Path) -> bytes:
        """Return it as `launcher.py` takes it, with the folder that the view will have."""
        home = os.path.realpath(os.path.expanduser("~"))
        known = home if home != "/" and os.path.isdir(home) else None
        more = {"limits": self.limits.data(), "home": known, "scratch": str(scratch)}
        return json.dumps(self._asdict() | more).encode()


class ReadSet(NamedTuple):
    """What a command has looked up in the tree, by relative paths ("" for the tree itself).

    Args:
        looked_up: Whether it is there, and what kind of thing.
        opened: Its content, or for a folder its listing.
        emptied: Files that it has written from nothing, whatever was there.
    """

    looked_up: frozenset[str]
    opened: frozenset[str]
    emptied: frozenset[str]


class Confined(Overlay):
    """One private view of a tree, whose lower layer is a snapshot of it.

    Args:
        frame: What is known of the command before it comes.
        lower: The snapshot.
        scratch: A folder of its own, outside the tree.
        real: Folders of the tree that are no part of the snapshot: the command has the real ones.
        trace: Whether what it looks up is followed; "strict": as long as nobody can change paths meanwhile.
        left_out: Tells of a relative path whether it is no part of the tree.
    """

    def __init__(
        self,
        frame: Frame,
        lower: Path,
        scratch: Path,
        *,
        real: Sequence[str] = (),
        trace: Trace = True,
        left_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        super().__init__(str(lower), scratch, keep=(".git",), left_out=left_out)
        self.frame = frame
        self._tree = frame.root
        self._real = tuple(real)
        self._trace = trace
        self._git_seed: Path | None = None
        self._only_reads = False
        self._layered = True
        self._git_layered = True
        self._others: tuple[Sequence[str], Sequence[str]] = ((), ())
        self._own_tmp: dict[str, list[str]] = {name: [] for name in PLACES}
        self._plain_tmp = False
        self.looked_in_tmp = True
        """Whether it has looked at anything in temporary folders; known after `outcome`."""
        self.left_running = False
        """Whether it has left programs running, which have been ended with it; known after `outcome`."""
        self.went_out = False
        """Whether the command tried to reach a network that it has not; known after `outcome`."""

    @property
    def git_layer(self) -> Path:
        """What the command has written in the git folder, which is private too."""
        return self._scratch / "git-upper"

    @property
    def lower(self) -> str:
        """The snapshot."""
        return self._root

    @property
    def scratch(self) -> Path:
        """The folder of its own."""
        return self._scratch

    def expect_only_reads(self) -> None:
        """Say that the command will write nothing in the tree: mostly it needs no layer then."""
        self._only_reads = True
        if self._prepared:
            return
        try:
            kept = () if self.frame.top else self._keep
            for name in (*kept, *self._real):  # what is mounted there needs a place
                place = f"{self._root}/{name}"
                real = self.frame.git if name == ".git" and self.frame.git else f"{self._tree}/{name}"
                if os.path.isdir(real) and not os.path.isdir(place):
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(place)
                elif os.path.isfile(real) and not os.path.isfile(place):
                    os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o644))  # of a linked worktree
        except OSError:
            return  # the folder around it has gone meanwhile
        self._layered = False

    def seed_git(self, folder: Path, *, layered: bool, others: tuple[Sequence[str], Sequence[str]]) -> None:
        """Put a seeded layer over the git folder.

        Args:
            folder: The folder.
            layered: Whether the command may write there, in a layer above; to make one takes time.
            others: The paths of others' work that git knows, and of that which it does not know.
        """
        self._git_seed = folder
        self._git_layered = layered
        self._others = others

    def seed_tmp(self, layers: TemporaryLayers, stack: Stack) -> None:
        """Put what the agent has left in temporary folders over them."""
        for name, layers_of_place in self._own_tmp.items():
            layers_of_place[:] = [
                layer for layer in reversed(stack.names) if (layers.folder / layer / name).is_dir()
            ]

    def left_in_tmp(self) -> tuple[dict[str, Path], bool]:
        """Return where the command has written in temporary folders, and whether all is there."""
        plain = self._plain_tmp
        places = {
            name: f"own-{name}" if layers_of_place and not plain else name
            for name, layers_of_place in self._own_tmp.items()
        }
        return {name: self._scratch / place for name, place in places.items()}, plain

    def git_changes(self) -> Path | None:
        """Return all that lies over the git folder after the command; None where it has changed nothing."""
        if self._git_seed is None:
            return self.git_layer
        if not self._git_layered or is_untouched(self.git_layer):
            return None
        merged = self._scratch / "git-merged"
        merged.mkdir()
        for layer in (self._git_seed, self.git_layer):
            put_over(layer, merged, without=OBJECTS)
        return merged

    def spec(
        self, argv: Sequence[str], cwd: str, environment: Mapping[str, str], program: str | None = None
    ) -> None:
        """Write the file that tells `launcher.py` what to run in the view.

        Args:
            argv: The command.
            cwd: Where it starts, as an absolute path below the root or elsewhere.
            environment: All of its variables.
            program: The path of its program; else it is looked for by its name.
        """
        spec: dict[str, Any] = {
            "root": self._tree,
            "lower": self._root,
            "git_seed": self._git_seed.name if self._git_seed is not None else "",
            "cwd": cwd,
            "program": program or shutil.which(argv[0]) or argv[0],
            "argv": argv,
            "environment": dict(environment),
            "only_reads": self._only_reads,
            "layered": self._layered,
            "git_layered": self._git_layered,
            "real": self._real,
            "network": self.frame.network,
            "own_tmp": self._own_tmp,
            "temporary": list(PLACES.values()),
            "followed": self.frame.top or self._tree,
            "trace": self._trace,
            "fence": None,
            "own_work": "",
        }
        spec |= self._more()
        git = shutil.which("git", path=environment.get("PATH"))
        if git is not None and self._git_layered and any(self._others):
            spec["own_work"] = self._own_work(os.path.realpath(git))
        with open(self._scratch / "spec.json", "w", encoding="utf-8", opener=_private) as file:
            file.write(json.dumps(spec))  # json.dump takes twice the time

    def _own_work(self, git: str) -> str:
        """Have git know what the command has changed (`git/own_work.py`); returns git, to be replaced."""
        folder = self._scratch / own_work.FOLDER
        top = self.frame.top or self._tree
        prefix = self._tree[len(top) + 1 :]
        own_work.write(folder, f"{top}/{own_work.PLACE}", top, self._upper, *self._others, prefix=prefix)
        (folder / "upper" / prefix).mkdir(parents=True)
        (folder / "real").touch()
        return git

    def _more(self) -> dict[str, Any]:
        """Return what is otherwise in the file of `spec`."""
        return {}

    def name(self, text: str, *, inside: bool) -> str:
        """Return a text with the tree named as it is inside the view, or outside."""
        return text

    def outcome(self) -> tuple[bool, ReadSet | None]:
        """Return whether the command was begun, and what it has looked up; None where that is not known."""
        try:
            with open(f"{self._scratch}/trace", "rb") as file:
                text = file.read()
        except FileNotFoundError:
            text = b""
        if not text:
            return False, None
        found = json.loads(text)
        self.went_out = bool(found["went_out"])
        self.left_running = bool(found["left_running"])
        self._plain_tmp = bool(found["plain_tmp"])
        if not found["complete"]:
            return bool(found["ready"]), None
        self.looked_in_tmp = found["looked_in_tmp"]
        seen = self._seen(found["seen"])
        return True, ReadSet(
            frozenset(path for path, bits in seen.items() if bits & 1),
            frozenset(path for path, bits in seen.items() if bits & 2),
            frozenset(path for path, bits in seen.items() if bits & 4),
        )

    def _seen(self, places: Mapping[str, int]) -> dict[str, int]:
        """Return what was looked up by relative paths: in the tree, and in its git folder above."""
        tree, top = self.name(self._tree, inside=True), self.frame.top
        length = len(tree) + 1
        if not top:
            return {path[length:]: bits for path, bits in places.items()}
        git = f"{top}/.git"
        found = {path[length:]: bits for path, bits in places.items() if f"{path}/".startswith(f"{tree}/")}
        in_git = {path: bits for path, bits in places.items() if f"{path}/".startswith(f"{git}/")}
        return found | {path[len(top) + 1 :]: bits for path, bits in in_git.items()}

    def kind_before(self, path: str) -> Literal["nothing", "file", "folder"]:
        """Return what was at a path when the command began; links count as files."""
        if self._prepared:  # mostly there is nothing, and this is asked for every path that was seen
            prepared = self._prepared.get(path)
            if path in self._shown or (prepared is not None and prepared.kind == "folder"):
                return "folder"
            if path in self._prepared:
                return "nothing" if prepared is None else "file"
            if any(self._is_covered(prefix) for prefix in (*above(path), path)):
                return "nothing"
        if self._is_behind_link(path.rpartition("/")[0]):
            return "nothing"
        try:
            return "folder" if stat.S_ISDIR(os.lstat(f"{self._root}/{path}").st_mode) else "file"
        except OSError:
            return "nothing"

    def has_folder(self, path: str) -> bool:
        """Tell whether a folder was there when the command began; "." is the tree."""
        if path == "." or self._is_left_out(path):
            return os.path.isdir(f"{self._tree}/{path}")
        return self.kind_before(path) == "folder"

    def _is_covered(self, path: str) -> bool:
        """Tell whether nothing that the snapshot has below a path was shown."""
        if path in self._hidden_folders:
            return True
        prepared = self._prepared.get(path)
        return prepared is not None and prepared.kind != "folder" and path not in self._shown

    def one_below(self, path: str) -> tuple[str, str] | None:
        """Return something in a folder when the command began, and its kind; None where it was empty."""
        return next(self.below_before(path), None)

    def below_before(self, path: str, without: Container[str] = ()) -> Iterator[tuple[str, str]]:
        """Yield what was in a folder when the command began, with its kind.

        Args:
            path: The folder.
            without: What to leave out.
        """
        for inner, content in self._prepared.items():
            if content is not None and inner.startswith(f"{path}/") and inner not in without:
                yield inner, content.kind
        for inner in self._leaves(path):
            if (
                inner in without
                or inner == path
                or inner in self._prepared
                or self.kind_before(inner) == "nothing"
            ):
                continue
            place = Path(self._root) / inner
            yield inner, "link" if place.is_symlink() else "folder" if place.is_dir() else "file"

    def hand_over(self, worth_it: Callable[[str], bool]) -> list[str]:
        """Move new folders that are no part of the tree, such as `node_modules`, into the real one.

        Args:
            worth_it: Tells of a folder whether it should be.

        Returns:
            Those moved, as relative paths.
        """
        moved: list[str] = []
        for at, folders, _ in os.walk(self._upper):
            for name in list(folders):
                path = os.path.normpath(os.path.join(os.path.relpath(at, self._upper), name))
                if not self._left_out(f"{path}/x"):
                    continue
                folders.remove(name)
                place = Path(self._tree) / path
                if worth_it(path) and not os.path.lexists(place):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(os.path.join(at, name), place)
                    moved.append(path)
        return sorted(moved)

    def lost(self) -> list[str]:
        """Return what it has made that is not kept: pipes, rights of folders, what a mode does not tell."""
        found: list[str] = []
        for at, folders, names in os.walk(self._upper):
            here = os.path.relpath(at, self._upper)
            folders[:] = [
                name for name in folders if not self._left_out(os.path.normpath(f"{here}/{name}/x"))
            ]
            if here == ".":
                folders[:] = [name for name in folders if name != ".git" and name not in self._real]
            if ".git" in here.split("/"):
                continue
            for name in (*folders, *names):
                path = os.path.normpath(os.path.join(here, name))
                mode = os.lstat(os.path.join(at, name)).st_mode
                if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                    if not self._usual(path, mode):
                        found.append(f"{path} (mode {stat.S_IMODE(mode):04o})")
                elif not stat.S_ISCHR(mode) and not stat.S_ISLNK(mode):
                    found.append(f"{path} (no regular file)")
        return sorted(found)[:_LOST_MAX]

    def _usual(self, path: str, mode: int) -> bool:
        """Tell whether something will have its mode in the tree, too."""
        prepared = self._prepared.get(path)
        there, before = False, 0  # what is of another kind was not there
        with contextlib.suppress(OSError):
            status = os.lstat(os.path.join(self._root, path))
            if stat.S_IFMT(status.st_mode) == stat.S_IFMT(mode):
                there, before = True, stat.S_IMODE(status.st_mode)
        if prepared is not None and prepared.is_file:
            before = rights(prepared.mode, 0)
        wanted = stat.S_IMODE(mode)
        if stat.S_ISDIR(mode):
            return wanted == rights(EXECUTABLE, 0) or (there and wanted == before)
        return wanted in (before, rights(mode_value(mode), before))

"""What a command finds where: the mounts of its view.

All that does not depend on the command is mounted ahead, while its process waits for one. Folders are held by
descriptors from before the first mount, and named through the /proc of that time (`self/fd/N`): later mounts
lie over their paths. `launcher.py` loads it by its path, so it uses the standard library only. Sources:
mount(2), mount_setattr(2), proc_pid_fd(5), Linux kernel documentation, "Overlay Filesystem".
"""

import contextlib
import ctypes
import os
import struct
import types

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _AT_EMPTY_PATH = 442, -100, 0x8000, 0x1000
ATTR_RDONLY, _ATTR_NODEV = 1, 4
_TEMPORARY = 0o1777


class Mounts:
    """The mounts of one namespace, in which one command will run.

    Args:
        frame: What is known of the command before it comes (`confined.Frame`), as JSON data.
        processes: The folder of processes of the namespace around.
        machine: `machine.py`, loaded.
    """

    def __init__(self, frame: dict, processes: int, machine: types.ModuleType) -> None:  # type: ignore[type-arg]
        self._processes = processes
        self._machine = machine
        self._root = root = frame["root"]
        self._open = frame["open"]
        scratch = frame["scratch"]
        for name in ("upper", "work", "tmp", "var-tmp", "git-upper", "git-work"):
            os.makedirs(f"{scratch}/{name}", exist_ok=True)
        for name in ("tmp", "var-tmp"):
            os.chmod(f"{scratch}/{name}", _TEMPORARY)
        mount(None, "/", None, _MS_REC | _MS_PRIVATE, None)
        if not self._open:
            mount(scratch, scratch, None, _MS_BIND, None)  # all else will be read-only
        self._real = _open_folder(root)
        self._scratch = _open_folder(scratch)
        self._seeded = _open_folder(frame["seeded"]) if frame["seeded"] else -1
        self._layers = _open_folder(frame["layers"]) if frame["layers"] else -1
        git = frame["git"] or (f"{frame['top']}/.git" if frame["top"] else "")
        self._git = _open_folder(git) if git else -1
        self._git_at = f"{frame['top'] or root}/.git"
        self._machines = _open_folder("/tmp")
        self.lower = -1
        """What is below the view of the tree, where that is an overlay; known once it is shown."""
        self.layered_tmp = False
        """Whether /tmp is the machine's with a layer over it, and not a plain folder."""
        self.apart = root
        """The folder in /tmp that the tree is in, or the tree."""
        self._over_tmp: list[tuple[int, str, bool]] = []  # what is mounted in temporary folders, if writable
        self.temporary = ""
        if not self._open:
            self._bound(frame)

    def _bound(self, frame: dict) -> None:  # type: ignore[type-arg]
        """Make all but some folders read-only, and those private."""
        root, scratch = self._root, frame["scratch"]
        writable: list[str] = []
        kept = [name for name in frame["writable"] if not f"{name}/".startswith(f"{root}/")]
        held = {name: _open_folder(name) for name in kept}  # the real ones, also where they are in the home
        home = frame["home"]
        if home and not f"{home}/".startswith(f"{root}/"):
            layers = _layers([home], f"{scratch}/home-upper", f"{scratch}/home-work")
            with contextlib.suppress(OSError):  # else it stays read-only
                mount("overlay", home, "overlay", 0, layers)
                writable.append(home)
                if home.startswith("/tmp/"):
                    held = {home: _open_folder(home), **held}
        self.temporary = self._mount_temporary(scratch, writable)
        if f"{root}/".startswith("/var/tmp/") and frame["layers"]:  # elsewhere it is covered already
            os.makedirs(f"{scratch}/nothing", exist_ok=True)
            mount(f"{scratch}/nothing", frame["layers"], None, _MS_BIND, None)
        for name, descriptor in held.items():
            os.makedirs(name, exist_ok=True)
            self._bind(descriptor, name)
            if name.startswith(("/tmp/", "/var/tmp/")):
                self._over_tmp.append((descriptor, name, True))
            else:
                os.close(descriptor)
        writable += kept
        if not frame["network"] and os.path.isdir("/run") and not f"{root}/".startswith("/run/"):
            mount("tmpfs", "/run", "tmpfs", 0, "mode=755,size=1m")  # sockets of services, such as Docker's
        self._machine.mount_devices(mount, self._processes, frame["devices"])
        mount("tmpfs", "/dev/shm", "tmpfs", 0, f"mode=1777,size={frame['limits']['shared_bytes_max']}")
        attributes("/", 0, ATTR_RDONLY | _ATTR_NODEV, recursive=True)
        attributes("/dev", _ATTR_NODEV, 0, recursive=True)
        for name in (*writable, "/dev/shm", "/dev/pts"):
            attributes(name, ATTR_RDONLY, 0)
        attributes(self._scratch, ATTR_RDONLY, 0)

    def _mount_temporary(self, scratch: str, writable: "list[str]") -> str:
        """Make temporary folders that end with the view, and return the one that programs are told of.

        What is in /tmp stays visible. Where the tree is in it, nothing of the folder there that the tree is
        in can be written: who writes beside the tree should hear that it is not kept.
        """
        root = self._root
        if not f"{root}/".startswith("/var/tmp/") and os.path.isdir("/var/tmp"):
            mount(f"{scratch}/var-tmp", "/var/tmp", None, _MS_BIND, None)
            writable.append("/var/tmp")
        first = "/".join(root.split("/")[:3]) if f"{root}/".startswith("/tmp/") else ""
        above = _open_folder(first) if first else -1
        own = f"{scratch}/tmp/of-this-command"  # a look may read what is below it, and nothing else of /tmp
        os.makedirs(own, exist_ok=True)
        os.chmod(own, _TEMPORARY)
        with contextlib.suppress(OSError):  # a command in a view may make views itself: /tmp has one then
            kind = "trusted" if os.geteuid() == 0 else "user"
            os.setxattr(own, f"{kind}.overlay.opaque", b"y")
        try:
            layers = _layers(["/tmp"], f"{scratch}/tmp", f"{scratch}/tmp-work")
            mount("overlay", "/tmp", "overlay", 0, layers)
        except OSError:  # overlays stack two deep at most
            os.rmdir(own)
            place = f"{scratch}/tmp" if first else "/tmp"
            mount(f"{scratch}/tmp", place, None, _MS_BIND, None)
        else:
            place = "/tmp/of-this-command"
            self.layered_tmp = True
            if first:
                self.apart = first
                self._bind(above, first)
                self._over_tmp.append((above, first, False))
        writable.append("/tmp" if place.startswith("/tmp/of-") else place)
        return place

    def _bind(self, held: int, place: str) -> None:
        os.fchdir(self._processes)
        mount(f"self/fd/{held}", place, None, _MS_BIND | _MS_REC, None)

    def rehearse(self) -> None:
        """Do as `show` does, in vain: what is done for the first time is slow."""
        with contextlib.suppress(OSError):
            mount("overlay", "", "overlay", 0, _layers([""], "/", "/"))
        if not self._open:
            attributes(self._scratch, ATTR_RDONLY, 0)

    def _seed_tmp(self, own: dict, scratch: str) -> None:  # type: ignore[type-arg]
        """Mount what the agent's commands have left over the temporary folders.

        Args:
            own: The names of layers by those of the folders in them, the highest first.
            scratch: The folder of the view.
        """
        for name, place in (("tmp", "/tmp"), ("var-tmp", "/var/tmp")):
            seeded = [f"self/fd/{self._layers}/{layer}/{name}" for layer in own[name]]
            if not seeded or (name == "var-tmp" and f"{self._root}/".startswith("/var/tmp/")):
                continue
            if not self.layered_tmp:
                self._copy_tmp(seeded, f"{scratch}/{name}")
                continue
            upper, mine = f"{scratch}/own-{name}", f"{place}/of-this-command"
            os.makedirs(upper)
            os.chmod(upper, _TEMPORARY)
            below = []
            if name == "tmp":
                below = [f"self/fd/{self._machines}"]
                if not any(os.path.lexists(f"{layer}/of-this-command") for layer in seeded):
                    os.rename(f"{scratch}/tmp/of-this-command", f"{upper}/of-this-command")
            mount("overlay", place, "overlay", 0, _layers([*seeded, *below], upper, f"{upper}-work"))
            if name == "tmp" and not os.path.isdir(mine):
                with contextlib.suppress(OSError):  # the agent has put something else there
                    os.mkdir(mine)
                    os.chmod(mine, _TEMPORARY)
        for held, place, writable in self._over_tmp if self.layered_tmp else ():
            if own["tmp" if place.startswith("/tmp/") else "var-tmp"]:
                self._bind(held, place)
                attributes(place, ATTR_RDONLY if writable else 0, 0 if writable else ATTR_RDONLY)

    @staticmethod
    def _copy_tmp(seeded: "list[str]", place: str) -> None:
        import shutil

        for layer in reversed(seeded):
            shutil.copytree(layer, place, symlinks=True, dirs_exist_ok=True)

    def show(self, spec: dict) -> None:  # type: ignore[type-arg]
        """Put the view of a command where the tree is."""
        os.fchdir(self._processes)
        root, real, scratch = self._root, f"self/fd/{self._real}", f"self/fd/{self._scratch}"
        if spec["own_tmp"]["tmp"] or spec["own_tmp"]["var-tmp"]:
            self._seed_tmp(spec["own_tmp"], scratch)
        lower = spec["lower"]
        if f"{lower}/".startswith(f"{root}/"):
            lower = real + lower[len(root) :]
        if spec["layered"]:
            self.lower = _open_folder(lower)
            layers = _layers([lower], f"{scratch}/upper", f"{scratch}/work")
            mount("overlay", root, "overlay", 0, layers)
            start = len(f"{scratch}/upper")
            for at, folders, _ in os.walk(f"{scratch}/upper"):  # the first look at a folder of two layers
                for name in folders:  # changes the one above it: tar would find it changed while it reads
                    os.lstat(f"{root}{at[start:]}/{name}")
        else:
            mount(lower, root, None, _MS_BIND, None)  # read-only, as all was when it was mounted
            if self._open:
                attributes(root, 0, ATTR_RDONLY)
        for name in spec["real"]:
            os.makedirs(f"{root}/{name}", exist_ok=True)
            mount(f"{real}/{name}", f"{root}/{name}", None, _MS_BIND, None)
            attributes(f"{root}/{name}", ATTR_RDONLY, 0)
        git, place = f"{real}/.git" if self._git < 0 else f"self/fd/{self._git}", self._git_at
        if os.path.isdir(git):
            os.makedirs(place, exist_ok=True)
            seeded = [f"self/fd/{self._seeded}/{spec['git_seed']}"] if spec["git_seed"] else []
            below = [*seeded, git]
            if seeded and not spec["git_layered"]:
                layers = f"lowerdir={':'.join(map(_escape, below))}"
            else:
                layers = _layers(below, f"{scratch}/git-upper", f"{scratch}/git-work")
            mount("overlay", place, "overlay", 0, layers)
        elif os.path.isfile(f"{real}/.git"):  # it leads to a repository elsewhere, which is read-only
            if not os.path.isfile(place):
                os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o644))
            mount(f"{real}/.git", place, None, _MS_BIND, None)
            attributes(place, 0, ATTR_RDONLY)
        if spec["own_work"]:
            inside = os.path.relpath(root, os.path.dirname(place))
            _take_up(f"{place}/coagent", inside, scratch, spec["own_work"])
        if not self._open:
            attributes(self._scratch, 0, ATTR_RDONLY)  # the command shall not write there but by its view
        os.chdir(spec["cwd"])


def _take_up(place: str, inside: str, scratch: str, git: str) -> None:
    """Have the command find the script in the place of git that knows its own work (`git/own_work.py`)."""
    os.makedirs(place, exist_ok=True)
    mount(f"{scratch}/own-work", place, None, _MS_BIND, None)
    upper = os.path.normpath(f"{place}/upper/{inside}")
    mount(f"{scratch}/upper", upper, None, _MS_BIND, None)
    mount(git, f"{place}/real", None, _MS_BIND, None)
    mount(f"{place}/git", git, None, _MS_BIND, None)
    for path in (place, upper, f"{place}/real", git):
        attributes(path, 0, ATTR_RDONLY)


def mount(source: "str | None", place: str, kind: "str | None", flags: int, options: "str | None") -> None:
    """Mount something; raises OSError with the place."""
    given = [
        None if argument is None else os.fsencode(argument) for argument in (source, place, kind, options)
    ]
    if _libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), given[3]):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY)


def _layers(lowers: "list[str]", upper: str, work: str) -> str:
    for name in (upper, work):
        os.makedirs(name, exist_ok=True)
    below = ":".join(map(_escape, lowers))
    first = "" if os.geteuid() == 0 else "userxattr,"
    return f"{first}lowerdir={below},upperdir={_escape(upper)},workdir={_escape(work)}"


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def attributes(place: "str | int", cleared: int, set_: int, *, recursive: bool = False) -> None:
    """Change attributes of the mount at a path, or of the one that a descriptor is of."""
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", set_, cleared, 0, 0))
    held = isinstance(place, int)
    flags = (_AT_EMPTY_PATH if held else 0) | (_AT_RECURSIVE if recursive else 0)
    arguments = (
        ctypes.c_int(place if isinstance(place, int) else _AT_FDCWD),
        b"" if isinstance(place, int) else os.fsencode(place),
        ctypes.c_uint(flags),
        wanted,
        ctypes.c_size_t(32),
    )
    if _libc.syscall(ctypes.c_long(_MOUNT_SETATTR), *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))

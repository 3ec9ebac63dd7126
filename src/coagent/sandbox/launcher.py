"""Runs commands in private views of a tree: a program of its own, `python -IS launcher.py`.

With SPEC it runs one command. With `--serve DESCRIPTOR` it stays and forks for each (`launch_server.py`): a
Python that is up already begins a command in a tenth of the time. A library after either is its tracer in C.

It makes namespaces (mounts, processes, perhaps a network and users), puts an overlay over the tree, makes all
else read-only, and runs the command there. It can watch which files the command looks up, by a seccomp filter
that asks it before each such system call; that needs no help from the command, static or not. It uses the
standard library only and little of that, since it starts quickly.

SPEC is a JSON file (`confined.Spec`). Sources: mount_namespaces(7), user_namespaces(7), pid_namespaces(7),
mount_setattr(2), seccomp_unotify(2), process_vm_readv(2),
capabilities(7).
"""

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys

UNREADY = 125
"""The exit code where no view could be made."""

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7)
# NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, MKNOD: what undoes a view.
_DROPPED = (12, 16, 17, 19, 21, 22, 25, 27)

_ALLOW, _NOTIFY, _ERRNO_ENOSYS = 0x7FFF0000, 0x7FC00000, 0x00050000 | 38
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_SET_FLAGS = 0x40082104
_AT_EMPTY_PATH = 0x1000
_IO_URING_SETUP, _OPENAT2 = 425, 437
# Where a system call has its path: (argument of the folder's descriptor or -1, argument of the path) pairs.
# "open" marks those whose flags follow the path, "link" those that may put a symbolic link somewhere.
_AT = (((0, 1),), "")
_PLAIN = (((-1, 0),), "")
_TWO, _TWO_AT = (((-1, 0), (-1, 1)), "link"), (((0, 1), (2, 3)), "link")
_ARCHITECTURES = {
    "x86_64": (
        0xC000003E, 317, (262, 332),
        {
            2: (((-1, 0),), "open"), 257: (((0, 1),), "open"), 437: (((0, 1),), "open2"),
            4: _PLAIN, 6: _PLAIN, 21: _PLAIN, 59: _PLAIN, 76: _PLAIN, 80: _PLAIN, 83: _PLAIN, 84: _PLAIN,
            85: _PLAIN, 87: _PLAIN, 89: _PLAIN, 90: _PLAIN, 133: _PLAIN, 82: _TWO, 86: _TWO,
            88: (((-1, 1),), "link"), 258: _AT, 259: _AT, 262: _AT, 263: _AT, 267: _AT, 268: _AT, 269: _AT,
            322: _AT, 332: _AT, 439: _AT, 452: _AT, 264: _TWO_AT, 265: _TWO_AT, 316: _TWO_AT,
            266: (((1, 2),), "link"),
        },
    ),
    "aarch64": (
        0xC00000B7, 277, (79, 291),
        {
            56: (((0, 1),), "open"), 437: (((0, 1),), "open2"), 33: _AT, 34: _AT, 35: _AT, 45: _PLAIN,
            48: _AT, 53: _AT, 78: _AT, 79: _AT, 221: _PLAIN, 281: _AT, 291: _AT, 439: _AT, 452: _AT,
            36: (((1, 2),), "link"), 37: _TWO_AT, 38: _TWO_AT, 276: _TWO_AT,
        },
    ),
}  # fmt: skip
# A view's files have other inode numbers and change times than the tree's: without this, git would take
# every file for changed and read it. Source: git-config(1), core.checkStat.
_GIT_STATS = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.checkStat",
    "GIT_CONFIG_VALUE_0": "minimal",
    "GIT_CONFIG_KEY_1": "core.trustctime",
    "GIT_CONFIG_VALUE_1": "false",
}


_KINDS = ("", "open", "open2", "link")


def main() -> int:
    """Run one command, or serve until the other end of the descriptor is closed; return an exit code."""
    served = sys.argv[1] == "--serve"
    rest = sys.argv[3:] if served else sys.argv[2:]
    library = None
    with contextlib.suppress(OSError):  # temporary folders may be mounted noexec
        library = ctypes.CDLL(rest[0]) if rest else None
    if not served:
        return run(sys.argv[1], library)
    with socket.socket(fileno=int(sys.argv[2])) as requests:
        return _serve(requests, library)


def _serve(requests: socket.socket, library: "ctypes.CDLL | None") -> int:
    """Fork for each spec that comes, with the descriptors of its output and of its answer."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they answer themselves
    server = os.getpid()
    requests.send(b"python" if library is None else b"c")
    while True:
        spec, descriptors, _, _ = socket.recv_fds(requests, 65536, 2, socket.MSG_CMSG_CLOEXEC)
        if not spec:
            return 0
        if not os.fork():
            try:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                requests.close()
                if os.getppid() == server:
                    _answer(os.fsdecode(spec), descriptors[0], descriptors[1], library)
            finally:
                os._exit(UNREADY)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(spec: str, output: int, answer: int, library: "ctypes.CDLL | None") -> None:
    """Run a command, and answer with a descriptor of this process, then with the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    os.close(nothing)
    os.close(output)
    with socket.socket(fileno=answer) as channel:
        myself = os.pidfd_open(os.getpid())
        socket.send_fds(channel, [b"begun"], [myself])
        os.close(myself)
        code = run(spec, library)
        sys.stderr.flush()
        channel.send(struct.pack("=i", code))


def run(place: str, library: "ctypes.CDLL | None") -> int:
    """Run the command of a spec; return its exit code, `UNREADY` where it was never begun."""
    with open(place, encoding="utf-8") as file:
        spec = json.load(file)
    if "environment" in spec:
        os.environ.clear()
        os.environ.update(spec["environment"])
    scratch = os.open(spec["scratch"], os.O_RDONLY | os.O_DIRECTORY)  # its path may be hidden soon,
    processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)  # and there will be another /proc
    try:
        if spec["fence"] is None:
            _enter_namespaces(spec)
            _mount(spec)
        os.chdir(spec["cwd"])
    except OSError as error:
        sys.stderr.write(f"{error.strerror} ({error.filename or 'namespaces'})\n")
        return UNREADY
    machine = _ARCHITECTURES.get(platform.machine()) if spec["trace"] else None
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        _be_first(spec, theirs, machine)
    theirs.close()
    ready, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    seen = None
    if machine and listeners:
        seen = _followed(listeners[0], spec["root"], processes, machine[3], library)
    _, status = os.waitpid(pid, 0)
    answer = {
        "ready": bool(ready),
        "complete": seen is not None,
        "seen": seen or {},
        "tracer": None if seen is None else "python" if library is None else "c",
        "went_out": not spec["network"] and spec["fence"] is None and _went_out(processes),
    }
    with open(
        os.open("trace", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=scratch), "w", encoding="utf-8"
    ) as file:
        json.dump(answer, file)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _beside(name: str):  # type: ignore[no-untyped-def]
    """Load a file next to this one; it is no module of a package here."""
    from importlib import util

    spec = util.spec_from_file_location(name[:-3], os.path.join(os.path.dirname(__file__), name))
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _followed(
    listener: int,
    root: str,
    processes: int,
    calls: dict,  # type: ignore[type-arg]
    library: "ctypes.CDLL | None",
) -> "dict[str, int] | None":
    """Return what a command looks up until it ends, None where that is not known."""
    with contextlib.suppress(OSError):  # Linux 6.6: wake the other side on this processor, which is faster
        fcntl.ioctl(listener, _SET_FLAGS, 1)
    if library is None:
        trace = _beside("trace.py").Trace(root, processes, calls)
        trace.follow(listener)
        return trace.seen if trace.complete else None
    count = max(calls) + 1
    table = (ctypes.c_int * (6 * count))()  # struct call of trace.c
    for number, (pairs, kind) in calls.items():
        pairs = (*pairs, (0, 0))[:2] if len(pairs) == 1 else pairs
        used = len(calls[number][0])
        table[6 * number : 6 * number + 6] = [
            1 + _KINDS.index(kind), used, *(folder for folder, _ in pairs), *(path for _, path in pairs)
        ]  # fmt: skip
    with open(os.memfd_create("seen"), "w+b") as file:
        complete = library.follow(listener, processes, os.fsencode(root), table, count, file.fileno())
        os.close(listener)
        file.seek(0)
        found = file.read().split(b"\0")[:-1]
    return {os.fsdecode(one[1:]): one[0] - ord("0") for one in found} if complete else None


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _enter_namespaces(spec: dict) -> None:  # type: ignore[type-arg]
    user, group = os.geteuid(), os.getegid()
    flags = _NEWNS | _NEWPID | (0 if spec["network"] else _NEWNET) | (_NEWUSER if user else 0)
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), f"no namespaces: {os.strerror(ctypes.get_errno())}")
    if user:
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    if not spec["network"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # its own machine is there
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _went_out(processes: int) -> bool:
    """Tell whether something in this network was sent where no way leads (RFC 4293, OutNoRoutes)."""
    for name in ("snmp", "snmp6"):
        with contextlib.suppress(OSError):
            with open(os.open(f"self/net/{name}", os.O_RDONLY, dir_fd=processes), encoding="ascii") as file:
                lines = [line.split() for line in file]
            for names, values in zip(lines, [*lines[1:], []], strict=True):
                if names[0] == "Ip6OutNoRoutes" and int(names[1]):
                    return True
                if names[0] == "Ip:" and "OutNoRoutes" in names and values[names.index("OutNoRoutes")] != "0":
                    return True
    return False


def _mount(spec: dict) -> None:  # type: ignore[type-arg]
    root, scratch = spec["root"], spec["scratch"]
    _mounted(None, "/", None, _MS_REC | _MS_PRIVATE, None)
    real = os.path.join(scratch, "real")
    _mounted(root, real, None, _MS_BIND, None)
    writable = [root]
    view = os.path.join(
        scratch, "view"
    )  # overlays stack two deep at most, so this one comes before the home's
    _mounted("overlay", view, "overlay", 0, _layers(spec["lower"], f"{scratch}/upper", f"{scratch}/work"))
    for at, folders, _ in os.walk(f"{scratch}/upper"):  # the first look at a folder of two layers changes
        for name in folders:  # the one above it, so that tar would find it changed while it reads
            os.lstat(f"{view}{at[len(scratch) + 6 :]}/{name}")
    for name in spec["real"]:
        os.makedirs(f"{view}/{name}", exist_ok=True)
        _mounted(f"{real}/{name}", f"{view}/{name}", None, _MS_BIND, None)
        writable.append(f"{root}/{name}")
    if os.path.isdir(f"{real}/.git"):
        os.makedirs(f"{view}/.git", exist_ok=True)
        layers = _layers(f"{real}/.git", f"{scratch}/git-upper", f"{scratch}/git-work")
        _mounted("overlay", f"{view}/.git", "overlay", 0, layers)
        writable.append(f"{root}/.git")
    home = spec["home"]
    if home and not home.startswith(root):
        layers = _layers(home, os.path.join(scratch, "home-upper"), os.path.join(scratch, "home-work"))
        with contextlib.suppress(OSError):  # else it stays read-only
            _mounted("overlay", home, "overlay", 0, layers)
            writable.append(home)
    _mounted(view, root, None, _MS_BIND | _MS_REC, None)
    for name in spec["writable"]:
        _mounted(name, name, None, _MS_BIND | _MS_REC, None)
        writable.append(name)
    if not spec["network"] and os.path.isdir("/run") and not f"{root}/".startswith("/run/"):
        _mounted("tmpfs", "/run", "tmpfs", 0, "mode=755")  # sockets of services, such as Docker's
    _mounted("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777")
    writable.append("/dev/shm")
    temporary = os.path.join(scratch, "tmp")
    _attributes("/", 0, _ATTR_RDONLY, recursive=True)
    for place in writable:
        _attributes(place, _ATTR_RDONLY, 0, recursive=False)
    place = temporary if f"{root}/".startswith("/tmp/") else "/tmp"
    _mounted(temporary, place, None, _MS_BIND, None)
    _attributes(place, _ATTR_RDONLY, 0, recursive=False)
    os.environ["TMPDIR"] = place


def _layers(lower: str, upper: str, work: str) -> str:
    for name in (upper, work):
        os.makedirs(name, exist_ok=True)
    paths = [
        one.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:") for one in (lower, upper, work)
    ]
    first = "" if os.geteuid() == 0 else "userxattr,"
    return f"{first}lowerdir={paths[0]},upperdir={paths[1]},workdir={paths[2]}"


def _mounted(source: "str | None", place: str, kind: "str | None", flags: int, options: "str | None") -> None:
    given = [None if one is None else os.fsencode(one) for one in (source, place, kind, options)]
    if _libc.mount(given[0], given[1], given[2], ctypes.c_ulong(flags), given[3]):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def _attributes(place: str, cleared: int, set_: int, *, recursive: bool) -> None:
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", set_, cleared, 0, 0))
    flags = ctypes.c_uint(_AT_RECURSIVE if recursive else 0)
    try:
        _call(_MOUNT_SETATTR, ctypes.c_int(_AT_FDCWD), os.fsencode(place), flags, wanted, ctypes.c_size_t(32))
    except OSError as error:
        raise OSError(error.errno, error.strerror, place) from None


def _be_first(spec: dict, channel: socket.socket, machine: "tuple | None") -> None:  # type: ignore[type-arg]
    """Be the first process of the new namespace: when it ends, so does all that the command has left."""
    code = UNREADY
    fence = None
    try:
        if spec["fence"] is None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            with contextlib.suppress(OSError):  # a container may not let us: then outer processes are listed
                _mounted("proc", "/proc", "proc", 0, None)
        else:
            fence = _beside("fence.py")
            fence.adopt_descendants()
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        pid = os.fork()
        if not pid:
            _run(spec, channel, machine)
        channel.close()
        while True:
            ended, status = os.wait()
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                code = code if code >= 0 else 128 - code
                break
        if fence is not None:
            fence.end_descendants()
    finally:
        os._exit(code)


def _run(spec: dict, channel: socket.socket, machine: "tuple | None") -> None:  # type: ignore[type-arg]
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_bytes_max"], spec["file_bytes_max"]))
        if spec["fence"] is not None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
            try:
                bounds = spec["fence"], spec["readable"], spec["hidden"]
                _beside("fence.py").fence(*bounds, network=spec["network"])
            except OSError as error:
                sys.stderr.write(f"the command cannot be bounded: {error.strerror}\n")
                return
        listener = _filter(machine) if machine else -1
        for capability in _DROPPED:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        if listener >= 0:
            socket.send_fds(channel, [b"1"], [listener])
            os.close(listener)
        else:
            channel.send(b"0")
        channel.close()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execve(spec["argv"][0], spec["argv"], {**os.environ, **_GIT_STATS})
    finally:
        os._exit(UNREADY)


def _filter(machine: tuple) -> int:  # type: ignore[type-arg]
    """Install the filter; return the descriptor that hears of the calls, -1 where the kernel has none."""
    architecture, seccomp, with_empty, calls = machine
    steps = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, _NOTIFY), (0x20, 0, 0, 0)]
    steps += [(0x35, 0, 1, 0x40000000), (0x06, 0, 0, _NOTIFY)]  # x32
    steps += [(0x15, 0, 1, _IO_URING_SETUP), (0x06, 0, 0, _ERRNO_ENOSYS)]
    newfstatat, statx = with_empty
    for number, argument in ((newfstatat, 3), (statx, 2)):  # fstat in disguise names no file
        steps += [
            (0x15, 0, 4, number), (0x20, 0, 0, 16 + 8 * argument), (0x45, 0, 1, _AT_EMPTY_PATH),
            (0x06, 0, 0, _ALLOW), (0x06, 0, 0, _NOTIFY),
        ]  # fmt: skip
    for number in sorted(calls.keys() - set(with_empty)):
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, _NOTIFY)]
    steps.append((0x06, 0, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(held)))
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        try:
            return _call(seccomp, ctypes.c_uint(1), ctypes.c_uint(flags), program)
        except OSError:
            continue
    return -1


if __name__ == "__main__":
    sys.exit(main())

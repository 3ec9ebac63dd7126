"""Runs commands in private views of a tree: a program of its own, `python -IS launcher.py`.

With SPEC it runs one command. With `--serve DESCRIPTOR` it stays and forks for each (`launch_server.py`): a
Python that is up already begins a command in a tenth of the time, and one that is in its namespaces already
and only waits for its command, in a third of that. A library after either is its tracer in C.

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
import gc
import json
import os
import resource
import select
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

# A view's files have other inode numbers and change times than the tree's: without this, git would take
# every file for changed and read it. Source: git-config(1), core.checkStat.
_GIT_STATS = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.checkStat",
    "GIT_CONFIG_VALUE_0": "minimal",
    "GIT_CONFIG_KEY_1": "core.trustctime",
    "GIT_CONFIG_VALUE_1": "false",
}


def _beside(name: str):  # type: ignore[no-untyped-def]
    """Load a file next to this one; it is no module of a package here."""
    from importlib import util

    spec = util.spec_from_file_location(name[:-3], os.path.join(os.path.dirname(__file__), name))
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_lookups = _beside("lookups.py")
ISOLATED, CONNECTED, FENCED = b"i", b"c", b"f"
"""Ways to bound a command: namespaces without a network, namespaces with one, and none but a fence."""
_IDLE_S = 0.01
"""How long nobody has asked for anything when the next process is made, so that it takes no time from one."""


def main() -> int:
    """Run one command, or serve until the other end of the descriptor is closed; return an exit code."""
    served = sys.argv[1] == "--serve"
    rest = sys.argv[3:] if served else sys.argv[2:]
    library = None
    with contextlib.suppress(OSError):  # temporary folders may be mounted noexec
        library = ctypes.CDLL(rest[0]) if rest else None
    if not served:
        with open(sys.argv[1], encoding="utf-8") as file:
            spec = json.load(file)
        report = os.open(os.path.join(spec["scratch"], "trace"), os.O_WRONLY | os.O_CREAT, 0o600)
        return _run(_begin(way(spec)), sys.argv[1], library, report, [])
    with socket.socket(fileno=int(sys.argv[2])) as requests:
        return _serve(requests, library)


def way(spec: dict) -> bytes:  # type: ignore[type-arg]
    """Return how the command of a spec is bounded."""
    return FENCED if spec["fence"] is not None else CONNECTED if spec["network"] else ISOLATED


def _serve(requests: socket.socket, library: "ctypes.CDLL | None") -> int:
    """Hand each request to a process of its own.

    It says how the command is bounded, its spec, and where output, answer and what was seen go.

    Most commands are isolated, so one process is kept that has begun with that.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they answer themselves
    _rehearse()
    gc.freeze()  # their memory stays shared
    gc.disable()
    requests.send(b"python" if library is None else b"c")
    kept = None
    while True:
        if kept is None and not select.select([requests], [], [], _IDLE_S)[0]:
            with contextlib.suppress(OSError):  # there is time to try again
                kept = _forked(ISOLATED, requests, library)
        request, descriptors, _, _ = socket.recv_fds(requests, 65536, 3, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return 0
        handed = False
        if kept is not None and request[:1] == ISOLATED:
            handed, kept = _handed(kept, request, descriptors), None
        if not handed:
            _handed(_forked(request[:1], requests, library), request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _forked(bounds: bytes, requests: socket.socket, library: "ctypes.CDLL | None") -> socket.socket:
    """Return the way to a new process that has begun, and runs what it is handed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = os.getpid()
    if os.fork():
        theirs.close()
        return ours
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        requests.close()
        ours.close()
        if os.getppid() == server:
            _answer(theirs, bounds, library)
    finally:
        os._exit(UNREADY)


def _handed(channel: socket.socket, request: bytes, descriptors: "list[int]") -> bool:
    """Hand over a request; return whether somebody was there for it."""
    with channel:
        try:
            socket.send_fds(channel, [request[1:]], descriptors)
        except OSError:
            return False
    return True


def _answer(channel: socket.socket, bounds: bytes, library: "ctypes.CDLL | None") -> None:
    """Run the command that comes; answer with a descriptor of this process, then with the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    begun = _begin(bounds)
    _rehearse()
    spec, descriptors, _, _ = socket.recv_fds(channel, 65536, 3, socket.MSG_CMSG_CLOEXEC)
    if not spec:
        return
    output, answer, report = descriptors
    _use(output)
    with socket.socket(fileno=answer) as listening:
        myself = os.pidfd_open(os.getpid())
        socket.send_fds(listening, [b"begun"], [myself])
        os.close(myself)
        code = _run(begun, os.fsdecode(spec), library, report, [1])
        sys.stderr.flush()
        listening.send(struct.pack("=i", code))


def _rehearse() -> None:
    """Do what must soon be done fast: the first time, a forked process copies the memory that it touches."""
    text = json.dumps({"environment": dict(os.environ), "argv": ["", 1.5, True, None], "trace": {}})
    json.loads(text.encode())
    if _lookups.known():
        _lookups.program()


def _use(output: int) -> None:
    """Make a descriptor both streams of this process, and let it read nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    os.close(nothing)
    os.close(output)


class _Begun:
    """A process in its namespaces, and a child in them that waits to become the command."""

    def __init__(self, bounds: bytes, why_not: str, processes: int) -> None:
        self.bounds = bounds
        self.why_not = why_not
        self.processes = processes
        self.channel, theirs = socket.socketpair()
        self.child = os.fork()
        if not self.child:
            self.channel.close()
            _be_first(bounds, theirs)
        theirs.close()


def _begin(bounds: bytes) -> _Begun:
    """Do what can be done before the command is known."""
    processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)  # there will be another /proc
    why_not = ""
    if bounds != FENCED:
        try:
            _enter_namespaces(network=bounds == CONNECTED)
        except OSError as error:
            why_not = f"{error.strerror} ({error.filename or 'namespaces'})\n"
    return _Begun(bounds, why_not, processes)


def _run(begun: _Begun, place: str, library: "ctypes.CDLL | None", report: int, output: "list[int]") -> int:
    """Run the command of a spec; return its exit code, `UNREADY` where it was never begun.

    What was seen goes to a descriptor from before the namespaces, since all in them is read-only. The output
    goes to one, too, or without one where it went when all began.
    """
    given = os.open(place, os.O_RDONLY)
    spec = json.loads(os.pread(given, os.fstat(given).st_size, 0))
    assert way(spec) == begun.bounds, "it has begun in another way"
    try:
        if begun.why_not:
            raise OSError(begun.why_not)
        temporary = "" if begun.bounds == FENCED else _mount(spec)
        os.chdir(spec["cwd"])
    except OSError as error:
        why_not = begun.why_not or f"{error.strerror} ({error.filename or 'namespaces'})\n"
        sys.stderr.write(why_not)
        return UNREADY
    socket.send_fds(begun.channel, [os.fsencode(temporary) or b"/"], [given, *output])
    ready, listeners, _, _ = socket.recv_fds(begun.channel, 1, 1)
    seen = None
    if listeners:
        python = None if library is not None else _beside("trace.py")
        seen = _lookups.followed(listeners[0], spec["root"], begun.processes, library, python)
    _, status = os.waitpid(begun.child, 0)
    answer = {
        "ready": bool(ready),
        "complete": seen is not None,
        "seen": seen or {},
        "tracer": None if seen is None else "python" if library is None else "c",
        "went_out": begun.bounds == ISOLATED and _went_out(begun.processes),
    }
    with open(report, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _enter_namespaces(*, network: bool) -> None:
    user, group = os.geteuid(), os.getegid()
    flags = _NEWNS | _NEWPID | (0 if network else _NEWNET) | (_NEWUSER if user else 0)
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
    if not network:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # its own machine is there
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _went_out(processes: int) -> bool:
    """Tell whether something in this network was sent where no way leads (RFC 4293, OutNoRoutes)."""
    for name in ("snmp", "snmp6"):
        with contextlib.suppress(OSError):
            with open(os.open(f"self/net/{name}", os.O_RDONLY, dir_fd=processes), "rb") as file:
                lines = [line.split() for line in file]
            for names, values in zip(lines, [*lines[1:], []], strict=True):
                if names[0] == b"Ip6OutNoRoutes" and int(names[1]):
                    return True
                if (
                    names[0] == b"Ip:"
                    and b"OutNoRoutes" in names
                    and values[names.index(b"OutNoRoutes")] != b"0"
                ):
                    return True
    return False


def _mount(spec: dict) -> str:  # type: ignore[type-arg]
    """Make the view, and return its temporary folder."""
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
    elsewhere = [name for name in spec["writable"] if not f"{name}/".startswith(f"{root}/")]
    elsewhere = [*(name for name in writable[-1:] if name == home and name.startswith("/tmp/")), *elsewhere]
    held = {name: os.open(name, os.O_PATH | os.O_DIRECTORY) for name in elsewhere}
    shown = os.open(view, os.O_PATH | os.O_DIRECTORY)
    place = _mount_temporary(root, scratch, writable)
    for name, descriptor in held.items():
        os.makedirs(name, exist_ok=True)
        _mounted(f"/proc/self/fd/{descriptor}", name, None, _MS_BIND | _MS_REC, None)
        writable.append(name)
    _mounted(f"/proc/self/fd/{shown}", root, None, _MS_BIND | _MS_REC, None)
    for descriptor in (*held.values(), shown):
        os.close(descriptor)
    if not spec["network"] and os.path.isdir("/run") and not f"{root}/".startswith("/run/"):
        _mounted("tmpfs", "/run", "tmpfs", 0, "mode=755")  # sockets of services, such as Docker's
    _mounted("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777")
    writable.append("/dev/shm")
    _attributes("/", 0, _ATTR_RDONLY, recursive=True)
    for name in writable:
        _attributes(name, _ATTR_RDONLY, 0, recursive=False)
    return place


def _mount_temporary(root: str, scratch: str, writable: "list[str]") -> str:
    """Make temporary folders that end with the view, and return the one that programs are told of.

    What is in /tmp stays visible. Where the tree is in it, nothing of the folder there that the tree is in
    can be written: who writes beside the tree should hear that it is not kept.
    """
    if not f"{root}/".startswith("/var/tmp/") and os.path.isdir("/var/tmp"):
        _mounted(f"{scratch}/var-tmp", "/var/tmp", None, _MS_BIND, None)
        writable.append("/var/tmp")
    first = "/".join(root.split("/")[:3]) if f"{root}/".startswith("/tmp/") else ""
    above = os.open(first or "/", os.O_PATH | os.O_DIRECTORY)
    own = f"{scratch}/tmp/of-this-command"  # a look may read what is below it, and nothing else of /tmp
    os.mkdir(own)
    os.chmod(own, 0o1777)
    with contextlib.suppress(OSError):  # a command in a view may make views itself: /tmp has one then
        kind = "trusted" if os.geteuid() == 0 else "user"
        os.setxattr(own, f"{kind}.overlay.opaque", b"y")
    try:
        _mounted("overlay", "/tmp", "overlay", 0, _layers("/tmp", f"{scratch}/tmp", f"{scratch}/tmp-work"))
    except OSError:  # overlays stack two deep at most
        place = f"{scratch}/tmp" if first else "/tmp"
        _mounted(f"{scratch}/tmp", place, None, _MS_BIND, None)
    else:
        place = "/tmp/of-this-command"
        if first:
            _mounted(f"/proc/self/fd/{above}", first, None, _MS_BIND | _MS_REC, None)
    os.close(above)
    writable.append("/tmp" if place.startswith("/tmp/of-") else place)
    return place


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


def _be_first(bounds: bytes, channel: socket.socket) -> None:
    """Be the first process of the new namespace: when it ends, so does all that the command has left."""
    code = UNREADY
    fence = None
    try:
        if bounds == FENCED:
            fence = _beside("fence.py")
            fence.adopt_descendants()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM if fence else signal.SIGKILL, 0, 0, 0)
        pid = os.fork()
        if not pid:
            _become(bounds, channel)
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


def _become(bounds: bytes, channel: socket.socket) -> None:
    """Wait for a command, and become it."""
    try:
        os.setsid()
        if bounds == FENCED:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
        _rehearse()
        temporary, descriptors, _, _ = socket.recv_fds(channel, 65536, 2, socket.MSG_CMSG_CLOEXEC)
        if not temporary:
            return
        spec = json.loads(os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0))
        for output in descriptors[1:]:
            _use(output)
        os.chdir(spec["cwd"])
        environment = {**spec.get("environment", os.environ), **_GIT_STATS}
        if bounds != FENCED:
            environment["TMPDIR"] = os.fsdecode(temporary)
            with contextlib.suppress(OSError):  # a container may not let us: then outer processes are listed
                _mounted("proc", "/proc", "proc", 0, None)
        _bound(spec)
        listener = _lookups.install() if spec["trace"] and _lookups.known() else -1
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
        os.execve(spec["argv"][0], spec["argv"], environment)
    except OSError as error:
        sys.stderr.write(f"the command cannot be begun: {error.strerror}\n")
    finally:
        os._exit(UNREADY)


def _bound(spec: dict) -> None:  # type: ignore[type-arg]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_bytes_max"], spec["file_bytes_max"]))
    if spec["fence"] is not None:
        bounds = spec["fence"], spec["readable"], spec["hidden"]
        _beside("fence.py").fence(_beside("kernel_bounds.py"), *bounds, network=spec["network"])


if __name__ == "__main__":
    sys.exit(main())

"""Hosts as network namespaces of this machine: each with an address, a name and processes of its own.

They hang on a bridge in a namespace of its own, so nothing is changed outside. One host's process numbers
mean nothing on another one, as between real hosts; the clock, the boot and the files are the machine's.
Needs the right to make namespaces: that of root, or of user namespaces where anybody may make those.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

_NET = "10.77.0"
_WAIT_S_MAX = 10.0
_FIRST = "sh -c 'while :; do sleep 3600; done'"
"""The first process of a host: a shell, since that also takes leave of processes that nobody waits for."""


class Network:
    """A switch, and the hosts on it; all of it ends with it.

    A shell in the namespace of the switch does all that takes rights, since only it keeps them where they are
    those of a user namespace.
    """

    def __init__(self) -> None:
        missing = [one for one in ("unshare", "nsenter", "ip", "hostname") if shutil.which(one) is None]
        if missing:
            pytest.skip(f"no network namespaces without {', '.join(missing)} on this machine")
        mine = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        self._shell = subprocess.Popen(
            ["unshare", *mine, "--net", "bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.enter_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        """Further options of nsenter, for whoever enters a host."""
        self.hosts: list[NetHost] = []
        try:
            self.run("trap 'kill $(jobs -p) 2>/dev/null' EXIT; ip link add switch type bridge")
            self.run("ip link add other-switch type bridge")
            self.run("ip link set switch up && ip link set other-switch up")
            self.run("unshare --net --uts --pid --fork --kill-child --mount-proc true")
        except (AssertionError, OSError) as failure:
            self.close()
            pytest.skip(f"no right to make network namespaces on this machine: {failure}")

    def run(self, command: str) -> str:
        """Have the switch's shell run something; returns what it said.

        Raises:
            AssertionError: It failed.
        """
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f'{command}\necho; echo "=done $?"\n')
        self._shell.stdin.flush()
        said: list[str] = []
        for line in self._shell.stdout:
            if line.startswith("=done "):
                assert line == "=done 0\n", f"{command}: {''.join(said).strip()}"
                return "".join(said).strip()
            said.append(line)
        raise AssertionError(f"{command}: {''.join(said).strip()}")

    def host(self, name: str) -> NetHost:
        """Add a host."""
        host = NetHost(self, name, len(self.hosts) + 1)
        for other in self.hosts:  # known for good, so that nobody is told when one is not there any more
            host.knows(other)
            other.knows(host)
        self.hosts.append(host)
        return host

    def part(self, *hosts: NetHost) -> None:
        """Have some hosts reach only each other, until each heals."""
        for host in hosts:
            self.run(f"ip link set {host.port} master other-switch")

    def close(self) -> None:
        """End all hosts, with all that runs on them."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        with contextlib.suppress(OSError):  # it has ended before
            self._shell.stdin.close()
        self._shell.wait(_WAIT_S_MAX)
        self._shell.stdout.close()


class NetHost:
    """A host.

    Args:
        network: What it is on.
        name: Its host name.
        number: The last part of its address.
    """

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name, self.address = name, f"{_NET}.{number}"
        self._network, self.port = network, f"port{number}"
        self._hardware = f"02:00:00:00:00:{number:02x}"
        self._begin()

    def _begin(self) -> None:
        run = self._network.run
        outer = run(f"unshare --net --uts --pid --fork --kill-child --mount-proc {_FIRST} & echo $!")
        self._first = inner(int(outer.split()[-1]), "sh")
        run(
            f"ip link add {self.port} type veth peer name eth0 address {self._hardware} netns {self._first}"
            f" && ip link set {self.port} master switch up"
        )
        # What is shared in memory is often named by the number of a process.
        self._inside(f"hostname {self.name} && mount -t tmpfs tmpfs /dev/shm && ip link set lo up")
        self._inside(f"ip address add {self.address}/24 dev eth0 && ip link set eth0 up")

    def knows(self, other: NetHost) -> None:
        """Have it know another one's hardware address without asking."""
        self._inside(f"ip neighbour replace {other.address} lladdr {other._hardware} dev eth0 nud permanent")

    def _inside(self, command: str) -> None:
        self._network.run(f"nsenter --target {self._first} --net --uts --mount sh -c '{command}'")

    def command(self, *command: str, folder: Path | str = "/") -> list[str]:
        """Return a command as it is run on this host."""
        where = ["--mount", "--net", "--uts", "--pid", *self._network.enter_user]
        return ["nsenter", f"--target={self._first}", *where, "env", "-C", str(folder), *command]

    def start(self, *command: str, folder: Path | str = "/", **options: Any) -> subprocess.Popen[str]:
        """Start a process on this host; what is returned is the one that waits for it (see `inner`)."""
        return subprocess.Popen(self.command(*command, folder=folder), text=True, **options)

    def cut(self) -> None:
        """Have all packets to and from it vanish: nobody is told."""
        self._network.run(f"ip link set {self.port} nomaster")

    def heal(self) -> None:
        """Have packets go through again after `cut`."""
        self._network.run(f"ip link set {self.port} master switch")

    def unplug(self) -> None:
        """Take its network away: it knows at once, and the others do not."""
        self._inside("ip link set eth0 down")

    def plug(self) -> None:
        """Give its network back after `unplug`."""
        self._inside("ip link set eth0 up")

    def crash(self) -> None:
        """End all its processes at once, and itself, as when its power fails."""
        os.kill(self._first, signal.SIGKILL)
        deadline_s = time.monotonic() + _WAIT_S_MAX
        while Path(f"/proc/{self._first}/ns/net").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    def reboot(self) -> None:
        """Have it begin anew after `crash`."""
        self._network.run(f"ip link delete {self.port} 2>/dev/null || true")
        self._begin()
        for other in self._network.hosts:
            if other is not self:
                self.knows(other)


def inner(outer: int, name: str = "") -> int:
    """Return the process that `nsenter` or `unshare` has started on a host.

    Args:
        outer: Its process.
        name: What runs there in the end; whatever it is by default.
    """
    deadline_s = time.monotonic() + _WAIT_S_MAX
    while time.monotonic() < deadline_s:
        found = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if found and name in ("", Path(f"/proc/{found[0]}/comm").read_text().strip()):
            return int(found[0])
        time.sleep(0.005)
    raise AssertionError(f"process {outer} has started nothing")

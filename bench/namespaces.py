"""Hosts with addresses of their own: network namespaces of this machine, and links between them.

::

    hub: driver, scheduler, a bridge 10.77.0.1
      |- host 1: 10.77.0.11
      |- host 2: 10.77.0.12 ...

The hub is a namespace too, so nothing of the machine's own network changes, and several runs do not
meet. The kernel counts what each link carries. Needs iproute2 and root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import cpu

_IP = shutil.which("ip") or "ip"


def _ip(*arguments: str) -> str:
    return _run(_IP, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def missing() -> str:
    """Return the reason why this machine cannot make such hosts; empty if it can."""
    if os.geteuid():
        return "needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "needs iproute2"
    try:
        with Network(1):
            return ""
    except OSError as error:
        return f"no network namespaces here: {error}"


class Network:
    """See the module; a context manager that removes it, with every process in it.

    Args:
        hosts: the number of hosts.
        name: of its namespaces; this process's own by default.
        owns: it is made and removed here; else another process has made it.
        rate: of each host's link, each way, as tc(8) writes it (``"1gbit"``); empty: as fast as this
            machine copies.
    """

    SCHEDULER = "tcp://10.77.0.1:8786"  # Dask's
    HEAD = "10.77.0.1:6399"  # Ray's

    def __init__(self, hosts: int, name: str = "", *, owns: bool = True, rate: str = "") -> None:
        self.count = hosts
        self._rate = rate
        self._owns = owns
        self.name = name or f"oc{os.getpid()}"
        self.hub = f"{self.name}-hub"

    def __enter__(self) -> Network:
        if not self._owns:
            return self
        try:
            _ip("netns", "add", self.hub)
            _ip("-n", self.hub, "link", "set", "lo", "up")
            _ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self.hub, "addr", "add", "10.77.0.1/24", "dev", "bridge")
            _ip("-n", self.hub, "link", "set", "bridge", "up")
            for host in range(1, self.count + 1):
                self._add(host)
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._owns:
            return
        made = _ip("netns", "list").split()
        for space in (self.hub, *map(self.space, range(1, self.count + 1))):
            if space in made:
                self._kill(space)
                _ip("netns", "del", space)

    def _add(self, host: int) -> None:
        space, link = self.space(host), f"link{host}"
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
        peer = ("peer", "name", "eth0", "netns", space)
        _ip("-n", self.hub, "link", "add", link, "type", "veth", *peer)
        _ip("-n", self.hub, "link", "set", link, "master", "bridge")
        _ip("-n", self.hub, "link", "set", link, "up")
        _ip("-n", space, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        if self._rate:
            self._limit(space, "eth0")
            self._limit(self.hub, link)

    def _limit(self, space: str, device: str) -> None:
        """Limit what a device sends."""
        tc, to = shutil.which("tc") or "tc", ("dev", device)
        _run(tc, "-n", space, "qdisc", "add", *to, "root", "handle", "1:", "htb", "default", "1")
        rate = ("htb", "rate", self._rate, "burst", "256k", "quantum", "60000")
        _run(tc, "-n", space, "class", "add", *to, "parent", "1:", "classid", "1:1", *rate)

    def space(self, host: int) -> str:
        """Return the name of a host's namespace."""
        return f"{self.name}-{host}"

    def address(self, host: int) -> str:
        """Return a host's address."""
        return f"10.77.0.{10 + host}"

    def inside(self, space: str, *command: str) -> list[str]:
        """Return the command that runs another one in a namespace."""
        return [_IP, "netns", "exec", space, *command]

    def pids(self, host: int) -> list[int]:
        """Return all processes of a host."""
        return [int(pid) for pid in _ip("netns", "pids", self.space(host)).split()]

    def kill(self, host: int) -> None:
        """Kill all processes of a host at one moment, as a power cut does."""
        self._kill(self.space(host))

    def _kill(self, space: str) -> None:
        while pids := _ip("netns", "pids", space).split():
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it was a child of another

    def link(self, host: int, *, up: bool) -> None:
        """Cut the link of a host, or mend it. Neither end is told."""
        # The host's own interface stays up: it is the cable that is cut.
        _ip(
            "-n",
            self.hub,
            "link",
            "set",
            f"link{host}",
            *(("master", "bridge") if up else ("nomaster",)),
        )

    def carried(self, host: int) -> tuple[int, int]:
        """Return the bytes that a host has received and sent so far."""
        command = self.inside(self.space(host), "cat", "/proc/net/dev")
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        (line,) = (line for line in text.splitlines() if "eth0:" in line)
        fields = line.partition(":")[2].split()
        return int(fields[0]), int(fields[8])

    def pss(self, host: int) -> int:
        """Return the memory of a host's processes, each shared page counted once (PSS), in bytes."""
        return sum(map(_pss, self.pids(host)))

    def processor(self) -> float:
        """Return the processor seconds of all processes of the hub and the hosts so far."""
        spaces = [self.hub, *map(self.space, range(1, self.count + 1))]
        found = [_ip("netns", "pids", space).split() for space in spaces]
        return sum(cpu.seconds(int(pid)) for pids in found for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))

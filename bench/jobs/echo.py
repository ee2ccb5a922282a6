"""The least that a round trip between two Python processes costs: 150 bytes there and back.

Run as ``python -m bench.jobs.echo WHERE TRIPS``. With WHERE ``free`` the system chooses the CPUs of
the two; with ``one`` both are on the same. Prints ``cpu`` of both processes and ``wall`` in seconds for
a trip, as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from ..cpu import Meter

MESSAGE = b"x" * 150


def answer(sock: socket.socket) -> None:
    """Send back what comes, until the other end is closed."""
    while message := sock.recv(len(MESSAGE)):
        sock.sendall(message)


def main() -> None:
    where, trips = sys.argv[1], int(sys.argv[2])
    if where == "one":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        answer(there)
        os._exit(0)
    there.close()
    for count in (trips // 10, trips):
        meter = Meter()
        for _ in range(count):
            here.sendall(MESSAGE)
            here.recv(len(MESSAGE))
        used = meter.used()
    here.close()
    os.waitpid(pid, 0)
    cpu = (used.owner + used.workers) / trips
    print(json.dumps({"cpu": cpu, "wall": used.wall / trips}))


if __name__ == "__main__":
    main()

"""The least that a round trip between two Python processes costs: 150 bytes there and back.

Run as ``python -m bench.jobs.echo WHERE TRIPS [STEPS]``. With WHERE ``free`` the system chooses the CPUs
of the two; with ``one`` both are on the same. Each end runs that many steps of Python for each trip: a
call and a lookup. Prints ``cpu`` of both processes and ``wall`` in seconds for a trip, and ``python``,
what the steps of both ends take where nothing wakes in between, as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from ..cpu import Meter

MESSAGE = b"x" * 150


class Python:
    """The steps of one end."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._table = {number: number for number in range(64)}

    def step(self, number: int) -> int:
        return self._table[number & 63]

    def run(self) -> None:
        for number in range(self._steps):
            self.step(number)


def answer(sock: socket.socket, python: Python) -> None:
    """Send back what comes, until the other end is closed."""
    while message := sock.recv(len(MESSAGE)):
        python.run()
        sock.sendall(message)


def main() -> None:
    where, trips, *steps = sys.argv[1], *map(int, sys.argv[2:])
    python = Python(*steps or (0,))
    if where == "one":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        answer(there, python)
        os._exit(0)
    there.close()
    for count in (trips // 10, trips):
        meter = Meter()
        for _ in range(count):
            python.run()
            here.sendall(MESSAGE)
            here.recv(len(MESSAGE))
        used = meter.used()
    here.close()
    os.waitpid(pid, 0)
    cpu = (used.owner + used.workers) / trips
    meter = Meter()
    for _ in range(2 * trips):
        python.run()
    alone = meter.used().owner / trips
    print(json.dumps({"cpu": cpu, "wall": used.wall / trips, "python": alone}))


if __name__ == "__main__":
    main()

"""Raises in the main thread at each step of an operation, one after the other.

``make interrupts`` (``python -m tests.interrupt_steps``) runs each operation once for each place at
which the interpreter can run the handler of a signal: after a call, at a function's begin, and at
the end of a loop's turn. There the handler raises. After each time the pool must work as ever, what
was begun must end or be given up, and no descriptor and no mapping may be left over.

What a handler raises in a finalizer the interpreter prints and drops; finalizers are left out.

Arguments: METHOD OPERATION EVERY, for one operation in this process, at every n-th of its steps.
"""

from __future__ import annotations

import dis
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

import onecopy as oc

# The interpreter runs handlers at the end of these instructions (``CHECK_EVAL_BREAKER`` in CPython's
# ``bytecodes.c``, 3.11 to 3.15).
_CHECKS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}
# Of one step; afterwards the program ends with an error.
_PATIENCE = 60.0


class Rang(Exception):
    """The exception that the handler raises."""


class Steps:
    """Runs an operation, and raises at one of its steps.

    Attributes:
        place: where the handler has raised; None if the operation has fewer steps.
    """

    def __init__(self, operation: Callable[[], Any]) -> None:
        self.place: str | None = None
        self._armed = False
        self._operation = operation
        self._left = 0
        self._last: dict[FrameType | None, str] = {}

    def run(self, step: int) -> Any:
        """Return what the operation returns; None if it was interrupted."""
        self.place, self._left = None, step
        try:
            self._armed = True
            sys.settrace(self._trace)
            try:
                return self._operation()
            finally:
                sys.settrace(None)
                self._armed = False
                self._last.clear()
        except Rang:
            return None

    def ring(self, *_: object) -> None:
        """Handle the signal. One that came in a finalizer is sent again a little later: by then it
        may be too late."""
        if self._armed:
            raise Rang

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "call" and _is_finalizer(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        last = self._last
        if event == "call":
            # The caller's instruction goes on in another frame: that one's begin is the check.
            last[frame.f_back] = "a call in Python"
            last.pop(frame, None)
        elif event == "return":
            last.pop(frame, None)
        elif event == "exception":
            last[frame] = "an exception"
        elif event == "opcode":
            before = last.get(frame)
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if before in _CHECKS:
                self._left -= 1
                if not self._left:
                    code = frame.f_code
                    self.place = f"{code.co_filename}:{frame.f_lineno} {code.co_name}"
                    signal.raise_signal(signal.SIGALRM)
        return self._trace


def _is_finalizer(frame: FrameType) -> bool:
    """Return True for the frame of a finalizer, and of what it calls: what is raised there is
    printed, and ends the finalizer alone."""
    within: FrameType | None = frame
    while within is not None:
        code = within.f_code
        if code.co_name == "__del__" or code in _CALLBACKS:
            return True
        within = within.f_back
    return False


_CALLBACKS = {weakref.finalize.__call__.__code__}


def tiny(number: int) -> int:
    return number


def check(pool: oc.Pool, executor: oc.ProcessPoolExecutor) -> None:
    assert pool.map(abs, range(-4, 0)) == [4, 3, 2, 1]
    assert pool.submit(tiny, 7).result(_PATIENCE) == 7
    assert pool.apply(tiny, (8,)) == 8
    assert executor.submit(tiny, 9).result(_PATIENCE) == 9


def held() -> tuple[int, int]:
    """Return how many descriptors this process has, and how many mappings of shared memory."""
    with open("/proc/self/maps") as maps:
        shared = sum("onecopy" in line for line in maps)
    return len(os.listdir("/proc/self/fd")), shared


def operations(pool: Any, executor: Any) -> dict[str, Callable[[], Any]]:
    places = iter(range(1, 1 << 30))
    large = np.arange(300_000)
    small = np.arange(10)

    def elsewhere() -> Any:
        """Submit from a line that has not submitted before."""
        names: dict[str, Any] = {"pool": pool, "tiny": tiny}
        source = "\n" * next(places) + "found = pool.submit(tiny, 5)"
        exec(compile(source, f"program{next(places)}.py", "exec"), names)
        return names["found"]

    def unknown() -> Any:
        """Submit a function that has not been submitted before."""
        names: dict[str, Any] = {"__name__": "__main__"}
        exec("def made(x): return x", names)
        return pool.submit(names["made"], 5)

    def faulty() -> Any:
        yield 1
        yield 2
        raise ValueError("of the iterable")

    def dropped() -> None:
        next(pool.imap(tiny, faulty(), 1))

    return {
        "submit": lambda: pool.submit(tiny, 1),
        "submit elsewhere": elsewhere,
        "submit unknown": unknown,
        "submit large": lambda: pool.submit(np.sum, large),
        "result": lambda: pool.submit(tiny, 2).result(_PATIENCE),
        "cancel": lambda: pool.submit(tiny, 2).cancel(),
        "apply": lambda: pool.apply(tiny, (1,)),
        "apply_async": lambda: pool.apply_async(tiny, (1,)).get(_PATIENCE),
        "map": lambda: pool.map(tiny, range(3)),
        "map with a bar": lambda: pool.map(tiny, range(3), progress=True),
        "map_async": lambda: pool.map_async(tiny, range(3)).get(_PATIENCE),
        "map_blocks": lambda: pool.map_blocks(np.sum, small, block=5),
        "imap": lambda: list(pool.imap(tiny, range(3))),
        "imap dropped": dropped,
        "executor submit": lambda: executor.submit(tiny, 1),
        "executor map": lambda: list(executor.map(tiny, range(3))),
        "share": lambda: pool.map(np.sum, [oc.share(small), oc.share(large)]),
        "share strided": lambda: oc.share(large[::2]).sum(),
        "freeze": lambda: oc.freeze(oc.zeros(1000)).sum(),
    }


NAMES = tuple(operations(None, None))


def unfinished(pool: Any, executor: Any) -> list[Any]:
    engines = (pool._engine, executor._engine)
    return [work for engine in engines for work in engine.core.unfinished()]


def run(method: Any, name: str, every: int) -> None:
    done = threading.Event()
    with (
        oc.Pool(2, method=method) as pool,
        oc.ProcessPoolExecutor(2, mp_context=method) as executor,
    ):
        check(pool, executor)
        operation = operations(pool, executor)[name]
        operation()
        steps = Steps(operation)
        signal.signal(signal.SIGALRM, steps.ring)

        def watch() -> None:
            at = -1
            while not done.wait(_PATIENCE):
                if at == step:
                    print(f"hangs: step {step}, {steps.place}", flush=True)
                    os._exit(1)
                at = step

        step = 1 - every
        threading.Thread(target=watch, daemon=True).start()
        before = held()
        while True:
            step += every
            found = steps.run(step)
            if steps.place is None:
                break
            check(pool, executor)
            if hasattr(found, "result"):
                found.result(_PATIENCE)
            del found
            gc.collect()
            until = time.monotonic() + _PATIENCE
            while unfinished(pool, executor):
                assert time.monotonic() < until, (steps.place, unfinished(pool, executor))
                time.sleep(0.001)
        after = held()
        assert step > 20, step  # the operation was traced
        # A signal in the very begin of a finalizer ends that: its mapping stays.
        assert max(a - b for a, b in zip(after, before, strict=True)) < 10, (before, after)
        pool.close()
        pool.join()
    done.set()
    print("ended")


def main() -> int:
    """Run all operations under two methods, each in a process; return how many have failed."""
    failed = 0
    for method in ("thread", "fork"):
        for name in NAMES:
            began = time.monotonic()
            command = [sys.executable, "-m", "tests.interrupt_steps", method, name, "1"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            right = done.stdout == "ended\n"
            failed += not right
            print(
                f"{method:8}{name:20}{time.monotonic() - began:6.1f} s", "" if right else "FAILED"
            )
            if not right:
                print(done.stdout, done.stderr)
    return failed


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]))

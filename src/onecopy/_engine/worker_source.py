"""The source of a pool's workers: the launcher, and what prepares them.

``follower`` tracks the owner's state; the part of it that goes into shared memory is also handed to
the process that forks the workers. Runs in the thread that makes the pool, then in the driver
thread, except where noted.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from types import FunctionType

from .._codec.homes import home_of, is_user_code, user_homes
from .._codec.main_module import MainModule, importable_main, main_module
from .._launch import Launcher
from .._launch.zygote import ZygoteLauncher
from .._protocol.preparation import Preparation, prepare
from .._protocol.tracker import TrackerDesk
from .._protocol.versions import Version
from .following import Follower
from .options import Options


class WorkerSource:
    """See the module.

    Args:
        pool: the pool's number in this process.
        options: the pool's settings.

    Attributes:
        preparation: what workers that are not forked from the owner do first.
        follower: tracks which of the owner's state workers have.
        desk: serves workers in place of the owner's resource tracker.
    """

    def __init__(self, pool: int, options: Options) -> None:
        self._options = options
        self._launcher: Launcher | None = None
        # Values for the zygote to hold; checked before it forks and when work is sent.
        self._replaced: deque[Version] = deque()
        self.preparation: Preparation | None = None
        self.follower: Follower
        self.desk = TrackerDesk()
        try:
            if options.inherits:
                self._inherit(pool)
            else:
                self._prepare(pool)
        except BaseException:
            self.desk.close()
            raise

    def _inherit(self, pool: int) -> None:
        from .._launch import fork

        # In the thread that makes the pool, and before the pool has its own: workers must see the
        # caller's state as it is now.
        options = self._options
        initial = (options.initializer, options.initargs) if options.initializer else None
        if isinstance(options.initializer, FunctionType):
            # A dict without a module must be a known home on both sides of the fork.
            names = options.initializer.__globals__
            home_of(names, made=is_user_code(names))
        homes = user_homes()
        inherited = {home: dict(names) for home, names in homes.items()}
        self._launcher = fork.launcher(pool, options.threads, initial, homes)
        self.follower = Follower(
            None, inherited, modules=self._follows, replaces=self._replaced.append
        )

    def _prepare(self, pool: int) -> None:
        main = _main(self._options.main)
        # It rebuilds functions that are pickled by value: imported once, before workers are forked.
        needed = ("cloudpickle",) if _by_value(main) else ()
        self.preparation = prepare(pool, main, (*needed, *self._options.preload))
        self.follower = Follower(main, None, modules=self._follows, replaces=self._replaced.append)

    @property
    def _follows(self) -> bool:
        return self._options.state == "follow"

    @property
    def main_path(self) -> str:
        """The file of the main module that workers import; empty if they import none."""
        main = self.preparation.main if self.preparation is not None else None
        return main[0] if main is not None else ""

    @property
    def launcher(self) -> Launcher:
        """Return the launcher, created in the driver thread at first use: its processes live as
        long as that thread."""
        if self._launcher is None:
            preparation, threads = self.preparation, self._options.threads
            assert preparation is not None
            if self._options.method == "spawn":
                from .._launch.spawn import SpawnLauncher

                self._launcher = SpawnLauncher(threads, preparation.environment)
            else:
                from .._launch import forkserver

                desk = self.desk.theirs.fileno()
                self._launcher = forkserver.launcher(threads, preparation, desk)
        return self._launcher

    def poll_events(self) -> list[tuple[str, int, int, int]]:
        """Return the launcher's events; see ``Launcher.poll_events``."""
        return list(self._launcher.poll_events()) if self._launcher is not None else []

    def pids(self) -> list[int]:
        """Return the processes that fork the workers. Any thread."""
        return list(self._launcher.pids()) if self._launcher is not None else []

    def freeze(self, segment: int) -> bool:
        """Make sure that new workers cannot write to this segment, whose mapping they may inherit.
        Returns False if none can inherit it."""
        return self._options.inherits and self.launcher.freeze(segment)

    def hand_over_replaced(self) -> None:
        """Make the process that forks the workers hold the followed values that are in shared
        memory."""
        while self._replaced:
            version = self._replaced.popleft()
            if isinstance(self._launcher, ZygoteLauncher) and self.preparation is not None:
                self._launcher.give(version)

    def renew(self) -> bool:
        """Note that the zygote has ended, and its workers with it: a new one makes the next worker.
        Returns False if a new one would not be equal to the old one."""
        if self._options.inherits:
            return False
        assert self._launcher is not None
        self._launcher.close()
        self._launcher = None
        return True

    def close(self) -> None:
        """Close everything: all workers are gone."""
        if self._launcher is not None:
            self._launcher.close()
        self.desk.close()

    def after_fork(self) -> None:
        """Close, in a forked child, what belongs to the owner's workers."""
        self.desk.close()
        if self._launcher is not None:
            fd = self._launcher.fileno()
            if fd >= 0:
                os.close(fd)


def _main(how: str) -> MainModule | None:
    """Return the main module, if workers must import it. Raises ValueError if it is not a file."""
    if how == "value":
        return None
    return main_module() if how == "auto" else importable_main(forced=True)


def _by_value(main: MainModule | None) -> bool:
    """Return True if functions of the main module are probably sent by value."""
    if main is not None:
        return main.by_value
    values = dict(vars(sys.modules["__main__"])).values()
    return any(type(value) is FunctionType and value.__module__ == "__main__" for value in values)

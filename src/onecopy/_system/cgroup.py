"""This process's control groups, v1 and v2, and the values in their files.

See cgroups(7). Inside a container the paths of /proc/self/cgroup may not exist under the mount,
which then shows the container's own group at its top. So every directory from the named one up to
the mount is returned, and missing ones have no values.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

Root = str | os.PathLike[str]

_MOUNT = "sys/fs/cgroup"


def number(path: Root) -> int | None:
    """Return the single number in a cgroup file; None for ``max`` or a missing file."""
    try:
        return int(_text(path))
    except (OSError, ValueError):
        return None


def field(path: Root, names: tuple[str, ...]) -> int | None:
    """Return the first of ``names`` that a file of ``name value`` lines holds."""
    try:
        lines = dict(line.split()[:2] for line in _text(path).splitlines())
    except (OSError, ValueError):
        return None
    return next((int(lines[name]) for name in names if name in lines), None)


def _text(path: Root) -> str:
    with open(path) as file:
        return file.read()


def _groups(root: Root) -> list[tuple[str, str]]:
    try:
        lines = _text(os.path.join(root, "proc/self/cgroup")).splitlines()
    except OSError:
        return []
    return [(controllers, path) for _, controllers, path in (x.split(":", 2) for x in lines)]


def _upward(mount: str, path: str) -> Iterator[str]:
    here = path.strip("/")
    while here:
        yield os.path.join(mount, here)
        here = os.path.dirname(here)
    yield mount


def v2_folders(root: Root = "/") -> list[str]:
    """Return the unified hierarchy's directories above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if not controllers
        for mount in (os.path.join(root, _MOUNT), os.path.join(root, _MOUNT, "unified"))
        for folder in _upward(mount, path)
    ]


def v1_folders(root: Root, controller: str) -> list[str]:
    """Return a v1 controller's directories above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if controller in controllers.split(",")
        for mount in {os.path.join(root, _MOUNT, name) for name in (controller, controllers)}
        for folder in _upward(mount, path)
    ]

"""This process's control groups, v1 and v2, and the values in their files.

See cgroups(7). Inside a container the paths of /proc/self/cgroup may not exist under the mount,
which then shows the container's own group at its top. So every directory from the named one up to
the mount is returned, and missing ones have no values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOUNT = "sys/fs/cgroup"


def number(path: Path) -> int | None:
    """Return the single number in a cgroup file; None for ``max`` or a missing file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def field(path: Path, names: tuple[str, ...]) -> int | None:
    """Return the first of ``names`` that a file of ``name value`` lines holds."""
    try:
        lines = dict(line.split()[:2] for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return None
    return next((int(lines[name]) for name in names if name in lines), None)


def _groups(root: Path) -> list[tuple[str, str]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    return [(controllers, path) for _, controllers, path in (x.split(":", 2) for x in lines)]


def _upward(mount: Path, path: str) -> Iterator[Path]:
    here = Path(path.lstrip("/"))
    yield mount / here
    for above in here.parents:
        yield mount / above


def v2_folders(root: Path = Path("/")) -> list[Path]:
    """Return the unified hierarchy's directories above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if not controllers
        for mount in (root / _MOUNT, root / _MOUNT / "unified")
        for folder in _upward(mount, path)
    ]


def v1_folders(root: Path, controller: str) -> list[Path]:
    """Return a v1 controller's directories above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if controller in controllers.split(",")
        for mount in {root / _MOUNT / controller, root / _MOUNT / controllers}
        for folder in _upward(mount, path)
    ]

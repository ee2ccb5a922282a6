"""Where this process stands in the control groups, v1 and v2, and what a file there says.

See cgroups(7). Inside a container the paths of /proc/self/cgroup may not exist under the
mount, which then shows the container's own group at its top: every folder from the named
one up to the mount is offered, and the ones that are not there answer nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOUNT = "sys/fs/cgroup"


def number(path: Path) -> int | None:
    """The single number in a cgroup file; None for ``max`` or a file that is not there."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def field(path: Path, names: tuple[str, ...]) -> int | None:
    """The first of ``names`` that a file of ``name value`` lines holds."""
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
    """The unified hierarchy's folders above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if not controllers
        for mount in (root / _MOUNT, root / _MOUNT / "unified")
        for folder in _upward(mount, path)
    ]


def v1_folders(root: Path, controller: str) -> list[Path]:
    """A v1 controller's folders above this process, its own first."""
    return [
        folder
        for controllers, path in _groups(root)
        if controller in controllers.split(",")
        for mount in {root / _MOUNT / controller, root / _MOUNT / controllers}
        for folder in _upward(mount, path)
    ]

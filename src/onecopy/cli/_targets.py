"""Functions as they are named on the command line: ``MODULE:FUNC`` and ``file.py:FUNC``.

As with Python itself, ``MODULE`` may be in the current directory (``python -m MODULE``), and the
imports of a file may be in the file's own (``python file.py``). Both come before installed
packages, but after the standard library: a ``queue.py`` among the user's data must not break it. A
file is imported as the module of its name, never as ``__main__``. Workers get this process's
``sys.path``, so they import the same module under every start method.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ._errors import CommandError, reason

# The similarity, from 0 to 1, from which on a name is suggested.
SIMILAR = 0.7
# Modules that workers may have imported before the user's own module.
_OURS = frozenset({"cloudpickle", "numpy", "onecopy", "psutil", "rich", "threadpoolctl", "typer"})


class Target(NamedTuple):
    """The location of a function: a module, the path inside it, and the file if one was named."""

    module: str
    attribute: str
    file: Path | None

    @property
    def spec(self) -> str:
        """Return the target as it was written."""
        return f"{self.file or self.module}:{self.attribute}"


def parse(spec: str) -> Target:
    """Split ``spec``, without importing anything.

    Raises:
        CommandError: it is not of this form, or there is no such file.
    """
    place, _, attribute = spec.rpartition(":")
    if not place or not attribute:
        raise CommandError(
            f"a function is written MODULE:FUNC or path/to/file.py:FUNC, not {spec!r}"
        )
    if not place.endswith(".py"):
        return Target(place, attribute, None)
    file = Path(place)
    if not file.is_file():
        raise CommandError(f"there is no file {place!r} to take {attribute!r} from")
    name = file.stem
    if "." in name:
        raise CommandError(f"{place!r} cannot be imported: rename it, without a dot before '.py'")
    if name in sys.stdlib_module_names or name in _OURS:
        raise CommandError(f"{place!r} would hide the module {name!r}: rename the file")
    return Target(name, attribute, file)


def find(*targets: Target) -> None:
    """Put the directories of the targets on ``sys.path``; call it before workers are started."""
    folders = [str(target.file.resolve().parent) for target in targets if target.file]
    if not sys.flags.safe_path:
        folders.append(os.getcwd())
    standard = os.path.dirname(os.__file__)
    theirs = [
        at for at, path in enumerate(sys.path) if path in (standard, f"{standard}/lib-dynload")
    ]
    place = max(theirs, default=-1) + 1
    sys.path[place:place] = [folder for folder in folders if folder not in sys.path]


def resolve(target: Target) -> Callable[..., Any]:
    """Import the function.

    Raises:
        CommandError: there is no such module or function, or its import fails.
    """
    found: Any = _module(target)
    at = target.file or target.module
    for name in target.attribute.split("."):
        owner = found
        found = getattr(owner, name, None)
        if found is None:
            near = difflib.get_close_matches(name, dir(owner), 1, SIMILAR)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise CommandError(f"'{at}' has no function {target.attribute!r}{hint}")
    if not callable(found):
        raise CommandError(f"{target.spec!r} is of type {type(found).__name__}, and no function")
    return found  # type: ignore[no-any-return]


def by_value(*targets: Target) -> None:
    """Send the functions of files by value: other machines do not have the files."""
    import cloudpickle

    for target in targets:
        if target.file is not None:
            cloudpickle.register_pickle_by_value(_module(target))


def _module(target: Target) -> ModuleType:
    try:
        module = import_module(target.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if target.module == missing or target.module.startswith(missing + "."):
            raise CommandError(f"there is no module {target.module!r}") from error
        raise CommandError(
            f"{target.module!r} needs a module {missing!r}, which is not there"
        ) from error
    # A script without a guard around its main part may end the program.
    except (Exception, SystemExit) as error:
        at = target.file or target.module
        raise CommandError(f"importing '{at}' failed: {reason(error)}") from error
    if target.file and not _is_of(module, target.file):
        other = getattr(module, "__file__", None) or "the interpreter"
        raise CommandError(f"'{target.file}' is hidden by the module {target.module!r} of {other}")
    return module


def _is_of(module: ModuleType, file: Path) -> bool:
    name = getattr(module, "__file__", None)
    return name is not None and file.samefile(name)

"""In a worker: the owner's globals, and what this worker has set itself.

The owner sends versions of variables (see ``following``), each before the first task that
needs it. The rule here is: what this worker has set wins, until the owner gives the variable
another value afterwards. For that the module remembers what imports gave (``remember``, before
any code of the program runs in this worker) and which version each variable has had last.

One thread: the worker's own, between tasks.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable
from typing import Any

from .._codec.codec import encode
from .._codec.homes import is_user_module, names_of, user_homes
from .._codec.pickling import PEER
from .._protocol.versions import Path, digest_of

_MISSING = object()
_SIZED = (list, dict, set, bytearray)
# What a task raises that misses something in a module.
_MISSES = (NameError, AttributeError, KeyError)


class ModuleState:
    """See the module."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, Path], int] = {}
        # By home and name: what an import gave, and how long it was.
        self._given: dict[str, dict[str, tuple[Any, int]]] = {}
        self._reasons: dict[tuple[str, Path], str] = {}
        self._loaded = 0  # modules, when they were looked at last

    def remember(self) -> None:
        """Note what the user's modules that were loaded meanwhile hold, before the program's
        code runs: nobody but their own code has set it."""
        loaded = len(sys.modules)
        if loaded == self._loaded:
            return
        self._loaded = loaded
        for home, names in user_homes().items():
            if home in self._given:
                continue
            given = self._given[home] = {}
            for key, value in list(names.items()):
                given[key] = (value, _length(value))
                # By the type alone: a lazy object may raise when it is asked for its class.
                if issubclass(type(value), type) and is_user_module(value.__module__):
                    for part, inner in list(vars(value).items()):
                        given[f"{value.__qualname__}.{part}"] = (inner, _length(inner))

    def take(self, head: bytes, decode: Callable[[], Any]) -> None:
        """Give a variable the owner's value, where that is due.

        Args:
            head: see ``describe``.
            decode: makes the value.
        """
        home, path, number, later, digest, reason = marshal.loads(head)
        key = (home, tuple(path))
        before = self._numbers.get(key)
        if before == number:
            return
        self._numbers[key] = number
        self._reasons.pop(key, None)
        if reason:
            self._reasons[key] = reason
            return
        try:
            names, name = names_of(home), path[-1]
            owner = _owner(names, path) if len(path) > 1 else None
            here = names if owner is None else owner.__dict__
            value = here.get(name, _MISSING)
            if before is None and not later and self._stays(home, path, value, digest):
                return
            if owner is None:
                names[name] = decode()
            else:
                setattr(owner, name, decode())
        except Exception as error:  # the user's code may raise anything: told where it is missed
            what = ".".join((home or "__main__", *path))
            self._reasons[key] = f"{what}: {type(error).__name__}: {error}"
        finally:
            self._given.get(home, {}).pop(".".join(path), None)

    def _stays(self, home: str, path: Path, value: Any, digest: bytes) -> bool:
        """Return True for what this worker has set, and for what is equal to the owner's."""
        if value is _MISSING:
            return False
        given = self._given.get(home, {}).get(".".join(path))
        if given is None and (home in self._given or home.startswith("<")):
            return True  # it was not there: this worker has set it
        if given is not None and (given[0] is not value or given[1] != _length(value)):
            return True
        if not digest:
            return False
        try:
            return digest_of(encode(value, PEER)) == digest
        except Exception:  # what cannot be pickled here is not what the owner has
            return False

    def explain(self, error: BaseException) -> None:
        """Add to an error that misses something: which variables could not follow, and why."""
        if not (self._reasons and isinstance(error, _MISSES)):
            return
        name = getattr(error, "name", None)  # a KeyError does not say in what it missed a key
        found = [why for (_, path), why in self._reasons.items() if name is None or name in path]
        if found:
            reasons = "; ".join(found[:3])
            error.add_note(
                f"these could not follow from the owner: {reasons}. Make them in the worker "
                '(initializer=), pass them as arguments, or use method="fork"'
            )


def _length(value: Any) -> int:
    return len(value) if type(value) in _SIZED else 0


def _owner(names: dict[str, Any], path: Path) -> Any:
    """The class or function that an attribute belongs to."""
    found: Any = names[path[0]]
    for part in path[1:-1]:
        found = getattr(found, part)
    return found

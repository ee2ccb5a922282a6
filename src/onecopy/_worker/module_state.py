"""The owner's globals in a worker, and the values that the worker has set itself.

The owner sends versions of variables (see ``_engine.following``), each before the first task that
needs it. The rule: a value that this worker has set wins, until the owner gives the variable
another value afterwards. For that the module remembers what imports gave (``remember``, before any
code of the program runs in this worker) and the last version of each variable.

One thread: the worker's own, between tasks.
"""

from __future__ import annotations

import marshal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .._codec.codec import encode
from .._codec.homes import (
    is_user_module,
    last_module,
    loaded_names,
    names_of,
    user_homes,
)
from .._codec.pickling import PEER
from .._protocol import wire
from .._protocol.versions import Path, digest_of

_MISSING = object()
_SIZED = (list, dict, set, bytearray)
# The exceptions of a task that finds something missing in a module.
_MISSES = (NameError, AttributeError, KeyError)


class ModuleState:
    """See the module.

    Attributes:
        waiting: versions that have come; taken under the claim of the task that needs them.
    """

    def __init__(self) -> None:
        self.waiting: deque[wire.Frame] = deque()
        self._numbers: dict[tuple[str, Path], int] = {}
        # By home and name: what an import gave, and its length then.
        self._given: dict[str, dict[str, tuple[Any, int]]] = {}
        self._reasons: dict[tuple[str, Path], str] = {}
        # At the last look: the number of modules, and the last of them.
        self._loaded = 0
        self._last: tuple[str, Any] | None = None

    @property
    def homes(self) -> list[dict[str, Any]]:
        """Return the globals of the user's modules, as far as ``remember`` has seen them."""
        found = (loaded_names(home) for home in self._given)
        return [names for names in found if names is not None]

    def remember(self, homes: Mapping[str, dict[str, Any]] | None = None) -> None:
        """Note the contents of the user's modules that were loaded since, before the program's code
        runs: only their own code has set them.

        Args:
            homes: what ``user_homes`` returns, if it is known. To look at each of a thousand
                modules is to write to it, and after a fork each write copies a page.
        """
        loaded = len(sys.modules)
        if loaded == self._loaded:
            return
        after, self._last, self._loaded = self._last, last_module(), loaded
        for home, names in (user_homes(after) if homes is None else homes).items():
            if home in self._given:
                continue
            given = self._given[home] = {}
            for key, value in list(names.items()):
                given[key] = (value, _length(value))
                # By the type alone: a lazy object may raise if asked for its class.
                if issubclass(type(value), type) and is_user_module(value.__module__):
                    for part, inner in list(vars(value).items()):
                        given[f"{value.__qualname__}.{part}"] = (inner, _length(inner))

    def take(self, head: bytes, decode: Callable[[], Any]) -> bool:
        """Give a variable the owner's value, if the rule says so. Returns False if that failed: the
        reason is kept, and it may be tried again when others have their values.

        Args:
            head: see ``describe``.
            decode: makes the value.
        """
        home, path, number, later, digest, reason = marshal.loads(head)
        key = (home, tuple(path))
        before = self._numbers.get(key)
        if before == number:
            return True
        self._numbers[key] = number
        self._reasons.pop(key, None)
        if reason:
            self._reasons[key] = reason
            return True
        try:
            names, name = names_of(home), path[-1]
            owner = _owner(names, path) if len(path) > 1 else None
            here = names if owner is None else owner.__dict__
            value = here.get(name, _MISSING)
            if before is None and not later and self._stays(home, path, value, digest):
                self._given.get(home, {}).pop(".".join(path), None)
                return True
            if owner is None:
                names[name] = decode()
            else:
                setattr(owner, name, decode())
        except Exception as error:  # of the user's code; reported where the variable is missed
            what = ".".join((home or "__main__", *path))
            self._reasons[key] = f"{what}: {type(error).__name__}: {error}"
            if before is None:
                del self._numbers[key]
            else:
                self._numbers[key] = before
            return False
        self._given.get(home, {}).pop(".".join(path), None)
        return True

    def _stays(self, home: str, path: Path, value: Any, digest: bytes) -> bool:
        """Return True for a value that this worker has set, or that equals the owner's."""
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
        except Exception:  # a value that cannot be pickled here is not the owner's
            return False

    def explain(self, error: BaseException) -> None:
        """Add to an error about something missing which variables could not be sent, and why."""
        if not (self._reasons and isinstance(error, _MISSES)):
            return
        name = getattr(error, "name", None)  # a KeyError does not say where the key is missing
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
    """Return the class or function that an attribute belongs to."""
    found: Any = names[path[0]]
    for part in path[1:-1]:
        found = getattr(found, part)
    return found

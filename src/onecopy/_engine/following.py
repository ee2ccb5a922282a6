"""State follows functions: the globals that a function reads, on their way to workers.

Before a function runs in a worker, what it reads by name has there the value that it has in
the owner: globals of the main module and of the user's own modules (not the standard
library's, not installed packages'), attributes of classes and functions, read by the function
itself or by what it calls. What a worker's own import gives need not be sent: it is compared.

The words: a *variable* is a name in a home (see ``homes``), with an attribute behind it for
classes and functions; a *version* is one value of it, pickled; a *closure* is all that one
function or class reads, directly or not. A channel sends each version to its worker once,
before the first task that needs it. What the worker does with it is in ``state``: what it has
set itself stays until the owner gives the variable another value.

Whether a value has changed is told by identity, and of small mutable values by content. A
large one that is changed in place stays as it was first sent: no call looks through it.

Threads: any thread that submits work or sends it; one lock, held while user values are
pickled, and reentrant because their ``__reduce__`` may submit work itself.
"""

from __future__ import annotations

import contextlib
import enum
import pickle
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._codec.code_reads import reads_of
from .._codec.codec import encode
from .._codec.homes import (
    MAIN_NAMES,
    home_by_name,
    home_of,
    is_user_code,
    is_user_home,
    is_user_module,
    names_of,
)
from .._codec.main_module import MainModule
from .._codec.pickling import PEER, TooLong
from .._protocol.versions import NO_VERSIONS, Path, Version, digest_of
from ..errors import PickledWarning

# A mutable value whose pickle is not longer is compared by content at each call.
SMALL = 4 << 10
# What a worker has from its own import is not compared when its pickle is longer.
MOST = 64 << 20
# Generators of random numbers: each worker's own import makes it one of its own.
_OWN = ("random.Random", "numpy.random", "torch._C.Generator")

_MISSING = object()
_IMMUTABLE = (int, float, complex, bool, str, bytes, type(None), range, types.ModuleType)
_DEFINITION = (types.FunctionType, type)


class _Variable:
    """A variable that some function reads; its value when it was last looked at."""

    __slots__ = ("probe", "value", "version")

    def __init__(self, value: Any, version: Version | None, *, probed: bool = False) -> None:
        self.value = value
        self.version = version
        probed = probed or (version is not None and _is_small(version))
        self.probe = _probe(value) if probed else None

    def unchanged(self) -> bool:
        """Compare a small mutable value by content."""
        return self.probe is None or _pickled(self.value) == self.probe


class _Closure:
    """What one function or class reads."""

    __slots__ = ("checks", "probed", "versions")

    def __init__(self) -> None:
        # Namespace, name and value of everything that was looked up on the way.
        self.checks: list[tuple[Any, str, Any]] = []
        self.probed: list[_Variable] = []
        self.versions: tuple[Version, ...] = ()

    def unchanged(self) -> bool:
        for names, name, value in self.checks:
            if names.get(name, _MISSING) is not value:
                return False
        return all(variable.unchanged() for variable in self.probed)


class Follower:
    """The variables of one pool, as its workers are to have them.

    Args:
        main: the main module that workers import; None where it travels by value.
        inherited: what forked workers have from the owner: by home, a copy of its names.
        modules: follow what imported modules hold; False leaves them as imports make them.
        replaces: called, in any thread and under the lock, with a value in shared memory that
            takes the place of what an import makes.
    """

    def __init__(
        self,
        main: MainModule | None,
        inherited: dict[str, dict[str, Any]] | None,
        *,
        modules: bool,
        replaces: Callable[[Version], None],
    ) -> None:
        self._main = main
        self._inherited = inherited
        self._modules = modules
        self._replaces = replaces
        self._lock = threading.RLock()
        self._variables: dict[tuple[str, Path], _Variable] = {}
        self._closures: weakref.WeakKeyDictionary[Any, _Closure] = weakref.WeakKeyDictionary()
        self._number = 0
        self._in_progress: set[tuple[str, str]] = set()

    def versions(self, references: Iterable[Any]) -> tuple[Version, ...]:
        """The versions that workers need before they use any of ``references``.

        Args:
            references: functions and classes, as ``Encoded.references`` has them.

        Raises:
            NotPicklable: a variable that workers have from nowhere else cannot be pickled.
        """
        found: tuple[Version, ...] = NO_VERSIONS
        for obj in references:
            of_one = self._closure(obj).versions
            if not found:
                found = of_one
            elif of_one and of_one is not found:
                found = tuple(dict.fromkeys((*found, *of_one)))
        return found

    def _closure(self, obj: Any) -> _Closure:
        closure = self._closures.get(obj)
        if closure is not None and closure.unchanged():
            return closure
        with self._lock:
            closure = _Walk(self, obj).closure
            if not self._in_progress:  # what is in progress is not in it yet
                self._closures[obj] = closure
            return closure

    # What a walk asks.

    def follows(self, home: str) -> bool:
        """Return True if data of this home are sent."""
        return is_user_home(home) and (self._modules or not self._has_all(home))

    def _has_all(self, home: str) -> bool:
        """Return True for a module that workers import."""
        if home == "":
            return self._main is not None or self._inherited is not None
        return not home.startswith("<")

    def _is_bound(self, home: str, name: str) -> bool:
        """Return True if workers have this name, whatever its value, without being sent it."""
        if home == "" and self._main is not None:
            return name in self._main.bound
        return self._has_all(home)

    def is_module(self, home: str) -> bool:
        """Return True for an imported module: its definitions are what its import gives."""
        return home != "" and not home.startswith("<") and home not in (self._inherited or ())

    def has(self, home: str, name: str, value: Any) -> bool:
        """Return True if workers find this very definition without being sent it."""
        if self._inherited is not None and home in self._inherited:
            return self._inherited[home].get(name, _MISSING) is value
        if home == "":
            return self._main is not None and self._main.defines(name, value)
        return not home.startswith("<")

    def variable(
        self, home: str, path: Path, value: Any, reader: str, *, carried: bool = False
    ) -> _Variable:
        """The variable with its present version, which is made if the value has changed.

        Args:
            home, path, value: the variable.
            reader: what reads it, for errors.
            carried: its first value travels with the class that it is an attribute of.
        """
        known = self._variables.get((home, path))
        if known is not None and known.value is value and known.unchanged():
            return known
        root = (home, path[0])
        if known is None and (carried or self._is_inherited(home, path, value)):
            made = _Variable(value, None, probed=carried)
        elif _is_own(value) and self._is_bound(home, path[0]):
            made = _Variable(value, None)
        elif root in self._in_progress:
            return _Variable(value, None)
        else:
            self._in_progress.add(root)
            try:
                made = _Variable(value, self._version(home, path, value, reader))
                if known is not None and made.version is not None:
                    made.version.later = True
            finally:
                self._in_progress.discard(root)
        self._variables[home, path] = made
        return made

    def _is_inherited(self, home: str, path: Path, value: Any) -> bool:
        """Return True if forked workers have this very value, and nobody can have changed it
        unseen since: small mutable ones are sent, to be compared."""
        if self._inherited is None or home not in self._inherited or len(path) > 1:
            return False
        if self._inherited[home].get(path[0], _MISSING) is not value:
            return False
        return _probe(value) is None

    def _version(self, home: str, path: Path, value: Any, reader: str) -> Version:
        self._number += 1
        number = self._number
        had = self._is_bound(home, path[0])
        what = ".".join((home or "__main__", *path))
        encoded, reason = None, ""
        try:
            encoded = encode(
                value,
                PEER,
                reader if reader == path[0] else f"{reader} (global {path[0]!r})",
                defining=frozenset(self._in_progress),
                most=MOST if had else None,
            )
        except TooLong:
            reason = f"{what}: more than {MOST >> 20} MB of Python objects"
            warnings.warn(
                f"{reason} are not compared with those of the workers, which use what their own "
                "import makes. Share them (oc.share), or make them in an initializer",
                PickledWarning,
                stacklevel=2,
            )
        except Exception as error:  # NotPicklable, or what a ``__reduce__`` of the user's raised
            if not self._has_all(home):
                raise
            reason = f"{what}: {getattr(error, 'reason', error)}"
        if encoded is None:
            return Version(home, path, number, None, b"", reason)
        digest = digest_of(encoded)
        encoded.anchor()
        version = Version(home, path, number, encoded, digest, "")
        if had and encoded.plan is not None:
            self._replaces(version)
        return version


class _Walk:
    """Goes through what one function or class reads, and notes it in a closure.

    A loop and not a recursion: programs call through more functions than the interpreter's
    stack has room for.
    """

    def __init__(self, follower: Follower, start: Any) -> None:
        self._follower = follower
        self.closure = _Closure()
        self._seen: set[int] = set()
        self._keep: list[Any] = []  # what is seen stays, so that no id is used twice
        self._todo: list[Any] = [start]
        self._versions: dict[Version, None] = {}
        while self._todo:
            self._visit(self._todo.pop())
        self.closure.versions = tuple(self._versions)

    def _visit(self, obj: Any) -> None:
        if id(obj) in self._seen:
            return
        self._seen.add(id(obj))
        self._keep.append(obj)
        self._define(obj)
        if _is(obj, types.FunctionType):
            self._function(obj)
        elif _is(obj, type):
            self._class(obj)
        elif _is(obj, types.MethodType):
            self._todo += [obj.__func__, obj.__self__]
        elif _is(obj, staticmethod | classmethod):
            self._todo.append(obj.__func__)
        elif _is(obj, property):
            self._todo += [part for part in (obj.fget, obj.fset, obj.fdel) if part is not None]
        elif not _is(obj, _IMMUTABLE):
            kind = type(obj)
            if is_user_module(kind.__module__):
                self._todo.append(kind)
            inner = _attribute(obj, "func")
            if inner is not None:  # a partial, a cached property
                self._todo.append(inner)
        wrapped = _attribute(obj, "__wrapped__")
        if wrapped is not None:
            self._todo.append(wrapped)

    def _define(self, obj: Any) -> None:
        """A definition that messages name: sent where workers do not have it."""
        if not _is(obj, _DEFINITION) and _attribute(obj, "__wrapped__") is None:
            return
        home = home_by_name(obj)
        if home is None or not is_user_home(home):
            return
        name = obj.__qualname__.partition(".")[0]
        root = names_of(home).get(name)
        if not self._follower.is_module(home):
            self.closure.checks.append((names_of(home), name, root))
        if not self._follower.has(home, name, root):
            self._need(home, (name,), root, name)

    def _function(self, function: types.FunctionType) -> None:
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # not assigned yet
                self._value(cell.cell_contents)
        for value in function.__defaults__ or ():
            self._value(value)
        names = function.__globals__
        home, reader = home_of(names, made=is_user_code(names)), function.__qualname__
        if home is None:
            return
        reads = reads_of(function.__code__)
        if not is_user_home(home):
            # Of an installed package: only a closure or lambda, which travels by value, is
            # sure to be a caller's own, and what it reads to be set by the caller.
            if home_by_name(function) is None:
                for path in reads.paths:
                    self._read(home, names, path[:1], reader, any_home=True)
            return
        for path in reads.paths:
            self._read(home, names, path, reader)
        package = names.get("__package__") or ""
        for module, level, taken in reads.imports:
            self._imported(_absolute(module, level, package), taken, reader)

    def _imported(self, name: str, taken: Path, reader: str) -> None:
        module = sys.modules.get(name)
        if module is not None and is_user_module(name):
            for part in taken:
                if f"{name}.{part}" not in sys.modules:
                    self._read(name, module.__dict__, (part,), reader)

    def _read(
        self, home: str, names: dict[str, Any], path: Path, reader: str, *, any_home: bool = False
    ) -> None:
        """A global name, and the attributes behind it; ``any_home``: not of users' code alone."""
        name, *attributes = path
        value = names.get(name, _MISSING)
        if value is _MISSING:  # a builtin, or nothing yet
            self.closure.checks.append((names, name, value))
            return
        follower = self._follower
        code = _is(value, types.ModuleType) or _is_named(value, name)
        if code and follower.is_module(home):
            pass
        elif code and follower.has(home, name, value):
            self.closure.checks.append((names, name, value))
        elif code or any_home or follower.follows(home):
            self.closure.checks.append((names, name, value))
            self._need(home, (name,), value, reader)
        if _is(value, types.ModuleType):
            if attributes and is_user_module(value.__name__):
                inner = "" if value.__name__ in MAIN_NAMES else value.__name__
                self._read(inner, value.__dict__, tuple(attributes), reader)
            return
        self._value(value)
        if attributes and code:
            self._attribute(value, attributes[0])

    def _attribute(self, owner: Any, name: str) -> None:
        """Data that a function or a class has as an attribute."""
        home = home_by_name(owner)
        names = _attribute(owner, "__dict__") or {}
        value = names.get(name, _MISSING)
        if home is None or not self._follower.follows(home) or not _is_data(name, value):
            return
        root = owner.__qualname__.partition(".")[0]
        carried = not self._follower.has(home, root, names_of(home).get(root))
        self.closure.checks.append((names, name, value))
        path = (*owner.__qualname__.split("."), name)
        self._need(home, path, value, owner.__qualname__, carried=carried)

    def _class(self, kind: type) -> None:
        if not is_user_module(kind.__module__):
            return
        attributes: set[str] = set()
        for part in list(vars(kind).values()):
            if _is(part, type):
                self._todo.append(part)
            for function in _functions_of(part):
                self._todo.append(function)
                attributes |= reads_of(function.__code__).attributes
        if not issubclass(type(kind), enum.EnumMeta):
            for name in attributes:
                self._attribute(kind, name)
        self._todo += [*kind.__bases__, type(kind)]

    def _value(self, value: Any) -> None:
        """A value may be a function, or an object whose methods are called."""
        if _is(value, _IMMUTABLE):
            return
        if callable(value) or is_user_module(type(value).__module__):
            self._todo.append(value)

    def _need(
        self, home: str, path: Path, value: Any, reader: str, *, carried: bool = False
    ) -> None:
        variable = self._follower.variable(home, path, value, reader, carried=carried)
        if variable.probe is not None:
            self.closure.probed.append(variable)
        version = variable.version
        if version is None or version in self._versions:
            return
        # What it is made of comes first: the classes of objects, the bases of a class.
        for reference in version.encoded.references if version.encoded is not None else ():
            if reference is not value:
                self._visit(reference)
        self._versions[version] = None


def _is(obj: Any, kinds: Any) -> bool:
    """``isinstance`` by the type alone: a lazy object may have to load what it stands for, or
    raise, to say of which class that is."""
    return issubclass(type(obj), kinds)


def _attribute(obj: Any, name: str) -> Any:
    """An attribute that the object or its class has in earnest: no ``__getattr__`` is asked."""
    kind = type if _is(obj, type) else object
    try:
        return kind.__getattribute__(obj, name)
    except Exception:  # there is none; or a property of the user's, which may raise anything
        return None


def _is_named(value: Any, name: str) -> bool:
    """Return True for a function or class that is found under its own name."""
    own = _attribute(value, "__qualname__")
    return own == name or (own == "<lambda>" and _is(value, types.FunctionType))


def _functions_of(part: Any) -> Iterator[types.FunctionType]:
    """The functions in what a class has in its dict."""
    if _is(part, staticmethod | classmethod):
        part = part.__func__
    found = [part]
    if _is(part, property):
        found = [part.fget, part.fset, part.fdel]
    for each in found:
        inner = each if isinstance(each, types.FunctionType) else None
        for name in ("__wrapped__", "func"):
            inner = inner or _attribute(each, name)
        if isinstance(inner, types.FunctionType):
            yield inner


def _is_data(name: str, value: Any) -> bool:
    """Return True for an attribute that holds a value: no method, property or slot."""
    if value is _MISSING or (name.startswith("__") and name.endswith("__")):
        return False
    if _is(value, types.FunctionType | type | staticmethod | classmethod | property):
        return False
    return not any(hasattr(type(value), method) for method in ("__get__", "__set__"))


def _absolute(name: str, level: int, package: str) -> str:
    """The full name of a module that is imported relatively."""
    if not level:
        return name
    parts = package.split(".")
    above = parts[: len(parts) - (level - 1)]
    return ".".join([*above, name] if name else above)


def _is_own(value: Any) -> bool:
    """Return True for a generator of random numbers."""
    kinds = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__)
    return any(kind.startswith(_OWN) for kind in kinds)


def _is_immutable(value: Any) -> bool:
    if _is(value, tuple | frozenset) and type(value) in (tuple, frozenset):
        return all(map(_is_immutable, value))
    return _is(value, (*_IMMUTABLE, types.FunctionType, types.BuiltinFunctionType, type))


def _is_small(version: Version) -> bool:
    return version.encoded is not None and version.encoded.nbytes <= SMALL


class _Few:
    """Takes a short pickle and its buffers."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, chunk: Any) -> None:
        if len(chunk) > SMALL:
            raise TooLong
        self.parts.append(bytes(chunk))

    def take(self, buffer: pickle.PickleBuffer) -> None:
        self.write(buffer.raw())


def _pickled(value: Any) -> list[bytes] | None:
    """A short pickle, to compare it with another one; None when there is none."""
    few = _Few()
    try:
        pickle.Pickler(few, 5, buffer_callback=few.take).dump(value)
    except Exception:  # too long, or a ``__reduce__`` of the user's that may raise anything
        return None
    return few.parts


def _probe(value: Any) -> list[bytes] | None:
    """What tells later whether a mutable value has changed; None where its identity does."""
    return None if _is_immutable(value) else _pickled(value)

"""State follows functions: the globals that a function reads, on their way to workers.

Before a function runs in a worker, the names that it reads get the values that they have in the
owner: globals of the main module and of the user's own modules (not the standard library's, not
installed packages'), attributes of classes and functions, read by the function itself or by what it
calls. A value that the worker's own import gives is compared, not sent.

Constraints: a *variable* is a name in a home (see ``homes``), with an attribute behind it for classes and
functions; a *version* is one value of it, pickled; a *closure* is everything that one function or
class reads, directly or not. A channel sends each version to its worker once, before the first task
that needs it. The worker's side is ``_worker.module_state``: a value that the worker sets itself
stays until the owner gives the variable another value.

A change is detected by identity, and for small mutable values by content. A large value that is
changed in place stays as it was first sent: calls do not compare its content.

Threads: any thread that submits or sends work. There is one lock, held while user values are
pickled; it is reentrant because their ``__reduce__`` may submit work itself.
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

# A mutable value is compared by content at each call if its pickle is not longer.
SMALL = 4 << 10
# The elements of a captured list or dict are compared at each call if there are not more of them.
_ELEMENTS = 1000
# A value that the worker's own import gives is not compared if its pickle is longer.
MOST = 64 << 20
# Random number generators: each worker's own import creates its own.
_OWN = ("random.Random", "numpy.random", "torch._C.Generator")

_MISSING = object()
_IMMUTABLE = (int, float, complex, bool, str, bytes, type(None), range, types.ModuleType)
_DEFINITION = (types.FunctionType, type)


class _Variable:
    """A variable that a function reads, and its value when it was last checked."""

    __slots__ = ("cells", "probe", "value", "version")

    def __init__(self, value: Any, version: Version | None, *, probed: bool = False) -> None:
        self.value: Any = value
        self.version: Version | None = version
        probed = probed or (version is not None and _is_small(version))
        self.probe: list[bytes] | None = _probe(value) if probed else None
        self.cells: list[_Same] | None = _cells(value)

    @property
    def mutable(self) -> bool:
        """True if its content may change."""
        return self.probe is not None or self.cells is not None

    def unchanged(self) -> bool:
        """Compare a small mutable value by content, and what a function captures."""
        return (self.probe is None or _pickled(self.value) == self.probe) and (
            self.cells is None or _cells(self.value) == self.cells
        )


class _Closure:
    """Everything that one function or class reads."""

    __slots__ = ("checks", "probed", "versions")

    def __init__(self) -> None:
        # Namespace, name and value of every lookup of the walk.
        self.checks: list[tuple[Any, str, Any]] = []
        self.probed: list[_Variable] = []
        self.versions: tuple[Version, ...] = ()

    def unchanged(self) -> bool:
        for names, name, value in self.checks:
            if names.get(name, _MISSING) is not value:
                return False
        for variable in self.probed:  # noqa: SIM110 - a generator would be made for every task
            if not variable.unchanged():
                return False
        return True


class Follower:
    """The variables of one pool that its workers must have.

    Args:
        main: the main module that workers import; None if it is sent by value.
        inherited: what forked workers inherit from the owner: a copy of its names, by home.
        modules: follow the globals of imported modules; False leaves them as imports make them.
        replaces: called, in any thread and with the lock held, with a value in shared memory that
            replaces the one that an import makes.
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

    def clear(self) -> None:
        """Forget what functions read, and the values: the pool has ended. They refer to the
        functions' modules, and to the program's shared objects."""
        with self._lock:
            self._closures.clear()
            self._variables.clear()

    def versions(self, references: Iterable[Any]) -> tuple[Version, ...]:
        """Return the versions that workers need before they use any of ``references``.

        Args:
            references: functions and classes, as ``Encoded.references`` has them.

        Raises:
            NotPicklable: a variable cannot be pickled, and workers have it from nowhere else.
        """
        found: tuple[Version, ...] = NO_VERSIONS
        for obj in references:
            of_one = self._closure(obj).versions
            if not found:
                found = of_one
            elif of_one and of_one is not found:
                found = tuple(dict.fromkeys((*found, *of_one)))
        return found

    def same_versions(self, references: list[Any]) -> tuple[Version, ...] | None:
        """Return ``versions`` of at most one object if nothing of it has changed; otherwise None."""
        if len(references) != 1:
            return None if references else NO_VERSIONS
        closure = self._closures.get(references[0])
        return closure.versions if closure is not None and closure.unchanged() else None

    def _closure(self, obj: Any) -> _Closure:
        closure = self._closures.get(obj)
        if closure is not None and closure.unchanged():
            return closure
        with self._lock:
            closure = _Walk(self, obj).closure
            if not self._in_progress:  # what is in progress is not in it yet
                self._closures[obj] = closure
            return closure

    # Called by a walk.

    def follows(self, home: str) -> bool:
        """Return True if data of this home are sent."""
        return is_user_home(home) and (self._modules or not self._has_all(home))

    def _has_all(self, home: str) -> bool:
        """Return True for a module that workers import."""
        if home == "":
            return self._main is not None or self._inherited is not None
        return not home.startswith("<")

    def _is_bound(self, home: str, name: str) -> bool:
        """Return True if workers have this name, with whatever value, without being sent it."""
        if home == "" and self._main is not None:
            return name in self._main.bound
        return self._has_all(home)

    def is_module(self, home: str) -> bool:
        """Return True for an imported module: importing it gives its definitions."""
        return home != "" and not home.startswith("<") and home not in (self._inherited or ())

    def has(self, home: str, name: str, value: Any) -> bool:
        """Return True if workers find this very definition without being sent it, and it cannot
        have changed since."""
        if self._inherited is not None and home in self._inherited:
            return self._inherited[home].get(name, _MISSING) is value and _cells(value) is None
        if home == "":
            return self._main is not None and self._main.defines(name, value)
        return not home.startswith("<")

    def variable(
        self, home: str, path: Path, value: Any, reader: str, *, carried: bool = False
    ) -> _Variable:
        """Return the variable with its present version; a new version if the value has changed.

        Args:
            home, path, value: the variable.
            reader: the function that reads it, for errors.
            carried: its first value is pickled with the class that it is an attribute of.
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
        """Return True if forked workers have this very value and it cannot have changed unseen
        since. Small mutable values are sent, to be compared."""
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
        except Exception as error:  # NotPicklable, or an error of the user's ``__reduce__``
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
    """A walk through everything that one function or class reads, noted in a closure.

    A loop and not a recursion: programs call through more functions than the interpreter's stack
    has room for.
    """

    def __init__(self, follower: Follower, start: Any) -> None:
        self._follower = follower
        self.closure = _Closure()
        self._seen: set[int] = set()
        self._keep: list[Any] = []  # keeps what was seen alive, so that no id is reused
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
        """Note a definition that messages name: it is sent where workers do not have it."""
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
            # In an installed package, only a closure or lambda, which is pickled by value,
            # certainly belongs to a caller, which also sets what it reads.
            if home_by_name(function) is None:
                for path in reads.paths:
                    self._read(home, names, path[:1], reader, any_home=True)
            return
        for path in reads.paths:
            self._read(home, names, path, reader)
            if not path[0].isidentifier():
                self._hooked(home, names, path[0], function)
        package = names.get("__package__") or ""
        for module, level, taken in reads.imports:
            self._imported(_absolute(module, level, package), taken, reader)

    def _hooked(
        self, home: str, names: dict[str, Any], name: str, function: types.FunctionType
    ) -> None:
        """Note a name that no source binds: an import hook has added it and the code that reads it,
        as pytest does for ``assert``. Workers import modules without that hook, but the code of a
        function that is sent by value still reads the name."""
        if name in names and self._follower.is_module(home) and home_by_name(function) is None:
            self._need(home, (name,), names[name], function.__qualname__)

    def _imported(self, name: str, taken: Path, reader: str) -> None:
        module = sys.modules.get(name)
        if module is not None and is_user_module(name):
            for part in taken:
                if f"{name}.{part}" not in sys.modules:
                    self._read(name, module.__dict__, (part,), reader)

    def _read(
        self, home: str, names: dict[str, Any], path: Path, reader: str, *, any_home: bool = False
    ) -> None:
        """Note a global name, and the attributes read from it; ``any_home``: outside the user's
        code too."""
        name, *attributes = path
        value = names.get(name, _MISSING)
        if value is _MISSING:  # a builtin, or not defined yet
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
        """Note data that a function or a class has as an attribute."""
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
        """Visit a value that may be a function, or an object whose methods are called."""
        if _is(value, _IMMUTABLE):
            return
        if callable(value) or is_user_module(type(value).__module__):
            self._todo.append(value)

    def _need(
        self, home: str, path: Path, value: Any, reader: str, *, carried: bool = False
    ) -> None:
        variable = self._follower.variable(home, path, value, reader, carried=carried)
        if variable.mutable:
            self.closure.probed.append(variable)
        version = variable.version
        if version is None or version in self._versions:
            return
        # Its components come first: the classes of objects, the bases of a class.
        for reference in version.encoded.references if version.encoded is not None else ():
            if reference is not value:
                self._visit(reference)
        self._versions[version] = None


def _is(obj: Any, kinds: Any) -> bool:
    """Return ``isinstance`` by the type alone: a lazy object may have to load its target, or raise,
    when asked for its class."""
    return issubclass(type(obj), kinds)


def _attribute(obj: Any, name: str) -> Any:
    """Return an attribute of the object or its class, without calling ``__getattr__``."""
    kind = type if _is(obj, type) else object
    try:
        return kind.__getattribute__(obj, name)
    except Exception:  # there is none; or a user's property, which may raise anything
        return None


def _is_named(value: Any, name: str) -> bool:
    """Return True for a function or class that is found under its own name."""
    own = _attribute(value, "__qualname__")
    return own == name or (own == "<lambda>" and _is(value, types.FunctionType))


def _functions_of(part: Any) -> Iterator[types.FunctionType]:
    """Yield the functions in an entry of a class's dict."""
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
    """Return True for an attribute that holds a value: not a method, property or slot."""
    if value is _MISSING or (name.startswith("__") and name.endswith("__")):
        return False
    if _is(value, types.FunctionType | type | staticmethod | classmethod | property):
        return False
    return not any(hasattr(type(value), method) for method in ("__get__", "__set__"))


def _absolute(name: str, level: int, package: str) -> str:
    """Return the full name of a module that is imported relatively."""
    if not level:
        return name
    parts = package.split(".")
    above = parts[: len(parts) - (level - 1)]
    return ".".join([*above, name] if name else above)


def _is_own(value: Any) -> bool:
    """Return True for a random number generator."""
    kinds = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__)
    return any(kind.startswith(_OWN) for kind in kinds)


def _is_immutable(value: Any) -> bool:
    if _is(value, tuple | frozenset) and type(value) in (tuple, frozenset):
        return all(map(_is_immutable, value))
    return _is(value, (*_IMMUTABLE, types.FunctionType, types.BuiltinFunctionType, type))


def _is_small(version: Version) -> bool:
    return version.encoded is not None and version.encoded.nbytes <= SMALL


class _Few:
    """A file that accepts a short pickle and its buffers."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, chunk: Any) -> None:
        if len(chunk) > SMALL:
            raise TooLong
        self.parts.append(bytes(chunk))

    def take(self, buffer: pickle.PickleBuffer) -> None:
        self.write(buffer.raw())


def _pickled(value: Any) -> list[bytes] | None:
    """Return a short pickle, for comparison with another; None if there is none."""
    few = _Few()
    try:
        pickle.Pickler(few, 5, buffer_callback=few.take).dump(value)
    except Exception:  # too long, or an error of a user's ``__reduce__``, which may raise anything
        return None
    return few.parts


class _Same:
    """An object, equal to itself alone; keeps it alive, so that its address is not used again."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def _cells(value: Any) -> list[_Same] | None:
    """Return the captures of a function, and of functions that it captures: each object, and the
    elements of a short list or dict, such as the registry of ``functools.singledispatch``. None if
    it captures nothing."""
    if not (_is(value, types.FunctionType) and value.__closure__):
        return None
    found: list[_Same] = []
    functions = [value]
    for function in functions:
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # not assigned yet
                inside = cell.cell_contents
                found.append(_Same(inside))
                if _is(inside, types.FunctionType):
                    functions += [] if any(inside is each for each in functions) else [inside]
                elif type(inside) in (dict, list) and len(inside) <= _ELEMENTS:
                    found += map(_Same, inside.copy())
                    found += map(_Same, inside.copy().values() if type(inside) is dict else ())
    return found


def _probe(value: Any) -> list[bytes] | None:
    """Return a snapshot that later shows whether a mutable value has changed; None where its
    identity does."""
    return None if _is_immutable(value) else _pickled(value)

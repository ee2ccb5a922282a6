"""Homes: the namespaces that functions and classes live in, and lookup in them, on both sides.

A *home* is a namespace that exists in the owner and in its workers:

- ``""``: the main module. In a worker it is imported as ``__mp_main__``, inherited by a fork, or
  a module that starts empty and is filled by value.
- a module's name: each side has imported it.
- ``"<id>"``: a dict that belongs to no module (a script run by a profiler, ``exec``, ``runpy``);
  the worker keeps its own dict for it, empty at first.

An object that is found by its name in its home is sent as that name. Any other (a lambda, a
closure, a function made by ``exec``) is sent by value and rebuilt in its home, so that it sees the
same globals as all code there. ``_engine.following`` decides which globals a worker needs.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import sys
import types
import weakref
from importlib.machinery import PathFinder
from typing import Any

from .._system import installed

MAIN_NAMES = ("__main__", "__mp_main__")
# The key of a dict that belongs to no module; its value stands for the dict in messages.
_KEY = "__onecopy_home__"
_MISSING = object()


class _Space:
    """A namespace without a module; ``names`` is its dict.

    It is stored in the dict itself, so both have the same life. A copied dict contains the
    original's: ``of`` distinguishes them by identity.
    """

    def __init__(self, home: str, names: dict[str, Any]) -> None:
        self.home = home
        self.names = names


_spaces: weakref.WeakValueDictionary[str, _Space] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)
_importable: dict[str, bool] = {}
_user: dict[str, bool] = {}
# Worker: spaces live as long as the process.
_kept: list[_Space] = []


def home_of(names: dict[str, Any], *, made: bool = True) -> str | None:
    """Return the home whose globals are ``names``.

    Args:
        names: the globals of a function.
        made: make a home for a dict without a module; if False, return None for one.
    """
    name = names.get("__name__")
    if isinstance(name, str):
        main = sys.modules.get("__main__")
        if main is not None and main.__dict__ is names:
            return ""
        module = sys.modules.get(name)
        if getattr(module, "__dict__", None) is names and _can_import(name):
            return name
    space = names.get(_KEY)
    if not isinstance(space, _Space) or space.names is not names:
        if not made:
            return None
        space = _Space(f"<{os.getpid()}-{next(_numbers)}>", names)
        names[_KEY] = _spaces[space.home] = space
    return space.home


def names_of(home: str) -> dict[str, Any]:
    """Return the globals of a home in this process. Imports a module that is not loaded yet."""
    if home == "":
        return sys.modules["__main__"].__dict__
    if home.startswith("<"):
        space = _spaces.get(home)
        if space is None:
            names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
            space = _Space(home, names)
            names[_KEY] = _spaces[home] = space
            _kept.append(space)
        return space.names
    return importlib.import_module(home).__dict__


def loaded_names(home: str) -> dict[str, Any] | None:
    """Return the globals of a home that is loaded in this process, otherwise None. Takes no lock:
    after a fork one may be held for ever, by a thread that was importing the module."""
    if home == "" or home.startswith("<"):
        return names_of(home)
    return getattr(sys.modules.get(home), "__dict__", None)


def user_homes(after: tuple[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Return every home of the user's code that is loaded in this process, with its globals.

    Args:
        after: what ``last_module`` returned at another time: of modules, only those loaded since.
    """
    names: dict[str, dict[str, Any]] = {"": sys.modules["__main__"].__dict__}
    for name in reversed(_loaded_after(after)):
        if name not in MAIN_NAMES and is_user_module(name):
            module = sys.modules.get(name)
            if module is not None:  # otherwise another thread has deleted it
                names[name] = module.__dict__
    names.update((home, space.names) for home, space in list(_spaces.items()))
    return names


def last_module() -> tuple[str, Any] | None:
    """Return the module that was loaded last, with its name; None if another thread deletes it."""
    name = next(reversed(sys.modules))
    module = sys.modules.get(name)
    return None if module is None else (name, module)


def _loaded_after(last: tuple[str, Any] | None) -> list[str]:
    """Return the names of the modules loaded after one of them, the last first. If that one was
    deleted, or loaded again, return the names of all.

    A dict keeps the order in which its keys came. The others are not touched: a reference counted
    in a forked process copies a page, and a thousand names are on several hundred pages.
    """
    if last is None or sys.modules.get(last[0]) is not last[1]:
        return list(reversed(sys.modules))
    count = 16
    while True:
        # One step for other threads, which may import: none of the three runs Python code.
        names = list(itertools.islice(reversed(sys.modules), count))
        if last[0] in names:
            return names[: names.index(last[0])]
        if len(names) < count:  # another thread has deleted it
            return names
        count *= 4


def find(home: str, name: str) -> Any:
    """Return the object ``name`` of ``home``, as a message refers to it; ``name`` may have dots."""
    first, *rest = name.split(".")
    try:
        found = names_of(home)[first]
    except KeyError:
        where = "the main module" if home in ("", *MAIN_NAMES) else f"module {home!r}"
        raise AttributeError(f"this process has no {name!r} in {where}") from None
    for part in rest:
        found = getattr(found, part)
    return found


def home_by_name(obj: Any) -> str | None:
    """Return the home in which ``obj`` is found by its own name, or None.

    Args:
        obj: a function, a class, or a wrapper of one, such as ``functools.lru_cache`` makes.
    """
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    if module in MAIN_NAMES:
        if _at(sys.modules["__main__"].__dict__, name) is obj:
            return ""
    elif _at(getattr(sys.modules.get(module), "__dict__", {}), name) is obj and _is_there(module):
        return module
    names = _globals_of(obj)
    if names is not None and _at(names, name) is obj:
        home = home_of(names, made=is_user_code(names))
        return home if home is not None and home.startswith("<") else None
    return None


def is_in_space(obj: Any) -> bool:
    """Return True if the home of a function or class is a dict that belongs to no module that can
    be imported."""
    module = obj.__module__
    if module in sys.modules and _is_there(module):
        return False
    home = home_by_name(obj)
    return home is not None and home.startswith("<")


def _at(names: dict[str, Any], name: str) -> Any:
    first, *rest = name.split(".")
    found = names.get(first, _MISSING)
    for part in rest:
        found = getattr(found, part, _MISSING)
    return found


def _globals_of(obj: Any) -> dict[str, Any] | None:
    """Return the globals of a function, of a class's first method, or of a wrapped function."""
    names = getattr(obj, "__globals__", None)
    if isinstance(names, dict):
        return names
    if isinstance(obj, type):
        for part in vars(obj).values():
            if isinstance(part, types.FunctionType):
                return part.__globals__
        return None
    inner = getattr(obj, "__wrapped__", None)
    return _globals_of(inner) if inner is not None else None


def _is_there(name: str) -> bool:
    """Return True for a loaded module that workers find by its name."""
    return not is_user_module(name) or _can_import(name)


def _can_import(name: str) -> bool:
    found = _importable.get(name)
    if found is None:
        try:
            found = importlib.util.find_spec(name) is not None
            if found and is_user_module(name):
                found = _is_found_again(name)
        except (ImportError, ValueError, AttributeError):
            found = False
        _importable[name] = found
    return found


def _is_found_again(name: str) -> bool:
    """Return True if an import of a loaded module in another process would find the same file. It
    does not for one that was loaded by its path (plugins, ``spec_from_file_location``); the name
    may even be that of another module there."""
    file = os.path.realpath(sys.modules[name].__file__ or "")
    parent = name.rpartition(".")[0]
    if parent and not _can_import(parent):
        return False
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    if path is None:
        from multiprocessing import process  # workers must not wait for the package

        # "" is the directory in which the program was started, for workers too.
        start: str = getattr(process, "ORIGINAL_DIR", None) or os.getcwd()
        path = [each or start for each in sys.path]
    for finder in sys.meta_path:
        # The finder of paths looks at sys.path if it is given none.
        spec = finder.find_spec(name, path if parent or finder is PathFinder else None)
        if spec is not None:
            return os.path.realpath(spec.origin or "") == file
    return False


def installed_folders() -> tuple[str, ...]:
    """Return the directories of the interpreter, of installed packages and of this library."""
    if not _installed:
        ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        paths = {*installed.directories(), ours}
        found = paths | {os.path.realpath(path) for path in paths}
        know_installed(tuple(path + os.sep for path in found))
    return _installed


def know_installed(folders: tuple[str, ...]) -> None:
    """Set ``installed_folders`` in a worker, as the owner found them."""
    global _installed
    _installed = folders


_installed: tuple[str, ...] = ()


def is_user_file(path: str) -> bool:
    """Return True for a file that is neither the interpreter's nor an installed package's."""
    folders = installed_folders()
    return not path.startswith(folders) and not os.path.realpath(path).startswith(folders)


def is_user_module(name: str | None) -> bool:
    """Return True for the main module and for the user's own modules."""
    if name is None:
        return False
    known = _user.get(name)
    if known is None:
        if name in MAIN_NAMES:
            return True
        module = sys.modules.get(name)
        if module is None:
            return False  # it may be loaded later
        path = getattr(module, "__file__", None)
        known = _user[name] = isinstance(path, str) and is_user_file(path)
    return known


def is_user_home(home: str) -> bool:
    """Return True for the home of a user's code."""
    return home == "" or home.startswith("<") or is_user_module(home)


def is_user_code(names: dict[str, Any]) -> bool:
    """Return True for the globals of the user's own code."""
    name = names.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None and module.__dict__ is names:
        return is_user_module(name)
    # A dict without a module: a script that is run by a profiler, say; or one that a library has
    # made for one function (``namedtuple``, attrs), which is not the user's.
    path = names.get("__file__")
    return name in MAIN_NAMES or (isinstance(path, str) and is_user_file(path))


# Functions by value.


def reduce_function(function: types.FunctionType, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return cloudpickle's reduction of a function, with its home instead of its own globals.

    A function that a library has made in its own dict is left as cloudpickle reduces it.

    Args:
        function: a function that is sent by value.
        reduced: cloudpickle's reduction of it.
    """
    home = home_of(function.__globals__, made=is_user_code(function.__globals__))
    if home is None:
        return reduced
    _, (code, _, *_, closure), (state, slots), *_ = reduced
    slots = {**slots, "__globals__": {}}
    # The state is pickled when the function is in the memo already: it may refer to itself.
    return make_function, (home, code, closure), (state, slots), None, None, set_state


def make_function(home: str, code: types.CodeType, closure: Any) -> Any:
    """Return the function in its home, without its state yet; in the receiver."""
    from cloudpickle import cloudpickle  # it has made the message, so it is needed here

    return cloudpickle._make_function(code, names_of(home), None, None, closure)


def set_state(function: types.FunctionType, state: tuple[Any, Any]) -> None:
    """Set the rest of the function; in the receiver."""
    from cloudpickle import cloudpickle  # see ``make_function``

    cloudpickle._function_setstate(function, state)


def reduce_class(cls: type, reduced: Any) -> Any:
    """Return cloudpickle's reduction of a class, made by ``make_class`` in the receiver.

    ``__slots__`` make slots there. cloudpickle sets them on the class when it exists already: its
    instances then have a ``__dict__``, and their state does not fit instances that have slots.
    """
    if reduced is NotImplemented or len(reduced[1]) != 6:
        return reduced  # six arguments: not those of an enumeration
    _, (metaclass, name, bases, names, tracked, more), (state, rest), *others = reduced
    own = vars(cls)
    # typing.NamedTuple makes its classes again, and sets the slots itself.
    if "__slots__" in own and not ("_fields" in own and issubclass(cls, tuple)):
        slots = tuple(filter(lambda key: _is_slot(key, own[key]), own))
        given = own["__slots__"]
        # An iterator has none left when the class is made.
        kept = given if isinstance(given, str | tuple | list | dict | set | frozenset) else slots
        state = {key: value for key, value in state.items() if key not in slots}
        state["__slots__"] = kept
        names = {**names, "__slots__": slots}
    return make_class, (metaclass, name, bases, names, tracked, more), (state, rest), *others


def _is_slot(name: str, value: Any) -> bool:
    if name in ("__dict__", "__weakref__"):
        return isinstance(value, types.GetSetDescriptorType)
    return isinstance(value, types.MemberDescriptorType)


def make_class(*arguments: Any) -> Any:
    """Return the class, without its state yet; in the receiver.

    One that the receiver has already is not made again: ``__init_subclass__`` and metaclasses would
    see a second one, and might put it in place of the first.
    """
    from cloudpickle import cloudpickle  # see ``make_function``

    known = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(arguments[4])
    return cloudpickle._make_skeleton_class(*arguments) if known is None else known

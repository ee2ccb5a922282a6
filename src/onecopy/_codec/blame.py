"""The search for the part of an object that cannot be pickled, and the error that names it.

The search takes the same way as pickle: into the containers, the state and the arguments of
``__reduce_ex__``, the captured variables of a function, the contents of a class. So a part that an
object's ``__getstate__`` leaves out is never blamed, and an object that refuses by itself is not
searched. The innermost part that fails by itself is the culprit.

An error that the object's own ``__reduce__`` or ``__getstate__`` has raised stays that error, as in
the standard library, with a note that names the object. All others become ``NotPicklable``. Frames
of onecopy and of the picklers are cut out of the tracebacks.
"""

from __future__ import annotations

import copy
import copyreg
import os
import pickle
import types
from abc import ABC
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import NotPicklable, OnecopyError, add_note
from .homes import is_user_file

Attempt = Callable[[Any], Exception | None]
"""Pickles something by itself; returns the error, or None."""
Part = tuple[str, Any]
"""The expression for the step to a part, and the part."""
Found = tuple[str, Any, Exception]
"""The path to the culprit, the culprit, and its error."""

_PATH, _REASON = 120, 100  # characters: with the advice, a message stays under 300
_DEEP = 60
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PICKLERS = (pickle.__file__, copyreg.__file__)
_CLOUDPICKLE = f"{os.sep}cloudpickle{os.sep}"


def refusal(obj: Any, what: str, attempt: Attempt, error: Exception) -> Exception:
    """Return the error to raise when ``obj``, called ``what`` in errors, could not be pickled.

    Args:
        attempt: tries to pickle a part of it.
        error: the original error.
    """
    path, culprit, why = _whole(obj, what, attempt, error)
    if len(path) > _PATH:
        path = f"{path[: _PATH // 3]} ... {path[5 - _PATH + _PATH // 3 :]}"
    path = f"{path} (a {type(culprit).__name__})"
    own = _is_own(error)
    without_ours(error)
    if own and not what.startswith("result"):
        add_note(error, f"onecopy: raised while {path} was pickled")
        return error
    reason = why.reason if isinstance(why, NotPicklable) else str(why) or type(why).__name__
    reason = _cut(reason, _REASON)
    refused = NotPicklable(path, reason, _advice(culprit, path))
    refused.__cause__ = error
    return refused


def _whole(obj: Any, what: str, attempt: Attempt, error: Exception) -> Found:
    """Return the culprit. The parts of a call are called by their own names, items by their
    numbers."""
    parts = [(what, obj)]
    if what == "call":
        *function, args, kwargs = obj
        parts = [("the function", part) for part in function]
        parts += [(f"argument {at}", part) for at, part in enumerate(args)]
        parts += [(f"argument {name!r}", part) for name, part in kwargs.items()]
    elif what.startswith("items ") and isinstance(obj, list | tuple):
        first = int(what.split()[1])
        parts = [(f"item {at}", part) for at, part in enumerate(obj, first)]
    for name, part in parts:
        found = error if part is obj else attempt(part)
        if isinstance(found, RecursionError) or "recursion" in str(found):
            return name, part, error  # as deep as anything in it
        if found is not None:
            return _search(part, name, attempt, found, {id(part): part})
    return what, obj, error


def _search(obj: Any, path: str, attempt: Attempt, error: Exception, seen: dict[int, Any]) -> Found:
    """Return the innermost part of ``obj`` that fails. ``seen`` holds the path to it: a reference
    back is not followed. It keeps the parts alive, some of which exist for the search alone, so
    that no other object gets the address, and with it the ``id``, of one of them."""
    if len(seen) <= _DEEP:
        for name, part in _parts_of(obj, attempt):
            if id(part) not in seen and (found := attempt(part)) is not None:
                seen[id(part)] = part
                return _search(part, path + name, attempt, found, seen)
    return path, obj, error


def _parts_of(obj: Any, attempt: Attempt) -> Iterator[Part]:
    """Yield the parts that are pickled with ``obj``, and the expression for each."""
    if isinstance(obj, dict):
        yield from ((f" (key {short(key)})", key) for key in obj)
        yield from ((f"[{short(key)}]", value) for key, value in obj.items())
    elif isinstance(obj, list | tuple):
        yield from ((f"[{at}]", value) for at, value in enumerate(obj))
    elif isinstance(obj, set | frozenset):
        yield from ((f" (element {short(value)})", value) for value in obj)
    if isinstance(obj, types.MethodType):
        yield from ((".__self__", obj.__self__), (".__func__", obj.__func__))
    elif isinstance(obj, types.FunctionType):
        yield from _captured(obj)
    elif isinstance(obj, types.CellType):
        yield from _cell(obj, "")
    elif isinstance(obj, property):
        accessors = {"fget": obj.fget, "fset": obj.fset, "fdel": obj.fdel}
        yield from ((f".{name}", value) for name, value in accessors.items())
    elif isinstance(obj, staticmethod | classmethod):
        yield "", obj.__func__
    elif isinstance(obj, type):
        yield from _members(obj, attempt)
    elif type(obj) not in (dict, list, tuple, set, frozenset):
        yield from _reduced(obj)


def _cell(cell: types.CellType, name: str) -> Iterator[Part]:
    try:
        yield name, cell.cell_contents
    except ValueError:
        return  # not assigned yet


def _captured(function: types.FunctionType) -> Iterator[Part]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        # If the function uses ``super()``, this is the class that it is a method of.
        step = "" if name == "__class__" else f" (captured variable {name!r})"
        yield from _cell(cell, step)
    yield from ((f" (default {at})", v) for at, v in enumerate(function.__defaults__ or ()))
    defaults = function.__kwdefaults__ or {}
    yield from ((f" (default {name!r})", value) for name, value in defaults.items())
    yield from ((f".{name}", value) for name, value in vars(function).items())
    names = function.__globals__
    yield from ((f" (global {n!r})", names[n]) for n in _globals_of(code) if n in names)


def _globals_of(code: types.CodeType) -> dict[str, None]:
    """Return the globals that the code, or code inside it, names; attributes are not included."""
    import dis  # workers seldom need it

    found = {at.argval: None for at in dis.get_instructions(code) if at.opname.endswith("_GLOBAL")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _globals_of(constant)
    return found


def _members(kind: type, attempt: Attempt) -> Iterator[Part]:
    """Yield the contents of a class and its bases. Values before functions: those lead back to the
    class, by ``super()`` or by its name."""
    found: dict[str, Any] = {}
    for cls in kind.__mro__:
        if cls is kind or attempt(cls) is not None:  # otherwise it is pickled by name
            for name, value in vars(cls).items():
                found.setdefault(name, value)
    later = (types.FunctionType, staticmethod, classmethod, property)
    for wanted in (False, True):
        for name, value in found.items():
            if isinstance(value, later) is wanted and not isinstance(value, _UNSENT):
                yield f".{name}", value


# Created by every class itself: slots, ``__dict__``, ``__weakref__``, the data of an ABC.
_UNSENT = (types.MemberDescriptorType, types.GetSetDescriptorType, type(vars(ABC)["_abc_impl"]))


def registered_reducer(kind: type) -> Any:
    """Return the reducer that is registered for a class itself, or None. tblib, which distributed
    imports, registers one for all exceptions; it loses slots and what ``__init__`` sets."""
    reducer = copyreg.dispatch_table.get(kind)
    return None if getattr(reducer, "__module__", "") == "tblib.pickling_support" else reducer


def _reduced(obj: Any) -> Iterator[Part]:
    """Yield the parts of the object's own reduction."""
    if hasattr(obj, "shape") and hasattr(obj, "dtype"):
        if getattr(obj.dtype, "hasobject", False) and hasattr(obj, "flat"):
            yield from ((f".flat[{at}]", value) for at, value in enumerate(obj.flat))
        return
    if hasattr(obj, "func") and hasattr(obj, "args") and hasattr(obj, "keywords"):
        yield from ((".func", obj.func), (".args", obj.args), (".keywords", obj.keywords))
        return
    reducer = registered_reducer(type(obj))
    try:
        made = reducer(obj) if reducer is not None else obj.__reduce_ex__(5)
    except Exception:
        return  # it refuses by itself: it is the culprit
    if not isinstance(made, tuple):
        return  # the name of a global
    _, args, *rest = made
    state = rest[0] if rest else None
    slots = None
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict | None):
        state, slots = state
    for values in (state, slots):
        if isinstance(values, dict):
            yield from ((f".{name}", value) for name, value in values.items())
        elif values is not None:
            yield " (its state)", values
    within = ".args" if isinstance(obj, BaseException) else " (of its __reduce__)"
    for at, value in enumerate(args):
        yield "" if value is type(obj) else f"{within}[{at}]", value


_FOR_WORKERS = "make it in each worker, by initializer="
_ADVICE = (
    (("_thread", "threading", "_queue", "queue", "asyncio", "contextvars"), _FOR_WORKERS),
    (
        ("_io", "socket", "ssl", "sqlite3", "_socket", "_ssl"),
        "open it in each worker, by initializer=",
    ),
    (("multiprocessing",), "give it to the workers by initargs="),
    (("onecopy",), ""),  # its own message is clear
)


def _advice(culprit: Any, path: str) -> str:
    """Return one line of advice."""
    if path.startswith("result"):
        return "return plain data instead"
    if isinstance(culprit, types.GeneratorType):
        return "make it in the task, or send a list"
    home = type(culprit).__module__
    advice = "make it in each worker, by initializer=, or leave it out in __getstate__"
    for homes, words in _ADVICE:
        if any(f"{home}.".startswith(f"{known}.") for known in homes):
            advice = words
    if "(global" in path and "onecopy" not in home:
        advice += ', or use method="fork"'
    return advice


def _is_own(error: BaseException) -> bool:
    """Return True if code of the object's own class has raised it. Not the picklers, and not a
    library's class that repeats pickle's own complaint as a TypeError or PicklingError."""
    files = [frame.f_code.co_filename for frame, _ in _frames(error)]
    theirs = [name for name in files if not _is_ours(name)]
    if not theirs or type(error) in (pickle.PicklingError, pickle.PickleError):
        return False  # NotPicklable is one of those as well
    plain = isinstance(error, TypeError | pickle.PicklingError)
    return is_user_file(theirs[-1]) or not plain


def _is_ours(filename: str) -> bool:
    return filename.startswith(_HERE) or filename in _PICKLERS or _CLOUDPICKLE in filename


def _frames(error: BaseException) -> Iterator[tuple[types.FrameType, types.TracebackType]]:
    # Bypasses a ``__getattribute__``, which may do anything.
    at = vars(BaseException)["__traceback__"].__get__(error)
    while at is not None:
        yield at.tb_frame, at
        at = at.tb_next


def without_ours(error: BaseException) -> None:
    """Cut the frames of onecopy and of the picklers out of the error's traceback."""
    _keep(error, [at for frame, at in _frames(error) if not _is_ours(frame.f_code.co_filename)])


def _keep(error: BaseException, kept: list[types.TracebackType]) -> None:
    made: types.TracebackType | None = None
    for at in reversed(kept):
        # None if the instruction has no line; -1 stands for that.
        made = types.TracebackType(made, at.tb_frame, at.tb_lasti, at.tb_lineno or -1)
    # Not by assignment: the error's class may refuse that.
    BaseException.with_traceback(error, made)


def from_the_program_on(error: BaseException) -> None:
    """Cut the frames before the first one of the program out of the error's traceback. Without such
    a frame, it is left whole: the error is onecopy's, or a call into C."""
    for frame, at in _frames(error):
        if not _is_ours(frame.f_code.co_filename):
            BaseException.with_traceback(error, at)
            return


def cut_ours(error: BaseException) -> None:
    """Apply ``without_ours``. Of Ctrl-C, also cut the frames of libraries that onecopy called, such
    as ``threading``: where a call was waiting explains nothing."""
    kind = type(error)  # isinstance would ask the error for its class, which may raise anything
    if issubclass(kind, Exception):
        without_ours(error)
    if not issubclass(kind, KeyboardInterrupt):
        return
    kept, called_by_us = [], True
    for frame, at in _frames(error):
        ours = _is_ours(frame.f_code.co_filename)
        called_by_us = ours or (called_by_us and not is_user_file(frame.f_code.co_filename))
        if not called_by_us:
            kept.append(at)
    _keep(error, kept)


class _OursCut:
    """``with ours_cut:`` applies ``cut_ours`` to an error that is raised inside, and also cuts the
    frame that contains the statement."""

    def __enter__(self) -> None:
        """Nothing needs to be set up."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # The error leaves this block with the traceback that it has then.
        if error is not None:
            cut_ours(error)


ours_cut = _OursCut()


def _cut(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def short(value: Any, limit: int = 60) -> str:
    """Return a repr that stays short, also for arrays and frames, and never raises."""
    try:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"<{type(value).__name__} {value.dtype} {value.shape}>"
        if type(value) is tuple and 0 < len(value) <= 4:
            text = f"({', '.join(short(part, limit // len(value)) for part in value)})"
        else:
            text = repr(value) if _small(value) else f"<{type(value).__name__} of {len(value)}>"
        text = " ".join(text.split())
    except BaseException as error:
        # A user's __repr__ may raise anything. This is called while another error is being built,
        # and that is the one to raise.
        text = f"<{type(value).__name__}, its repr raised {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _small(value: Any) -> bool:
    return not isinstance(value, list | dict | set | tuple | str | bytes | bytearray) or (
        len(value) <= 200
    )


def copy_of(error: OnecopyError) -> OnecopyError:
    """Return a copy of an error for one caller. Raising adds frames to its traceback, and the
    engine must not keep them alive."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    return made

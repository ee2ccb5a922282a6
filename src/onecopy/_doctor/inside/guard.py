"""Hooks that replace functions and leave no trace in the program."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def unseen(error: BaseException) -> None:
    """Take the hook's frame, the outermost, out of the traceback of an error that passes.

    To be followed by a bare ``raise``, which adds no entry of its own (3.9 to 3.14), so that what
    the program prints is what it would have printed.
    """
    trace = error.__traceback__
    if trace is not None:
        error.__traceback__ = trace.tb_next


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, of which no exception comes out: None instead."""

    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            # A full disk, a name that is not there in this version, an object whose methods
            # lie: the program must not notice. What is not recorded is found to be missing.
            return None

    return safe


def alike(hook: Any, original: Any) -> Any:
    """``hook``, which looks like ``original`` to who asks for its name or its signature."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        value = getattr(original, name, None)
        if value is not None:
            setattr(hook, name, value)
    hook.__wrapped__ = original
    return hook


def around(
    original: Callable[..., Any],
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
    failed: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """``original`` with ``before(*args, **kwargs)`` and ``after(state, value, *args, **kwargs)``.

    ``state`` is what ``before`` gave. When ``original`` raises, ``failed(error)`` is called instead of
    ``after``. No error of theirs comes out.
    """
    first = guarded(before) if before is not None else None
    then = guarded(after) if after is not None else None
    otherwise = guarded(failed) if failed is not None else None

    def hook(*args: Any, **kwargs: Any) -> Any:
        state = first(*args, **kwargs) if first is not None else None
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            unseen(error)
            if otherwise is not None:
                otherwise(error)
            raise
        if then is not None:
            then(state, value, *args, **kwargs)
        return value

    found: Callable[..., Any] = alike(hook, original)
    return found


def put_around(
    kind: Any,
    name: str,
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
    failed: Callable[..., Any] | None = None,
) -> None:
    """Put hooks around a method that the class has itself; AttributeError when it has none."""
    original = kind.__dict__[name] if name in vars(kind) else getattr(kind, name)
    setattr(kind, name, around(original, before, after, failed))

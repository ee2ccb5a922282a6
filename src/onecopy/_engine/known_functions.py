"""The functions that a pool's workers keep, and the variables that these read.

An importable function is sent once and then referred to by a number. So is one that is pickled by
value and whose captures cannot have changed (see ``functions``). All others are sent with each
call.

Threads: any thread that submits. Dictionary operations are atomic; the engine tells workers, with
its lock held, which functions to drop.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from types import FunctionType
from typing import Any

from .._codec.codec import Encoded, encode
from .._codec.homes import home_by_name
from .._codec.pickling import Namespace
from .._protocol.versions import NO_VERSIONS, Version
from .following import Follower
from .functions import KEPT, Captured, Function, pace_of
from .work import Call

# The number of functions that workers keep.
_MOST = 500


class KnownFunctions:
    """See the module.

    Args:
        namespace: decides what is pickled by name; None for threads, which are sent nothing.
        follower: the variables that functions read; None for threads.
        forget: tells workers to drop a function.
    """

    def __init__(
        self,
        namespace: Namespace | None,
        follower: Follower | None,
        forget: Callable[[Function], None],
    ) -> None:
        self._namespace = namespace
        self._follower = follower
        self._forget = forget
        self._numbers = count(1)
        self._functions: dict[Any, Function] = {}
        self._seen: weakref.WeakSet[FunctionType] = weakref.WeakSet()

    def holds(self, function: Function) -> bool:
        """Return True for a function that is kept beyond the job that uses it."""
        call = function.call  # any callable object, and that may have no hash
        return isinstance(call, KEPT) and self._functions.get(call) is function

    def clear(self) -> None:
        """Forget all functions: the pool has ended."""
        self._functions.clear()
        if self._follower is not None:
            self._follower.clear()

    def for_job(self, call: Callable[..., Any]) -> Function:
        """Return a function for a job: sent to each worker once, with one copy of what it captures.

        Raises NotPicklable.
        """
        known = self.get(call)
        if known is not None:
            return known
        encoded = None
        if self._namespace is not None:
            encoded = encode(call, self._namespace, "function")
            encoded.anchor()
        return Function(next(self._numbers), call, encoded, pace=pace_of(call))

    def get(self, call: Callable[..., Any]) -> Function | None:
        """Return a function that workers keep from call to call.

        None for one that they may not keep, or that is seen for the first time and may not be
        importable. Raises NotPicklable.
        """
        if self._namespace is None or not isinstance(call, KEPT):
            return None
        function = self._functions.get(call)
        if function is not None:
            if function.captured is None or function.captured.unchanged():
                return function
            self._drop(call)
        captured: Captured | None = None
        if home_by_name(call) is None:
            # A lambda that is created for each call is not worth keeping.
            if type(call) is not FunctionType or call not in self._seen:
                if type(call) is FunctionType:
                    self._seen.add(call)
                return None
            captured = Captured(call)
            if not captured.fixed:
                return None
        encoded = encode(call, self._namespace, "function")
        function = Function(next(self._numbers), call, encoded, captured, pace_of(call))
        # Another thread may have added it meanwhile: all must use the same one.
        function = self._functions.setdefault(call, function)
        if len(self._functions) > _MOST:
            self._drop(next(iter(self._functions)))
        return function

    def versions(self, function: Function | None, call: Call | None) -> tuple[Version, ...]:
        """Return the variables that a call needs. Raises NotPicklable."""
        if self._follower is None:
            return NO_VERSIONS
        references = function.references if function is not None else []
        encoded = call.message if call is not None else None
        if type(encoded) is Encoded and encoded.references:
            references = [*references, *encoded.references]
        return self._follower.versions(references) if references else NO_VERSIONS

    def same_versions(self, function: Function | None, call: Call) -> tuple[Version, ...] | None:
        """Return ``versions``; None if a variable may have changed. Changes nothing."""
        if self._follower is None:
            return NO_VERSIONS
        if function is None or type(call.message) is Encoded:
            return None
        return self._follower.same_versions(function.references)

    def _drop(self, call: Callable[..., Any]) -> None:
        function = self._functions.pop(call, None)
        if function is not None:
            self._forget(function)

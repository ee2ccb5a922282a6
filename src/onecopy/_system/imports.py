"""Hooks that run when a module is imported, or now if it is imported already.

A worker has to patch some modules of the standard library (``multiprocessing.process``, for one)
that most workers never import, and that take milliseconds to import.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Act = Callable[[ModuleType], None]


def on_import(name: str, act: Act) -> None:
    """Call ``act`` with the module once: now if it is loaded, otherwise right after its import."""
    module = sys.modules.get(name)
    if module is not None and not _is_loading(module):
        act(module)
    else:
        sys.meta_path.insert(0, _Finder(name, act))


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


class _Finder:
    """A finder of one module: it asks the other finders, and adds a loader that calls the hook."""

    def __init__(self, name: str, act: Act) -> None:
        self._name = name
        self._act = act

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self._name:
            return None
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, self._act)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader that wraps another one, and then calls the hook."""

    def __init__(self, loader: Any, act: Act) -> None:
        self._loader = loader
        self._act = act

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._act(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

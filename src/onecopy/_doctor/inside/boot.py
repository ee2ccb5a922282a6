"""Execute the modules of this folder without a trace in ``sys.modules``, each when it is wanted.

Executed itself with MODULES (name to marshalled code) and SESSION (the folder of the records). The
modules import each other by ``from . import x``: their ``__import__`` is the one below.
"""

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    MODULES: "dict[str, bytes]" = {}
    SESSION = ""

_builtins = dict(vars(sys.modules["builtins"]))
_import = _builtins["__import__"]
_loaded: "dict[str, Any]" = {}


def load(name: str) -> "Any":
    """One of these modules by its name."""
    module = _loaded.get(name)
    if module is None:
        module = _loaded[name] = type(sys)("onecopy_doctor." + name)
        module.__dict__.update(__builtins__=_builtins, __package__="onecopy_doctor")
        exec(marshal.loads(MODULES[name]), module.__dict__)
    return module


class _Package:
    annotations = None  # of ``from __future__ import annotations``

    def __getattr__(self, name: str) -> "Any":
        return load(name)


def _own(
    name: str,
    globals: "Any" = None,
    locals: "Any" = None,
    fromlist: "Any" = (),
    level: int = 0,
) -> "Any":
    if level:
        return load(name) if name else _package
    if name == "__future__":
        return _package
    return _import(name, globals, locals, fromlist, level)


_package = _Package()
_builtins["__import__"] = _own
if __name__ != "onecopy._doctor.inside.boot":
    load("ring").session = SESSION
    load("install").load = load
    load("install").install()

"""Where shared structures were before ``_objects``: pickles that were made then name it.

Importing a module that was here, as ``pickle`` does, imports this one first, which puts the
present modules in their places. Nothing else may use it.
"""

from __future__ import annotations

import sys
from importlib import import_module

__path__: list[str] = []  # a package, whose modules are all there already

# By another name there, by the names of today.
_RENAMED = {"columns": {"Same": "Constant", "Labels": "Categories"}}

for _name in ("columns", "index", "mappings", "sequences", "counter", "log"):
    _module = sys.modules[f"{__name__}.{_name}"] = import_module(f"onecopy._objects.{_name}")
    for _old, _new in _RENAMED.get(_name, {}).items():
        setattr(_module, _old, getattr(_module, _new))

"""The former home of shared structures, now ``_objects``: older pickles name these modules.

Importing a former module, as ``pickle`` does, imports this one first, which registers the present
modules under the former names. Nothing else may use it.
"""

from __future__ import annotations

import sys
from importlib import import_module

__path__: list[str] = []  # a package, whose modules are all registered already

# Former names of classes, and their present names.
_RENAMED = {"columns": {"Same": "Constant", "Labels": "Categories"}}

for _name in ("columns", "index", "mappings", "sequences", "counter", "log"):
    _module = sys.modules[f"{__name__}.{_name}"] = import_module(f"onecopy._objects.{_name}")
    for _old, _new in _RENAMED.get(_name, {}).items():
        setattr(_module, _old, getattr(_module, _new))

"""The directories of the standard library and of installed packages.

As ``sysconfig`` and ``site`` name them, without ``sysconfig``: it reads how the interpreter was
built, which takes a millisecond that the start of a pool would wait for.
"""

from __future__ import annotations

import os
import site
import sys


def directories() -> tuple[str, ...]:
    """Return them, each once and without a slash at the end; a virtual environment's too."""
    library = os.path.dirname(os.__file__)
    name = os.path.basename(library)  # python3.11, or python3.14t
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    found = [library, *(os.path.join(prefix, sys.platlibdir, name) for prefix in prefixes)]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(found))

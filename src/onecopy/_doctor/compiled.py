"""The code of ``inside`` for the Python that runs here, from the interpreter's own cache.

Compiling it takes 20 ms, which would be added to each run. ``inside/build`` compiles it for
programs of another Python.
"""

from __future__ import annotations

import marshal
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from .inside.build import LEFT_OUT, NAME


def write(inside: Path, session: Path) -> None:
    """Write the code of the modules of ``inside`` into ``session``.

    Raises:
        OSError: there is no room.
    """
    parts = {}
    for file in inside.glob("*.py"):
        if file.stem not in LEFT_OUT:
            loader = SourceFileLoader(f"{__package__}.inside.{file.stem}", str(file))
            code = loader.get_code(loader.name)
            assert code is not None, file
            parts[file.stem] = marshal.dumps(_renamed(code))
    (session / f"{sys.implementation.cache_tag}.code").write_bytes(marshal.dumps(parts))


def _renamed(code: CodeType) -> CodeType:
    """``code`` with the made-up file name, all functions in it too."""
    constants = tuple(
        _renamed(each) if isinstance(each, CodeType) else each for each in code.co_consts
    )
    return code.replace(co_filename=NAME, co_consts=constants)

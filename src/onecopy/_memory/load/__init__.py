"""Files into shared memory, one file per format: the choice is made here.

Each format is a module with one function ``load(path, **options)``; what the format allows
to be mapped is mapped, so nothing is read or copied until it is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...errors import BadFile


def load(path: str | os.PathLike[str], **options: Any) -> Any:
    """See ``onecopy.load``."""
    from . import npy, npz

    formats = {".npy": npy.load, ".npz": npz.load}
    name = os.fspath(path)
    choice = formats.get(Path(name).suffix.lower())
    if choice is None:
        raise BadFile(f"{name!r}: the format is not known; onecopy loads {', '.join(formats)}")
    if not os.path.isfile(name):
        reason = "is not a regular file" if os.path.exists(name) else "does not exist"
        raise FileNotFoundError(2, f"file {reason}", name)
    return choice(name, **options)

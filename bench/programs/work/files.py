"""Source files for the programs that read some: packages of the standard library, copied."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def copy_of(folder: str, *packages: str) -> list[str]:
    """Copies the modules of these packages into the folder; returns their paths, sorted."""
    paths: list[Path] = []
    for package in packages:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        sources = sorted(Path(found.origin).parent.glob("*.py"))
        paths += [
            Path(shutil.copy(source, Path(folder) / f"{package}_{source.name}"))
            for source in sources
        ]
    return [str(path) for path in paths]

"""Reads one block, in whatever process that is."""

from __future__ import annotations

from typing import Any

from ...errors import BadFile
from ..load import FORMATS, places
from .forward import Kept
from .recipe import Cut, FileRecipe, Recipe


def read(recipe: Recipe, of: FileRecipe, cut: Cut, kept: Kept | None = None) -> Any:
    """See ``Block.read``; ``kept``: what the last block has left open."""
    _require_same(of)
    try:
        if FORMATS[recipe.format].kind == "table":
            from . import tables

            return tables.read(recipe, of, cut, kept)
        from . import arrays

        return arrays.read(recipe, of, cut)
    except BadFile as error:
        said = str(error)
        if not cut.part or cut.part in said:
            raise
        raise BadFile(f"{said} (in {cut.part} of {of.name!r})") from error


def _require_same(of: FileRecipe) -> None:
    if of.stamp and places.stamp(of.name) != of.stamp:
        raise BadFile(
            f"{of.name!r} is not the file that was scanned: it has another size or time of change; "
            "scan it again"
        )

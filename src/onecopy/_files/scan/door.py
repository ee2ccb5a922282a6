"""``onecopy.scan``: describe a dataset without loading it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ...errors import BadFile, LoadWarning, printable
from ..load import FORMATS, asked, files, format_of, places, require_options
from .handle import Block, Scan
from .recipe import Asked


def scan(  # noqa: PLR0913  # options of a file
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    columns: str | Iterable[str] | None = None,
    dtype: Any = None,
    format: str | None = None,
    sep: str | None = None,
    header: bool | None = None,
    names: Iterable[str] | None = None,
    quote: str | None = '"',
    escape: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    na_values: str | Iterable[str] | None = None,
    encoding: str | None = None,
    parse_dates: bool | str | Iterable[str] | Mapping[str, str | None] | None = None,
    skip_rows: int = 0,
    comment: str | None = None,
    bad_rows: Literal["error", "skip"] = "error",
    filter: Any = None,
    missing: Literal["error", "null"] = "error",
    errors: Literal["error", "skip"] = "error",
    block_bytes: int | None = None,
    rows: int | None = None,
) -> Scan:
    """Describe a dataset that is never loaded whole: workers read it, block by block.

    ``pool.map_blocks(f, oc.scan(path))`` calls ``f`` with the same kind of data as
    ``pool.map_blocks(f, oc.load(path))``: tables or arrays with the same columns and types. But each
    worker reads its block from the file, so the data may be larger than memory, and this process
    reads none of it. ``pool.imap(f, scan)``, ``imap_unordered`` and ``stream`` call ``f`` with each
    block, too. A block without rows, such as one of which ``filter`` leaves none, is left out.

    | format | a block | memory for a block |
    | --- | --- | --- |
    | parquet | whole row groups | the block and about 8 MB |
    | arrow files; streams | record batches; the whole file | mapped; compressed: the block |
    | csv, ndjson | lines, between two bytes of the file | the block and about 8 MB |
    | csv, ndjson, compressed | the whole file | the block and about 8 MB |
    | npy | rows | mapped |
    | zarr; an array of hdf5 or npz | rows, in whole chunks | the block and a piece |

    Args:
        path: as for ``load``, URLs too. The workers must see the same files.
        columns: names of columns or fields, as for ``load``; of an archive the one array to cut.
        block_bytes: about how many bytes a block has: of text in the file, otherwise decoded. Small
            row groups are joined up to that; a larger one, or a larger chunk, stays whole. None: 32
            MB, less if there would be fewer than four blocks per CPU; with ``rows``, any number.
        rows: the most rows that a block has: larger row groups, record batches and chunks are cut. The
            worker decodes a row group from its beginning, and keeps no rows but those of the block in
            memory; it goes on from there with its next block. Not for csv and ndjson, whose rows are
            not known before they are read, nor for Arrow files that are compressed or at a URL, and
            Arrow streams.
        filter: as for ``load``: folders, files and row groups without such rows are not read.
        errors: a file that cannot be opened now is an error, or, among several, left out ("skip").
        dtype, format, sep, header, names, quote, escape, decimal, thousands, na_values, encoding,
            parse_dates, skip_rows, comment, missing: as for ``load``.
        bad_rows: "error" or "skip", as for ``load``.

    Returns:
        A ``Scan``, with ``schema``, ``rows``, ``nbytes``, ``files`` and ``blocks``.

    Raises:
        As ``load`` does for what can be seen without reading the rows; ValueError for a
        ``block_bytes`` or ``rows`` below 1, and for ``rows`` with text.

    Warns:
        LoadWarning: as ``load`` does.

    Opens each file once, and reads its description; of text about 4 MB (with ``thousands`` all of
    it), and the types of its columns are those of these first rows: a later value of another type
    is an error that says so. A file that has changed since then is an error. Blocks meanwhile.
    Thread-safe.

    Example:
        >>> import numpy as np, onecopy as oc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.arange(6.0))
        >>> with oc.Pool(2) as pool:
        ...     pool.map_blocks(np.sum, oc.scan(path, block_bytes=16), reduce="sum")
        np.float64(15.0)
    """
    if block_bytes is not None and block_bytes < 1:
        raise ValueError(f"block_bytes={block_bytes}: a block has at least 1 byte")
    if rows is not None and rows < 1:
        raise ValueError(f"rows={rows}: a block has at least 1 row")
    wanted = asked(
        columns=columns,
        dtype=dtype,
        sep=sep,
        header=header,
        names=names,
        quote=quote,
        escape=escape,
        decimal=decimal,
        thousands=thousands,
        na_values=na_values,
        encoding=encoding,
        parse_dates=parse_dates,
        skip_rows=skip_rows,
        comment=comment,
        bad_rows=bad_rows,
        filter=filter,
        missing=missing,
        errors=errors,
    )
    if wanted.text.bad_rows == "collect":
        raise ValueError('bad_rows="collect": a scan reads no rows; load collects them')
    found = [_absolute(name) for name in files(path, wanted, format)]
    kind = format_of(found, wanted, format)
    require_options(kind, wanted)
    if FORMATS[kind].kind == "object":
        raise BadFile(f"{str(found[0])!r}: {kind} is one object, which has no blocks")
    size = Asked(block_bytes, rows)
    if FORMATS[kind].kind == "table":
        from . import tables

        if rows is not None and kind in tables.TEXT:
            raise ValueError(
                f"rows= is not for {kind}: rows of text are counted by reading it; block_bytes= sets "
                "the size of its blocks"
            )
        recipe, parts = tables.described(found, wanted, kind, size)
    else:
        from . import arrays

        recipe, parts = arrays.described(found, wanted, kind, size)
    for line in wanted.notes.lines():
        warnings.warn(printable(line), LoadWarning, stacklevel=2)
    return Scan(recipe, tuple(Block(recipe, of, cut) for of, cut in parts))


def _absolute(name: places.File) -> places.File:
    """Return the name as it is in any working directory: a worker's may be another."""
    if places.is_remote(name):
        return name
    return places.File(os.path.abspath(name), name.keys)


scan.__module__ = "onecopy"

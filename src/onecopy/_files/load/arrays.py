"""Loads arrays of files into shared memory: npy, npz, HDF5, Zarr.

A single array whose file has the layout of memory is mapped, and its rows and fields are views.
Everything else is written block by block into one segment: arrays that must be decoded or cast, and
several files, whose arrays are joined along the first axis. So the peak is the data and one block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..._codec.arrays import on_buffer
from ..._memory.segment_writer import Growing
from ...errors import BadFile
from .interface import PIECE, Array, Arrays, Damaged, Stream, Wanted, chosen
from .members import Refused


class SharedArchive(Mapping[str, "np.ndarray[Any, Any]"]):
    """The arrays of an archive by name, each in shared memory; read-only.

    A mapping like the one that ``np.load`` returns, with ``files`` and ``close`` for
    programs that use them; the arrays outlive it.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray[Any, Any]], refused: Mapping[str, Refused] | None = None
    ) -> None:
        self._arrays = arrays
        self._refused = {name: each.reason for name, each in (refused or {}).items()}

    @property
    def files(self) -> list[str]:
        """Return the names of the arrays."""
        return list(self._arrays)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        if name in self._refused:
            raise BadFile(f"{name!r} was left out: {self._refused[name]}")
        return self._arrays[name.removesuffix(".npy") if name not in self._arrays else name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"<SharedArchive of {', '.join(self._arrays) or 'nothing'}>"

    def __enter__(self) -> SharedArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the arrays; those in use stay."""
        self._arrays = {}


def load(sources: list[Arrays], wanted: Wanted) -> np.ndarray[Any, Any] | SharedArchive:
    """Return the array of the files, or their archive.

    Raises:
        BadFile: the files do not match, or have no such fields or members.
        NotEnoughMemory: the data that must be copied does not fit.
    """
    while True:
        try:
            return _loaded(sources, wanted)
        except Damaged as error:
            if wanted.errors != "skip" or len(sources) == 1:
                raise BadFile(str(error)) from error
            left = [each for each in sources if not _has(each, error.where)]
            for each in sources:
                if each not in left:
                    wanted.skip(each.where, error)
            if not left:
                raise BadFile(f"none of the files can be read: {error}") from error
            sources = left


def _has(source: Arrays, where: str) -> bool:
    return any(array.where == where for array in source.members.values())


def _loaded(sources: list[Arrays], wanted: Wanted) -> np.ndarray[Any, Any] | SharedArchive:
    parts, fields = matched(sources, wanted)
    wanted.made.clear()
    wanted.meter.start(source.where for source in sources)
    loaded = {}
    for count, (name, each) in enumerate(parts.items()):
        part = (count / len(parts), 1 / len(parts))
        loaded[name] = _one(each, wanted, fields, part)
    wanted.meter.whole(1)
    if sources[0].single:
        return loaded[""]
    return SharedArchive(loaded, refused(sources))


def refused(sources: list[Arrays]) -> dict[str, Refused]:
    """Return the members that cannot be loaded."""
    members = (pair for source in sources for pair in source.members.items())
    return {name: each for name, each in members if isinstance(each, Refused)}


def matched(
    sources: list[Arrays], wanted: Wanted
) -> tuple[dict[str, list[Array]], tuple[str, ...] | None]:
    """Return the wanted arrays by name, each with its part in every file; and the wanted fields.

    ``columns`` are fields if a file is one array, and arrays if it is an archive.
    """
    first = sources[0]
    for source in sources[1:]:
        if source.members.keys() != first.members.keys():
            raise BadFile(
                f"{first.where!r} and {source.where!r} do not hold arrays of the same names: "
                f"{', '.join(first.members)}; {', '.join(source.members)}"
            )
    names, fields = list(first.members), wanted.columns
    if not first.single:
        names, fields = chosen(first.where, names, fields, "member"), None
    out = refused(sources)
    for name, each in out.items():
        if name in names:
            if wanted.columns is not None or first.single or len(out) == len(names):
                each.refuse()
            wanted.notes.say(first.where, f"left out {name!r}: {each.reason}")
    names = [name for name in names if name not in out]
    return {name: [source.members[name] for source in sources] for name in names}, fields


def _one(
    parts: list[Array],
    wanted: Wanted,
    fields: tuple[str, ...] | None,
    part: tuple[float, float],
) -> np.ndarray[Any, Any]:
    """Return one array of the parts of all files, in shared memory.

    Args:
        part: the share of all bytes that was read before it, and its own share.
    """
    stream = streamed(parts, wanted, fields)
    if len(parts) == 1 and wanted.dtype is None:
        whole = parts[0].whole()
        if whole is not None:
            if whole.shape and not wanted.all_rows:
                whole = whole[slice(*wanted.window(len(whole)))]
            return whole if fields is None else whole[list(fields)]
    if not stream.nbytes:
        empty = np.empty(stream.shape, stream.dtype)
        empty.flags.writeable = False
        return empty
    with Growing(stream.where) as growing:
        growing.require(stream.nbytes)
        for block in stream.blocks():
            # As plain bytes: times, for example, have no format in the buffer protocol.
            growing.write(block.reshape(-1).view(np.uint8))
            wanted.meter.whole(part[0] + part[1] * growing.tell() / stream.nbytes)
        if growing.tell() != stream.nbytes:
            raise BadFile(
                f"{stream.where!r} is cut short: {growing.tell()} of {stream.nbytes} bytes"
            )
        segment = growing.finish()
    wanted.made.append(segment)
    return on_buffer(segment.view(0, stream.nbytes), stream.shape, stream.dtype)


def streamed(parts: list[Array], wanted: Wanted, fields: tuple[str, ...] | None) -> Stream:
    """Return the wanted rows and fields of the parts of all files, in the wanted type."""
    first = parts[0]
    for part in parts[1:]:
        if part.dtype != first.dtype or part.shape[1:] != first.shape[1:] or not part.shape:
            raise BadFile(
                f"{first.where!r} and {part.where!r} do not make one array: "
                f"{first.shape} of {first.dtype}, {part.shape} of {part.dtype}"
            )
    dtype = result_dtype(first, wanted.dtype, fields)
    shape, start, stop = first.shape, 0, 1
    if shape:
        start, stop = wanted.window(sum(part.shape[0] for part in parts))
        shape = (stop - start, *shape[1:])

    def blocks() -> Iterator[np.ndarray[Any, Any]]:
        for block in joined(parts, start, stop):
            yield converted(block, dtype, first.where)

    return Stream(first.where, shape, dtype, blocks)


def joined(parts: list[Array], start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield rows of the parts, one after another, some at a time."""
    for part in parts:
        rows = part.shape[0] if part.shape else 1
        if start < min(rows, stop):
            try:
                yield from part.blocks(start, min(rows, stop))
            except BadFile as error:
                raise Damaged(str(error), part.where) from error
        start, stop = max(0, start - rows), max(0, stop - rows)


def result_dtype(array: Array, dtype: Any, fields: tuple[str, ...] | None) -> np.dtype[Any]:
    """Return the requested dtype: of all elements, or of records field by field."""
    if fields is None and dtype is None:
        return array.dtype
    if array.dtype.names is None:
        if fields is not None or isinstance(dtype, Mapping):
            raise BadFile(
                f"{array.where!r} has no columns: it holds plain {array.dtype}, not records"
            )
        made: np.dtype[Any] = np.dtype(dtype)
    else:
        made = _of_records(array, dtype, fields)
    if made.hasobject:
        raise BadFile(f"{array.where!r} cannot be loaded as Python objects (dtype {made})")
    return made


def _of_records(array: Array, dtype: Any, fields: tuple[str, ...] | None) -> np.dtype[Any]:
    names = list(array.dtype.names or ())
    fields = tuple(chosen(array.where, names, fields, "field"))
    if dtype is None:
        types: Mapping[str, Any] = {}
    elif isinstance(dtype, Mapping):
        types = dtype
    else:
        whole = np.dtype(dtype)
        inner = whole.names or names
        types = {name: whole if whole.names is None else whole[name] for name in inner}
    chosen(array.where, names, tuple(types), "field")
    return np.dtype([(name, types.get(name, array.dtype[name])) for name in fields])


def converted(
    block: np.ndarray[Any, Any], dtype: np.dtype[Any], where: str
) -> np.ndarray[Any, Any]:
    """Return a block as contiguous bytes of ``dtype``. A cast that would lose information (a
    fraction, an imaginary part) is refused, as NumPy refuses it in place."""
    try:
        if dtype.names is None or block.dtype == dtype:
            return np.ascontiguousarray(block.astype(dtype, "C", "same_kind", copy=False))
        made = np.empty(block.shape, dtype)
        for name in dtype.names:
            made[name] = block[name].astype(dtype[name].base, casting="same_kind", copy=False)
    except TypeError as error:
        raise BadFile(f"{where!r} cannot be loaded as {dtype}: {error}") from error
    return made


def rows_a_piece(shape: tuple[int, ...], dtype: np.dtype[Any], multiple: int = 1) -> int:
    """Return how many rows to read at a time: a multiple of the rows of a chunk."""
    row = max(1, int(np.prod(shape[1:], dtype=object)) * dtype.itemsize)
    return max(multiple, PIECE // row // multiple * multiple, 1)


class Sliced:
    """An ``Array`` on an object whose slices are rows: an HDF5 dataset, a Zarr array.

    Args:
        data: has ``shape``, ``dtype``, ``chunks`` and ``data[start:stop]``.
        where: see ``Array``.
        guard: a context for reading it, such as ``interface.reading``.
    """

    def __init__(self, data: Any, where: str, guard: Any) -> None:
        self.where = where
        self._data, self._guard = data, guard
        self.shape: tuple[int, ...] = tuple(data.shape)
        self.dtype: np.dtype[Any] = np.dtype(data.dtype)

    @property
    def chunk(self) -> int:
        """The number of rows that are decoded together, at least 1."""
        return int((self._data.chunks or (1,))[0])

    def whole(self) -> None:
        """Return None: it has to be decoded."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        if not self.shape:
            with self._guard():
                value = np.asarray(self._data[()])
            yield value
            return
        step = rows_a_piece(self.shape, self.dtype, self.chunk)
        while start < stop:
            # Up to the edge of a chunk: a chunk that is cut in two would be decoded twice.
            end = min(stop, start + step - start % step)
            with self._guard():
                block = np.asarray(self._data[start:end])
            yield block
            start = end

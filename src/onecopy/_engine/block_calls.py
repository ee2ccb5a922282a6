"""The calls of a pool on data that is cut: ``map_blocks`` and ``map_groups``, with their types.

``many``, ``blocks`` (sizes, reductions) and ``block_items`` implement them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._codec.blame import ours_cut
from .._progress.asked import Bar
from .blocks import Reduction
from .failed import Failed
from .many import Many

if TYPE_CHECKING:
    import numpy as np

    from .._files.scan.handle import Scan
    from .failed import Errors

R = TypeVar("R")  # a function's return type
D = TypeVar("D")  # the type of the data that is cut
Array = TypeVar("Array", bound="np.ndarray[Any, Any]")


class BlockCalls:
    """See the module; a part of ``PoolView``."""

    __module__ = "onecopy.pool"
    if TYPE_CHECKING:  # otherwise it would be found where this class declares it
        _many: Many

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[Any], R],
        data: Scan,
        *,
        block: None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[Any], R],
        data: Scan,
        *,
        block: None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[Any], R],
        data: Scan,
        *,
        block: None = None,
        axis: int = 0,
        reduce: Callable[[R, R], R] | Literal["sum", "first", "last"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> R: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[Any], object],
        data: Scan,
        *,
        block: None = None,
        axis: int = 0,
        reduce: Reduction,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> Any: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], R],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], R],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], R],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[R, R], R] | Literal["sum", "first", "last"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> R: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], Array],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> Array: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], object],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat", "mean"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> Any: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[[D], object],
        data: D,
        *,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["count"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> int: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., R],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> list[R]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., R],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: None = None,
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> list[R | Failed]: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., R],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[R, R], R] | Literal["sum", "first", "last"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> R: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., Array],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> Array: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., object],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["min", "max", "concat", "mean"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> Any: ...

    @overload
    def map_blocks(  # each is an option of the call
        self,
        func: Callable[..., object],
        data: Any,
        second: Any,
        /,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Literal["count"],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> int: ...

    def map_blocks(  # noqa: PLR0913  # each is an option of the call
        self,
        func: Callable[..., Any],
        data: Any,
        *more: Any,
        block: int | None = None,
        axis: int = 0,
        reduce: Callable[[Any, Any], Any] | Reduction | None = None,
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        timeout: float | None = None,
    ) -> Any:
        """Cut ``data`` into blocks, call ``func`` on each, and combine the results.

        Args:
            func: called as ``func(block)``, or ``func(block, *blocks_of_more)``.
            data: an array; a frame, table, column or series of pandas, pyarrow or polars; or a
                sequence. Shared or mapped data is passed by reference; plain data is copied,
                each block once, a few at a time. Or what ``onecopy.scan`` returns: workers read its
                blocks themselves, and ``func`` gets the same kind of data.
            more: more data of the same length along ``axis``; cut at the same places.
            block: rows per block; chosen by bytes (about 6 MB) if None. A scan has its own blocks.
            axis: the axis to cut along; 0, the rows, for tables of pyarrow and polars.
            reduce: how to combine results, in block order: a callable of two results, ``"sum"``,
                ``"min"``, ``"max"`` (elementwise for arrays of one shape; by label for frames and
                series of pandas, where a label may be missing in some; what is masked is left out);
                ``"mean"``: the mean of blocks' means, each weighted by all rows of its block (where
                a function leaves rows out, sum and count instead; missing values that it may have
                left out are warned of); ``"concat"``; ``"count"``: the
                number of elements in all results; ``"first"``, ``"last"``: the first or last result
                that is not None.
            progress, errors, timeout: as for ``map``. With ``reduce`` no errors are returned.

        Returns:
            The list of results in block order, or their reduction. With ``reduce`` and no rows at
            all: ``func`` of the empty data, called in this process.

        Raises:
            ValueError: unequal lengths, no such axis, a block below 1, an unknown reduce; results
                whose shapes or labels cannot be combined.
            TypeError: results that ``reduce`` cannot combine, such as groups in a frame of polars.

        The first failing block's error is raised.
        """
        with ours_cut:
            return self._many.map_blocks(
                func, (data, *more), block, axis, reduce, progress, errors, timeout
            )

    @overload
    def map_groups(
        self,
        func: Callable[[D], R],
        frame: D,
        *,
        by: str | Iterable[str],
        progress: bool | str | Bar | None = None,
        errors: Literal["raise", "skip"] = "raise",
        timeout: float | None = None,
    ) -> dict[Any, R]: ...

    @overload
    def map_groups(
        self,
        func: Callable[[D], R],
        frame: D,
        *,
        by: str | Iterable[str],
        progress: bool | str | Bar | None = None,
        errors: Literal["return"],
        timeout: float | None = None,
    ) -> dict[Any, R | Failed]: ...

    def map_groups(
        self,
        func: Callable[..., Any],
        frame: Any,
        *,
        by: str | Iterable[str],
        progress: bool | str | Bar | None = None,
        errors: Errors = "raise",
        timeout: float | None = None,
    ) -> dict[Any, Any]:
        """``{key: func(group)}`` for the groups of a frame, computed by all workers.

        Args:
            func: called with each group: the rows that have one key, with all columns, in the
                order in which they are in ``frame``.
            frame: a frame of pandas or polars, or an Arrow table. If the rows of groups are not
                adjacent, it is sorted once. The groups of a frame from ``share(frame,
                order_by=by)`` are slices, which are passed by reference.
            by: the name of a column, or of several.
            progress, errors, timeout: as for ``map``.

        Returns:
            A dict from keys to results, in the order of the groups. A key is a value of the
            column, or a tuple if several names are given. Rows whose value is null are a group
            too: its key is None. 0.0 and -0.0 are one key, and so are all NaN.

        Raises:
            TypeError: it is not a frame, or ``by`` is a column or a function and no name.
            ValueError: it has no such column, or the column's values have no order (sets).

        The first failing group's error is raised.

        Example:
            >>> import onecopy as oc, pandas as pd
            >>> frame = pd.DataFrame({"city": ["A", "B", "A"], "sold": [1, 2, 3]})
            >>> with oc.Pool(2) as pool:
            ...     pool.map_groups(lambda group: int(group["sold"].sum()), frame, by="city")
            {'A': 4, 'B': 2}
        """
        with ours_cut:
            return self._many.map_groups(func, frame, by, progress, errors, timeout)

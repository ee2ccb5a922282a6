"""torch's tensors in plain CPU memory, as arrays.

torch's own pickling puts the elements into the stream. Parameters and modules pickle the tensors
that they hold, so they need nothing here. Other layouts and devices, quantized tensors and
subclasses are left to torch.

A tensor has no read-only flag. If it is in shared memory it can be read; a write in place is
refused by the kernel, which ends the process with a segmentation fault.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# The dtypes that ``Tensor.numpy`` accepts; others (bfloat16, the small floats) are sent as bits.
_NUMPY = frozenset(
    {
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.uint16, torch.uint32, torch.uint64,
        torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    }
)  # fmt: skip


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    return _reduce if kind is torch.Tensor else None


def _reduce(tensor: Any, buffers: Any) -> Any:
    plain = (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_neg()
        and not tensor.is_conj()
        and not tensor.__dict__
        and (tensor.is_leaf or not tensor.requires_grad)
        and (tensor.dtype in _NUMPY or tensor.itemsize in _BITS)
    )
    if not plain:
        return NotImplemented
    bits = tensor.detach()
    if tensor.dtype not in _NUMPY:
        bits = bits.view(_BITS[tensor.itemsize])
    return _build, (bits.numpy(), str(tensor.dtype).split(".")[1], tensor.requires_grad)


def _build(array: Any, dtype: str, requires_grad: bool) -> Any:
    tensor = torch.from_numpy(array if array.flags.writeable else _unguarded(array))
    wanted = getattr(torch, dtype)
    if tensor.dtype != wanted:
        tensor = tensor.view(wanted)
    return tensor.requires_grad_(requires_grad)


def _unguarded(array: Any) -> Any:
    """Return the same memory without the read-only flag; torch warns about the flag and drops it.
    For sealed memory, which the kernel protects instead."""
    low, high = np.lib.array_utils.byte_bounds(array)
    buffer: Any = (ctypes.c_ubyte * max(high - low, 1)).from_address(low)
    buffer._owner = array
    first = array.__array_interface__["data"][0] - low
    return np.ndarray(array.shape, array.dtype, buffer, first, array.strides)

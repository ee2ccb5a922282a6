"""Hooks of loky's ``backend.reduction`` and ``.queues``, also inside joblib: it pickles by its own."""

from __future__ import annotations

import sys

from . import kinds, messages, ring
from .guard import unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def hook_loky_reduction(module: Any) -> None:
    original = module.dumps

    def dumps(obj: Any, reducers: Any = None, protocol: Any = None) -> Any:
        t0 = ring.now()
        try:
            data = original(obj, reducers, protocol)
        except BaseException as error:
            unseen(error)
            messages.failed(error, kinds.PICKLE, t0)
            raise
        try:
            messages.sends(obj, t0, data)
        except Exception:
            pass  # see guard.guarded; written out for speed
        return data

    module.dumps = dumps


def hook_loky_queues(module: Any) -> None:
    reduction = sys.modules.get(module.__package__ + ".reduction")
    if reduction is not None:
        module.dumps = reduction.dumps

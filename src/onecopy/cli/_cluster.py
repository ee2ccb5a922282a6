"""``--cluster``: from an address on the command line to hosts for ``Pool(cluster=...)``."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

from ._errors import FAILED, CommandError, reason

# Hosts that are processes of this machine.
_MADE_UP = re.compile(r"loopback:([1-9]\d*)(?:x([1-9]\d*))?")


def check(address: str, workers: int | None, method: str) -> None:
    """Refuse what a pool on several hosts does not have. Raises CommandError."""
    if workers is not None:
        raise CommandError("with --cluster each host has its own number of workers: no --workers")
    if method in ("fork", "thread"):
        raise CommandError(
            f"--method {method} uses the state of this process, which no other host has: "
            "with --cluster it is forkserver or spawn"
        )
    if address.startswith("loopback") and _MADE_UP.fullmatch(address) is None:
        raise CommandError(f"--cluster {address}: made-up hosts are loopback:HOSTS[xWORKERS]")
    from .._cluster.setup import is_place

    if _MADE_UP.fullmatch(address) or is_place(address):
        return
    raise CommandError(
        f"--cluster {address}: it is no address such as tcp://10.0.0.1:8786, and no scheduler file"
    )


def reach(address: str, stack: ExitStack) -> Any:
    """Return the hosts; a client of a scheduler is closed with ``stack``.

    Args:
        address: of a Dask scheduler, or the path of its scheduler file; or made-up hosts.
        stack: ends with the command.

    Blocks until the scheduler has answered; Dask's own time limit is 30 s.

    Raises:
        CommandError: it has not answered, or Dask is not installed.
    """
    made_up = _MADE_UP.fullmatch(address)
    if made_up is not None:
        from .._cluster.carriers.loopback import loopback

        return loopback(int(made_up[1]), int(made_up[2] or 1))
    from .._cluster.setup import connect
    from ..errors import MissingLibrary, NoHosts

    try:
        client = connect(address)
    except MissingLibrary as error:
        raise CommandError("--cluster needs Dask: pip install distributed") from error
    except NoHosts as error:
        raise CommandError(
            f"--cluster {address}: no scheduler can be reached there: {reason(error.__cause__ or error)}",
            FAILED,
        ) from error
    stack.callback(client.close)
    return client

"""The messages between the driver and an agent, where they are more than a few values.

To an agent: ``begin``, ``ping``, ``initializer``, ``settings``, ``segment``, ``piece``, ``bytes``, ``fetch``,
``file``, ``decode``, ``forget``, ``function``, ``forget_function``, ``version``, ``room``, ``give``, ``withdraw``,
``abort``, ``hush``, ``present``, ``look``, ``weigh``, ``close``, ``terminate``, ``kill``; ``agent`` has a method for
each.
To the driver: ``worker``, ``pong``, ``lands``, ``landed``, ``value``, ``ended``, ``failed``, ``withdrawn``, ``cut``,
``said``, ``imported``, ``profile``, ``memory``, ``answer``, ``mapped``, ``has``, ``fetched``, ``room``, ``lacks``,
``forgotten``, ``broken``, ``bye``; ``arrivals`` has a method for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .._codec.parcel import Parcel
from .._engine.options import Options
from .._engine.rules import Rules
from .._protocol.preparation import Preparation

LACKING, NO_ROOM = "lacking", "no room"
"""The answers to ``fetch`` if the bytes are not there: the other host has not delivered them, or there is no
room for any more of their segment."""


@dataclass(frozen=True)
class Setup:
    """The first message to an agent.

    Attributes:
        options: of the engine; without an initializer, which comes as ``initializer``.
        preparation: the driver's environment.
        initializer: its name, or None. Its variables, and then itself, follow as items.
        settings: the driver's log settings.
        local: the host is a process of the driver's machine.
        host: its name.
    """

    options: Options
    preparation: Preparation
    initializer: str | None
    settings: bytes
    local: bool
    host: str


class Order(NamedTuple):
    """An assignment on its way to a host.

    Attributes:
        id: the driver's number of the assignment.
        task: the number of the task or job that it belongs to, for its output.
        name: of the assignment, in errors.
        function: the id of its function; 0 if that is in the payload.
        call_kind: how the function is applied, see ``wire``.
        size: the number of items; 0 for a call.
        cuttable: its size was chosen by the scheduler, so items may be taken back.
        rules: limits that the host keeps, or None.
        versions: the numbers of the variables that workers need for it.
        parcel: the payload.
    """

    id: int
    task: int
    name: str
    function: int
    call_kind: int
    size: int
    cuttable: bool
    rules: Rules | None
    versions: tuple[int, ...]
    parcel: Parcel


Known = tuple[int, bool, int, int, int, float]
"""A worker as its host knows it: its number there, ready or not, the tasks that it has ended, the driver's
number of the assignment that it runs (or 0), for how long (nanoseconds), CPU seconds."""

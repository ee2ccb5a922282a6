"""Names that there are, and names that there are not."""

from typing import assert_type

import onecopy
import onecopy as oc
from onecopy import Pool, SharedDict, errors, share
from onecopy import nonsense  # error: attr-defined | reportAttributeAccessIssue
from onecopy import import_module  # error: attr-defined | reportAttributeAccessIssue
from onecopy.errors import WorkerDied
from onecopy.errors import WorkerDead  # error: attr-defined | reportAttributeAccessIssue

oc.Pol  # error: attr-defined | reportAttributeAccessIssue
oc.errors.Nothing  # error: attr-defined | reportAttributeAccessIssue
assert_type(onecopy.__version__, str)
assert_type(oc.cpu_count(), int)
names = [Pool, SharedDict, errors, share, nonsense, import_module, WorkerDead]


def explained(error: Exception) -> str | None:
    if isinstance(error, WorkerDied):
        assert_type(error.pid, int)
        assert_type(error.exitcode, int | None)
    if isinstance(error, oc.NotPicklable):
        return error.path
    if isinstance(error, oc.TaskTimeout):
        return error.task
    return None

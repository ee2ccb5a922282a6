"""Warning filters whose categories belong to modules that workers may not have imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecopy.pool import Method
from tests import scripts

pytestmark = [pytest.mark.door, pytest.mark.beside]

NOISY = """
import warnings

class NoisyWarning(UserWarning):
    pass

class LouderWarning(NoisyWarning):
    pass

warnings.simplefilter("always", NoisyWarning)
"""

PROGRAM = """
import sys, warnings
import onecopy as oc

def imported(_):
    return "noisy" in sys.modules

def warn(category):
    import noisy
    try:
        warnings.warn("careful", getattr(noisy, category))
    except UserWarning as error:
        return f"raised {type(error).__name__}"
    return "went on"

def in_order(_):
    return [each[0] for each in warnings.filters if each[2].__name__ == "NoisyWarning"]

if __name__ == "__main__":
    import noisy
    warnings.simplefilter("ignore", noisy.NoisyWarning)
    with oc.Pool(1, method=sys.argv[1]) as pool:
        print(pool.apply(imported, (0,)))
        print(pool.apply(warn, ("NoisyWarning",)))
        print(pool.apply(in_order, (0,)))
        warnings.simplefilter("error", noisy.LouderWarning)
        print(pool.apply(warn, ("NoisyWarning",)), pool.apply(warn, ("LouderWarning",)))
    with oc.Pool(1, method=sys.argv[1]) as pool:
        print(pool.apply(warn, ("LouderWarning",)))
"""


def test_no_module_is_imported_for_a_filter(tmp_path: Path, process_method: Method) -> None:
    """The owner's filters hold once the module is imported, in the owner's order."""
    (tmp_path / "noisy.py").write_text(NOISY)
    done = scripts.run(tmp_path, PROGRAM, process_method)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        str(process_method == "fork"),
        "went on",
        "['ignore', 'always']",
        "went on raised LouderWarning",
        "raised LouderWarning",
    ]

"""The cases of ``test._test_multiprocessing`` for processes, under ``spawn``.

Workers import the cases by this name, so that each start method has a module.
"""

from __future__ import annotations

from test import _test_multiprocessing as cases

cases.install_tests_in_module_dict(globals(), "spawn")

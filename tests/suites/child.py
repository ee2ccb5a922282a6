"""Runs tests of one suite under one start method, and says of each how it went.

``__main__`` starts it, hands it the tests' ids and reads, line by line, what it says: the
reports have a descriptor of their own, for the tests print as they like.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import unittest
from typing import Any

from .parts import tests
from .substitutes import install, install_in_scripts


class Reporter(unittest.TestResult):
    """Writes one line of JSON when a test starts and one when it has ended."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._out = os.fdopen(descriptor, "w", buffering=1)
        self._state, self._why = "passed", ""

    def say(self, event: str, test: Any, why: str = "") -> None:
        self._out.write(json.dumps({"event": event, "test": test.id(), "why": why}) + "\n")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._state, self._why = "passed", ""
        self.say("started", test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.say(self._state, test, self._why)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._fail(test, self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._fail(test, self.failures[-1][1])

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fail(test, f"{subtest}: {(self.failures + self.errors)[-1][1]}")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._state, self._why = "skipped", reason

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._fail(test, "it was expected to fail")

    def _fail(self, test: Any, why: str) -> None:
        self._state = "failed"
        self._why += why
        if not isinstance(test, unittest.TestCase):  # a class or module was not set up
            self.say("broken", test, why)


def main() -> None:
    suite, method, descriptor = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.set_inheritable(descriptor, False)
    faulthandler.enable()  # its parent ends it by SIGABRT when a test takes too long
    install()
    install_in_scripts()
    from test import support

    support.verbose = 0
    wanted = set(sys.stdin.read().split())
    reporter = Reporter(descriptor)
    chosen = [test for test in tests(suite, method) if test.id() in wanted]
    unittest.TestSuite(chosen).run(reporter)


if __name__ == "__main__":
    main()

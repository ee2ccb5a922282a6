"""Runs joblib's own suite as it is installed, by pytest and the plugin ``loky``.

Those of its modules that run ``joblib.Parallel``. pytest runs in an empty directory, for
neither this project's settings nor its fixtures are joblib's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from .outcome import Outcome

_ROOT = Path(__file__).resolve().parents[2]
_MODULES = ("parallel", "config", "memmapping")
# The whole of it takes two minutes on two CPUs.
_PATIENCE = 1200


def run(match: str, limit: float) -> Outcome | None:
    """Runs the tests whose names hold ``match``; None where joblib or pytest is missing."""
    if find_spec("joblib") is None or find_spec("pytest_timeout") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "pytest.ini").write_text("[pytest]\n")
        said = _pytest(folder, match, limit)
        outcome = Outcome()
        left = folder / "left"
        if left.exists():
            for line in left.read_text().splitlines():
                name, _, why = line.partition("\t")
                outcome.excluded[name] = why
        try:
            cases = ElementTree.parse(folder / "junit.xml").getroot().iter("testcase")
        except (OSError, ElementTree.ParseError):
            outcome.failed["joblib.test"] = f"pytest came to no end:\n{said[-8000:]}"
            return outcome
        for case in cases:
            name = f"{case.get('classname') or 'joblib.test'}.{case.get('name')}"
            ended = {child.tag: child for child in case}
            if "failure" in ended or "error" in ended:
                found = ended.get("failure", ended.get("error"))
                assert found is not None
                outcome.failed[name] = found.text or ""
            elif "skipped" in ended:
                outcome.skipped[name] = ended["skipped"].get("message", "")
            else:
                outcome.passed.append(name)
        return outcome


def _pytest(folder: Path, match: str, limit: float) -> str:
    """Runs pytest in that folder; what it says."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.suites.loky", "--noconftest"),
        *("-p", "no:cacheprovider", "--junitxml=junit.xml", "-k", match),
        # By signal: the other way ends the whole run with the test that hangs.
        *(f"--timeout={limit}", "--timeout-method=signal", "--pyargs"),
        *(f"joblib.test.test_{module}" for module in _MODULES),
    ]
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        said = f"took longer than {_PATIENCE} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return said

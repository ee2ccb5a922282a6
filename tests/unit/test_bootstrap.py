"""The imports of a fresh interpreter that serves as a worker or a zygote: every pool waits for
them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onecopy
from onecopy._launch import interpreter

# Each takes 1 to 15 ms of CPU time in a new interpreter, and a worker needs none to run a task.
_EXPENSIVE = {
    "ast", "asyncio", "cloudpickle", "dataclasses", "dis", "hashlib", "inspect", "logging",
    "multiprocessing", "numpy", "pathlib", "psutil", "rich", "subprocess", "tempfile", "tokenize",
    "traceback", "uuid",
}  # fmt: skip


def test_a_fresh_interpreter_imports_nothing_expensive() -> None:
    # -S: what the environment's .pth files import is not ours.
    code = (
        f"import sys; sys.path.append({interpreter._HOME!r}); import onecopy._launch.bootstrap; "
        "print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert _EXPENSIVE.isdisjoint(run.stdout.split())


def test_a_fresh_interpreter_is_told_where_onecopy_is() -> None:
    assert Path(interpreter._HOME, "onecopy", "__init__.py").samefile(onecopy.__file__)
